// publish.c: the same load as bench/firmware/publish.c, by libmosquitto in a Linux process.
// usage: publish HOST PORT COUNT; prints the same line.
#include <mosquitto.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PAYLOAD_BYTES = 100, COUNT_MAX = 200000, IDS = 65536, WINDOW = 16 };

static int count, sent, done;
static uint64_t started_us, ended_us;
static uint64_t sent_us[IDS];
static uint32_t latencies_us[COUNT_MAX];

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void publish(struct mosquitto *m) {
    static const char payload[PAYLOAD_BYTES] = {'x'};
    while (sent < count && sent - done < WINDOW) {
        int id;
        uint64_t now = now_us();
        if (mosquitto_publish(m, &id, "bench/process", sizeof payload, payload, 1, 0) != 0) {
            exit(1);
        }
        sent_us[id] = now;
        sent++;
    }
}

static void on_connect(struct mosquitto *m, void *arg, int code) {
    (void)arg;
    if (code != 0) {
        exit(1);
    }
    started_us = now_us();
    publish(m);
}

static void on_publish(struct mosquitto *m, void *arg, int id) {
    (void)arg;
    ended_us = now_us();
    latencies_us[done++] = (uint32_t)(ended_us - sent_us[id]);
    if (done < count) {
        publish(m);
    } else {
        mosquitto_disconnect(m);
    }
}

static int order(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    if (argc != 4 || (count = atoi(argv[3])) < 1 || count > COUNT_MAX) {
        return 2;
    }
    mosquitto_lib_init();
    struct mosquitto *m = mosquitto_new(NULL, true, NULL);
    mosquitto_int_option(m, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_connect_callback_set(m, on_connect);
    mosquitto_publish_callback_set(m, on_publish);
    if (mosquitto_connect(m, argv[1], atoi(argv[2]), 60) != 0) {
        return 1;
    }
    mosquitto_loop_forever(m, -1, 1);
    if (done < count) {
        return 1;
    }
    qsort(latencies_us, (size_t)count, sizeof *latencies_us, order);
    printf("bench: %d messages in %llu us, latency p50 %u us, p99 %u us\n", count,
           (unsigned long long)(ended_us - started_us), latencies_us[count / 2],
           latencies_us[count - count / 100 - 1]);
    return 0;
}
