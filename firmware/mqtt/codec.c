// codec.c: MQTT 5.0 and 3.1.1 packets that a client receives, decoded and checked. The state of the
// connection is not known here. Numbers in parentheses are sections of MQTT 5.0.
#include "mqtt/codec.h"

static uint32_t read_number(struct mqtt_reader *reader, size_t bytes) {
    if ((size_t)(reader->end - reader->at) < bytes) {
        reader->bad = true;
        reader->at = reader->end;
        return 0;
    }
    uint32_t value = 0;
    while (bytes-- > 0) {
        value = value << 8 | *reader->at++;
    }
    return value;
}

// Four bytes at most, the fewest that hold the value (1.5.5).
static uint32_t read_varint(struct mqtt_reader *reader) {
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint32_t byte = read_number(reader, 1);
        value |= (byte & 127) << shift;
        if (byte < 128) {
            reader->bad |= byte == 0 && shift != 0;
            return value;
        }
    }
    reader->bad = true;
    return 0;
}

// A length of two bytes, then as many bytes (1.5.4, 1.5.6).
static const uint8_t *read_bytes(struct mqtt_reader *reader, uint16_t *len) {
    *len = (uint16_t)read_number(reader, 2);
    const uint8_t *bytes = reader->at;
    if ((size_t)(reader->end - reader->at) < *len) {
        reader->bad = true;
        *len = 0;
    }
    reader->at += *len;
    return bytes;
}

static void read_text(struct mqtt_reader *reader) {
    uint16_t len;
    const uint8_t *text = read_bytes(reader, &len);
    reader->bad |= !mqtt_utf8_ok(text, len);
}

bool mqtt_utf8_ok(const uint8_t *text, size_t len) {
    static const uint32_t smallest[] = {0, 0x80, 0x800, 0x10000}; // by continuation bytes
    for (size_t at = 0; at < len;) {
        uint32_t code = text[at++];
        if (code == 0 || (code >= 0x80 && code < 0xc2) || code > 0xf4) {
            return false;
        }
        unsigned more = (code >= 0xc0) + (code >= 0xe0) + (code >= 0xf0);
        if (more > len - at) {
            return false;
        }
        code &= more != 0 ? 0x3fu >> more : 0x7fu;
        for (unsigned i = 0; i < more; i++) {
            uint8_t byte = text[at++];
            if ((byte & 0xc0) != 0x80) {
                return false;
            }
            code = code << 6 | (byte & 0x3fu);
        }
        if (code < smallest[more] || code > 0x10ffff || code >> 11 == 0xd800 >> 11) {
            return false; // overlong, beyond Unicode, or a surrogate
        }
    }
    return true;
}

bool mqtt_topic_ok(const uint8_t *topic, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (topic[i] == '+' || topic[i] == '#') {
            return false;
        }
    }
    return len != 0 && mqtt_utf8_ok(topic, len);
}

unsigned mqtt_put_varint(uint8_t *out, uint32_t value) {
    unsigned len = 0;
    for (; value > 127; value >>= 7) {
        out[len++] = (uint8_t)(value | 128);
    }
    out[len++] = (uint8_t)value;
    return len;
}

enum kind { BYTE = 1, TWO = 2, FOUR = 4, VARINT, TEXT, BINARY, PAIR };
enum {
    CONNACK = 1u << MQTT_CONNACK,
    PUBLISH = 1u << MQTT_PUBLISH,
    DISCONNECT = 1u << MQTT_DISCONNECT,
    ANSWERS = 1u << MQTT_PUBACK | 1u << MQTT_PUBREC | 1u << MQTT_PUBREL | 1u << MQTT_PUBCOMP |
        1u << MQTT_SUBACK,
};
enum {
    PAYLOAD_FORMAT = 0x01,
    SUBSCRIPTION_ID = 0x0b,
    SERVER_KEEP_ALIVE = 0x13,
    AUTHENTICATION_METHOD = 0x15,
    AUTHENTICATION_DATA = 0x16,
    RECEIVE_MAXIMUM = 0x21,
    TOPIC_ALIAS = 0x23,
    MAXIMUM_QOS = 0x24,
    RETAIN_AVAILABLE = 0x25,
    USER_PROPERTY = 0x26,
    MAXIMUM_PACKET_SIZE = 0x27,
};

// Which property is of what kind and may come in which packet from a broker (2.2.2.2).
static const struct property {
    uint8_t id, kind;
    uint16_t packets;
} properties[] = {
    {PAYLOAD_FORMAT, BYTE, PUBLISH},
    {0x02, FOUR, PUBLISH},   // Message Expiry Interval
    {0x03, TEXT, PUBLISH},   // Content Type
    {0x08, TEXT, PUBLISH},   // Response Topic
    {0x09, BINARY, PUBLISH}, // Correlation Data
    {SUBSCRIPTION_ID, VARINT, PUBLISH},
    {0x11, FOUR, CONNACK}, // Session Expiry Interval
    {0x12, TEXT, CONNACK}, // Assigned Client Identifier
    {SERVER_KEEP_ALIVE, TWO, CONNACK},
    {AUTHENTICATION_METHOD, TEXT, CONNACK},
    {AUTHENTICATION_DATA, BINARY, CONNACK},
    {0x1a, TEXT, CONNACK},                        // Response Information
    {0x1c, TEXT, CONNACK | DISCONNECT},           // Server Reference
    {0x1f, TEXT, CONNACK | ANSWERS | DISCONNECT}, // Reason String
    {RECEIVE_MAXIMUM, TWO, CONNACK},
    {0x22, TWO, CONNACK}, // Topic Alias Maximum
    {TOPIC_ALIAS, TWO, PUBLISH},
    {MAXIMUM_QOS, BYTE, CONNACK},
    {RETAIN_AVAILABLE, BYTE, CONNACK},
    {USER_PROPERTY, PAIR, CONNACK | PUBLISH | ANSWERS | DISCONNECT},
    {MAXIMUM_PACKET_SIZE, FOUR, CONNACK},
    {0x28, BYTE, CONNACK}, // Wildcard Subscription Available
    {0x29, BYTE, CONNACK}, // Subscription Identifiers Available
    {0x2a, BYTE, CONNACK}, // Shared Subscription Available
};
enum { PROPERTIES = sizeof properties / sizeof properties[0] };
_Static_assert(PROPERTIES <= 32, "`seen` has a bit for each");

static uint32_t read_value(struct mqtt_reader *reader, unsigned kind) {
    uint16_t len;
    switch (kind) {
    case VARINT:
        return read_varint(reader);
    case BINARY:
        (void)read_bytes(reader, &len);
        return 0;
    case PAIR:
        read_text(reader);
        read_text(reader);
        return 0;
    case TEXT:
        read_text(reader);
        return 0;
    default:
        return read_number(reader, kind);
    }
}

// `limits` is NULL except for CONNACK.
static uint8_t use_value(unsigned id, unsigned kind, uint32_t value, struct mqtt_limits *limits) {
    switch (id) {
    case TOPIC_ALIAS:
        return MQTT_TOPIC_ALIAS_INVALID; // the maximum that we announce is 0 (3.3.2.3.4)
    case AUTHENTICATION_METHOD:
    case AUTHENTICATION_DATA:
        return MQTT_PROTOCOL_ERROR; // CONNECT had none (4.12)
    case SUBSCRIPTION_ID:
        return value == 0 ? MQTT_PROTOCOL_ERROR : 0;
    case SERVER_KEEP_ALIVE:
        limits->keep_alive_s = (uint16_t)value;
        return 0;
    case RECEIVE_MAXIMUM:
        limits->receive_maximum = (uint16_t)value;
        return value == 0 ? MQTT_PROTOCOL_ERROR : 0;
    case MAXIMUM_PACKET_SIZE:
        limits->packet_bytes = value;
        return value == 0 ? MQTT_PROTOCOL_ERROR : 0;
    case MAXIMUM_QOS:
        limits->maximum_qos = (uint8_t)value;
        break;
    case RETAIN_AVAILABLE:
        limits->retain_available = value != 0;
        break;
    default:
        break;
    }
    return kind == BYTE && value > 1 ? MQTT_PROTOCOL_ERROR : 0; // each BYTE is 0 or 1
}

static uint8_t read_properties(struct mqtt_reader *packet, unsigned type,
                               struct mqtt_limits *limits) {
    uint32_t len = read_varint(packet);
    if (packet->bad || len > (size_t)(packet->end - packet->at)) {
        return MQTT_MALFORMED;
    }
    struct mqtt_reader reader = {packet->at, packet->at + len, false};
    packet->at += len;

    uint32_t seen = 0;
    while (reader.at != reader.end) {
        uint8_t id = *reader.at++;
        unsigned i = 0;
        while (i < PROPERTIES && properties[i].id != id) {
            i++;
        }
        if (i == PROPERTIES || !(properties[i].packets & 1u << type)) {
            return MQTT_MALFORMED; // (2.2.2.2)
        }
        uint32_t value = read_value(&reader, properties[i].kind);
        if (reader.bad) {
            return MQTT_MALFORMED;
        }
        if ((seen & 1u << i) && id != USER_PROPERTY && id != SUBSCRIPTION_ID) {
            return MQTT_PROTOCOL_ERROR;
        }
        seen |= 1u << i;
        uint8_t reason = use_value(id, properties[i].kind, value, limits);
        if (reason != 0) {
            return reason;
        }
    }
    return 0;
}

static uint8_t check_end(const struct mqtt_reader *body) {
    return body->bad || body->at != body->end ? MQTT_MALFORMED : 0;
}

uint8_t mqtt_decode_connack(uint8_t version, struct mqtt_reader body, struct mqtt_connack *connack,
                            struct mqtt_limits *limits) {
    uint32_t flags = read_number(&body, 1);
    connack->reason = (uint8_t)read_number(&body, 1);
    connack->session_present = flags == 1;
    connack->old_format = body.at == body.end;
    if (body.bad || flags > 1) {
        return MQTT_MALFORMED;
    }
    if (version == 5 && !connack->old_format) {
        uint8_t reason = read_properties(&body, MQTT_CONNACK, limits);
        if (reason != 0) {
            return reason;
        }
    }
    if (connack->reason != 0 && connack->session_present) {
        return MQTT_PROTOCOL_ERROR; // (3.2.2.1.1)
    }
    return check_end(&body);
}

uint8_t mqtt_decode_publish(uint8_t version, unsigned flags, struct mqtt_reader body,
                            struct mqtt_message *message, uint16_t *id) {
    message->qos = (uint8_t)(flags >> 1 & 3);
    message->retain = flags & 1;
    message->duplicate = flags >> 3 & 1;
    if (message->qos == 3 || (message->qos == 0 && message->duplicate)) {
        return MQTT_MALFORMED; // (3.3.1.1, 3.3.1.2)
    }
    const uint8_t *topic = read_bytes(&body, &message->topic_len);
    *id = message->qos != 0 ? (uint16_t)read_number(&body, 2) : 0;
    if (body.bad || !mqtt_utf8_ok(topic, message->topic_len)) {
        return MQTT_MALFORMED;
    }
    if (message->qos != 0 && *id == 0) {
        return MQTT_PROTOCOL_ERROR; // (2.2.1)
    }
    if (version == 5) {
        uint8_t reason = read_properties(&body, MQTT_PUBLISH, NULL);
        if (reason != 0) {
            return reason;
        }
    }
    if (!mqtt_topic_ok(topic, message->topic_len)) {
        return message->topic_len == 0 ? MQTT_PROTOCOL_ERROR : MQTT_TOPIC_INVALID; // (3.3.2.1)
    }
    message->topic = (const char *)topic;
    message->payload = body.at;
    message->payload_len = (uint16_t)(body.end - body.at);
    return 0;
}

uint8_t mqtt_decode_ack(uint8_t version, unsigned type, struct mqtt_reader body, uint16_t *id,
                        uint8_t *reason) {
    *id = (uint16_t)read_number(&body, 2);
    *reason = MQTT_SUCCESS;
    if (body.bad) {
        return MQTT_MALFORMED;
    }
    if (*id == 0) {
        return MQTT_PROTOCOL_ERROR;
    }
    if (version == 5 && body.at != body.end) {
        *reason = (uint8_t)read_number(&body, 1);
        if (body.at != body.end) {
            uint8_t error = read_properties(&body, type, NULL);
            if (error != 0) {
                return error;
            }
        }
    }
    return check_end(&body);
}

uint8_t mqtt_decode_suback(uint8_t version, struct mqtt_reader body, uint16_t *id,
                           uint8_t *reason) {
    *id = (uint16_t)read_number(&body, 2);
    if (version == 5) {
        uint8_t error = read_properties(&body, MQTT_SUBACK, NULL);
        if (error != 0) {
            return error;
        }
    }
    *reason = (uint8_t)read_number(&body, 1);
    if (*reason > 2 && *reason < 0x80) {
        return MQTT_MALFORMED; // (3.9.3)
    }
    return check_end(&body);
}

uint8_t mqtt_decode_disconnect(struct mqtt_reader body, uint8_t *reason) {
    *reason = MQTT_SUCCESS; // an empty body means it (3.14.2.1)
    if (body.at != body.end) {
        *reason = (uint8_t)read_number(&body, 1);
        if (body.at != body.end) {
            return read_properties(&body, MQTT_DISCONNECT, NULL);
        }
    }
    return 0;
}
