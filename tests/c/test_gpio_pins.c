// test_gpio_pins.c: what test_gpio_pins.py drives: firmware/gpio, gpio_in, pulse_counter, gpio_out
// and app/actuators between two ports, a clock and a broker of the test. Every argument is a step.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/actuators/actuators.h"
#include "app/app.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/assert.h"
#include "gpio_in.h"
#include "gpio_out.h"
#include "pipeline/pipeline.h"
#include "pulse_counter.h"

static uint64_t now_us;
static struct ek_timer *timers;
static struct ek_poller *poller;
static const struct publisher_listener *listener;
static struct port {
    const char *name;
    int status; // of init, input, output
    uint32_t levels, latched;
} ports[2] = {{.name = "a"}, {.name = "b"}};

uint64_t ek_clock_us(void) { return now_us; }
void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}
_Noreturn void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    abort();
}
const char *ek_status_name(int status) { return status == EK_EIO ? "input/output" : "other"; }
void ek_loop_add(struct ek_poller *new) { poller = new; }
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer = (struct ek_timer){timers, now_us + delay_us, fn, arg, true};
    timers = timer;
}
void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **t = &timers; *t; t = &(*t)->next) {
        if (*t == timer) {
            *t = timer->next;
            break;
        }
    }
    timer->armed = false;
}
void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status) {
    if (status == EK_OK) {
        printf("%s=%d\n", pipeline_channels[channel].name, (int)value + quality);
    } else {
        printf("%s: %s\n", pipeline_channels[channel].name, ek_status_name(status));
    }
}
void publisher_listen(const struct publisher_listener *who) { listener = who; }

// A port that says what is done to it.
static int init(const void *dev) {
    printf("init %s\n", ((const struct port *)dev)->name);
    return ((const struct port *)dev)->status;
}
static int input(const void *dev, uint8_t pin, enum ek_gpio_pull pull) {
    const struct port *port = dev;
    printf("input %s%u %s\n", port->name, pin, ((const char *[]){"float", "up", "down"})[pull]);
    return port->status;
}
static void show(const struct port *port, uint8_t pin, bool level) {
    printf("%s%u %s\n", port->name, pin, level ? "high" : "low");
}
static int output(const void *dev, uint8_t pin, bool level) {
    show(dev, pin, level);
    return ((const struct port *)dev)->status;
}
static void set(const void *dev, uint8_t pin, bool level) { show(dev, pin, level); }
static bool get(const void *dev, uint8_t pin) {
    return (((const struct port *)dev)->levels >> pin & 1) != 0;
}
static uint32_t edges(const void *dev) {
    struct port *port = &ports[(const struct port *)dev - ports];
    uint32_t latched = port->latched;
    port->latched = 0;
    return latched;
}
static const struct ek_gpio_ops ops = {init, input, output, get, set, edges};
static const struct ek_gpio port_a = {&ops, &ports[0]}, port_b = {&ops, &ports[1]};

// What the SDK would generate.
static struct gpio_in_state door_state, window_state;
static const struct gpio_in door = {.port = &port_a,
                                    .pin = 5,
                                    .channel = 0,
                                    .active = "low",
                                    .pull = "up",
                                    .debounce = 20,
                                    .state = &door_state};
static const struct gpio_in window = {.port = &port_a,
                                      .pin = 4,
                                      .channel = 1,
                                      .active = "high",
                                      .pull = "down",
                                      .debounce = 0,
                                      .state = &window_state};
static struct pulse_counter_state counter_states[4];
static const struct pulse_counter counters[] = {
    {&port_a, 0, 2, "rising", "none", 5, &counter_states[0]},
    {&port_a, 0, 2, "falling", "none", 0, &counter_states[1]},
    {&port_b, 0, 2, "both", "none", 0, &counter_states[2]},
    {&port_b, 31, 2, "rising", "none", 0, &counter_states[3]},
};
static struct gpio_out_state relay_state, lamp_state;
static const struct gpio_out relay = {&port_b, 7, "high", &relay_state};
static const struct gpio_out lamp = {&port_b, 6, "low", &lamp_state};
const struct channel pipeline_channels[] = {
    {.name = "door"}, {.name = "window"}, {.name = "pulses"}, {.name = "relay"}, {.name = "lamp"}};
const uint16_t pipeline_channel_count = 5;
const struct pipeline_settings pipeline_settings = {.statistics_s = 60};
const struct actuator actuators[EK_ACTUATORS] = {
    {&gpio_out_ops, &relay, 3, 5000, false, ACTUATOR_OFF, false},
    {&gpio_out_ops, &lamp, 4, 0, true, ACTUATOR_KEEP, true},
};

static void round_of_the_loop(void) {
    for (unsigned i = 0; i < 100; i++) {
        struct ek_timer **due = &timers;
        while (*due && (*due)->due_us > now_us) {
            due = &(*due)->next;
        }
        if (*due) {
            struct ek_timer *timer = *due;
            ek_timer_stop(timer);
            timer->fn(timer->arg);
        } else if (!poller || !poller->poll(poller->arg)) {
            return;
        }
    }
    abort(); // it never sleeps
}

static void wait_us(uint64_t us) {
    uint64_t end = now_us + us;
    round_of_the_loop();
    for (;;) {
        uint64_t next = end;
        for (struct ek_timer *t = timers; t; t = t->next) {
            next = t->due_us < next ? t->due_us : next;
        }
        now_us = next > now_us ? next : now_us;
        round_of_the_loop();
        if (next == end) {
            return;
        }
    }
}

static void command(char *text, bool retain) {
    char *payload = strchr(text, '=');
    struct mqtt_message message = {.topic = text,
                                   .topic_len = (uint16_t)(payload - text),
                                   .payload = (const uint8_t *)payload + 1,
                                   .payload_len = (uint16_t)strlen(payload + 1),
                                   .retain = retain};
    char *copy = malloc(message.payload_len); // so that the sanitizer sees its end
    memcpy(copy, payload + 1, message.payload_len);
    message.payload = (const uint8_t *)copy;
    listener->message(text, message.topic_len, &message);
    free(copy);
}

// level a5=1: without a round of the loop after it.
static void level(const char *what) {
    struct port *port = &ports[what[0] - 'a'];
    char *end;
    uint32_t bit = 1u << strtoul(what + 1, &end, 10);
    uint32_t levels = end[1] == '1' ? port->levels | bit : port->levels & ~bit;
    port->latched |= levels ^ port->levels;
    port->levels = levels;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], ' ') ? strchr(argv[i], ' ') + 1 : argv[i];
        const struct gpio_in *in = !strcmp(value, "door") ? &door : &window;
        const struct pulse_counter *counter = &counters[value[0] & 3];
        switch (argv[i][0]) {
        case 'i':
            printf("-> %d\n", gpio_in_ops.init(in));
            break; // in door
        case 'p':
            gpio_in_ops.poll(in);
            break; // poll door
        case 'c':
            printf("-> %d\n", pulse_counter_ops.init(counter));
            break; // count 0
        case 'n':
            pulse_counter_ops.poll(counter);
            break; // number 0
        case 'f':
            ports[0].status = ports[1].status = atoi(value);
            break; // fail -2
        case 'l':
            level(value);
            break;
        case 'r':
            round_of_the_loop();
            break;
        case 'w':
            wait_us(strtoull(value, NULL, 10));
            break; // wait_us 20000
        case 'a':
            actuators_start();
            break;
        case 'm':
            command(value, false);
            break; // message set/relay=on
        case 'k':
            command(value, true);
            break; // kept set/relay=on
        case 'u':
            listener->connection(true);
            break;
        case 'd':
            listener->connection(false);
            break;
        case 's':
            printf("%u of %u refused\n", actuators_get_counters()->refused,
                   actuators_get_counters()->commands);
            break;
        default:
            abort();
        }
    }
    return 0;
}
