// main.c: from entry to event loop, where there is no network.
#include "app/serial/serial.h"
#include "arch/arch.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/panic.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "pipeline/pipeline.h"

static void end(void *arg) {
    (void)arg;
    statistics_send();
    ek_log("app: exit.after_s is over");
    ek_exit(0);
}

_Noreturn void ek_main(void) {
    kernel_init();
    ek_log("app: no network; readings leave as frames on this line");
    pipeline_start();
    publisher_start();
    statistics_start();

    static struct ek_timer end_timer;
    uint32_t end_s = ek_device_config_u32("exit.after_s", 0);
    if (end_s != 0) {
        ek_timer_start(&end_timer, (uint64_t)end_s * 1000000, end, NULL);
    }
    ek_loop_run();
}
