// sched.c: polls every sensor at start + phase + n * period, for whole n: no drift. A poll that
// cannot begin in time is counted and left out; polls never come in bunches.
#include "pipeline/sched.h"
#include "config.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/timer.h"
#include "pipeline/queue.h"

// A driver ends every poll within a limit of its own (ek/sensor.h). One that has not after this
// many periods is asked anew, so that a lost event cannot silence a sensor for ever.
enum { OVERRUNS_MAX = 10 };

struct sched_counters sched_counters;
static struct ek_timer timer;

// The first failure is logged, and the first success after it; not each one in between.
static void failed(struct poll_state *state, unsigned channel, int status) {
    sched_counters.errors++;
    state->round_failed = true;
    if (!state->failing) {
        state->failing = true;
        ek_log("pipeline: %s: %s", pipeline_channels[channel].name, ek_status_name(status));
    }
}

// One channel of those that are awaited has reported, or will not.
static void reported(struct poll_state *state, unsigned channel, int status) {
    if (status != EK_OK) {
        failed(state, channel, status);
    }
    if (state->pending == 0) {
        return; // it came after OVERRUNS_MAX
    }
    sched_counters.pending--;
    if (--state->pending == 0 && state->failing && !state->round_failed) {
        state->failing = false;
        ek_log("pipeline: %s: works again", pipeline_channels[channel].name);
    }
}

void sched_reported(uint16_t channel, int status) {
    for (unsigned i = 0; i < pipeline_poll_count; i++) {
        unsigned offset = (unsigned)channel - pipeline_polls[i].channel; // huge if below
        if (offset < pipeline_polls[i].channel_count) {
            reported(&pipeline_poll_states[i], channel, status);
            return;
        }
    }
}

// Under OVERFLOW_BLOCK: is there a place for all that may be reported? A sensor with more channels
// than the whole queue has places gets its turn when the queue is empty.
static bool blocked(const struct poll *poll) {
    unsigned used = queue_counters.length + sched_counters.pending;
    return pipeline_settings.overflow == OVERFLOW_BLOCK && used > 0 &&
           used + poll->channel_count > EK_QUEUE_READINGS;
}

// No more reports are to come from the poll under way.
static void give_up(const struct poll *poll, struct poll_state *state, int status) {
    while (state->pending > 0) {
        reported(state, poll->channel, status);
    }
}

static void begin_poll(const struct poll *poll, struct poll_state *state) {
    if (state->pending == 0) {
        state->overruns = 0;
    } else if (++state->overruns == OVERRUNS_MAX) {
        state->overruns = 0;
        give_up(poll, state, EK_ETIMEDOUT);
    }
    if (state->pending > 0 || blocked(poll)) {
        sched_counters.skipped++;
        return;
    }
    state->pending = poll->channel_count;
    sched_counters.pending += poll->channel_count;
    state->round_failed = false;
    if (!state->ready) {
        int status = poll->ops->init == NULL ? EK_OK : poll->ops->init(poll->dev);
        if (status != EK_OK) {
            give_up(poll, state, status);
            return;
        }
        state->ready = true;
    }
    poll->ops->poll(poll->dev);
}

static void run(void *arg) {
    (void)arg;
    uint64_t next_us = UINT64_MAX;
    for (unsigned i = 0; i < pipeline_poll_count; i++) {
        const struct poll *poll = &pipeline_polls[i];
        struct poll_state *state = &pipeline_poll_states[i];
        uint64_t now_us = ek_clock_us(); // anew: a poll takes time
        if (state->due_us <= now_us) {
            uint64_t period_us = (uint64_t)poll->period_ms * 1000;
            uint64_t missed = (now_us - state->due_us) / period_us;
            sched_counters.skipped += (uint32_t)missed;
            state->due_us += (missed + 1) * period_us;
            begin_poll(poll, state);
        }
        if (state->due_us < next_us) {
            next_us = state->due_us;
        }
    }
    if (next_us != UINT64_MAX) {
        ek_timer_start_at(&timer, next_us, run, NULL);
    }
}

void sched_start(void) {
    uint64_t now_us = ek_clock_us();
    for (unsigned i = 0; i < pipeline_poll_count; i++) {
        pipeline_poll_states[i].due_us = now_us + (uint64_t)pipeline_polls[i].phase_ms * 1000;
    }
    run(NULL);
}
