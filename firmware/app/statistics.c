// statistics.c: the gateway's own counters as a SenML pack on <mqtt.topic>/stats, retained.
// Counters count from boot; bytes are high-water marks, beside what there is.
#include "app/app.h"
#include "ek/clock.h"
#include "ek/loop.h"
#include "ek/timer.h"
#include "kernel/kernel.h"
#include "mqtt/mqtt.h"
#include "net/net.h"
#include "pipeline/pipeline.h"
#include "pipeline/senml.h"

static struct ek_timer timer;

static void add(struct senml_pack *pack, const char *name, const char *unit, uint32_t value,
                uint8_t decimals) {
    const struct senml_record record = {
        .name = name, .unit = unit, .value = value, .time_us = ek_clock_us(), .decimals = decimals};
    (void)senml_add(pack, &record); // what does not fit is left out; the order is by weight
}

static size_t encode(uint8_t *out, size_t size) {
    struct pipeline_stats pipeline;
    struct net_stats net;
    pipeline_get_stats(&pipeline);
    net_get_stats(&net);
    const struct mqtt_stats *mqtt = publisher_mqtt_stats();

    struct senml_pack pack;
    senml_begin(&pack, out, size, publisher_base_name());
    add(&pack, "uptime", "s", (uint32_t)(ek_clock_us() / 1000000), 0);
    add(&pack, "dropped", "", pipeline.dropped, 0);
    add(&pack, "errors", "", pipeline.errors, 0);
    add(&pack, "connects", "", mqtt->connects, 0);
    add(&pack, "failures", "", mqtt->failures, 0);
    add(&pack, "readings", "", pipeline.readings, 0);
    add(&pack, "filtered", "", pipeline.filtered, 0);
    add(&pack, "skipped", "", pipeline.skipped, 0);
    add(&pack, "sent", "", pipeline.sent, 0);
    add(&pack, "unsendable", "", publisher_unsendable(), 0);
    add(&pack, "refused", "", mqtt->refused, 0);
    add(&pack, "queue_max", "", pipeline.queue_max, 0);
    add(&pack, "queue_size", "", pipeline.queue_size, 0);
    add(&pack, "stack_max", "B", (uint32_t)kernel_stack_used(), 0);
    add(&pack, "stack_size", "B", (uint32_t)kernel_stack_size(), 0);
    add(&pack, "net_heap_max", "B", net.heap_max_bytes, 0);
    add(&pack, "net_heap_size", "B", net.heap_size_bytes, 0);
    add(&pack, "frames_in", "", net.frames_in, 0);
    add(&pack, "frames_out", "", net.frames_out, 0);
    add(&pack, "frames_lost", "", net.drops_in + net.drops_out, 0);
    add(&pack, "link_losses", "", net.link_losses, 0);
    add(&pack, "address_changes", "", net.address_changes, 0);
    add(&pack, "idle", "/", ek_loop_idle_permille(), 3);
    return senml_end(&pack);
}

void statistics_send(void) {
    size_t size;
    uint8_t *out = publisher_buffer(&size);
    size_t len = encode(out, size);
    if (len > 0) {
        (void)publisher_send(TOPIC_STATISTICS, out, (uint16_t)len, 0, 1);
    }
}

static void period(void *arg) {
    (void)arg;
    statistics_start();
    statistics_send();
}

void statistics_start(void) {
    ek_timer_start(&timer, (uint64_t)pipeline_settings.statistics_s * 1000000, period, NULL);
}
