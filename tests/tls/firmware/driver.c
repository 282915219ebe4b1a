// driver.c: the MQTT client over TLS, told on standard input what to do; replaces firmware/app in
// an image for `host`. "go PORT HOST COUNT HOLD" connects COUNT times in a row: each connection
// ends when the broker ends it or, with HOLD 0, right after CONNACK. Without the back-off between
// them, so that thousands take seconds; with HOLD 2 they are the client's own, with it. "time S"
// tells it the seconds since 1970. Says "device: ..." on the console.
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "config.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/host.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/status.h"
#include "kernel/kernel.h"
#include "mqtt/client.h"
#include "mqtt/mqtt.h"
#include "net/net.h"
#include "tls/tls.h"

static struct mqtt_client client;
static struct mqtt_options options;
static uint8_t outbox[1024], receive[2048];
static struct ek_poller poller;
static char line[200], host[128];
static size_t line_len;
static unsigned left, hold, messages;
static bool over; // the connection is to be ended by the poller

static void say_stats(void) {
    static char told[1024]; // as EK_MESSAGE_BYTES is: what is published on <topic>/tls
    struct tls_stats stats;
    tls_get_stats(&stats);
    size_t len = tls_tell(told, sizeof told, kernel_entropy_source());
    dprintf(STDOUT_FILENO, "device: tells %.*s\n", (int)len, told); // longer than ek_log() takes
    ek_log("device: handshakes %u resumptions %u live %u peak %u failures %u messages %u",
           (unsigned)stats.handshakes, (unsigned)stats.resumptions, (unsigned)stats.heap_live,
           (unsigned)stats.heap_peak, (unsigned)stats.heap_failures, messages);
}

static void on_connected(void *arg, bool session_present) {
    (void)arg;
    (void)session_present;
    ek_log("device: connected");
    over = hold == 0;
}

static void on_message(void *arg, const struct mqtt_message *message) {
    (void)arg;
    messages++;
    ek_log("device: message of %u bytes", (unsigned)message->payload_len);
}

static void on_disconnected(void *arg, int status, uint8_t reason, uint32_t retry_ms) {
    (void)arg;
    ek_log("device: down %d reason %u retry %u", status, reason, (unsigned)retry_ms);
    over = hold != 2 || left == 1;
    left -= !over;
}

static void start(void) {
    mqtt_start(&client, &options);
    (void)mqtt_subscribe(&client, "to/device", 0);
}

static void command(void) {
    unsigned port, unix_s;
    if (sscanf(line, "time %u", &unix_s) == 1) {
        ek_clock_set_unix_ms((int64_t)unix_s * 1000, "test");
        return;
    }
    if (sscanf(line, "go %u %127s %u %u", &port, host, &left, &hold) != 4 || left == 0) {
        ek_log("device: what is `%s`?", line);
        return;
    }
    mqtt_stop(&client);
    options.port = (uint16_t)port;
    start();
}

static void read_commands(void) {
    char byte;
    ssize_t got;
    while ((got = read(STDIN_FILENO, &byte, 1)) == 1) {
        if (byte != '\n' && line_len < sizeof line - 1) {
            line[line_len++] = byte;
            continue;
        }
        line[line_len] = 0;
        line_len = 0;
        command();
    }
    if (got == 0) {
        say_stats();
        ek_host_exit(0);
    }
}

static bool poll(void *arg) {
    (void)arg;
    read_commands();
    if (!over) {
        return false;
    }
    over = false;
    mqtt_stop(&client);
    if (--left > 0) {
        start();
    } else {
        say_stats();
        ek_log("device: done");
    }
    return true;
}

_Noreturn void ek_main(void) {
    kernel_init();
    net_init();
    options = (struct mqtt_options){
        .host = host,
        .client_id = "device",
        .username = ek_device_config("mqtt.username", NULL),
        .password = ek_device_config("mqtt.password", NULL),
        .keep_alive_s = 60,
        .version = (uint8_t)ek_device_config_u32("mqtt.version", 5),
        .receive = receive,
        .receive_size = sizeof receive,
        .outbox = outbox,
        .outbox_size = sizeof outbox,
        .on_connected = on_connected,
        .on_disconnected = on_disconnected,
        .on_message = on_message,
    };
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    ek_host_watch(STDIN_FILENO, true, false);
    poller.poll = poll;
    ek_loop_add(&poller);
    ek_loop_run();
}
