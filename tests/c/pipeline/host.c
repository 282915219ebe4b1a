// The pipeline on the host, played by tests/c/pipeline_host.py over standard input and output: one
// command a line, one answer a line. Clock, timers, log and sensors are fakes; the rest is real.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/timer.h"
// The settings are constant in an image; here a command changes them.
#define pipeline_settings constant_settings
#include "pipeline/filters.h"
#undef pipeline_settings

struct constant_settings pipeline_settings = {.batch_ms = 100};

static uint64_t now_us;
static bool clock_known;
static int64_t boot_unix_ms;
static struct ek_timer *timers;
static char events[1 << 16]; // what happened since the last answer, separated by ";"

static void event(const char *text) {
    if (events[0] != '\0') {
        strcat(events, ";");
    }
    strcat(events, text);
}

uint64_t ek_clock_us(void) { return now_us; }

bool ek_clock_boot_unix_ms(int64_t *ms) {
    *ms = boot_unix_ms;
    return clock_known;
}

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **at = &timers; *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            timer->armed = false;
            return;
        }
    }
}

void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer = (struct ek_timer){timers, due_us, fn, arg, true};
    timers = timer;
}

void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_start_at(timer, now_us + delay_us, fn, arg);
}

static void advance(uint64_t until_us) {
    for (;;) {
        struct ek_timer *first = NULL;
        for (struct ek_timer *timer = timers; timer != NULL; timer = timer->next) {
            if (timer->due_us <= until_us && (first == NULL || timer->due_us < first->due_us)) {
                first = timer;
            }
        }
        if (first == NULL) {
            break;
        }
        ek_timer_stop(first);
        now_us = first->due_us > now_us ? first->due_us : now_us;
        first->fn(first->arg);
    }
    now_us = until_us > now_us ? until_us : now_us;
}

void ek_log(const char *format, ...) {
    char line[200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    event(line);
}

const char *ek_status_name(int status) {
    static char name[20];
    snprintf(name, sizeof name, "status %d", status);
    return name;
}

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "assertion failed: %s:%d\n", file, line);
    abort();
}

// Sensors: 0 reports within poll(), 1 (two channels) and 2 when the test says so.
static struct sensor {
    uint16_t channel, channel_count;
    int init_status, status;
    bool later;
    uint64_t takes_us;
    int64_t value;
} sensors[3] = {{.channel = 0, .channel_count = 1},
                {.channel = 1, .channel_count = 2, .later = true},
                {.channel = 3, .channel_count = 1, .later = true}};

static int init(const void *dev) {
    const struct sensor *sensor = dev;
    char text[40];
    sprintf(text, "init %d", (int)(sensor - sensors));
    event(text);
    return sensor->init_status;
}

static void poll(const void *dev) {
    const struct sensor *sensor = dev;
    char text[40];
    sprintf(text, "%d@%" PRIu64, (int)(sensor - sensors), now_us);
    event(text);
    now_us += sensor->takes_us;
    for (unsigned i = 0; i < sensor->channel_count && !sensor->later; i++) {
        ek_sensor_report((uint16_t)(sensor->channel + i), sensor->value, 0, sensor->status);
    }
}

static const struct ek_sensor_ops with_init = {.init = init, .poll = poll};
static const struct ek_sensor_ops without_init = {.poll = poll};
static const struct clamp_params limits = {.low = -4000, .high = 8500};
static const struct delta_params change = {.change = 10};
static struct delta_state change_state;
static const struct filter filters[] = {{&filter_clamp_ops, &limits, NULL},
                                        {&filter_delta_ops, &change, &change_state}};
const struct channel pipeline_channels[] = {
    {.name = "air", .unit = "Cel", .decimals = 2},
    {.name = "humidity", .unit = "%RH", .decimals = 1},
    {.name = "count", .unit = "", .decimals = 0},
    {.name = "filtered", .unit = "V", .decimals = 3, .filters = filters, .filter_count = 2},
};
const uint16_t pipeline_channel_count = 4;
const struct poll pipeline_polls[] = {
    {&with_init, &sensors[0], 1000, 0, 0, 1},
    {&without_init, &sensors[1], 300, 100, 1, 2},
    {&without_init, &sensors[2], 700, 50, 3, 1},
};
const uint16_t pipeline_poll_count = 3;
struct poll_state pipeline_poll_states[3];

static void on_ready(void) { event("ready"); }

static void print_pack(const uint8_t *out, size_t len, unsigned count) {
    printf("%u ", count);
    for (size_t i = 0; i < len; i++) {
        printf("%02x", out[i]);
    }
    puts("");
}

static const struct {
    const char *kind;
    const struct filter_ops *ops;
} kinds[] = {{"offset", &filter_offset_ops},
             {"multiply", &filter_multiply_ops},
             {"calibrate_linear", &filter_calibrate_linear_ops},
             {"clamp", &filter_clamp_ops},
             {"median", &filter_median_ops},
             {"moving_average", &filter_moving_average_ops},
             {"delta", &filter_delta_ops},
             {"throttle", &filter_throttle_ops},
             {"round", &filter_round_ops}};

// "filter KIND P0 P1 P2 COUNT (TIME VALUE)...": params as their integers in the struct's order.
static void run_filter(void) {
    char kind[20];
    int64_t p[3];
    unsigned count;
    scanf("%19s %" SCNd64 " %" SCNd64 " %" SCNd64 " %u", kind, &p[0], &p[1], &p[2], &count);
    union {
        int64_t words[3];
        uint8_t size;
        struct delta_params delta;
        uint32_t period_ms;
    } params = {.words = {p[0], p[1], p[2]}};
    size_t state_size = 24;
    if (strcmp(kind, "delta") == 0) {
        params.delta = (struct delta_params){(uint64_t)p[0], (uint32_t)p[1]};
    } else if (strcmp(kind, "throttle") == 0) {
        params.period_ms = (uint32_t)p[0];
    } else if (strcmp(kind, "median") == 0 || strcmp(kind, "moving_average") == 0) {
        params.size = (uint8_t)p[0];
        state_size = sizeof(struct window_state) + 8 * (size_t)p[0];
    }
    void *state = calloc(1, state_size);
    const struct filter_ops *ops = NULL;
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        ops = strcmp(kind, kinds[i].kind) == 0 ? kinds[i].ops : ops;
    }
    while (count-- > 0) {
        struct reading reading = {0};
        scanf("%" SCNu64 " %" SCNd64, &reading.time_us, &reading.value);
        if (ops->apply(&params, state, &reading)) {
            printf("%" PRId64 "%s ", reading.value, reading.quality ? "!" : "");
        } else {
            printf("- ");
        }
    }
    puts("");
    free(state);
}

static void unhex(char *text) {
    size_t len = text[0] == '.' ? 0 : strlen(text) / 2;
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        sscanf(text + 2 * i, "%2x", &byte);
        text[i] = (char)byte;
    }
    text[len] = '\0';
}

// "senml SIZE BASE COUNT (NAME UNIT VALUE DECIMALS TIME QUALITY)...": texts in hex, "." for none.
static void run_senml(void) {
    static char base[1000], names[300][60], units[300][60];
    static struct senml_record records[300];
    size_t size;
    unsigned count, encoded;
    scanf("%zu %999s %u", &size, base, &count);
    unhex(base);
    for (unsigned i = 0; i < count; i++) {
        struct senml_record *r = &records[i];
        scanf("%59s %59s %" SCNd64 " %" SCNu8 " %" SCNu64 " %" SCNu8, names[i], units[i], &r->value,
              &r->decimals, &r->time_us, &r->quality);
        unhex(names[i]);
        unhex(units[i]);
        r->name = names[i];
        r->unit = units[i];
    }
    uint8_t *out = malloc(size); // exactly, so that one byte too many is seen
    size_t len = senml_encode(out, size, base, records, count, &encoded);
    print_pack(out, len, encoded);
    free(out);
}

static void encode(void) {
    size_t size;
    unsigned count;
    scanf("%zu", &size);
    uint8_t *out = malloc(size);
    size_t len = pipeline_encode(out, size, "site/", &count);
    print_pack(out, len, count);
    free(out);
}

static void print_stats(void) {
    struct pipeline_stats s;
    pipeline_get_stats(&s);
    printf("%u %u %u %u %u %u %u %u %u\n", s.readings, s.errors, s.filtered, s.dropped, s.skipped,
           s.sent, s.queue_length, s.queue_max, s.queue_size);
}

static void answer_events(void) {
    puts(events);
    events[0] = '\0';
}

static bool command(void) {
    char name[20];
    if (scanf("%19s", name) != 1) {
        return false;
    }
    int a = 0;
    int64_t big = 0;
    if (strcmp(name, "filter") == 0) {
        run_filter();
    } else if (strcmp(name, "senml") == 0) {
        run_senml();
    } else if (strcmp(name, "encode") == 0) {
        encode();
    } else if (strcmp(name, "stats") == 0) {
        print_stats();
    } else if (strcmp(name, "take") == 0) {
        scanf("%d", &a);
        pipeline_take((unsigned)a);
        puts("");
    } else if (strcmp(name, "clock") == 0) { // known boot_unix_ms
        scanf("%d %" SCNd64, &a, &boot_unix_ms);
        clock_known = a;
        puts("");
    } else if (strcmp(name, "now") == 0) {
        scanf("%" SCNu64, &now_us);
        puts("");
    } else if (strcmp(name, "policy") == 0) {
        scanf("%d", &a);
        pipeline_settings.overflow = (enum overflow_policy)a;
        puts("");
    } else if (strcmp(name, "start") == 0) {
        pipeline_start();
        answer_events();
    } else if (strcmp(name, "advance") == 0) {
        scanf("%" SCNd64, &big);
        advance(now_us + (uint64_t)big);
        answer_events();
    } else if (strcmp(name, "report") == 0) { // channel value quality status
        int c, d;
        scanf("%d %" SCNd64 " %d %d", &a, &big, &c, &d);
        ek_sensor_report((uint16_t)a, big, (uint8_t)c, d);
        answer_events();
    } else if (strcmp(name, "sensor") == 0) { // index init_status status later takes_us
        struct sensor s;
        int later;
        scanf("%d %d %d %d %" SCNu64, &a, &s.init_status, &s.status, &later, &s.takes_us);
        sensors[a].init_status = s.init_status;
        sensors[a].status = s.status;
        sensors[a].later = later;
        sensors[a].takes_us = s.takes_us;
        puts("");
    } else {
        fprintf(stderr, "unknown command %s\n", name);
        abort();
    }
    fflush(stdout);
    return true;
}

int main(void) {
    pipeline_on_ready(on_ready);
    while (command()) {
    }
    return 0;
}
