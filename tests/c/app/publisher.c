// publisher.c: app/publisher.c and the MQTT client in the simulated world of tests/c/mqtt/fake.c.
// Lines on standard input: config KEY=VALUE, start, queue COUNT, opened, receive HEX, closed
// STATUS, advance MS. Out come "sent HEX", "log TEXT", and "." after each command's events.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/app.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "fake.h"
#include "kernel/kernel.h"
#include "pipeline/pipeline.h"

static char config[8][80]; // "key=value"
static unsigned config_count, queued;
static void (*ready)(void);
const struct pipeline_settings pipeline_settings = {.qos = 1};

const char *ek_device_config(const char *key, const char *fallback) {
    size_t len = strlen(key);
    for (unsigned i = 0; i < config_count; i++) {
        if (strncmp(config[i], key, len) == 0 && config[i][len] == '=') {
            return config[i] + len + 1;
        }
    }
    return fallback;
}
uint32_t ek_device_config_u32(const char *key, uint32_t fallback) {
    const char *text = ek_device_config(key, NULL);
    return text ? (uint32_t)strtoul(text, NULL, 10) : fallback;
}
const char *ek_status_name(int status) { return status == EK_OK ? "ok" : "other"; }
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
const char *kernel_boot_report(void) { return "why"; }
const char *kernel_config_report(void) { return ""; }
void statistics_send(void) {}
void pipeline_on_ready(void (*fn)(void)) { ready = fn; }
// One reading is one message of 30 bytes.
size_t pipeline_encode(uint8_t *out, size_t size, const char *base_name, unsigned *count) {
    (void)size, (void)base_name;
    *count = queued > 0;
    memset(out, 'r', 30);
    return queued > 0 ? 30 : 0;
}
void pipeline_take(unsigned count) { queued -= count; }

static void wrote(const uint8_t *data, size_t len) {
    printf("sent ");
    for (size_t i = 0; i < len; i++) {
        printf("%02x", data[i]);
    }
    printf("\n");
}

static void command(char *line) {
    static uint8_t bytes[256];
    char *value = strchr(line, ' ');
    value = value ? value + 1 : line + strlen(line);
    if (strncmp(line, "config ", 7) == 0) {
        snprintf(config[config_count++], sizeof config[0], "%s", value);
    } else if (strcmp(line, "start") == 0) {
        publisher_start();
        fake.net_up = true;
    } else if (strncmp(line, "queue ", 6) == 0) {
        queued += (unsigned)atoi(value);
        ready();
    } else if (strcmp(line, "opened") == 0) {
        fake_opened();
    } else if (strncmp(line, "receive ", 8) == 0) {
        size_t len = strlen(value) / 2;
        for (size_t i = 0; i < len; i++) {
            unsigned byte = 0;
            sscanf(value + 2 * i, "%2x", &byte);
            bytes[i] = (uint8_t)byte;
        }
        fake_received(bytes, len);
    } else if (strncmp(line, "closed ", 7) == 0) {
        fake_closed(atoi(value));
    } else if (strncmp(line, "advance ", 8) == 0) {
        fake_advance(strtoull(value, NULL, 10) * 1000);
    } else {
        printf("what? %s\n", line);
    }
    fake_poll();
}

int main(void) {
    static char line[1000];
    fake_reset();
    fake.room = 100000;
    fake.wrote = wrote;
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        command(line);
        printf(".\n");
    }
    return 0;
}
