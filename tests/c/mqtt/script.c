// script.c: an MQTT client in a simulated world, driven over stdin; see commands.h. Besides:
//   net 0|1, opened, receive HEX, bytes HEX (the same, one at a time), closed STATUS, room N,
//   writable, advance MS, random N
// Prints "opening HOST PORT", "sent HEX", "closed" for what the client does to its stream, and "."
// after each command's events.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "commands.h"
#include "fake.h"

static uint8_t sent[70000];
static size_t sent_len;

static void wrote(const uint8_t *data, size_t len) {
    memcpy(sent + sent_len, data, len);
    sent_len += len;
}
static void flush_sent(void) {
    if (sent_len != 0) {
        print_hex("sent", sent, sent_len);
        sent_len = 0;
    }
}
static void opening(const char *host, uint16_t port) { printf("opening %s %u\n", host, port); }
static void closing(void) {
    flush_sent();
    puts("closed");
}

static void run_fake(const char *name) {
    static uint8_t bytes[70000];
    const char *value = strtok(NULL, " ");
    if (!strcmp(name, "net")) {
        fake.net_up = atoi(value) != 0;
    } else if (!strcmp(name, "opened")) {
        fake_opened();
    } else if (!strcmp(name, "receive")) {
        size_t len = parse_hex(value, bytes, sizeof bytes);
        uint8_t *exact = malloc(len); // the address sanitizer sees the first byte beyond
        memcpy(exact, bytes, len);
        fake_received(exact, len);
        free(exact);
    } else if (!strcmp(name, "bytes")) {
        size_t len = parse_hex(value, bytes, sizeof bytes);
        for (size_t i = 0; i < len; i++) {
            fake_received(bytes + i, 1);
        }
    } else if (!strcmp(name, "closed")) {
        fake_closed(atoi(value));
    } else if (!strcmp(name, "room")) {
        fake.room = (size_t)atol(value);
    } else if (!strcmp(name, "writable")) {
        fake_writable();
    } else if (!strcmp(name, "advance")) {
        fake_advance(strtoull(value, NULL, 10) * 1000);
    } else if (!strcmp(name, "random")) {
        fake.random = (uint32_t)strtoul(value, NULL, 10);
    } else {
        fprintf(stderr, "unknown command %s\n", name);
        exit(2);
    }
}

int main(void) {
    static char line[150000], copy[150000];
    fake_reset();
    fake.room = 100000;
    fake.wrote = wrote;
    fake.opening = opening;
    fake.closing = closing;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        strcpy(copy, line);
        if (!run_command(copy)) {
            run_fake(strtok(line, " "));
        }
        flush_sent();
        fake_poll();
        flush_sent();
        puts(".");
        fflush(stdout);
    }
    return 0;
}
