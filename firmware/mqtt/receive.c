// receive.c: bytes from the broker become packets, which come in any pieces. Numbers in parentheses
// are sections of MQTT 5.0.
#include <string.h>
#include "ek/clock.h"
#include "mqtt/client.h"

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
    struct mqtt_incoming *entry = qos == 2 ? mqtt_incoming_find(client, id) : NULL;
    if (entry != NULL) {
        entry->due = MQTT_PUBREC << 4;
        return 0;
    }
    unsigned due = qos == 1 ? MQTT_PUBACK : MQTT_PUBREC;
    return mqtt_incoming_add(client, id, due << 4, 0) ? 0 : MQTT_RECEIVE_MAXIMUM_EXCEEDED;
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
    uint8_t reason = mqtt_packet(client, (struct mqtt_reader){body, body + length, false});
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
