// pipeline.c: the way of a reading from ek_sensor_report() through its channel's filters into the
// queue, and from there, encoded, to whoever sends it.
#include "pipeline/pipeline.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/timer.h"
#include "pipeline/queue.h"
#include "pipeline/sched.h"

static struct {
    struct ek_timer batch;
    void (*ready)(void);
    uint32_t reported, filtered;
    bool losing; // the queue is full, and the console knows
} self;

static void batch_done(void *arg) {
    (void)arg;
    if (self.ready != NULL && queue_counters.length > 0) {
        self.ready();
    }
}

void pipeline_start(void) { sched_start(); }

void pipeline_on_ready(void (*fn)(void)) { self.ready = fn; }

void pipeline_get_stats(struct pipeline_stats *stats) {
    *stats = (struct pipeline_stats){
        .readings = self.reported,
        .errors = sched_counters.errors,
        .filtered = self.filtered,
        .dropped = queue_counters.dropped,
        .skipped = sched_counters.skipped,
        .sent = queue_counters.taken,
        .queue_length = queue_counters.length,
        .queue_max = queue_counters.max,
        .queue_size = EK_QUEUE_READINGS,
    };
}

static bool passes(const struct channel *channel, struct reading *reading) {
    for (unsigned i = 0; i < channel->filter_count; i++) {
        const struct filter *filter = &channel->filters[i];
        if (!filter->ops->apply(filter->params, filter->state, reading)) {
            return false;
        }
    }
    return true;
}

// The first loss is logged, and the end of it; the statistics have the number meanwhile.
static void push(const struct reading *reading) {
    uint32_t dropped = queue_counters.dropped;
    queue_push(reading, pipeline_settings.overflow);
    if (queue_counters.dropped != dropped && !self.losing) {
        self.losing = true;
        ek_log("pipeline: queue is full, losing readings");
    }
}

void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status) {
    ek_assert(channel < pipeline_channel_count);
    sched_reported(channel, status);
    if (status != EK_OK) {
        return;
    }
    self.reported++;
    struct reading reading = {value, ek_clock_us(), channel, quality};
    if (!passes(&pipeline_channels[channel], &reading)) {
        self.filtered++;
        return;
    }
    push(&reading);
    // A queue that is half full cannot wait for the rest of the batch.
    bool hurry = queue_counters.length >= (EK_QUEUE_READINGS + 1) / 2;
    if (!self.batch.armed || hurry) {
        ek_timer_start(&self.batch, hurry ? 0 : (uint64_t)pipeline_settings.batch_ms * 1000,
                       batch_done, NULL);
    }
}

static bool add(struct senml_pack *pack, const struct reading *reading) {
    const struct channel *channel = &pipeline_channels[reading->channel];
    struct senml_record record = {.name = channel->name,
                                  .unit = channel->unit,
                                  .value = reading->value,
                                  .time_us = reading->time_us,
                                  .decimals = channel->decimals,
                                  .quality = reading->quality};
    return senml_add(pack, &record);
}

size_t pipeline_encode(uint8_t *out, size_t size, const char *base_name, unsigned *count) {
    struct senml_pack pack;
    *count = 0;
    for (;;) {
        senml_begin(&pack, out, size, base_name);
        while (*count < queue_counters.length && add(&pack, queue_at(*count))) {
            ++*count;
        }
        if (*count > 0 || queue_counters.length == 0) {
            break;
        }
        queue_drop_oldest(); // does not fit even alone: it would stop all those behind it
    }
    queue_hold(*count);
    return senml_end(&pack);
}

void pipeline_take(unsigned count) {
    queue_take(count);
    if (self.losing) {
        self.losing = false;
        ek_log("pipeline: queue has room, %u readings lost since boot",
               (unsigned)queue_counters.dropped);
    }
}
