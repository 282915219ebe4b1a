// panic.c: the end (ek/panic.h). The next boot tells of it (crash.c).
#include <stdarg.h>
#include "arch/arch.h"
#include "ek/assert.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/panic.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

enum { BACKTRACE_MAX = 16 };

static bool panicking;

static _Noreturn void reset(void) {
    const struct ek_power *power = &ek_role_power;
    if (power->ops && power->ops->reset) {
        power->ops->reset(power->dev);
    }
    for (;;) {
        arch_reset();
    }
}

_Noreturn void ek_exit(int code) {
    if (code != EK_EXIT_PANIC) {
        crash_ended();
    }
    if (ek_role_power.ops) {
        ek_role_power.ops->exit(ek_role_power.dev, code);
    }
    reset();
}

_Noreturn void ek_panic(const char *format, ...) {
    // A panic inside a panic, say in the console's driver, must not begin again.
    if (!panicking) {
        panicking = true;
        va_list args;
        va_start(args, format);
        log_list("panic: ", format, args);
        va_end(args);
        uintptr_t pcs[BACKTRACE_MAX];
        size_t count = arch_backtrace(pcs, BACKTRACE_MAX);
        va_start(args, format);
        crash_panic(format, args, pcs, count);
        va_end(args);
        watchdog_panic();
        for (size_t i = 0; i < count; i++) {
            ek_log("  at %p", (void *)pcs[i]);
        }
    }
    if (ek_device_config_u32("exit.on_panic", 0) == 1) {
        ek_exit(EK_EXIT_PANIC);
    }
    reset();
}

_Noreturn void ek_assert_fail(const char *file, int line) {
    ek_panic("assertion failed at %s:%d", file, line);
}
