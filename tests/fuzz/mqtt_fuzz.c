// mqtt_fuzz.c: libFuzzer target for firmware/mqtt. The input is a list of steps: bytes from the
// broker in any fragmentation, losses, time, room in the stream, publishes. Besides the sanitizers,
// it checks that what the client writes is a row of well-formed packets of the kinds that a client
// sends, and that no QoS 1 or 2 message gets lost from the accounts.
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "fake.h"
#include "mqtt/client.h"

static struct mqtt_client client;
static struct mqtt_options options;
static uint16_t ids[64]; // returned by mqtt_publish() and not yet acknowledged
static unsigned id_count;
static unsigned mode; // what the callbacks do

static struct { // the packets that the client writes
    uint32_t length, have;
    uint8_t header, length_bytes;
    bool body, connect_seen;
} out;

static void begin_connection(const char *host, uint16_t port) {
    (void)host;
    (void)port;
    memset(&out, 0, sizeof out);
}

static void check_header(void) {
    // CONNECT first and once (3.1); the flags of 2.1.3; only what a client sends.
    static const uint8_t legal[16] = {[1] = 0x10, [4] = 0x40, [5] = 0x50,  [6] = 0x62,
                                      [7] = 0x70, [8] = 0x82, [12] = 0xc0, [14] = 0xe0};
    ek_assert((out.header >> 4 == 1) == !out.connect_seen);
    ek_assert(out.header >> 4 == 3 || legal[out.header >> 4] == out.header);
    ek_assert((out.header & 0xf6) != 0x36); // QoS 3
    out.connect_seen = true;
}

static void wrote(const uint8_t *data, size_t len) {
    for (; len > 0; len--, data++) {
        if (out.header == 0) {
            out.header = *data;
            check_header();
            continue;
        }
        if (!out.body) {
            ek_assert(out.length_bytes < 4);
            out.length |= (*data & 127u) << 7 * out.length_bytes++;
            out.body = *data < 128;
        } else {
            out.have++;
        }
        if (out.body && out.have == out.length) {
            out.header = out.length_bytes = 0;
            out.length = out.have = 0;
            out.body = false;
        }
    }
}

static void publish(unsigned qos, size_t len) {
    static const uint8_t payload[512];
    struct mqtt_message message = {.topic = "t/opic",
                                   .topic_len = 6,
                                   .payload = payload,
                                   .payload_len = (uint16_t)len,
                                   .qos = (uint8_t)qos,
                                   .retain = len & 1};
    if (id_count == 64) {
        return;
    }
    int id = mqtt_publish(&client, &message);
    ek_assert(id <= 65535 && (id >= 0 || id == EK_EAGAIN || id == EK_ERANGE));
    ek_assert(id < 0 || (id == 0) == (qos == 0));
    if (id > 0) {
        for (unsigned i = 0; i < id_count; i++) {
            ek_assert(ids[i] != id); // in use
        }
        ids[id_count++] = (uint16_t)id;
    }
}

static void on_acknowledged(void *arg, uint16_t id, uint8_t reason) {
    (void)arg;
    (void)reason;
    unsigned i = 0;
    while (i < id_count && ids[i] != id) {
        i++;
    }
    ek_assert(i < id_count); // reported twice, or never published
    ids[i] = ids[--id_count];
    if (mode & 1) {
        publish(1, 3);
    }
}

static void on_message(void *arg, const struct mqtt_message *message) {
    (void)arg;
    ek_assert(message->topic_len != 0 && message->qos <= 2);
    volatile uint8_t sum = 0; // touch every byte
    for (unsigned i = 0; i < message->topic_len; i++) {
        sum = (uint8_t)(sum + (uint8_t)message->topic[i]);
    }
    for (unsigned i = 0; i < message->payload_len; i++) {
        sum = (uint8_t)(sum + message->payload[i]);
    }
    if (mode & 2) {
        publish(message->qos, message->payload_len & 63);
    }
    if ((mode & 4) && message->payload_len == 3) {
        mqtt_stop(&client);
    }
}

static void on_room(void *arg) {
    (void)arg;
    publish(2, 5);
}

static void on_disconnected(void *arg, int status, uint8_t reason, uint32_t retry_ms) {
    (void)arg;
    (void)reason;
    ek_assert(status < 0);
    ek_assert(retry_ms <= 64000);
}

static void check(void) {
    unsigned count = 0, inflight = 0, counted = 0;
    for (struct mqtt_record *record = mqtt_outbox_next(&client.outbox, NULL); record != NULL;
         record = mqtt_outbox_next(&client.outbox, record)) {
        count++;
        counted += record->id != 0;
        inflight += record->state >= MQTT_SENT && record->state <= MQTT_RELEASED;
    }
    ek_assert(client.state == MQTT_STOPPED || counted == id_count);
    ek_assert(count == client.outbox.count);
    ek_assert(inflight == client.outbox.inflight);
    ek_assert(client.outbox.tail <= client.outbox.size);
    ek_assert(inflight <= MQTT_INFLIGHT_MAX);
    ek_assert(client.incoming_count <= MQTT_INCOMING_MAX);
}

static void start(unsigned how) {
    static uint8_t *receive, *outbox; // as large as said, for the address sanitizer
    free(receive);
    free(outbox);
    options = (struct mqtt_options){
        .host = "h",
        .port = 1883,
        .client_id = "fuzz",
        .username = how & 1 ? "user" : NULL,
        .password = how & 2 ? "secret" : NULL,
        .will = {.topic = how & 4 ? "will" : NULL,
                 .payload = (const uint8_t *)"x",
                 .payload_len = 1,
                 .qos = 1,
                 .retain = true},
        .keep_alive_s = how & 8 ? 20 : 0,
        .session_expiry_s = how & 16 ? 3600 : 0,
        .version = how & 32 ? 4 : 5,
        .receive_size = how & 64 ? 24 : 200,
        .outbox_size = how & 128 ? 40 : 300,
        .on_message = on_message,
        .on_acknowledged = on_acknowledged,
        .on_room = on_room,
        .on_disconnected = on_disconnected,
    };
    receive = options.receive = malloc(options.receive_size);
    outbox = options.outbox = malloc(options.outbox_size);
    id_count = 0;
    mqtt_start(&client, &options);
    fake_poll();
}

static void receive_exact(const uint8_t *data, size_t len, bool one_by_one) {
    uint8_t *exact = malloc(len);
    if (len != 0) {
        memcpy(exact, data, len);
    }
    for (size_t i = 0; one_by_one && i < len; i++) {
        fake_received(exact + i, 1);
    }
    if (!one_by_one) {
        fake_received(exact, len);
    }
    free(exact);
}

// A correct answer, so that the fuzzer gets past CONNACK and into the flows.
static void answer(unsigned how) {
    bool v5 = client.version == 5;
    if (client.state == MQTT_AWAIT_CONNACK) {
        uint8_t connack[] = {0x20, v5 ? 3 : 2, how & 1, 0, 0};
        if (how & 2 && v5) { // Receive Maximum 1, Maximum QoS 1
            uint8_t limited[] = {0x20, 8, how & 1, 0, 5, 0x21, 0, 1, 0x24, 1};
            receive_exact(limited, sizeof limited, false);
        } else {
            receive_exact(connack, v5 ? 5 : 4, false);
        }
    } else if (id_count != 0) {
        uint16_t id = ids[(how >> 2) % id_count];
        static const uint8_t types[] = {0x40, 0x50, 0x70, 0x62};
        uint8_t ack[] = {types[how & 3], 2, (uint8_t)(id >> 8), (uint8_t)id};
        receive_exact(ack, sizeof ack, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    fake_reset();
    fake.net_up = true;
    fake.room = 100000;
    fake.wrote = wrote;
    fake.opening = begin_connection;
    memset(&client, 0, sizeof client);
    mode = data[1];
    start(data[0]);
    fake_opened();
    if (mode & 8) {
        answer(mode >> 4);
    }
    for (size_t at = 2; at + 1 < size;) {
        unsigned step = data[at], value = data[at + 1];
        at += 2;
        size_t left = size - at, len = value < left ? value : left;
        switch (step % 13) {
        case 0:
        case 1:
            receive_exact(data + at, len, step % 13 == 1);
            at += len;
            break;
        case 2:
            answer(value);
            break;
        case 3:
            publish(value % 3, value);
            break;
        case 4:
            fake_advance((uint64_t)value * 300000);
            break;
        case 5:
            fake_closed(-1 - (int)(value % 9));
            break;
        case 6:
            fake.room = value;
            break;
        case 7:
            fake.room += value;
            fake_writable();
            break;
        case 8:
            fake_opened();
            break;
        case 9:
            (void)mqtt_subscribe(&client, "filter/#", value % 3);
            break;
        case 10:
            fake.random = value << 8 | value;
            break;
        case 11:
            mqtt_stop(&client);
            start(value);
            break;
        default:
            fake.net_up = value & 1;
            break;
        }
        fake_poll();
        check();
    }
    mqtt_stop(&client);
    check();
    return 0;
}
