// commands.c: see commands.h.
#include "commands.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "mqtt/client.h"

static struct mqtt_client client;
static struct mqtt_options options;
static char texts[16][128];
static unsigned text_count;
static const char *keep(const char *text) {
    if (text_count == 16 || strlen(text) > 127) {
        abort();
    }
    return strcpy(texts[text_count++], text);
}

static bool stop_on_message, publish_on_room;

static void print_bytes(const uint8_t *data, size_t len) {
    putchar(' ');
    if (len == 0) {
        putchar('-');
    }
    for (size_t i = 0; i < len; i++) {
        printf("%02x", data[i]);
    }
}

void print_hex(const char *event, const uint8_t *data, size_t len) {
    fputs(event, stdout);
    print_bytes(data, len);
    putchar('\n');
}

size_t parse_hex(const char *text, uint8_t *out, size_t size) {
    size_t len = 0;
    unsigned byte;
    while (len < size && sscanf(text + 2 * len, "%2x", &byte) == 1) {
        out[len++] = (uint8_t)byte;
    }
    return len;
}

static void on_connected(void *arg, bool session_present) {
    (void)arg;
    printf("connected %d\n", session_present);
}
static void on_disconnected(void *arg, int status, uint8_t reason, uint32_t retry_ms) {
    (void)arg;
    printf("disconnected %d %d %u\n", status, reason, retry_ms);
}
static void on_message(void *arg, const struct mqtt_message *message) {
    (void)arg;
    printf("message %d %d %d %.*s", message->qos, message->retain, message->duplicate,
           message->topic_len, message->topic);
    print_bytes(message->payload, message->payload_len);
    putchar('\n');
    if (stop_on_message) {
        mqtt_stop(&client);
    }
}
static void on_acknowledged(void *arg, uint16_t id, uint8_t reason) {
    (void)arg;
    printf("acknowledged %u %u\n", id, reason);
}
static void on_room(void *arg) {
    (void)arg;
    puts("room");
    if (publish_on_room) {
        struct mqtt_message message = {.topic = "r", .topic_len = 1, .qos = 1};
        printf("returned %d\n", mqtt_publish(&client, &message));
    }
}
static void on_subscribed(void *arg, const char *topic_filter, uint8_t reason) {
    (void)arg;
    printf("subscribed %s %u\n", topic_filter, reason);
}

static void set_option(const char *key, const char *value) {
    unsigned number = (unsigned)atoi(value);
    if (!strcmp(key, "version")) {
        options.version = (uint8_t)number;
    } else if (!strcmp(key, "host")) {
        options.host = keep(value);
    } else if (!strcmp(key, "port")) {
        options.port = (uint16_t)number;
    } else if (!strcmp(key, "id")) {
        options.client_id = keep(value);
    } else if (!strcmp(key, "user")) {
        options.username = keep(value);
    } else if (!strcmp(key, "password")) {
        options.password = keep(value);
    } else if (!strcmp(key, "keep_alive")) {
        options.keep_alive_s = (uint16_t)number;
    } else if (!strcmp(key, "expiry")) {
        options.session_expiry_s = number;
    } else if (!strcmp(key, "will_topic")) {
        options.will.topic = keep(value);
    } else if (!strcmp(key, "will_payload")) {
        options.will.payload = (const uint8_t *)keep(value);
        options.will.payload_len = (uint16_t)strlen(value);
    } else if (!strcmp(key, "will_qos")) {
        options.will.qos = (uint8_t)number;
    } else if (!strcmp(key, "will_retain")) {
        options.will.retain = number != 0;
    } else if (!strcmp(key, "receive")) {
        options.receive_size = (uint16_t)number;
    } else if (!strcmp(key, "outbox")) {
        options.outbox_size = (uint16_t)number;
    } else if (!strcmp(key, "on_message")) {
        stop_on_message = !strcmp(value, "stop");
    } else if (!strcmp(key, "on_room")) {
        publish_on_room = !strcmp(value, "publish");
    } else {
        fprintf(stderr, "unknown option %s\n", key);
        exit(2);
    }
}

static void start(void) {
    text_count = 0;
    stop_on_message = publish_on_room = false;
    free(options.receive);
    free(options.outbox);
    options = (struct mqtt_options){
        .host = "broker",
        .port = 1883,
        .client_id = "c",
        .version = 5,
        .receive_size = 256,
        .outbox_size = 256,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = on_message,
        .on_acknowledged = on_acknowledged,
        .on_room = on_room,
        .on_subscribed = on_subscribed,
    };
    for (char *key = strtok(NULL, " "); key != NULL; key = strtok(NULL, " ")) {
        char *value = strchr(key, '=');
        *value = '\0';
        set_option(key, value + 1);
    }
    // From malloc, exactly as large: the address sanitizer sees the first byte beyond.
    options.receive = malloc(options.receive_size);
    options.outbox = malloc(options.outbox_size);
    mqtt_start(&client, &options);
}

static void publish(void) {
    static uint8_t payload[65535];
    struct mqtt_message message = {.payload = payload};
    message.qos = (uint8_t)atoi(strtok(NULL, " "));
    message.retain = atoi(strtok(NULL, " ")) != 0;
    const char *topic = strtok(NULL, " ");
    message.topic = !strcmp(topic, "-") ? "" : topic;
    message.topic_len = (uint16_t)strlen(message.topic);
    message.payload_len = (uint16_t)parse_hex(strtok(NULL, " "), payload, sizeof payload);
    printf("returned %d\n", mqtt_publish(&client, &message));
}

bool run_command(char *line) {
    char *name = strtok(line, " ");
    if (!strcmp(name, "start")) {
        start();
    } else if (!strcmp(name, "publish")) {
        publish();
    } else if (!strcmp(name, "subscribe")) {
        const char *filter = keep(strtok(NULL, " ")); // it must live for ever
        printf("returned %d\n", mqtt_subscribe(&client, filter, (uint8_t)atoi(strtok(NULL, " "))));
    } else if (!strcmp(name, "stop")) {
        mqtt_stop(&client);
    } else if (!strcmp(name, "pending")) {
        printf("pending %u %d\n", mqtt_pending(&client), mqtt_connected(&client));
    } else if (!strcmp(name, "stats")) {
        const struct mqtt_stats *stats = mqtt_get_stats(&client);
        printf("stats %u %u %u %u %u %u %u %u %u\n", stats->connects, stats->failures,
               stats->published, stats->acknowledged, stats->refused, stats->received,
               stats->duplicates, stats->protocol_errors, stats->lost);
    } else {
        return false;
    }
    return true;
}
