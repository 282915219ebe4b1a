// mqtt/mqtt.h: an MQTT client, versions 5.0 (OASIS, 2019-03-07) and 3.1.1 (OASIS, 2014-10-29), over
// one ek_stream. No allocation: the owner gives all memory. Reconnects by itself, for ever, with
// back-off and jitter. Section numbers in mqtt/*.c are those of the 5.0 specification.
#ifndef MQTT_MQTT_H
#define MQTT_MQTT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

enum { MQTT_INFLIGHT_MAX = 16 }; // outgoing QoS 1 and 2 messages awaiting their acknowledgement

struct mqtt_message {
    const char *topic; // UTF-8, not terminated
    const uint8_t *payload;
    uint16_t topic_len;
    uint16_t payload_len;
    uint8_t qos; // 0 to 2
    bool retain;
    bool duplicate; // incoming only
};

struct mqtt_will {
    const char *topic; // NULL: no will
    const uint8_t *payload;
    uint16_t payload_len;
    uint8_t qos;
    bool retain;
};

struct mqtt_options {
    const char *host;
    uint16_t port;
    const char *client_id; // not empty
    const char *username;  // NULL: none
    const char *password;  // NULL: none
    struct mqtt_will will;
    uint16_t keep_alive_s;     // 0: none
    uint32_t session_expiry_s; // 0: every connection starts a clean session
    uint8_t version;           // 5 (falls back to 4 when the broker refuses it), or 4 (3.1.1) only
    // Memory. `receive` bounds the largest incoming packet (announced as Maximum Packet Size;
    // larger messages of a 3.1.1 broker, which cannot be told, are passed over). `outbox` holds
    // every outgoing QoS 1 and 2 message until it is acknowledged, and bounds the largest one.
    uint8_t *receive, *outbox;
    uint16_t receive_size, outbox_size;
    // Events, from the event loop; each may be NULL.
    void (*on_connected)(void *arg, bool session_present);
    // `status` as in ek_stream_events.closed, EK_EREFUSED with `reason` (CONNACK or DISCONNECT
    // code), EK_EPROTO; `retry_ms`: when the next attempt begins.
    void (*on_disconnected)(void *arg, int status, uint8_t reason, uint32_t retry_ms);
    // Valid during the call. QoS 2 is delivered once.
    void (*on_message)(void *arg, const struct mqtt_message *message);
    // A QoS 1 or 2 message is acknowledged (reason < 0x80) or refused for good; `id` as returned
    // by mqtt_publish().
    void (*on_acknowledged)(void *arg, uint16_t id, uint8_t reason);
    // Room in the outbox or the stream has come back after EK_EAGAIN.
    void (*on_room)(void *arg);
    // SUBACK: `reason` 0 to 2 is the granted QoS, >= 0x80 a refusal.
    void (*on_subscribed)(void *arg, const char *topic_filter, uint8_t reason);
    void *arg;
};

struct mqtt_stats {
    uint32_t connects, failures; // CONNACKs that accepted; attempts and connections that failed
    uint32_t published, acknowledged, refused;
    uint32_t received, duplicates;
    uint32_t oversized; // messages that were passed over
    uint32_t protocol_errors;
    uint32_t lost; // messages of QoS 0 that went down with a connection
};

struct mqtt_client; // mqtt/client.h has the layout, for static allocation only; zero at first

// Start; connects as soon as ek_net_up(). `options` must live for ever.
void mqtt_start(struct mqtt_client *client, const struct mqtt_options *options);
// Queue one message. QoS 0: returns 0; lost if the connection ends before it has gone. QoS 1 and 2:
// returns its packet identifier (1 to 65531); kept across reconnects until acknowledged. Goes at
// the broker's Maximum QoS if that is lower, and not retained if the broker cannot. No event comes
// from inside this call. EK_EAGAIN: no room now (on_room follows), or QoS 0 and not connected;
// EK_ERANGE: larger than the outbox or than the broker's maximum packet size; EK_EINVAL: empty
// topic, wildcard or malformed UTF-8 in it.
int mqtt_publish(struct mqtt_client *client, const struct mqtt_message *message);
// Subscribe now and after every connection without a session. `topic_filter` must live for ever.
// EK_ENOMEM: more than MQTT_SUBSCRIPTIONS_MAX.
enum { MQTT_SUBSCRIPTIONS_MAX = 4 };
int mqtt_subscribe(struct mqtt_client *client, const char *topic_filter, uint8_t qos);
bool mqtt_connected(const struct mqtt_client *client);
// Messages in the outbox.
unsigned mqtt_pending(const struct mqtt_client *client);
const struct mqtt_stats *mqtt_get_stats(const struct mqtt_client *client);
// Send DISCONNECT and connect again; what is not acknowledged stays. Not from inside an event.
void mqtt_reconnect(struct mqtt_client *client);
// Send DISCONNECT (the broker drops the will) and stop.
void mqtt_stop(struct mqtt_client *client);
#endif
