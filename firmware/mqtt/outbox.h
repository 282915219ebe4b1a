// mqtt/outbox.h: outgoing messages in the order of mqtt_publish(), in one byte arena. Records lie
// one after another between `head` and `tail`; taking one out moves the older ones, which are few.
#ifndef MQTT_OUTBOX_H
#define MQTT_OUTBOX_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mqtt/mqtt.h"

enum mqtt_record_state {
    MQTT_QUEUED,  // to be sent (again)
    MQTT_SENT,    // awaits PUBACK or PUBREC
    MQTT_RELEASE, // PUBREC came: PUBREL is to be sent; the body is gone
    MQTT_RELEASED,
    MQTT_DONE, // to be reported by the poller, with `topic_len` as the reason; the body is gone
};

struct __attribute__((packed)) mqtt_record {
    uint16_t size; // of the record, with this header
    uint16_t id;   // 0: QoS 0
    uint16_t topic_len;
    uint8_t state;
    uint8_t qos : 2;
    uint8_t retain : 1;
    uint8_t duplicate : 1;
    uint8_t body[]; // topic, payload
};

struct mqtt_outbox {
    uint8_t *data;
    uint16_t size, head, tail;
    uint16_t count;
    uint16_t inflight; // records in MQTT_SENT, MQTT_RELEASE and MQTT_RELEASED
};

// EK_OK, EK_EAGAIN: no room now, EK_ERANGE: never.
int mqtt_outbox_append(struct mqtt_outbox *outbox, const struct mqtt_message *message, uint16_t id);
// The record after `record`, the first after NULL; NULL at the end.
struct mqtt_record *mqtt_outbox_next(const struct mqtt_outbox *outbox, struct mqtt_record *record);
// The record in flight with this identifier, or NULL.
struct mqtt_record *mqtt_outbox_inflight(const struct mqtt_outbox *outbox, uint16_t id);
bool mqtt_outbox_has(const struct mqtt_outbox *outbox, uint16_t id);
// Keeps `inflight` right.
void mqtt_outbox_set_state(struct mqtt_outbox *outbox, struct mqtt_record *record,
                           enum mqtt_record_state state);
// Gives the body's bytes back. Returns where the record is now; records after it do not move.
struct mqtt_record *mqtt_outbox_drop_body(struct mqtt_outbox *outbox, struct mqtt_record *record);
// The next record stays where it is: take it with mqtt_outbox_next() before, to go on from there.
void mqtt_outbox_remove(struct mqtt_outbox *outbox, struct mqtt_record *record);
#endif
