// ek/panic.h: the end, with its reason.
#ifndef EK_PANIC_H
#define EK_PANIC_H
#include <stdint.h>
// Print the reason and a backtrace ("panic: ...", "  at 0x...") and reset; under an emulator that
// has been told to report, exit with status EK_EXIT_PANIC instead.
_Noreturn void ek_panic(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same, for a check that the compiler put in (`kind` is clang's number of it) before `pc`.
_Noreturn void ek_panic_trap(unsigned kind, uintptr_t pc);
// End on purpose (a test image, or `edgeuk run --for`): the emulator exits with `code`, a board
// resets.
_Noreturn void ek_exit(int code);
enum { EK_EXIT_PANIC = 101 };
#endif
