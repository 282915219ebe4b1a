// lwip.c: net/lwip between a fake Ethernet device and a fake clock, driven by lines on standard
// input; frames, events and log lines come out on standard output.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "config.h"
#include "ek/random.h"
#include "ek/service.h"
#include "ek/stream.h"
#include "ek/timer.h"
#include "net/net.h"

static uint64_t now_us;
static struct ek_timer *timers;
static struct ek_poller *poller;
static char config[512];   // "key=value" lines, each ended by \n
static int link_state = 1; // what link() returns
static unsigned asked;     // how often it was called
static uint8_t waiting[EK_ETH_FRAME_MAX];
static int waiting_len;

uint64_t ek_clock_us(void) { return now_us; }
void ek_clock_set_unix_ms(int64_t unix_ms, const char *source) {
    printf("time %lld %s\n", (long long)unix_ms, source);
}
uint32_t ek_random32(void) {
    static uint32_t state = 1;
    return state = state * 1664525 + 1013904223;
}
void ek_random_stir(uint64_t when_us) { (void)when_us; }
void ek_assert_fail(const char *file, int line) {
    printf("assert %s:%d\n", file, line);
    abort();
}
const char *ek_status_name(int status) {
    return status == EK_OK ? "ok" : status == EK_ENOENT ? "none" : "other";
}
void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    printf("log ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
}
int ek_format(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, size, format, args);
    va_end(args);
    return len;
}
const char *ek_device_config(const char *key, const char *fallback) {
    static char values[8][64];
    static int used;
    size_t len = strlen(key);
    for (const char *entry = config; *entry; entry = strchr(entry, '\n') + 1) {
        if (strncmp(entry, key, len) == 0 && entry[len] == '=') {
            char *value = values[used++ % 8];
            sscanf(entry + len + 1, "%63[^\n]", value);
            return value;
        }
    }
    return fallback;
}
uint32_t ek_device_config_u32(const char *key, uint32_t fallback) {
    const char *text = ek_device_config(key, NULL);
    return text ? (uint32_t)atoi(text) : fallback;
}
void ek_loop_add(struct ek_poller *p) { poller = p; }

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **t = &timers; *t; t = &(*t)->next) {
        if (*t == timer) {
            *t = timer->next;
            break;
        }
    }
    timer->armed = false;
}
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer = (struct ek_timer){timers, now_us + delay_us, fn, arg, true};
    timers = timer;
}
static void run_until(uint64_t end_us) {
    for (;;) {
        while (poller && poller->poll(poller->arg)) {
        }
        struct ek_timer *first = timers;
        for (struct ek_timer *t = timers; t; t = t->next) {
            first = t->due_us < first->due_us ? t : first;
        }
        if (!first || first->due_us > end_us) {
            break;
        }
        now_us = first->due_us;
        ek_timer_stop(first);
        first->fn(first->arg);
    }
    now_us = end_us;
}

static void print_hex(const char *what, const uint8_t *data, size_t len) {
    printf("%s ", what);
    for (size_t i = 0; i < len; i++) {
        printf("%02x", data[i]);
    }
    printf("\n");
}

static uint8_t outgoing[EK_ETH_FRAME_MAX];
// What ails the device: room, send, receive, dead (init fails, too).
static char broken[16];
static bool started;
struct ek_counters ek_counters;
static int eth_init(const void *dev, uint8_t mac[6]) {
    (void)dev;
    for (unsigned i = 0; i < 6; i++) { // the device's own address is asked for (ek/eth.h)
        ek_assert(mac[i] == (started ? "\x02\0\0\0\0\1"[i] : 0));
    }
    if (started) {
        printf("init %u\n", (unsigned)ek_counters.device_restarts);
    }
    memcpy(mac, "\x02\0\0\0\0\1", 6);
    started = true;
    if (strcmp(broken, "dead") == 0) {
        return EK_EIO;
    }
    broken[0] = 0;
    return EK_OK;
}
static uint8_t *eth_frame(const void *dev) {
    (void)dev;
    return strcmp(broken, "room") == 0 ? NULL : outgoing;
}
static int eth_send(const void *dev, size_t len) {
    (void)dev;
    if (strcmp(broken, "send") == 0 || strcmp(broken, "dead") == 0) {
        return EK_EIO;
    }
    print_hex("tx", outgoing, len);
    return EK_OK;
}
static int eth_receive(const void *dev, uint8_t *frame, size_t size) {
    (void)dev;
    ek_assert(size >= EK_ETH_FRAME_MAX);
    if (strcmp(broken, "receive") == 0) {
        return EK_EIO;
    }
    int len = waiting_len;
    memcpy(frame, waiting, (size_t)len);
    waiting_len = 0;
    return len;
}
static int eth_link(const void *dev) {
    (void)dev;
    asked++;
    return link_state;
}
static const struct ek_eth_ops eth_ops = {eth_init, eth_frame, eth_send, eth_receive, eth_link};
const struct ek_eth ek_role_uplink = {.ops = &eth_ops};

static struct ek_stream stream;
static char host[128];
static void opened(void *arg) { (void)arg, printf("opened\n"); }
static void received(void *arg, const uint8_t *data, size_t len) {
    (void)arg;
    print_hex("received", data, len);
}
static void closed(void *arg, int status) { (void)arg, printf("closed %d\n", status); }
static const struct ek_stream_events events = {
    .opened = opened, .received = received, .closed = closed};

#ifdef EK_NET_LISTENERS
// A service that has more streams than config.h counts.
static struct ek_stream accepted[4];
static unsigned accepted_count;
static struct ek_listener listener;
static void connected(void *arg) {
    (void)arg;
    printf("accept %d\n", ek_accept(&listener, &accepted[accepted_count++], &events, NULL));
}
static int start_service(uint16_t port) {
    listener.connected = connected;
    return ek_listen(&listener, port);
}
#else
static int start_service(uint16_t port) { return (void)port, EK_EINVAL; }
#endif

static void line(const char *text) {
    static char hex[4096];
    int n = 0;
    if (sscanf(text, "rx %4000s", hex) == 1) {
        waiting_len = (int)strlen(hex) / 2;
        for (int i = 0; i < waiting_len; i++) {
            unsigned byte = 0;
            sscanf(hex + 2 * i, "%2x", &byte);
            waiting[i] = (uint8_t)byte;
        }
    } else if (sscanf(text, "advance %d", &n) == 1) {
        run_until(now_us + (uint64_t)n * 1000);
    } else if (strncmp(text, "break ", 6) == 0) {
        sscanf(text + 6, "%15s", broken);
    } else if (sscanf(text, "link %d", &n) == 1) {
        link_state = n;
    } else if (strncmp(text, "config ", 7) == 0) {
        strncat(config, text + 7, sizeof config - strlen(config) - 1);
    } else if (strcmp(text, "init\n") == 0) {
        net_init();
    } else if (strcmp(text, "asked\n") == 0) {
        printf("%u\n", asked);
    } else if (strcmp(text, "links\n") == 0) {
        struct net_stats stats;
        net_get_stats(&stats);
        printf("lost %u phy %u without %u s\n", stats.link_losses, stats.phy_faults,
               stats.no_link_s);
    } else if (sscanf(text, "open %127s %d", host, &n) == 2) {
        printf("%d\n", ek_stream_open(&stream, host, (uint16_t)n, &events, NULL));
    } else if (sscanf(text, "listen %d", &n) == 1) {
        printf("%d\n", start_service((uint16_t)n));
    } else if (sscanf(text, "write %4000s", hex) == 1) {
        printf("%d\n", ek_stream_write(&stream, hex, strlen(hex)));
    } else if (strcmp(text, "close\n") == 0) {
        ek_stream_close(&stream);
    } else {
        printf("what? %s", text);
    }
    run_until(now_us);
}

int main(void) {
    static char text[8192];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(text, sizeof text, stdin)) {
        line(text);
        printf(".\n");
    }
    return 0;
}
