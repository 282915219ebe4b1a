// actuators.c: switches what the gateway file calls [[actuator]]. A command is a message to
// <mqtt.topic>/set/<name> with 1, 0, on, off, true or false. The state is a reading of that name:
// after every command, when a connection stands, and with the statistics.
//
// Commands are subscribed to at QoS 0, so that the broker keeps none for a gateway that is away:
// one that is late is one that nobody expects any more. For the same reason retained ones are
// refused, unless `obey_retained` says that the last one is meant to hold.
#include "app/actuators/actuators.h"
#include <string.h>
#include "app/app.h"
#include "ek/log.h"
#include "ek/sensor.h"
#include "ek/timer.h"
#include "pipeline/pipeline.h"

enum { RETRY_US = 10000000 }; // a driver that failed may work again

static struct {
    struct ek_timer hold;
    bool ready; // init() succeeded
    bool on;
} states[EK_ACTUATORS];
static struct ek_timer report_timer;
static struct actuators_counters counters;
static bool refusing; // and the console knows
static bool connected;

static const char *name_of(unsigned i) { return pipeline_channels[actuators[i].channel].name; }

static void report(unsigned i) {
    ek_sensor_report(actuators[i].channel, states[i].on, 0, states[i].ready ? EK_OK : EK_EIO);
}

static int switch_to(unsigned i, bool on) {
    const struct actuator *actuator = &actuators[i];
    int status = states[i].ready ? actuator->ops->set(actuator->dev, on)
                                 : actuator->ops->init(actuator->dev, on);
    if (status == EK_OK) {
        states[i].ready = true;
        states[i].on = on;
    }
    return status;
}

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// 1, 0, or EK_EINVAL.
static int decode(const uint8_t *text, size_t len) {
    static const char words[][6] = {"0", "1", "off", "on", "false", "true"}; // odd: on
    while (len > 0 && is_space(text[len - 1])) {
        len--;
    }
    while (len > 0 && is_space(text[0])) {
        text++, len--;
    }
    for (unsigned w = 0; w < sizeof words / sizeof words[0]; w++) {
        size_t i = 0;
        while (i < len && words[w][i] != '\0' &&
               (text[i] | (words[w][i] >= 'a' ? 0x20 : 0)) == words[w][i]) {
            i++;
        }
        if (i == len && words[w][i] == '\0') {
            return w & 1;
        }
    }
    return EK_EINVAL;
}

static const char *obey(const char *name, size_t len, const struct mqtt_message *message) {
    for (unsigned i = 0; i < EK_ACTUATORS; i++) {
        if (strlen(name_of(i)) != len || memcmp(name_of(i), name, len) != 0) {
            continue;
        }
        if (message->retain && !actuators[i].obey_retained) {
            return "retained";
        }
        int on = decode(message->payload, message->payload_len);
        if (on < 0) {
            return "not 1, 0, on, off, true or false";
        }
        int status = switch_to(i, on == 1);
        report(i);
        return status == EK_OK ? NULL : ek_status_name(status);
    }
    return "no such actuator";
}

// The first refusal in a row is logged; the statistics have the number. What came from outside is
// cut, and printed only where it is plain text.
static void on_message(const char *topic, size_t len, const struct mqtt_message *message) {
    static const char prefix[] = "set/";
    size_t skip = sizeof prefix - 1;
    if (len < skip || memcmp(topic, prefix, skip) != 0) {
        return;
    }
    counters.commands++;
    const char *why = obey(topic + skip, len - skip, message);
    if (why != NULL) {
        counters.refused++;
        if (!refusing) {
            char name[32];
            size_t n = 0;
            for (; n < len - skip && n < sizeof name - 1; n++) {
                char c = topic[skip + n];
                name[n] = (char)(c > ' ' && c <= '~' ? c : '?');
            }
            name[n] = '\0';
            ek_log("actuators: command to %s refused: %s", name, why);
        }
    }
    refusing = why != NULL;
}

static void hold_is_over(void *arg) {
    unsigned i = (unsigned)(uintptr_t)arg;
    bool on = actuators[i].without_broker == ACTUATOR_ON;
    if (!states[i].ready || states[i].on != on) {
        int status = switch_to(i, on);
        ek_log("actuators: %s: no broker, %s%s%s", name_of(i), on ? "on" : "off",
               status == EK_OK ? "" : ": ", status == EK_OK ? "" : ek_status_name(status));
        report(i);
        if (status != EK_OK) { // an output must not stay as it was for want of a second try
            ek_timer_start(&states[i].hold, RETRY_US, hold_is_over, arg);
        }
    }
}

static void begin_holds(void) {
    for (unsigned i = 0; i < EK_ACTUATORS; i++) {
        if (actuators[i].without_broker != ACTUATOR_KEEP) {
            ek_timer_start(&states[i].hold, (uint64_t)actuators[i].hold_ms * 1000, hold_is_over,
                           (void *)(uintptr_t)i);
        }
    }
}

static void report_all(void *arg) {
    (void)arg;
    for (unsigned i = 0; i < EK_ACTUATORS; i++) {
        report(i);
    }
    if (connected) {
        ek_timer_start(&report_timer, (uint64_t)pipeline_settings.statistics_s * 1000000,
                       report_all, NULL);
    }
}

static void on_connection(bool up) {
    if (connected == up) {
        return; // another attempt that failed
    }
    connected = up;
    if (!up) {
        ek_timer_stop(&report_timer);
        begin_holds();
        return;
    }
    for (unsigned i = 0; i < EK_ACTUATORS; i++) {
        ek_timer_stop(&states[i].hold);
    }
    report_all(NULL);
}

const struct actuators_counters *actuators_get_counters(void) { return &counters; }

void actuators_start(void) {
    static const struct publisher_listener listener = {
        .filter = "set/+", .message = on_message, .connection = on_connection};
    for (unsigned i = 0; i < EK_ACTUATORS; i++) {
        int status = switch_to(i, actuators[i].initial);
        if (status != EK_OK) {
            ek_log("actuators: %s: %s", name_of(i), ek_status_name(status));
        }
    }
    publisher_listen(&listener);
    begin_holds(); // there is no broker yet
}
