// receive.c: bytes from the broker become packets, packets become events and answers. Whatever the
// specification forbids ends the connection with the reason code that it names (4.13).
// Numbers in parentheses are sections of MQTT 5.0.
#include <string.h>
#include "ek/clock.h"
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

static struct mqtt_incoming *find_incoming(struct mqtt_client *client, uint16_t id) {
    for (unsigned i = 0; i < client->incoming_count; i++) {
        struct mqtt_incoming *entry = &client->incoming[i];
        // Only of QoS 2 is there more to come.
        if (entry->id == id && (entry->due == 0 || entry->due == MQTT_PUBREC << 4)) {
            return entry;
        }
    }
    return NULL;
}

static bool add_incoming(struct mqtt_client *client, uint16_t id, unsigned due, uint8_t reason) {
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
        struct mqtt_incoming *entry = find_incoming(client, id);
        if (entry != NULL) { // delivered before; only the answer is repeated (4.3.3)
            entry->due = MQTT_PUBREC << 4;
            client->stats.duplicates++;
            return 0;
        }
    }
    if (message.qos != 0 &&
        !add_incoming(client, id, (message.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC) << 4, 0)) {
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
    struct mqtt_incoming *entry = find_incoming(client, id);
    if (entry != NULL) {
        entry->due = MQTT_PUBCOMP << 4;
        return 0;
    }
    // Unknown after a lost PUBCOMP: to be answered all the same (4.3.3).
    return add_incoming(client, id, MQTT_PUBCOMP << 4, MQTT_ID_NOT_FOUND)
               ? 0
               : MQTT_RECEIVE_MAXIMUM_EXCEEDED;
}

// PUBACK, PUBREC and PUBCOMP: the broker's answers to what is in the outbox.
static uint8_t on_answer(struct mqtt_client *client, unsigned type, uint16_t id, uint8_t reason) {
    struct mqtt_outbox *outbox = &client->outbox;
    struct mqtt_record *record = mqtt_outbox_inflight(outbox, id);
    if (record == NULL) {
        if (type == MQTT_PUBREC && reason < 0x80) {
            // Without room the broker waits until the next connection; it is its mistake.
            (void)add_incoming(client, id, MQTT_PUBREL << 4 | 2, MQTT_ID_NOT_FOUND);
        }
        return 0; // a late repetition; no error (4.3)
    }
    if ((type == MQTT_PUBACK) != (record->qos == 1)) {
        return MQTT_PROTOCOL_ERROR;
    }
    if (type == MQTT_PUBCOMP) {
        if (record->state == MQTT_SENT) {
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

static uint8_t on_packet(struct mqtt_client *client, struct mqtt_reader body) {
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

enum { LENGTH_KNOWN = 1u << 7 };

static bool is_too_long(const struct mqtt_client *client) {
    unsigned head = 1u + (client->length_bytes & (LENGTH_KNOWN - 1u));
    return head + client->packet_length > client->options->receive_size;
}

// A message for which there is no room is passed over: a 3.1.1 broker cannot be told of a limit,
// and after a new connection it would only send it again. Answered as if it had been delivered.
static uint8_t on_too_long(struct mqtt_client *client) {
    const uint8_t *head = client->options->receive;
    unsigned qos = client->packet_header >> 1 & 3, at = 2u + ((unsigned)head[0] << 8 | head[1]);
    client->stats.oversized++;
    if (qos == 0) {
        return 0;
    }
    if (!EK_MQTT_LISTENS) {
        return MQTT_PROTOCOL_ERROR;
    }
    if (qos == 3 || at + 2u > client->packet_have) {
        return MQTT_PACKET_TOO_LARGE;
    }
    uint16_t id = (uint16_t)(head[at] << 8 | head[at + 1]);
    if (id == 0) {
        return MQTT_MALFORMED;
    }
    struct mqtt_incoming *entry = qos == 2 ? find_incoming(client, id) : NULL;
    if (entry != NULL) {
        entry->due = MQTT_PUBREC << 4;
        return 0;
    }
    unsigned due = qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
    return add_incoming(client, id, due << 4, 0) ? 0 : MQTT_RECEIVE_MAXIMUM_EXCEEDED;
}

static void next_packet(struct mqtt_client *client) {
    client->packet_header = client->length_bytes = 0;
    client->packet_length = client->packet_passed = client->packet_have = 0;
}

// The same as take_body() for a message that is too long: only its head is kept.
static uint8_t pass_over(struct mqtt_client *client, const uint8_t **data, size_t *len) {
    size_t missing = client->packet_length - client->packet_passed;
    size_t taken = *len < missing ? *len : missing;
    size_t room = client->options->receive_size - client->packet_have;
    size_t kept = taken < room ? taken : room;
    memcpy(client->options->receive + client->packet_have, *data, kept);
    client->packet_have = (uint16_t)(client->packet_have + kept);
    client->packet_passed += (uint32_t)taken;
    *data += taken;
    *len -= taken;
    if (taken != missing) {
        return 0;
    }
    uint8_t reason = on_too_long(client);
    next_packet(client);
    return reason;
}

// One byte of the fixed header (2.1).
static uint8_t take_header(struct mqtt_client *client, uint8_t byte) {
    if (client->packet_header == 0) {
        client->packet_header = byte;
        return byte >> 4 == 0 ? MQTT_MALFORMED : 0;
    }
    client->packet_length |= (byte & 127u) << 7 * client->length_bytes;
    client->length_bytes++;
    if (byte < 128) {
        if (byte == 0 && client->length_bytes > 1) {
            return MQTT_MALFORMED; // not the shortest form (1.5.5)
        }
        bool passes = client->version == 4 && client->packet_header >> 4 == MQTT_PUBLISH &&
                      client->state == MQTT_CONNECTED;
        if (is_too_long(client) && !passes) {
            return MQTT_PACKET_TOO_LARGE;
        }
        client->length_bytes |= LENGTH_KNOWN;
        return 0;
    }
    return client->length_bytes == 4 ? MQTT_MALFORMED : 0;
}

// Part of a packet's body. Used where it lies if it came whole, else gathered in `receive`.
static uint8_t take_body(struct mqtt_client *client, const uint8_t **data, size_t *len) {
    uint8_t *receive = client->options->receive;
    const uint8_t *body = *data;
    size_t missing = client->packet_length - client->packet_have;
    size_t taken = *len < missing ? *len : missing;
    if (taken != client->packet_length) {
        memcpy(receive + client->packet_have, *data, taken);
        client->packet_have = (uint16_t)(client->packet_have + taken);
        body = receive;
    }
    *data += taken;
    *len -= taken;
    if (taken != missing) {
        return 0;
    }
    uint32_t length = client->packet_length;
    uint8_t reason = on_packet(client, (struct mqtt_reader){body, body + length, false});
    next_packet(client);
    return reason;
}

uint8_t mqtt_receive(struct mqtt_client *client, const uint8_t *data, size_t len) {
    client->received_us = ek_clock_us();
    uint8_t reason = 0;
    // A callback may have ended the connection; then what is left is nobody's.
    while (reason == 0 &&
           (client->state == MQTT_AWAIT_CONNACK || client->state == MQTT_CONNECTED)) {
        if (client->length_bytes & LENGTH_KNOWN) {
            if (len == 0 && client->packet_length != 0) {
                break;
            }
            reason = is_too_long(client) ? pass_over(client, &data, &len)
                                         : take_body(client, &data, &len);
        } else if (len == 0) {
            break;
        } else {
            len--;
            reason = take_header(client, *data++);
        }
    }
    return reason;
}
