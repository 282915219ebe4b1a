// outbox.c: the arena of outgoing messages. Nothing here knows the protocol.
#include "mqtt/outbox.h"
#include <string.h>
#include "ek/assert.h"

int mqtt_outbox_append(struct mqtt_outbox *outbox, const struct mqtt_message *message,
                       uint16_t id) {
    size_t size = sizeof(struct mqtt_record) + message->topic_len + message->payload_len;
    if (size > outbox->size) {
        return EK_ERANGE;
    }
    size_t used = (size_t)(outbox->tail - outbox->head);
    if (size > outbox->size - used) {
        return EK_EAGAIN;
    }
    if (size > (size_t)(outbox->size - outbox->tail)) {
        memmove(outbox->data, outbox->data + outbox->head, used);
        outbox->head = 0;
        outbox->tail = (uint16_t)used;
    }
    struct mqtt_record *record = (struct mqtt_record *)(outbox->data + outbox->tail);
    *record = (struct mqtt_record){
        .size = (uint16_t)size,
        .id = id,
        .topic_len = message->topic_len,
        .state = MQTT_QUEUED,
        .qos = message->qos & 3u,
        .retain = message->retain,
    };
    memcpy(record->body, message->topic, message->topic_len);
    if (message->payload_len != 0) {
        memcpy(record->body + message->topic_len, message->payload, message->payload_len);
    }
    outbox->tail = (uint16_t)(outbox->tail + size);
    outbox->count++;
    return EK_OK;
}

struct mqtt_record *mqtt_outbox_next(const struct mqtt_outbox *outbox, struct mqtt_record *record) {
    uint8_t *at = record == NULL ? outbox->data + outbox->head : (uint8_t *)record + record->size;
    return at == outbox->data + outbox->tail ? NULL : (struct mqtt_record *)at;
}

bool mqtt_outbox_has(const struct mqtt_outbox *outbox, uint16_t id) {
    for (struct mqtt_record *record = mqtt_outbox_next(outbox, NULL); record != NULL;
         record = mqtt_outbox_next(outbox, record)) {
        if (record->id == id) {
            return true;
        }
    }
    return false;
}

static bool in_flight(unsigned state) { return state >= MQTT_SENT && state <= MQTT_RELEASED; }

struct mqtt_record *mqtt_outbox_inflight(const struct mqtt_outbox *outbox, uint16_t id) {
    unsigned seen = 0;
    for (struct mqtt_record *record = NULL; seen < outbox->inflight;) {
        record = mqtt_outbox_next(outbox, record);
        if (in_flight(record->state)) {
            if (record->id == id) {
                return record;
            }
            seen++;
        }
    }
    return NULL;
}

void mqtt_outbox_set_state(struct mqtt_outbox *outbox, struct mqtt_record *record,
                           enum mqtt_record_state state) {
    outbox->inflight = (uint16_t)(outbox->inflight + in_flight(state) - in_flight(record->state));
    record->state = (uint8_t)state;
}

// Cut `len` bytes that end where `record` ends; what is before them moves up.
static void cut(struct mqtt_outbox *outbox, struct mqtt_record *record, size_t len) {
    uint8_t *head = outbox->data + outbox->head;
    size_t before = (size_t)((uint8_t *)record + record->size - len - head);
    memmove(head + len, head, before);
    outbox->head = (uint16_t)(outbox->head + len);
}

struct mqtt_record *mqtt_outbox_drop_body(struct mqtt_outbox *outbox, struct mqtt_record *record) {
    size_t len = record->size - sizeof *record;
    cut(outbox, record, len);
    record = (struct mqtt_record *)((uint8_t *)record + len);
    record->size = sizeof *record;
    return record;
}

void mqtt_outbox_remove(struct mqtt_outbox *outbox, struct mqtt_record *record) {
    ek_assert(outbox->count != 0);
    mqtt_outbox_set_state(outbox, record, MQTT_DONE);
    cut(outbox, record, record->size);
    outbox->count--;
}
