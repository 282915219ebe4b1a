// statistics.c: the gateway's own counters as a SenML pack, behind a status that says whose it is:
// a receiver that comes late learns it there. Counters count from boot; bytes are high-water marks.
#include "app/serial/serial.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "pipeline/pipeline.h"
#include "pipeline/senml.h"
#include <string.h>

static struct ek_timer timer;

// Name and unit of every value, in the order of encode(); what does not fit is left out, so the
// order is by weight.
static const char fields[] = "uptime\0s\0"
                             "dropped\0\0"
                             "errors\0\0"
                             "readings\0\0"
                             "filtered\0\0"
                             "skipped\0\0"
                             "sent\0\0"
                             "frames\0\0"
                             "device_errors\0\0"
                             "stack_max\0B\0"
                             "stack_size\0B\0"
                             "queue_max\0\0"
                             "queue_size\0\0"
                             "idle\0/\0";

static size_t encode(uint8_t *out, size_t size) {
    struct pipeline_stats pipeline;
    pipeline_get_stats(&pipeline);
    uint64_t now_us = ek_clock_us();
    const uint32_t values[] = {
        (uint32_t)(now_us / 1000000),
        pipeline.dropped,
        pipeline.errors,
        pipeline.readings,
        pipeline.filtered,
        pipeline.skipped,
        pipeline.sent,
        frames_sent(),
        ek_counters.device_errors,
        (uint32_t)kernel_stack_used(),
        (uint32_t)kernel_stack_size(),
        pipeline.queue_max,
        pipeline.queue_size,
        ek_loop_idle_permille(),
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
    uint8_t *out = frames_payload(&size);
    int len = ek_format((char *)out, size, "online %s", publisher_base_name());
    (void)frames_send(FRAME_STATUS, (size_t)len - 1); // without the slash
    (void)frames_send(FRAME_STATISTICS, encode(out, size));
}

static void period(void *arg) {
    (void)arg;
    ek_timer_start(&timer, (uint64_t)pipeline_settings.statistics_s * 1000000, period, NULL);
    statistics_send();
}

void statistics_start(void) { period(NULL); }
