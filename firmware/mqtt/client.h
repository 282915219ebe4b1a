// mqtt/client.h: the client's memory, for static allocation, and what its files share. Zero it
// before mqtt_start(); every field belongs to mqtt/.
#ifndef MQTT_CLIENT_H
#define MQTT_CLIENT_H
#include "ek/loop.h"
#include "ek/stream.h"
#include "ek/timer.h"
#include "mqtt/codec.h"
#include "mqtt/mqtt.h"
#include "mqtt/outbox.h"

// 0 in an image that never subscribes: what receives messages is not compiled.
#if __has_include("config.h")
#include "config.h"
#endif
#ifndef EK_MQTT_LISTENS
#define EK_MQTT_LISTENS 1
#endif

// Incoming QoS 1 and 2 messages whose exchange is not over: announced as Receive Maximum. A 3.1.1
// broker is not told; 20 is mosquitto's max_inflight_messages.
enum { MQTT_INCOMING_MAX = 20 };

// Packet identifiers above this are those of SUBSCRIBE: one for each subscription.
enum { MQTT_ID_MAX = 65535 - MQTT_SUBSCRIPTIONS_MAX };

enum mqtt_state {
    MQTT_STOPPED,
    MQTT_WAIT_NETWORK,
    MQTT_OPENING,
    MQTT_AWAIT_CONNACK,
    MQTT_CONNECTED,
    MQTT_BACK_OFF,
};

// An incoming message: the packet that is due for it, as first byte (0: PUBREL is awaited).
struct mqtt_incoming {
    uint16_t id;
    uint8_t due;
    uint8_t reason;
};

enum mqtt_subscription_state { MQTT_SUBSCRIBE_DUE, MQTT_SUBSCRIBE_SENT, MQTT_SUBSCRIBED };

struct mqtt_subscription {
    const char *filter;
    uint8_t qos;
    uint8_t state;
};

// In this order small fields come first: their offsets fit Thumb's short instructions.
struct mqtt_client {
    const struct mqtt_options *options;
    uint8_t state, version, attempts;
    uint8_t packet_header, length_bytes; // the fixed header; length_bytes bit 7: it is complete
    uint8_t incoming_count, subscription_count;
    bool connect_sent, session, poller_added;
    bool publishing; // the packet under way is a PUBLISH
    bool full;       // the stream took less than it was given
    bool ping_due, done_due, room_wanted, room_due;
    uint16_t packet_have;   // bytes of the incoming packet that are in `receive`
    uint16_t last_id;       // that mqtt_publish() gave
    uint32_t packet_length; // of the incoming packet, after the fixed header
    uint32_t packet_passed; // of it, what came of a message that is too long
    uint32_t packet_sent;   // bytes of the packet under way that the stream has taken
    uint32_t skip;          // of them, how many are still to be passed over
    struct mqtt_limits limits;
    struct mqtt_outbox outbox;
    uint64_t sent_us, received_us; // when bytes last went and came
    uint64_t connected_us;
    uint64_t deaf_until_us; // no subscriptions until then: what they bring kills the connection
    uint64_t ping_us;       // when PINGRESP is late; 0: none is awaited
    struct mqtt_stats stats;
    struct ek_stream stream;
    struct ek_timer timer; // back-off, CONNACK, keep-alive, PINGRESP: by `state`
    struct ek_poller poller;
    struct mqtt_subscription subscriptions[MQTT_SUBSCRIPTIONS_MAX];
    struct mqtt_incoming incoming[MQTT_INCOMING_MAX];
};

// receive.c: bytes came. MQTT_SUCCESS or the reason code to disconnect with.
uint8_t mqtt_receive(struct mqtt_client *client, const uint8_t *data, size_t len);

// packets.c: a whole packet, whose head the client has. The same.
uint8_t mqtt_packet(struct mqtt_client *client, struct mqtt_reader body);
// An incoming message whose exchange is not over, by the broker's identifier; NULL. Add: false
// without room.
struct mqtt_incoming *mqtt_incoming_find(struct mqtt_client *client, uint16_t id);
bool mqtt_incoming_add(struct mqtt_client *client, uint16_t id, unsigned due, uint8_t reason);

// send.c: write what is due, as far as the stream has room.
void mqtt_send_due(struct mqtt_client *client);
// DISCONNECT, if there is room and no packet is half sent.
void mqtt_send_disconnect(struct mqtt_client *client, uint8_t reason);
// Length on the wire.
uint32_t mqtt_publish_length(const struct mqtt_client *client, unsigned qos, size_t topic_len,
                             size_t payload_len);

// client.c
void mqtt_accepted(struct mqtt_client *client, bool session_present);
// The connection is over: clean up and try again later.
void mqtt_lost(struct mqtt_client *client, int status, uint8_t reason);
// Remove a record and report it.
void mqtt_finish(struct mqtt_client *client, struct mqtt_record *record, uint8_t reason);
// The same, by the poller: for calls from which no event may come.
void mqtt_finish_later(struct mqtt_client *client, struct mqtt_record *record, uint8_t reason);
// PINGRESP came, or the connection begins.
void mqtt_watch(struct mqtt_client *client);
#endif
