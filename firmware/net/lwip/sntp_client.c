// sntp_client.c: the time of day by SNTP. Follows RFC 4330 and what RFC 5905
// adds for clients. Left out: several servers, discipline of the clock's rate:
// every hour the time is set anew.
#include "ek/clock.h"
#include "ek/log.h"
#include "ek/net.h"
#include "ek/random.h"
#include "ek/status.h"
#include "glue.h"
#include "lwip/pbuf.h"
#include "lwip/prot/iana.h"
#include <string.h>

// Offsets (5905: 7.3).
enum { MESSAGE_BYTES = 48, STRATUM = 1, REFERENCE = 12, ORIGINATE = 24, TRANSMIT = 40 };
enum { CLIENT = 4 << 3 | 3, SERVER = 4, MODE = 7 }; // version 4; mode
enum { ALARM = 3 << 6 };                            // leap indicator
enum { DOUBLINGS = 7 };                             // 1 s to 128 s
enum { PERIOD_TICKS = 3600 * TICKS_PER_S };
#define ERA1_UNIX_S 2085978496 // 2036-02-07T06:28:16Z (5905: 6)
#define FLOOR_UNIX_S                                                                               \
    1767225600 // 2026-01-01: no image is older; a fixed date, so that building
               // twice gives the same image

uint32_t sntp_server;
const char *sntp_setting;
static uint32_t server, wait; // ticks until the next request
static uint32_t nonce[2];     // in place of our time: only an answer that repeats
                              // it is believed
static uint16_t server_port, port;
static uint8_t tries;
static uint64_t asked_us;
static bool awaited;

static void transmit(void) {
    nonce[0] = ek_random32();
    nonce[1] = ek_random32();
    port = (uint16_t)(0xc000 | ek_random32());
    struct pbuf *p = udp_new(MESSAGE_BYTES);
    if (p) {
        uint8_t *message = p->payload;
        message[0] = CLIENT;
        memcpy(message + TRANSMIT, nonce, 8);
        asked_us = ek_clock_us();
        awaited = true;
        udp_send(p, port, server, server_port);
    }
}

// The server's address; EK_EAGAIN while its name is looked up.
static int find_server(void) {
    server = sntp_server;
    server_port = LWIP_IANA_PORT_SNTP;
    if (!sntp_setting) {
        return server != 0 ? EK_OK : EK_ENOENT;
    }
    char host[128];
    size_t len = 0;
    while (len + 1 < sizeof host && sntp_setting[len] != '\0' && sntp_setting[len] != ':') {
        host[len] = sntp_setting[len];
        len++;
    }
    host[len] = '\0';
    unsigned number = 0;
    for (const char *digit = sntp_setting + len; *digit != '\0'; digit++) {
        number = *digit == ':' ? 0 : number * 10 + (unsigned)(*digit - '0');
        server_port = (uint16_t)number;
    }
    return resolver_ask(host, &server);
}

void sntp_turn(void) {
    if (wait != 0 || !ek_net_up()) {
        return;
    }
    int status = find_server();
    if (status == EK_EAGAIN) {
        return;
    }
    wait = TICKS_PER_S << tries;
    tries += tries < DOUBLINGS;
    if (status == EK_OK) {
        transmit();
    }
}

void sntp_tick(void) { wait -= wait != 0; }

static uint32_t read32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

// Kiss codes (5905: 7.4) of a server that wants to be left alone; others, such as INIT of one that
// has just been switched on, do not say so.
enum { DENY = 0x44454e59, RATE = 0x52415445, RSTR = 0x52535452 };

void sntp_received(const struct datagram *datagram) {
    const uint8_t *message = datagram->data;
    if (!awaited || datagram->to_port != port || datagram->from_port != server_port ||
        datagram->from != server || datagram->len < MESSAGE_BYTES ||
        (message[0] & MODE) != SERVER || memcmp(message + ORIGINATE, nonce, 8) != 0) {
        return;
    }
    awaited = false;
    uint32_t kiss = message[STRATUM] == 0 ? read32(message + REFERENCE) : 0;
    if (kiss == DENY || kiss == RATE || kiss == RSTR) {
        wait = PERIOD_TICKS;
        return;
    }
    if (message[0] >= ALARM || message[STRATUM] == 0 || message[STRATUM] > 15) {
        return; // its clock is not set: asked again, ever later
    }
    // Seconds since 1900 until 2036, since then from there (4330: 3).
    uint32_t seconds = read32(message + TRANSMIT);
    int64_t unix_s = (int32_t)seconds + (int64_t)ERA1_UNIX_S;
    if (unix_s < FLOOR_UNIX_S) {
        ek_log("net: time server is wrong: before 2026");
        return;
    }
    uint32_t milliseconds = (uint32_t)((uint64_t)read32(message + TRANSMIT + 4) * 1000 >> 32);
    uint32_t half_trip_ms = (uint32_t)(ek_clock_us() - asked_us) / 2000;
    ek_clock_set_unix_ms(unix_s * 1000 + milliseconds + half_trip_ms, "sntp");
    tries = 0;
    wait = PERIOD_TICKS;
}
