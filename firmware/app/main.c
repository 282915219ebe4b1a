// main.c: from entry to event loop.
#include "app/app.h"
#include "arch/arch.h"
#include "config.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/panic.h"
#include "ek/service.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "net/net.h"
#include "pipeline/pipeline.h"

static void end(void *arg) {
    (void)arg;
    statistics_send();
    ek_log("app: exit.after_s is over");
    ek_exit(0);
}

_Noreturn void ek_main(void) {
    kernel_init();
#ifdef EK_ACTUATORS // config.h: the gateway has some
    actuators_start();
#endif
#ifdef EK_ROTATE // config.h: the gateway's certificate can be replaced
    rotation_start();
#endif
    net_init();
    pipeline_start();
    publisher_start();
    statistics_start();
#ifdef EK_NET_LISTENERS // config.h: the gateway has a service
    ek_service_start();
#endif

    static struct ek_timer end_timer;
    uint32_t end_s = ek_device_config_u32("exit.after_s", 0);
    if (end_s != 0) {
        ek_timer_start(&end_timer, (uint64_t)end_s * 1000000, end, NULL);
    }
    ek_loop_run();
}
