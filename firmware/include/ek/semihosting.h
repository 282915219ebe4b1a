// ek/semihosting.h: ask the debugger or emulator for a service (Arm "Semihosting for AArch32 and
// AArch64", 2.0). The architectures of Arm define it; the instruction differs.
#ifndef EK_SEMIHOSTING_H
#define EK_SEMIHOSTING_H
#include <stdint.h>

// Operation numbers used (section 6 of that document).
enum { EK_SEMIHOSTING_EXIT = 0x18, EK_SEMIHOSTING_EXIT_EXTENDED = 0x20 };

// The result of `operation`, or -1; `argument` is a pointer or a number, as the operation says.
// Returns -1 too where nobody listens, if the architecture can tell.
long ek_semihosting(uint32_t operation, uintptr_t argument);
#endif
