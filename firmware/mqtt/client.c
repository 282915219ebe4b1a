// client.c: the life of a connection: network, stream, CONNECT, keep-alive, loss, back-off; and the
// calls of mqtt.h. Left out on purpose: TLS (the stream's), enhanced authentication, topic aliases,
// UNSUBSCRIBE. Numbers in parentheses are sections of MQTT 5.0.
#include "mqtt/client.h"
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/net.h"
#include "ek/random.h"

enum {
    CONNACK_TIMEOUT_S = 5,   // from the stream's `opened`; the stream bounds what comes before
    PINGRESP_TIMEOUT_S = 10, // from PINGREQ being due
    // Attempt n waits between 0 and BACK_OFF_MS << n, at most BACK_OFF_MS << DOUBLINGS = 64 s, at
    // random, so that a broker's restart does not bring all its clients at the same moment.
    BACK_OFF_MS = 1000,
    DOUBLINGS = 6,
    DEAF_S = 600,  // without subscriptions, after something that no buffer below can hold
    STABLE_S = 30, // a connection that lived this long starts again with short delays
};
static const uint64_t SECOND_US = 1000000;

static void on_timer(void *arg);

static void set_timer(struct mqtt_client *client, uint64_t due_us) {
    ek_timer_start_at(&client->timer, due_us, on_timer, client);
}

static void opened(void *arg) {
    struct mqtt_client *client = arg;
    client->state = MQTT_AWAIT_CONNACK;
    set_timer(client, ek_clock_us() + CONNACK_TIMEOUT_S * SECOND_US);
    mqtt_send_due(client);
}

static void received(void *arg, const uint8_t *data, size_t len) {
    struct mqtt_client *client = arg;
    uint8_t reason = mqtt_receive(client, data, len);
    if (reason == 0) {
        mqtt_send_due(client);
        return;
    }
    client->stats.protocol_errors++;
    if (client->state == MQTT_CONNECTED && client->version == 5) {
        mqtt_send_disconnect(client, reason); // (4.13); 3.1.1 has no such packet
    }
    mqtt_lost(client, EK_EPROTO, reason);
}

static void writable(void *arg) { mqtt_send_due(arg); }

static void closed(void *arg, int status) { mqtt_lost(arg, status, 0); }

static const struct ek_stream_events stream_events = {
    .opened = opened, .received = received, .writable = writable, .closed = closed};

static void connect(struct mqtt_client *client) {
    client->state = MQTT_OPENING;
    client->limits = (struct mqtt_limits){
        .packet_bytes = UINT32_MAX,
        .receive_maximum = UINT16_MAX,
        .keep_alive_s = client->options->keep_alive_s,
        .maximum_qos = 2,
        .retain_available = true,
    };
    int status = ek_transport.open(&client->stream, client->options->host, client->options->port,
                                   &stream_events, client);
    if (status != EK_OK) {
        mqtt_lost(client, status, 0);
    }
}

// After CONNACK. With the session, what was sent is sent again (4.4). Without it, what the broker
// may not have is sent as new, and of a QoS 2 message that it already had, it alone knows the fate.
static void resume_outbox(struct mqtt_client *client, bool session_present) {
    struct mqtt_record *next;
    for (struct mqtt_record *record = mqtt_outbox_next(&client->outbox, NULL); record != NULL;
         record = next) {
        next = mqtt_outbox_next(&client->outbox, record);
        if (record->state == MQTT_SENT) {
            record->duplicate = session_present;
            mqtt_outbox_set_state(&client->outbox, record, MQTT_QUEUED);
        } else if (record->state == MQTT_RELEASE || record->state == MQTT_RELEASED) {
            if (session_present) {
                mqtt_outbox_set_state(&client->outbox, record, MQTT_RELEASE);
            } else {
                mqtt_finish_later(client, record, MQTT_ID_NOT_FOUND);
            }
        } else if (!session_present) {
            record->duplicate = false;
        }
    }
}

// Of incoming messages only those whose PUBREL is awaited are remembered; the broker repeats the
// rest, if it has the session.
static void resume_incoming(struct mqtt_client *client, bool session_present) {
    unsigned kept = 0;
    for (unsigned i = 0; i < client->incoming_count; i++) {
        struct mqtt_incoming entry = client->incoming[i];
        if (session_present && (entry.due == 0 || entry.due == MQTT_PUBREC << 4)) {
            entry.due = 0;
            client->incoming[kept++] = entry;
        }
    }
    client->incoming_count = (uint8_t)kept;
}

void mqtt_accepted(struct mqtt_client *client, bool session_present) {
    // A 3.1.1 broker's session from before our start has nothing of ours.
    session_present = session_present && client->session;
    client->session = true;
    client->state = MQTT_CONNECTED;
    client->connected_us = client->sent_us = ek_clock_us();
    client->stats.connects++;
    if (client->limits.receive_maximum > MQTT_INFLIGHT_MAX) {
        client->limits.receive_maximum = MQTT_INFLIGHT_MAX;
    }
    resume_outbox(client, session_present);
    resume_incoming(client, session_present);
    for (unsigned i = 0; EK_MQTT_LISTENS && i < client->subscription_count; i++) {
        if (client->deaf_until_us > client->connected_us) {
            client->subscriptions[i].state = MQTT_SUBSCRIBED; // left out
        } else if (!session_present || client->subscriptions[i].state == MQTT_SUBSCRIBE_SENT) {
            client->subscriptions[i].state = MQTT_SUBSCRIBE_DUE;
        }
    }
    client->room_due = true;
    mqtt_watch(client);
    if (client->options->on_connected != NULL) {
        client->options->on_connected(client->options->arg, session_present);
    }
}

// Sends at three quarters of the keep-alive, so that the broker has it in time.
static uint64_t idle_limit_us(const struct mqtt_client *client) {
    return client->limits.keep_alive_s * (SECOND_US * 3 / 4);
}

// When nothing has gone or nothing has come since: both ends must show life.
static uint64_t idle_since_us(const struct mqtt_client *client) {
    return client->sent_us < client->received_us ? client->sent_us : client->received_us;
}

void mqtt_watch(struct mqtt_client *client) {
    client->ping_us = 0;
    client->ping_due = false;
    if (client->limits.keep_alive_s == 0) {
        ek_timer_stop(&client->timer);
    } else {
        set_timer(client, idle_since_us(client) + idle_limit_us(client));
    }
}

static void keep_alive(struct mqtt_client *client) {
    uint64_t now_us = ek_clock_us();
    if (client->ping_us != 0) {
        mqtt_lost(client, EK_ETIMEDOUT, 0);
    } else if (now_us - idle_since_us(client) < idle_limit_us(client)) {
        mqtt_watch(client);
    } else {
        client->ping_due = true;
        client->ping_us = now_us + PINGRESP_TIMEOUT_S * SECOND_US;
        set_timer(client, client->ping_us);
        mqtt_send_due(client);
    }
}

static void on_timer(void *arg) {
    struct mqtt_client *client = arg;
    if (client->state == MQTT_CONNECTED) {
        keep_alive(client);
    } else if (client->state == MQTT_AWAIT_CONNACK) {
        mqtt_lost(client, EK_ETIMEDOUT, 0);
    } else if (client->state == MQTT_BACK_OFF) {
        client->state = MQTT_WAIT_NETWORK; // the poller goes on
    }
}

// Nothing half sent or half received outlives the connection, nor does QoS 0.
static void forget_connection(struct mqtt_client *client) {
    client->packet_sent = client->packet_length = 0;
    client->packet_have = 0;
    client->packet_header = client->length_bytes = 0;
    client->connect_sent = client->publishing = client->ping_due = false;
    struct mqtt_record *next;
    for (struct mqtt_record *record = mqtt_outbox_next(&client->outbox, NULL); record != NULL;
         record = next) {
        next = mqtt_outbox_next(&client->outbox, record);
        if (record->id == 0) {
            mqtt_outbox_remove(&client->outbox, record);
            client->stats.lost++;
        }
    }
}

// A broker that does not know 5.0 says so (3.1.1: code 1; 5.0: 0x84), or just closes after CONNECT,
// or says nothing (amqtt 0.12). The other version is tried then; at once when 5.0 was refused by
// name. Returns true for "at once".
static bool change_version(struct mqtt_client *client, int status, uint8_t reason) {
    bool refused = status == EK_EREFUSED &&
                   (reason == MQTT_VERSION_UNSUPPORTED || (client->version == 4 && reason == 1));
    bool cut = status == EK_ECLOSED || status == EK_EIO || status == EK_ETIMEDOUT;
    if (client->options->version != 5 || client->state != MQTT_AWAIT_CONNACK || !(refused || cut)) {
        return false;
    }
    client->version = client->version == 5 ? 4 : 5;
    return refused && client->version == 4;
}

void mqtt_lost(struct mqtt_client *client, int status, uint8_t reason) {
    ek_transport.close(&client->stream);
    uint64_t now_us = ek_clock_us();
    if (client->state == MQTT_CONNECTED && now_us - client->connected_us >= STABLE_S * SECOND_US) {
        client->attempts = 0;
    }
    bool at_once = change_version(client, status, reason);
    if (EK_MQTT_LISTENS &&
        status == EK_ERANGE) { // a record that TLS has no room for: it would come again
        client->deaf_until_us = now_us + DEAF_S * SECOND_US;
        client->stats.oversized++;
    }
    client->state = MQTT_BACK_OFF;
    client->stats.failures++;
    forget_connection(client);

    uint32_t retry_ms = 0;
    if (!at_once) {
        retry_ms = ek_random32() % ((BACK_OFF_MS << client->attempts) + 1u);
        client->attempts += client->attempts < DOUBLINGS;
    }
    set_timer(client, now_us + retry_ms * (uint64_t)1000);
    if (client->options->on_disconnected != NULL) {
        client->options->on_disconnected(client->options->arg, status, reason, retry_ms);
    }
}

void mqtt_finish(struct mqtt_client *client, struct mqtt_record *record, uint8_t reason) {
    uint16_t id = record->id;
    mqtt_outbox_remove(&client->outbox, record);
    client->room_due = true;
    if (reason < 0x80) {
        client->stats.acknowledged++;
    } else {
        client->stats.refused++;
    }
    if (client->options->on_acknowledged != NULL) {
        client->options->on_acknowledged(client->options->arg, id, reason);
    }
}

void mqtt_finish_later(struct mqtt_client *client, struct mqtt_record *record, uint8_t reason) {
    record = mqtt_outbox_drop_body(&client->outbox, record);
    mqtt_outbox_set_state(&client->outbox, record, MQTT_DONE);
    record->topic_len = reason;
    client->done_due = true;
}

static void finish_done(struct mqtt_client *client) {
    client->done_due = false;
    struct mqtt_record *record = mqtt_outbox_next(&client->outbox, NULL);
    while (record != NULL && record->state != MQTT_DONE) {
        record = mqtt_outbox_next(&client->outbox, record);
    }
    if (record != NULL) {
        client->done_due = true; // perhaps there is another
        mqtt_finish(client, record, (uint8_t)record->topic_len);
    }
}

// One thing each time.
static bool poll(void *arg) {
    struct mqtt_client *client = arg;
    if (client->state == MQTT_STOPPED) {
        return false;
    }
    if (client->state == MQTT_WAIT_NETWORK && ek_net_up()) {
        connect(client);
        return true;
    }
    if (client->done_due) {
        finish_done(client);
        return true;
    }
    if (client->room_due && client->room_wanted) {
        client->room_due = client->room_wanted = false;
        if (client->options->on_room != NULL) {
            client->options->on_room(client->options->arg);
        }
        return true;
    }
    return false;
}

void mqtt_start(struct mqtt_client *client, const struct mqtt_options *options) {
    ek_assert(client->state == MQTT_STOPPED);
    ek_assert(options->client_id[0] != '\0');
    ek_assert(options->version == 4 || options->version == 5);
    bool poller_added = client->poller_added;
    struct ek_poller poller = client->poller;
    memset(client, 0, sizeof *client);
    client->poller = poller;
    client->poller_added = true;
    client->options = options;
    client->version = options->version;
    client->outbox.data = options->outbox;
    client->outbox.size = options->outbox_size;
    client->last_id = (uint16_t)ek_random32();
    client->state = MQTT_WAIT_NETWORK;
    if (!poller_added) {
        client->poller.poll = poll;
        client->poller.arg = client;
        ek_loop_add(&client->poller);
    }
}

static uint16_t new_id(struct mqtt_client *client) {
    do {
        client->last_id++;
    } while (client->last_id == 0 || client->last_id > MQTT_ID_MAX ||
             mqtt_outbox_has(&client->outbox, client->last_id));
    return client->last_id;
}

int mqtt_publish(struct mqtt_client *client, const struct mqtt_message *message) {
    ek_assert(message->qos <= 2);
    if (!mqtt_topic_ok((const uint8_t *)message->topic, message->topic_len)) {
        return EK_EINVAL;
    }
    bool connected = client->state == MQTT_CONNECTED;
    if (connected && mqtt_publish_length(client, message->qos, message->topic_len,
                                         message->payload_len) > client->limits.packet_bytes) {
        return EK_ERANGE;
    }
    int status = EK_EAGAIN;
    uint16_t id = 0;
    if (message->qos != 0 || connected) {
        id = message->qos != 0 ? new_id(client) : 0;
        status = mqtt_outbox_append(&client->outbox, message, id);
    }
    if (status != EK_OK) {
        if (status == EK_EAGAIN) {
            client->room_wanted = true;
            client->room_due = false; // only room that comes from now on counts
        }
        return status;
    }
    client->stats.published++;
    mqtt_send_due(client);
    return id;
}

int mqtt_subscribe(struct mqtt_client *client, const char *topic_filter, uint8_t qos) {
    ek_assert(qos <= 2);
    if (client->subscription_count == MQTT_SUBSCRIPTIONS_MAX) {
        return EK_ENOMEM;
    }
    client->subscriptions[client->subscription_count++] =
        (struct mqtt_subscription){.filter = topic_filter, .qos = qos, .state = MQTT_SUBSCRIBE_DUE};
    mqtt_send_due(client);
    return EK_OK;
}

bool mqtt_connected(const struct mqtt_client *client) { return client->state == MQTT_CONNECTED; }

unsigned mqtt_pending(const struct mqtt_client *client) { return client->outbox.count; }

const struct mqtt_stats *mqtt_get_stats(const struct mqtt_client *client) { return &client->stats; }

void mqtt_reconnect(struct mqtt_client *client) {
    if (client->state == MQTT_CONNECTED) {
        mqtt_send_disconnect(client, MQTT_SUCCESS);
        mqtt_lost(client, EK_ECLOSED, MQTT_SUCCESS);
    }
}

void mqtt_stop(struct mqtt_client *client) {
    if (client->state == MQTT_CONNECTED) {
        mqtt_send_disconnect(client, MQTT_SUCCESS);
    }
    if (client->state != MQTT_STOPPED) {
        ek_transport.close(&client->stream);
        ek_timer_stop(&client->timer);
        client->state = MQTT_STOPPED;
    }
}
