// packets.c: packets from the broker become events and answers. Whatever the specification forbids
// ends the connection with the reason code that it names (4.13). Numbers in parentheses are
// sections of MQTT 5.0.
#include <string.h>
#include "mqtt/client.h"

static uint8_t on_connack(struct mqtt_client *client, struct mqtt_reader body) {
    struct mqtt_connack connack;
    uint8_t reason = mqtt_decode_connack(client->version, body, &connack, &client->limits);
    if (reason != 0) {
        return reason;
    }
    if (!client->connect_sent) {
        return MQTT_PROTOCOL_ERROR; // an answer to half a CONNECT
    }
    if (client->version == 5 && connack.old_format) {
        connack.reason = MQTT_VERSION_UNSUPPORTED; // even if it would go on: it speaks 3.1.1
    }
    if (connack.reason != 0) {
        mqtt_lost(client, EK_EREFUSED, connack.reason);
        return 0;
    }
    if (connack.session_present &&
        (client->options->session_expiry_s == 0 || (client->version == 5 && !client->session))) {
        return MQTT_PROTOCOL_ERROR; // we asked for a clean start (3.2.2.1.1)
    }
    mqtt_accepted(client, connack.session_present);
    return 0;
}

struct mqtt_incoming *mqtt_incoming_find(struct mqtt_client *client, uint16_t id) {
    for (unsigned i = 0; i < client->incoming_count; i++) {
        struct mqtt_incoming *entry = &client->incoming[i];
        // Only of QoS 2 is there more to come.
        if (entry->id == id && (entry->due == 0 || entry->due == MQTT_PUBREC << 4)) {
            return entry;
        }
    }
    return NULL;
}

bool mqtt_incoming_add(struct mqtt_client *client, uint16_t id, unsigned due, uint8_t reason) {
    if (client->incoming_count == MQTT_INCOMING_MAX) {
        return false;
    }
    client->incoming[client->incoming_count++] =
        (struct mqtt_incoming){.id = id, .due = (uint8_t)due, .reason = reason};
    return true;
}

static uint8_t on_publish(struct mqtt_client *client, unsigned flags, struct mqtt_reader body) {
    if (!EK_MQTT_LISTENS) { // an earlier image's subscription, at QoS 0 as all are
        return flags & 6 ? MQTT_PROTOCOL_ERROR : 0;
    }
    struct mqtt_message message;
    uint16_t id;
    uint8_t reason = mqtt_decode_publish(client->version, flags, body, &message, &id);
    if (reason != 0) {
        return reason;
    }
    if (message.qos == 2) {
        struct mqtt_incoming *entry = mqtt_incoming_find(client, id);
        if (entry != NULL) { // delivered before; only the answer is repeated (4.3.3)
            entry->due = MQTT_PUBREC << 4;
            client->stats.duplicates++;
            return 0;
        }
    }
    if (message.qos != 0 &&
        !mqtt_incoming_add(client, id, (message.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC) << 4, 0)) {
        return MQTT_RECEIVE_MAXIMUM_EXCEEDED;
    }
    client->stats.received++;
    if (client->options->on_message != NULL) {
        client->options->on_message(client->options->arg, &message);
    }
    return 0;
}

static uint8_t on_pubrel(struct mqtt_client *client, uint16_t id) {
    if (!EK_MQTT_LISTENS) {
        return MQTT_PROTOCOL_ERROR;
    }
    struct mqtt_incoming *entry = mqtt_incoming_find(client, id);
    if (entry != NULL) {
        entry->due = MQTT_PUBCOMP << 4;
        return 0;
    }
    // Unknown after a lost PUBCOMP: to be answered all the same (4.3.3).
    return mqtt_incoming_add(client, id, MQTT_PUBCOMP << 4, MQTT_ID_NOT_FOUND)
               ? 0
               : MQTT_RECEIVE_MAXIMUM_EXCEEDED;
}

// A message of an earlier connection that waits to be sent again. A broker may answer what it got
// then before it gets it again (amqtt does); a PUBLISH after PUBREL would be delivered twice
// (4.3.3).
static struct mqtt_record *to_repeat(const struct mqtt_client *client, uint16_t id,
                                     bool *under_way) {
    bool first = true;
    for (struct mqtt_record *record = mqtt_outbox_next(&client->outbox, NULL); record != NULL;
         record = mqtt_outbox_next(&client->outbox, record)) {
        if (record->state != MQTT_QUEUED) {
            continue;
        }
        if (record->duplicate && record->id == id) {
            *under_way = first && client->publishing;
            return record;
        }
        first = false;
    }
    return NULL;
}

// PUBACK, PUBREC and PUBCOMP: the broker's answers to what is in the outbox.
static uint8_t on_answer(struct mqtt_client *client, unsigned type, uint16_t id, uint8_t reason) {
    struct mqtt_outbox *outbox = &client->outbox;
    struct mqtt_record *record = mqtt_outbox_inflight(outbox, id);
    bool under_way = false;
    if (record == NULL) {
        record = to_repeat(client, id, &under_way);
    }
    if (under_way) {
        return 0; // it is answered once more
    }
    if (record == NULL) {
        if (type == MQTT_PUBREC && reason < 0x80) {
            // Without room the broker waits until the next connection; it is its mistake.
            (void)mqtt_incoming_add(client, id, MQTT_PUBREL << 4 | 2, MQTT_ID_NOT_FOUND);
        }
        return 0; // a late repetition; no error (4.3)
    }
    if ((type == MQTT_PUBACK) != (record->qos == 1)) {
        return MQTT_PROTOCOL_ERROR;
    }
    if (type == MQTT_PUBCOMP) {
        if (record->state == MQTT_SENT || record->state == MQTT_QUEUED) {
            return MQTT_PROTOCOL_ERROR; // before PUBREC
        }
        // The only failure is "identifier not found": this PUBREL was a repetition (3.7.2.1).
        mqtt_finish(client, record, MQTT_SUCCESS);
    } else if (reason >= 0x80 || type == MQTT_PUBACK) {
        mqtt_finish(client, record, reason);
    } else {
        record = mqtt_outbox_drop_body(outbox, record);
        mqtt_outbox_set_state(outbox, record, MQTT_RELEASE);
        client->room_due = true;
    }
    return 0;
}

static uint8_t on_suback(struct mqtt_client *client, struct mqtt_reader body) {
    if (!EK_MQTT_LISTENS) {
        return MQTT_PROTOCOL_ERROR;
    }
    uint16_t id;
    uint8_t granted;
    uint8_t reason = mqtt_decode_suback(client->version, body, &id, &granted);
    if (reason != 0) {
        return reason;
    }
    unsigned index = (unsigned)id - (MQTT_ID_MAX + 1);
    if (index >= client->subscription_count ||
        client->subscriptions[index].state != MQTT_SUBSCRIBE_SENT) {
        return MQTT_PROTOCOL_ERROR;
    }
    client->subscriptions[index].state = MQTT_SUBSCRIBED;
    if (client->options->on_subscribed != NULL) {
        client->options->on_subscribed(client->options->arg, client->subscriptions[index].filter,
                                       granted);
    }
    return 0;
}

static uint8_t on_disconnect(struct mqtt_client *client, struct mqtt_reader body) {
    uint8_t told;
    uint8_t reason =
        client->version == 5 ? mqtt_decode_disconnect(body, &told) : MQTT_PROTOCOL_ERROR;
    if (reason == 0) {
        mqtt_lost(client, EK_EREFUSED, told);
    }
    return reason;
}

uint8_t mqtt_packet(struct mqtt_client *client, struct mqtt_reader body) {
    unsigned type = client->packet_header >> 4, flags = client->packet_header & 15;
    if (type == 0 || (type != MQTT_PUBLISH && flags != (type == MQTT_PUBREL ? 2 : 0))) {
        return MQTT_MALFORMED; // (2.1.2, 2.1.3)
    }
    if ((type == MQTT_CONNACK) != (client->state == MQTT_AWAIT_CONNACK)) {
        return MQTT_PROTOCOL_ERROR;
    }
    uint16_t id;
    uint8_t reason, error;
    switch (type) {
    case MQTT_CONNACK:
        return on_connack(client, body);
    case MQTT_PUBLISH:
        return on_publish(client, flags, body);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        error = mqtt_decode_ack(client->version, type, body, &id, &reason);
        if (error != 0) {
            return error;
        }
        return type == MQTT_PUBREL ? on_pubrel(client, id) : on_answer(client, type, id, reason);
    case MQTT_SUBACK:
        return on_suback(client, body);
    case MQTT_PINGRESP:
        if (body.at != body.end) {
            return MQTT_MALFORMED;
        }
        mqtt_watch(client);
        return 0;
    case MQTT_DISCONNECT:
        return on_disconnect(client, body);
    default: // what only a client sends, and AUTH, which CONNECT did not ask for (4.12)
        return MQTT_PROTOCOL_ERROR;
    }
}
