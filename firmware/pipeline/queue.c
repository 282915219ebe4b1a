// queue.c: a ring of readings with a stated overflow policy. Its room is EK_QUEUE_READINGS.
#include "pipeline/queue.h"
#include "config.h"
#include "ek/assert.h"

struct queue_counters queue_counters;
static struct {
    uint16_t first; // index of the oldest
    uint16_t held;  // of the oldest, still in the ring
    uint16_t gone;  // held once, dropped since
    struct reading ring[EK_QUEUE_READINGS];
} queue;

// The place `index` behind the oldest, which may be the one behind the last.
static struct reading *place(unsigned index) {
    index += queue.first;
    return &queue.ring[index < EK_QUEUE_READINGS ? index : index - EK_QUEUE_READINGS];
}

const struct reading *queue_at(unsigned index) { return place(index); }

static void remove_oldest(unsigned count) {
    ek_assert(count <= queue_counters.length);
    queue.first = (uint16_t)(place(count) - queue.ring);
    queue_counters.length = (uint16_t)(queue_counters.length - count);
}

void queue_drop_oldest(void) {
    remove_oldest(1);
    queue_counters.dropped++;
    if (queue.held > 0) {
        queue.held--;
        queue.gone++;
    }
}

void queue_push(const struct reading *reading, enum overflow_policy policy) {
    if (queue_counters.length == EK_QUEUE_READINGS) {
        if (policy != OVERFLOW_DROP_OLDEST) {
            queue_counters.dropped++;
            return;
        }
        queue_drop_oldest();
    }
    *place(queue_counters.length++) = *reading;
    if (queue_counters.max < queue_counters.length) {
        queue_counters.max = queue_counters.length;
    }
}

void queue_hold(unsigned count) {
    queue.held = (uint16_t)count;
    queue.gone = 0;
}

void queue_take(unsigned count) {
    ek_assert(count <= (unsigned)queue.held + queue.gone);
    unsigned dropped = count < queue.gone ? count : queue.gone;
    unsigned kept = count - dropped;
    remove_oldest(kept);
    queue.held = (uint16_t)(queue.held - kept);
    queue.gone = (uint16_t)(queue.gone - dropped);
    queue_counters.dropped -= dropped;
    queue_counters.taken += count;
}
