// publish.c: QoS 1 messages of 100 bytes, as many under way as the outbox and the broker allow;
// then one line "bench: N messages in U us, latency p50 A us, p99 B us" on the console, by the
// image's own clock. Latency is from mqtt_publish() to its PUBACK. Replaces firmware/app in a bench
// image.
#include "arch/arch.h"
#include "config.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/panic.h"
#include "kernel/kernel.h"
#include "mqtt/client.h"
#include "mqtt/mqtt.h"
#include "net/net.h"

enum { PAYLOAD_BYTES = 100, COUNT_MAX = 20000, IDS = 65536 };

static struct mqtt_client client;
static struct mqtt_options options;
static uint8_t outbox[4096], receive[512];
static uint32_t count, sent, done;
static uint64_t started_us;
static uint64_t sent_us[IDS]; // by packet identifier
static uint32_t latencies_us[COUNT_MAX];

static void sort(void) { // shell sort, gaps n/2, n/4, ...
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t value = latencies_us[i], j = i;
            for (; j >= gap && latencies_us[j - gap] > value; j -= gap) {
                latencies_us[j] = latencies_us[j - gap];
            }
            latencies_us[j] = value;
        }
    }
}

static void publish(void) {
    static const uint8_t payload[PAYLOAD_BYTES] = {'x'};
    static const char topic[] = "bench/image";
    const struct mqtt_message message = {.topic = topic,
                                         .topic_len = sizeof topic - 1,
                                         .payload = payload,
                                         .payload_len = sizeof payload,
                                         .qos = 1};
    while (sent < count && mqtt_pending(&client) < MQTT_INFLIGHT_MAX) {
        uint64_t now = ek_clock_us();
        int id = mqtt_publish(&client, &message);
        if (id < 0) {
            return;
        }
        sent_us[id] = now;
        sent++;
    }
}

static void on_connected(void *arg, bool session_present) {
    (void)arg;
    (void)session_present;
    started_us = ek_clock_us();
    publish();
}

static void on_acknowledged(void *arg, uint16_t id, uint8_t reason) {
    (void)arg;
    (void)reason;
    uint64_t now = ek_clock_us();
    latencies_us[done++] = (uint32_t)(now - sent_us[id]);
    if (done < count) {
        publish();
        return;
    }
    sort();
    ek_log("bench: %u messages in %u us, latency p50 %u us, p99 %u us", (unsigned)count,
           (unsigned)(now - started_us), (unsigned)latencies_us[count / 2],
           (unsigned)latencies_us[count - count / 100 - 1]);
    ek_exit(0);
}

static void on_room(void *arg) {
    (void)arg;
    publish();
}

_Noreturn void ek_main(void) {
    kernel_init();
    net_init();
    count = ek_device_config_u32("bench.count", 1000);
    if (count > COUNT_MAX) {
        count = COUNT_MAX;
    }
    options = (struct mqtt_options){
        .host = ek_device_config("mqtt.host", ""),
        .port = (uint16_t)ek_device_config_u32("mqtt.port", 1883),
        .client_id = "bench",
        .keep_alive_s = 60,
        .version = 5,
        .receive = receive,
        .receive_size = sizeof receive,
        .outbox = outbox,
        .outbox_size = sizeof outbox,
        .on_connected = on_connected,
        .on_acknowledged = on_acknowledged,
        .on_room = on_room,
    };
    mqtt_start(&client, &options);
    ek_loop_run();
}
