// main.c: from entry to event loop, where there are neither sensors nor a broker.
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/panic.h"
#include "ek/service.h"
#include "ek/timer.h"
#include "arch/arch.h"
#include "kernel/kernel.h"
#include "net/net.h"

static void end(void *arg) {
    (void)arg;
    ek_log("app: exit.after_s is over");
    ek_exit(0);
}

_Noreturn void ek_main(void) {
    kernel_init();
    net_init();
    ek_service_start();

    static struct ek_timer end_timer;
    uint32_t end_s = ek_device_config_u32("exit.after_s", 0);
    if (end_s != 0) {
        ek_timer_start(&end_timer, (uint64_t)end_s * 1000000, end, NULL);
    }
    ek_loop_run();
}
