// app/app.h: what the parts of the app layer know of each other.
#ifndef APP_APP_H
#define APP_APP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mqtt/mqtt.h"

// The pipeline's way to the broker: connects, announces itself, and empties the queue.
// Without `mqtt.host` in the device configuration it says so and readings stay in the queue.
void publisher_start(void);

enum topic { TOPIC_DATA, TOPIC_STATUS, TOPIC_STATISTICS, TOPIC_BOOT, TOPIC_TLS };
// Publish retained or not with the readings' QoS; the statuses of mqtt_publish().
int publisher_send(enum topic topic, const uint8_t *payload, uint16_t len, uint8_t qos, int retain);
// The same on "<mqtt.topic>/" and any other name.
int publisher_send_as(const char *suffix, const uint8_t *payload, uint16_t len, uint8_t qos,
                      int retain);
// Connect anew; not from inside an event.
void publisher_reconnect(void);
// Who acts on what the broker sends and on its comings and goings. At most two, for ever; set
// before publisher_start().
struct publisher_listener {
    const char *filter; // to subscribe to, behind "<mqtt.topic>/", at QoS 0
    // `topic`: what comes behind "<mqtt.topic>/", not terminated.
    void (*message)(const char *topic, size_t len, const struct mqtt_message *message);
    void (*connection)(bool up); // down: also after every attempt that failed
};
void publisher_listen(const struct publisher_listener *listener);
// "<mqtt.topic>/": what SenML names begin with.
const char *publisher_base_name(void);
// Room for one message, EK_MESSAGE_BYTES; free between two calls from the event loop.
uint8_t *publisher_buffer(size_t *size);
const struct mqtt_stats *publisher_mqtt_stats(void);
// Readings given up because not even one fitted into the broker's largest packet.
uint32_t publisher_unsendable(void);

// Send a statistics record now and every pipeline_settings.statistics_s from now on.
void statistics_start(void);
void statistics_send(void);

// A new certificate for the device, while it runs. Linked where the gateway file says so: config.h
// then has EK_ROTATE.
void rotation_start(void);

// Take the actuators over, as the first thing after the console, and listen for commands. Linked
// where the gateway file has some: config.h then has EK_ACTUATORS.
void actuators_start(void);
struct actuators_counters {
    uint32_t commands, refused;
};
const struct actuators_counters *actuators_get_counters(void);
#endif
