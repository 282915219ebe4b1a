// guard.c: what the compiler's own checks call: the canary behind each function's arrays on the
// stack, and the traps for what C leaves undefined (which ones: edgeuk/units.py).
#include <stdint.h>
#include "ek/panic.h"
#include "ek/random.h"
#include "kernel/internal.h"

#if __STDC_HOSTED__ // a process has its system's canary, and the sanitizers
void guard_seed(void) {}
#else

// Its lowest byte stays 0, so that reading a string too far does not tell it.
__attribute__((used)) uintptr_t __stack_chk_guard;

void guard_seed(void) { __stack_chk_guard = (uintptr_t)ek_random32() << 8; }

_Noreturn void __stack_chk_fail(void);
__attribute__((used)) _Noreturn void __stack_chk_fail(void) {
    ek_panic("stack smashed in %p", __builtin_return_address(0));
}

// Clang's numbers of its checks (clang/lib/CodeGen/SanitizerHandler.h).
static const char *name(unsigned kind) {
    switch (kind) {
    case 3:
        return "division";
    case 18:
        return "array bounds";
    case 20:
        return "shift";
    case 1:
    case 8:
    case 11:
        return "unreachable code";
    default: // sum, product, negation, difference
        return "overflow";
    }
}

_Noreturn void ek_panic_trap(unsigned kind, uintptr_t pc) {
    ek_panic("undefined behaviour: %s in %p", name(kind), (void *)pc);
}

#ifdef __thumb__ // whose trap instruction has no room for the kind (arch.toml)
_Noreturn void ek_trap(unsigned char kind);
__attribute__((used)) _Noreturn void ek_trap(unsigned char kind) {
    ek_panic_trap(kind, (uintptr_t)__builtin_return_address(0));
}
#endif
#endif
