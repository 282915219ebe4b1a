// send.c: what is due is written straight into the stream, never buffered. A packet that does not
// fit is made again when there is room, and the bytes that went before are passed over.
// Numbers in parentheses are sections of MQTT 5.0.
#include <string.h>
#include "ek/clock.h"
#include "mqtt/client.h"

static void put(struct mqtt_client *client, const void *data, size_t len) {
    if (client->skip >= len) {
        client->skip -= (uint32_t)len;
        return;
    }
    const uint8_t *bytes = (const uint8_t *)data + client->skip;
    len -= client->skip;
    client->skip = 0;
    if (client->full) {
        return;
    }
    int taken = ek_transport.write(&client->stream, bytes, len);
    if (taken > 0) {
        client->packet_sent += (uint32_t)taken;
        client->sent_us = ek_clock_us();
    }
    client->full = taken < 0 || (size_t)taken < len;
}

static void put_number(struct mqtt_client *client, uint32_t value, unsigned bytes) {
    uint8_t out[4];
    for (unsigned i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    }
    put(client, out, bytes);
}

static void put_text(struct mqtt_client *client, const char *text) {
    size_t len = strlen(text);
    put_number(client, (uint32_t)len, 2);
    put(client, text, len);
}

static void begin(struct mqtt_client *client, uint8_t first, uint32_t length) {
    client->skip = client->packet_sent;
    client->full = false;
    uint8_t header[5] = {first};
    put(client, header, 1 + mqtt_put_varint(header + 1, length));
}

// True when the whole packet has gone.
static bool end(struct mqtt_client *client) {
    if (client->full) {
        return false;
    }
    client->packet_sent = 0;
    return true;
}

static uint32_t text_length(const char *text) {
    return text == NULL ? 0 : 2 + (uint32_t)strlen(text);
}

enum { USERNAME = 1u << 7, PASSWORD = 1u << 6, WILL_RETAIN = 1u << 5, WILL = 1u << 2 };
enum { CLEAN_START = 1u << 1 }; // Connect Flags (3.1.2.3)

// 5.0: a session that we know nothing of must not be resumed (3.2.2.1.1), so the first connection
// is clean. A clean 3.1.1 connection cannot leave a session behind, so there even the first takes
// what the broker has; the random first packet identifier keeps clear of the old ones.
static bool clean_start(const struct mqtt_client *client) {
    return client->options->session_expiry_s == 0 || (client->version == 5 && !client->session) ||
           (EK_MQTT_LISTENS && client->deaf_until_us > ek_clock_us());
}

static bool send_connect(struct mqtt_client *client) {
    const struct mqtt_options *options = client->options;
    const struct mqtt_will *will = &options->will;
    bool v5 = client->version == 5;
    // A password alone is for 5.0 only (3.1.1: 3.1.2.9).
    const char *password = v5 || options->username != NULL ? options->password : NULL;

    uint32_t flags = clean_start(client) ? CLEAN_START : 0;
    uint32_t length =
        text_length(options->client_id) + text_length(options->username) + text_length(password);
    if (will->topic != NULL) {
        flags |= WILL | (will->qos & 3u) << 3 | (will->retain ? WILL_RETAIN : 0);
        length += (v5 ? 1u : 0u) + text_length(will->topic) + 2 + will->payload_len;
    }
    flags |= (options->username != NULL ? USERNAME : 0) | (password != NULL ? PASSWORD : 0);
    // Protocol name, version, flags, keep-alive; properties: Session Expiry Interval, Receive
    // Maximum, Maximum Packet Size (3.1.2).
    uint16_t alive_s = options->keep_alive_s, size = options->receive_size;
    uint32_t expiry_s = options->session_expiry_s;
    uint8_t head[] = {
        0,
        4,
        'M',
        'Q',
        'T',
        'T',
        client->version,
        (uint8_t)flags,
        (uint8_t)(alive_s >> 8),
        (uint8_t)alive_s,
        13,
        0x11,
        (uint8_t)(expiry_s >> 24),
        (uint8_t)(expiry_s >> 16),
        (uint8_t)(expiry_s >> 8),
        (uint8_t)expiry_s,
        0x21,
        0,
        MQTT_INCOMING_MAX,
        0x27,
        0,
        0,
        (uint8_t)(size >> 8),
        (uint8_t)size,
    };
    size_t head_len = v5 ? sizeof head : 10;

    begin(client, MQTT_CONNECT << 4, (uint32_t)(length + head_len));
    put(client, head, head_len);
    put_text(client, options->client_id);
    if (will->topic != NULL) {
        if (v5) {
            put_number(client, 0, 1); // will properties: none
        }
        put_text(client, will->topic);
        put_number(client, will->payload_len, 2);
        put(client, will->payload, will->payload_len);
    }
    if (options->username != NULL) {
        put_text(client, options->username);
    }
    if (password != NULL) {
        put_text(client, password);
    }
    return end(client);
}

// A packet of a few bytes, whole or not at all; never amid another.
static bool send_short(struct mqtt_client *client, uint8_t first, uint16_t id, uint8_t reason) {
    uint8_t bytes[5] = {first, 0, (uint8_t)(id >> 8), (uint8_t)id, reason};
    uint8_t length = id == 0 ? 0 : reason != 0 && client->version == 5 ? 3 : 2;
    bytes[1] = length;
    if (client->packet_sent != 0 || ek_transport.room(&client->stream) < 2u + length) {
        return false;
    }
    client->skip = 0;
    client->full = false;
    put(client, bytes, 2u + length);
    client->packet_sent = 0;
    return !client->full;
}

void mqtt_send_disconnect(struct mqtt_client *client, uint8_t reason) {
    uint8_t bytes[] = {MQTT_DISCONNECT << 4, 1, reason};
    size_t len = reason == MQTT_SUCCESS ? 2 : 3; // (3.14.2.1)
    bytes[1] = (uint8_t)(len - 2);
    if (client->packet_sent == 0 && ek_transport.room(&client->stream) >= len) {
        (void)ek_transport.write(&client->stream, bytes, len);
    }
}

// Acknowledgements, in the order in which the messages came (4.6).
static bool send_answers(struct mqtt_client *client) {
    for (unsigned i = 0; i < client->incoming_count;) {
        struct mqtt_incoming *entry = &client->incoming[i];
        if (entry->due == 0) {
            i++;
            continue;
        }
        if (!send_short(client, entry->due, entry->id, entry->reason)) {
            return false;
        }
        if (entry->due == MQTT_PUBREC << 4) {
            entry->due = 0;
            continue;
        }
        client->incoming_count--;
        memmove(entry, entry + 1, (client->incoming_count - i) * sizeof *entry);
    }
    return true;
}

static bool send_subscriptions(struct mqtt_client *client) {
    for (unsigned i = 0; EK_MQTT_LISTENS && i < client->subscription_count; i++) {
        struct mqtt_subscription *subscription = &client->subscriptions[i];
        if (subscription->state != MQTT_SUBSCRIBE_DUE) {
            continue;
        }
        bool v5 = client->version == 5;
        begin(client, MQTT_SUBSCRIBE << 4 | 2,
              2 + (v5 ? 1u : 0u) + text_length(subscription->filter) + 1);
        put_number(client, MQTT_ID_MAX + 1 + i, 2);
        if (v5) {
            put_number(client, 0, 1); // properties: none
        }
        put_text(client, subscription->filter);
        put_number(client, subscription->qos, 1);
        if (!end(client)) {
            return false;
        }
        subscription->state = MQTT_SUBSCRIBE_SENT;
    }
    return true;
}

static uint32_t publish_body_length(const struct mqtt_client *client, unsigned qos,
                                    size_t topic_len, size_t payload_len) {
    return (uint32_t)(2 + topic_len + (qos != 0 ? 2u : 0u) + (client->version == 5 ? 1u : 0u) +
                      payload_len);
}

uint32_t mqtt_publish_length(const struct mqtt_client *client, unsigned qos, size_t topic_len,
                             size_t payload_len) {
    uint8_t scratch[4];
    uint32_t length = publish_body_length(client, qos, topic_len, payload_len);
    return 1 + mqtt_put_varint(scratch, length) + length;
}

static bool send_publish(struct mqtt_client *client, const struct mqtt_record *record) {
    size_t payload_len = (size_t)record->size - sizeof *record - record->topic_len;
    bool retain = record->retain && client->limits.retain_available;
    bool duplicate = record->duplicate && record->qos != 0; // (3.3.1.1)
    unsigned first =
        MQTT_PUBLISH << 4 | (duplicate ? 8u : 0u) | record->qos * 2u | (retain ? 1u : 0u);
    begin(client, (uint8_t)first,
          publish_body_length(client, record->qos, record->topic_len, payload_len));
    put_number(client, record->topic_len, 2);
    put(client, record->body, record->topic_len);
    if (record->qos != 0) {
        put_number(client, record->id, 2);
    }
    if (client->version == 5) {
        put_number(client, 0, 1); // properties: none
    }
    put(client, record->body + record->topic_len, payload_len);
    return end(client);
}

// One queued message. The record under way is always the first queued one. False: no room.
static bool send_record(struct mqtt_client *client, struct mqtt_record *record) {
    // What is more than the broker takes goes at its Maximum QoS (3.2.2.3.4).
    if (record->qos > client->limits.maximum_qos) {
        record->qos = client->limits.maximum_qos & 3u;
    }
    size_t payload_len = (size_t)record->size - sizeof *record - record->topic_len;
    if (mqtt_publish_length(client, record->qos, record->topic_len, payload_len) >
        client->limits.packet_bytes) {
        mqtt_finish_later(client, record, MQTT_PACKET_TOO_LARGE);
        return true;
    }
    client->publishing = !send_publish(client, record) && client->packet_sent != 0;
    if (client->full) {
        return false;
    }
    if (record->id == 0) {
        mqtt_outbox_remove(&client->outbox, record);
        client->room_due = true;
    } else if (record->qos == 0) {
        mqtt_finish_later(client, record, MQTT_SUCCESS);
    } else {
        mqtt_outbox_set_state(&client->outbox, record, MQTT_SENT);
    }
    return true;
}

static void send_outbox(struct mqtt_client *client) {
    struct mqtt_outbox *outbox = &client->outbox;
    uint16_t window = client->limits.receive_maximum;
    unsigned inflight_before = outbox->inflight; // how many to look at once the window is full
    bool blocked = false;
    struct mqtt_record *next;
    for (struct mqtt_record *record = mqtt_outbox_next(outbox, NULL); record != NULL;
         record = next) {
        next = mqtt_outbox_next(outbox, record);
        if (record->state == MQTT_QUEUED) {
            blocked = blocked || (outbox->inflight >= window && record->id != 0);
            if (!blocked && !send_record(client, record)) {
                return;
            }
        } else if (record->state != MQTT_DONE) {
            // Amid a PUBLISH that is half sent it waits for the next round.
            if (record->state == MQTT_RELEASE && client->packet_sent == 0) {
                if (!send_short(client, MQTT_PUBREL << 4 | 2, record->id, 0)) {
                    return;
                }
                mqtt_outbox_set_state(outbox, record, MQTT_RELEASED);
            }
            inflight_before--;
        }
        if (blocked && inflight_before == 0) {
            return;
        }
    }
}

static void send_all(struct mqtt_client *client) {
    if (client->packet_sent == 0) {
        if (!send_answers(client)) {
            return;
        }
        if (client->ping_due) {
            if (!send_short(client, MQTT_PINGREQ << 4, 0, 0)) {
                return;
            }
            client->ping_due = false;
        }
    }
    if (client->publishing || send_subscriptions(client)) {
        send_outbox(client);
    }
}

void mqtt_send_due(struct mqtt_client *client) {
    if (client->state == MQTT_AWAIT_CONNACK && !client->connect_sent) {
        client->connect_sent = send_connect(client);
    }
    // What waited for the end of a packet goes in a second round.
    bool midway = true;
    while (client->state == MQTT_CONNECTED && midway) {
        midway = client->packet_sent != 0;
        send_all(client);
        midway = midway && client->packet_sent == 0;
    }
}
