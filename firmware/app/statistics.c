// statistics.c: the gateway's own counters as a SenML pack on <mqtt.topic>/stats, retained.
// Counters count from boot; bytes are high-water marks, beside what there is.
#include <string.h>
#include "app/app.h"
#include "config.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "mqtt/mqtt.h"
#include "net/net.h"
#include "pipeline/pipeline.h"
#include "pipeline/senml.h"
#ifdef EK_TLS
#include "tls/tls.h"
#endif

static struct ek_timer timer;

// Name and unit of every value, in the order of encode(); what does not fit is left out, so the
// order is by weight.
static const char fields[] = "uptime\0s\0"
                             "dropped\0\0"
                             "errors\0\0"
                             "connects\0\0"
                             "failures\0\0"
                             "readings\0\0"
                             "filtered\0\0"
                             "skipped\0\0"
                             "sent\0\0"
                             "unsendable\0\0"
                             "lost\0\0"
                             "refused\0\0"
                             "oversized\0\0"
#ifdef EK_ACTUATORS // config.h
                             "commands\0\0"
                             "commands_refused\0\0"
#endif
                             "queue_max\0\0"
                             "queue_size\0\0"
                             "stack_max\0B\0"
                             "stack_size\0B\0"
                             "net_heap_max\0B\0"
                             "net_heap_size\0B\0"
                             "frames_in\0\0"
                             "frames_out\0\0"
                             "frames_lost\0\0"
                             "link_losses\0\0"
                             "no_link\0s\0"
                             "phy_faults\0\0"
                             "address_changes\0\0"
                             "bus_recoveries\0\0"
                             "device_restarts\0\0"
                             "device_errors\0\0"
                             "idle\0/\0"
                             "unwanted\0\0";

static size_t encode(uint8_t *out, size_t size) {
    struct pipeline_stats pipeline;
    struct net_stats net;
    pipeline_get_stats(&pipeline);
    net_get_stats(&net);
    const struct mqtt_stats *mqtt = publisher_mqtt_stats();
    uint64_t now_us = ek_clock_us();
    const uint32_t values[] = {
        (uint32_t)(now_us / 1000000),
        pipeline.dropped,
        pipeline.errors,
        mqtt->connects,
        mqtt->failures,
        pipeline.readings,
        pipeline.filtered,
        pipeline.skipped,
        pipeline.sent - publisher_unsendable(),
        publisher_unsendable(),
        mqtt->lost,
        mqtt->refused,
        mqtt->oversized,
#ifdef EK_ACTUATORS
        actuators_get_counters()->commands,
        actuators_get_counters()->refused,
#endif
        pipeline.queue_max,
        pipeline.queue_size,
        (uint32_t)kernel_stack_used(),
        (uint32_t)kernel_stack_size(),
        net.heap_max_bytes,
        net.heap_size_bytes,
        net.frames_in,
        net.frames_out,
        net.drops_in + net.drops_out,
        net.link_losses,
        net.no_link_s,
        net.phy_faults,
        net.address_changes,
        ek_counters.bus_recoveries,
        ek_counters.device_restarts,
        ek_counters.device_errors,
        ek_loop_idle_permille(),
        net.unwanted,
    };

    struct senml_pack pack;
    senml_begin(&pack, out, size, publisher_base_name());
    const char *name = fields;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        const char *unit = name + strlen(name) + 1;
        const struct senml_record record = {
            .name = name,
            .unit = unit,
            .value = values[i],
            .time_us = now_us,
            .decimals = *unit == '/' ? 3 : 0, // a ratio: permille
        };
        (void)senml_add(&pack, &record);
        name = unit + strlen(unit) + 1;
    }
    return senml_end(&pack);
}

void statistics_send(void) {
    size_t size;
    uint8_t *out = publisher_buffer(&size);
    size_t len = encode(out, size);
    if (len > 0) {
        (void)publisher_send(TOPIC_STATISTICS, out, (uint16_t)len, 0, 1);
    }
#ifdef EK_TLS // config.h
    len = tls_tell((char *)out, size, kernel_entropy_source());
    if (len > 0) {
        (void)publisher_send(TOPIC_TLS, out, (uint16_t)len, 0, 1);
    }
#endif
}

static void period(void *arg) {
    (void)arg;
    statistics_start();
    statistics_send();
}

void statistics_start(void) {
    ek_timer_start(&timer, (uint64_t)pipeline_settings.statistics_s * 1000000, period, NULL);
}
