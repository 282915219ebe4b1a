// mqtt/codec.h: from bytes to values: every check that needs nothing but the packet itself. Pure
// functions. A decoder returns 0, or the reason code to disconnect with (MQTT_MALFORMED ...).
#ifndef MQTT_CODEC_H
#define MQTT_CODEC_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mqtt/mqtt.h"

// Packet types (2.1.2): the upper four bits of the first byte.
enum {
    MQTT_CONNECT = 1,
    MQTT_CONNACK = 2,
    MQTT_PUBLISH = 3,
    MQTT_PUBACK = 4,
    MQTT_PUBREC = 5,
    MQTT_PUBREL = 6,
    MQTT_PUBCOMP = 7,
    MQTT_SUBSCRIBE = 8,
    MQTT_SUBACK = 9,
    MQTT_PINGREQ = 12,
    MQTT_PINGRESP = 13,
    MQTT_DISCONNECT = 14,
};

// Reason codes (2.4) that this client makes or looks at.
enum {
    MQTT_SUCCESS = 0x00,
    MQTT_MALFORMED = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_VERSION_UNSUPPORTED = 0x84,
    MQTT_TOPIC_INVALID = 0x90,
    MQTT_ID_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_TOPIC_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
};

struct mqtt_reader {
    const uint8_t *at, *end;
    bool bad; // something did not fit; values read since are 0
};

// What the broker's CONNACK allows (3.2.2.3).
struct mqtt_limits {
    uint32_t packet_bytes;    // largest packet it takes
    uint16_t receive_maximum; // unacknowledged QoS 1 and 2 messages
    uint16_t keep_alive_s;    // ours, unless it says another
    uint8_t maximum_qos;
    bool retain_available;
};

struct mqtt_connack {
    bool session_present;
    bool old_format; // no properties: a broker that does not know 5.0
    uint8_t reason;
};

// `version` is 4 or 5 throughout. `limits` is changed only where the packet has the property.
uint8_t mqtt_decode_connack(uint8_t version, struct mqtt_reader body, struct mqtt_connack *connack,
                            struct mqtt_limits *limits);
// `flags`: the lower four bits of the first byte. `id` is 0 for QoS 0.
uint8_t mqtt_decode_publish(uint8_t version, unsigned flags, struct mqtt_reader body,
                            struct mqtt_message *message, uint16_t *id);
// PUBACK, PUBREC, PUBREL, PUBCOMP.
uint8_t mqtt_decode_ack(uint8_t version, unsigned type, struct mqtt_reader body, uint16_t *id,
                        uint8_t *reason);
// A SUBACK for one filter.
uint8_t mqtt_decode_suback(uint8_t version, struct mqtt_reader body, uint16_t *id, uint8_t *reason);
uint8_t mqtt_decode_disconnect(struct mqtt_reader body, uint8_t *reason);

// Well-formed UTF-8 without U+0000 (1.5.4).
bool mqtt_utf8_ok(const uint8_t *text, size_t len);
// A topic name to publish to: UTF-8, not empty, no wildcard (4.7.1).
bool mqtt_topic_ok(const uint8_t *topic, size_t len);
// Writes `value` as a Variable Byte Integer (1.5.5); returns how many bytes, 1 to 4.
unsigned mqtt_put_varint(uint8_t *out, uint32_t value);
#endif
