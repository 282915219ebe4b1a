// host.c: the Modbus client on real sockets: polls everything ten times a second, until killed.
#include <inttypes.h>
#include "ek/host.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "kernel/kernel.h"
#include "modbus_tcp.h"
#include "net/net.h"
#include "arch/arch.h"
#include "tables.h"

static struct ek_timer timer;

void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status) {
    (void)quality;
    ek_log("report %u %ld %d", (unsigned)channel, (long)value, status);
}

static void tick(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < sizeof polls / sizeof *polls; i++) {
        modbus_tcp_ops.poll(polls[i]);
    }
    ek_timer_start(&timer, 100000, tick, NULL);
}

void ek_main(void) {
    kernel_init();
    net_init();
    tick(NULL);
    ek_loop_run();
}
