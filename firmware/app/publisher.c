// publisher.c: joins the pipeline's queue to the MQTT client.
//
// Readings leave the queue only while connected and only into room that is there, so a broker's
// absence fills the queue, whose overflow policy then decides. Times are written at the last
// moment: a reading taken before the time of day was known still gets its own.
#include "app/app.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "kernel/kernel.h"
#include "mqtt/client.h"
#include "mqtt/mqtt.h"
#include "pipeline/pipeline.h"
#ifdef EK_TLS
#include "tls/tls.h"
#endif

#include <string.h>

enum { TOPIC_BASE_MAX = 64 };    // bytes of `mqtt.topic`; edgeuk checks it when it writes the blob
enum { MESSAGE_BYTES_MIN = 64 }; // one record with the longest usual name; below it give up

static const char *const suffixes[] = {[TOPIC_DATA] = "data",
                                       [TOPIC_STATUS] = "status",
                                       [TOPIC_STATISTICS] = "stats",
                                       [TOPIC_BOOT] = "boot",
#ifdef EK_TLS // config.h
                                       [TOPIC_TLS] = "tls"
#endif
};
// Behind every status: what a production image would not do.
#if !EK_DEVELOPMENT
#define ADMISSION ""
#elif defined EK_TLS && !EK_TLS_VERIFY
#define ADMISSION " (development, broker not verified)"
#else
#define ADMISSION " (development)"
#endif

static char base[TOPIC_BASE_MAX + 2]; // "<mqtt.topic>/"
static uint8_t outbox[EK_MQTT_OUTBOX_BYTES], receive[EK_MQTT_RECEIVE_BYTES];
static uint8_t message[EK_MESSAGE_BYTES];
static struct mqtt_client client;
static struct mqtt_options options;
enum { LISTENERS_MAX = 2 };
static const struct publisher_listener *listeners[LISTENERS_MAX];
static unsigned listener_count;
static uint32_t unsendable;
static int online_id; // of the status "online": on its way, 0: acknowledged, EK_EAGAIN: due
static bool started, boot_told;

int publisher_send_as(const char *suffix, const uint8_t *payload, uint16_t len, uint8_t qos,
                      int retain) {
    if (!started) {
        return EK_ECLOSED;
    }
    char name[sizeof base + 20];
    ek_format(name, sizeof name, "%s%s", base, suffix);
    const struct mqtt_message out = {.topic = name,
                                     .topic_len = (uint16_t)strlen(name),
                                     .payload = payload,
                                     .payload_len = len,
                                     .qos = qos,
                                     .retain = retain != 0};
    return mqtt_publish(&client, &out);
}

int publisher_send(enum topic topic, const uint8_t *payload, uint16_t len, uint8_t qos,
                   int retain) {
    return publisher_send_as(suffixes[topic], payload, len, qos, retain);
}

// Before any reading the broker hears that we are online, and once per boot why it began; false
// while there is no room for it.
static bool announce(void) {
    static const uint8_t online[] = "online" ADMISSION;
    if (online_id == EK_EAGAIN) {
        online_id = publisher_send(TOPIC_STATUS, online, sizeof online - 1, 1, 1);
    }
    if (online_id != EK_EAGAIN && !boot_told) {
        size_t len = (size_t)ek_format((char *)message, sizeof message, "%s%s",
                                       kernel_boot_report(), kernel_config_report());
        int id = publisher_send(TOPIC_BOOT, message, (uint16_t)len, 1, 1);
        boot_told = id != EK_EAGAIN;
    }
    return online_id != EK_EAGAIN && boot_told;
}

// Empty the queue into the client until one of them ends. A pack too large for this broker is made
// smaller; a single reading that is still too large is given up and counted.
static void drain(void) {
    size_t size = sizeof message;
    while (started && mqtt_connected(&client) && announce()) {
        unsigned count;
        size_t len = pipeline_encode(message, size, base, &count);
        if (count == 0) {
            return;
        }
        int status = publisher_send(TOPIC_DATA, message, (uint16_t)len, pipeline_settings.qos, 0);
        if (status >= 0) {
            pipeline_take(count);
        } else if (status == EK_ERANGE && size / 2 >= MESSAGE_BYTES_MIN) {
            size /= 2;
        } else if (status == EK_ERANGE) {
            pipeline_take(1);
            unsendable++;
        } else {
            return; // no room: on_room or the next connection brings us back
        }
    }
}

static void on_connected(void *arg, bool session_present) {
    (void)arg;
    ek_log("mqtt: connected to %s:%u, %s session", options.host, options.port,
           session_present ? "resumed" : "new");
    online_id = online_id > 0 ? online_id : EK_EAGAIN; // one that waits is sent again anyway
    (void)announce();
    statistics_send();
    for (unsigned i = 0; i < listener_count; i++) {
        listeners[i]->connection(true);
    }
    drain();
}

static void on_disconnected(void *arg, int status, uint8_t reason, uint32_t retry_ms) {
    (void)arg;
    const char *why = "";
#ifdef EK_TLS // config.h
    why = tls_why();
#endif
    if (*why) {
        ek_log("mqtt: %s:%u: %s (tls: %s), next attempt in %u ms", options.host, options.port,
               ek_status_name(status), why, (unsigned)retry_ms);
    } else {
        ek_log("mqtt: %s:%u: %s (reason 0x%02x), next attempt in %u ms", options.host, options.port,
               ek_status_name(status), reason, (unsigned)retry_ms);
    }
    for (unsigned i = 0; i < listener_count; i++) {
        listeners[i]->connection(false);
    }
}

static void on_message(void *arg, const struct mqtt_message *in) {
    (void)arg;
    size_t len = strlen(base);
    if (in->topic_len < len || memcmp(in->topic, base, len) != 0) {
        return;
    }
    for (unsigned i = 0; i < listener_count; i++) {
        listeners[i]->message(in->topic + len, in->topic_len - len, in);
    }
}

static void subscribe(void) {
    static char filters[LISTENERS_MAX][sizeof base + 12];
    for (unsigned i = 0; i < listener_count; i++) {
        ek_format(filters[i], sizeof filters[i], "%s%s", base, listeners[i]->filter);
        (void)mqtt_subscribe(&client, filters[i], 0); // two: there is room
    }
}

void publisher_listen(const struct publisher_listener *who) {
    ek_assert(listener_count < LISTENERS_MAX);
    listeners[listener_count++] = who;
}

void publisher_reconnect(void) { mqtt_reconnect(&client); }

static void on_room(void *arg) {
    (void)arg;
    drain();
}

static void on_acknowledged(void *arg, uint16_t id, uint8_t reason) {
    (void)arg;
    online_id = online_id == id ? 0 : online_id;
    if (reason >= 0x80) {
        ek_log("mqtt: message %u refused by the broker (reason 0x%02x)", id, reason);
    }
    drain();
}

const char *publisher_base_name(void) { return base; }
uint32_t publisher_unsendable(void) { return unsendable; }
const struct mqtt_stats *publisher_mqtt_stats(void) { return mqtt_get_stats(&client); }

uint8_t *publisher_buffer(size_t *size) {
    *size = sizeof message;
    return message;
}

// Like ek_device_config(), but for keys whose value must not be empty.
static const char *setting(const char *key, const char *fallback) {
    const char *value = ek_device_config(key, fallback);
    return value[0] != '\0' ? value : fallback;
}

void publisher_start(void) {
    const char *name = setting("name", "edgeuk");
    ek_format(base, sizeof base, "%s/", setting("mqtt.topic", name));
    pipeline_on_ready(drain);

    options = (struct mqtt_options){
        .host = ek_device_config("mqtt.host", ""),
        .port = (uint16_t)ek_device_config_u32("mqtt.port", 1883),
        .client_id = setting("mqtt.client_id", name),
        .username = ek_device_config("mqtt.username", NULL),
        .password = ek_device_config("mqtt.password", NULL),
        .keep_alive_s = (uint16_t)ek_device_config_u32("mqtt.keep_alive_s", 60),
        .session_expiry_s = ek_device_config_u32("mqtt.session_expiry_s", 3600),
        .version = ek_device_config_u32("mqtt.version", 5) == 4 ? 4 : 5,
        .receive = receive,
        .receive_size = sizeof receive,
        .outbox = outbox,
        .outbox_size = sizeof outbox,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = EK_MQTT_LISTENS && listener_count > 0 ? on_message : NULL,
        .on_acknowledged = on_acknowledged,
        .on_room = on_room,
    };
    if (options.host[0] == 0) {
        ek_log("app: no broker: the device configuration has no mqtt.host; readings stay queued");
        return;
    }
    static char will_topic[sizeof base + 8];
    ek_format(will_topic, sizeof will_topic, "%s%s", base, suffixes[TOPIC_STATUS]);
    static const uint8_t offline[] = "offline" ADMISSION;
    options.will = (struct mqtt_will){.topic = will_topic,
                                      .payload = offline,
                                      .payload_len = sizeof offline - 1,
                                      .qos = 1,
                                      .retain = true};
    started = true;
    mqtt_start(&client, &options);
    if (EK_MQTT_LISTENS) {
        subscribe();
    }
}
