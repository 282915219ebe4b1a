// init.c: what happens before the app's first line.
#include <string.h>
#include "arch/arch.h"
#include "ek/log.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

static void put(const char *text) {
    if (ek_role_console.ops) {
        (void)ek_role_console.ops->write(ek_role_console.dev, (const uint8_t *)text, strlen(text));
    }
}

// The banner's first half appears before anything that may hang; nothing else is printed between
// the two halves.
__attribute__((no_stack_protector)) // its canary changes meanwhile
void kernel_init(void) {
    char banner[64];
    stack_paint();
    arch_init();
    watchdog_start();
    if (ek_role_console.ops) {
        (void)ek_role_console.ops->init(ek_role_console.dev); // without a console we run silently
    }
    ek_format(banner, sizeof banner, "edgeuk %s %s: entropy ", ek_board_name, ek_build_id);
    put(banner);
    device_config_init();
    random_init();
    guard_seed();
    put(kernel_entropy_source());
    put("\n");
    if (*kernel_config_report()) {
        ek_log("%s", kernel_config_report() + 2); // without "; "
    }
    watchdog_report();
    rtc_start();
}
