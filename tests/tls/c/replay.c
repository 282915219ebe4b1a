// replay.c: a handshake that OpenSSL once had with us, again and again, each time with something
// wrong: replay FOLDER UNIX-SECONDS live PORT | cut FROM STEP | stall FROM STEP | flip FROM STEP |
// pieces SEED COUNT | room | memory | sweep FROM STEP | weak. FROM and STEP count bytes, of "flip"
// bits. "live"
// writes what the server sent to FOLDER/flight.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "config.h"
#include "ek/assert.h"
#include "ek/status.h"
#include "mbedtls/mbedtls_config.h"
#include "internal.h"
#include "world.h"

enum { FLIGHT_BYTES = 1 << 16, PLENTY = 1 << 20 };
enum {
    LEAST_MAX = EK_TLS_RECORD_BYTES + EK_TLS_SEND_BYTES + 6144
}; // HEAP of conftest.py, and some

static uint8_t flight[FLIGHT_BYTES], changed[FLIGHT_BYTES];
static size_t flight_len;
static int server = -1;
static unsigned long countdown; // allocations until one fails; 0: none does
static unsigned statuses[16];   // by -status; [0]: none, the connection stood

void *__real_tls_calloc(size_t count, size_t size);
void *__wrap_tls_calloc(size_t count, size_t size);
void *__wrap_tls_calloc(size_t count, size_t size) {
    if (countdown > 0 && --countdown == 0) {
        return __real_tls_calloc(1, 1 << 24); // fails and is counted as any other
    }
    return __real_tls_calloc(count, size);
}

static void never(const uint8_t *data, size_t len) {
    (void)data;
    ek_assert(len == 0);
}

static void to_server(const uint8_t *data, size_t len) {
    ek_assert(write(server, data, len) == (ssize_t)len);
}

static void live(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server = socket(AF_INET, SOCK_STREAM, 0);
    ek_assert(connect(server, (struct sockaddr *)(void *)&to, sizeof to) == 0);
    world.wrote = to_server;
    world_open();
    bool sent = false;
    ssize_t got;
    while (world.received == 0 &&
           (got = read(server, flight + flight_len, 1)) == 1) { // no more than what is needed
        world_feed(flight + flight_len++, 1);
        if (world.opened && !sent) {
            static const uint8_t hello[] = {0x10, 13, 0, 4,  'M', 'Q', 'T', 'T',
                                            5,    2,  0, 60, 0,   0,   0};
            sent = world_write(hello, sizeof hello) == sizeof hello;
        }
    }
    close(server);
    world.wrote = NULL;
    world_close();
}

// The world's clock stands still between connections, so that each is as the recorded one.
static void begin(int64_t unix_s) {
    world.now_us = 1000000;
    world.boot_unix_s = unix_s;
    world.room = PLENTY;
    world_open();
}

static void finish(void) {
    ek_assert(world.closed <= 1);
    statuses[world.closed || !world.opened ? -world.status : 0]++;
    world_close();
    if (tls_heap.live != 0) {
        printf("%u bytes stay in use: %s\n", (unsigned)tls_heap.live, world.log);
        exit(1);
    }
}

// How often that has been published as the reason.
static unsigned told(const char *reason) {
    char text[1024], name[32];
    ek_assert(tls_tell(text, sizeof text, "test") > 0);
    snprintf(name, sizeof name, "\"%s\":", reason);
    const char *found = strstr(strstr(text, "refusals"), name);
    ek_assert(found);
    return (unsigned)atoi(found + strlen(name));
}

static void report(const char *what, unsigned count) {
    printf("%s %u:", what, count);
    for (unsigned i = 0; i < 16; i++) {
        if (statuses[i] > 0) {
            printf(" %d=%u", -(int)i, statuses[i]);
        }
    }
    printf("\n");
}

// Bytes after which the connection stands.
static size_t handshake_len(int64_t unix_s) {
    begin(unix_s);
    size_t len = 0;
    while (!world.opened) {
        ek_assert(len < flight_len && !world.closed);
        world_feed(flight + len++, 1);
    }
    finish();
    return len;
}

// Whether a record ends there; in 1.3 OpenSSL sends each message in its own.
static bool is_boundary(size_t place) {
    size_t at = 0;
    while (at < place) {
        at += 5 + (size_t)(flight[at + 3] << 8 | flight[at + 4]);
    }
    return at == place;
}

// At every STEP-th byte, and between all records.
static void cut(int64_t unix_s, bool stall, unsigned from, unsigned step) {
    size_t whole = handshake_len(unix_s);
    unsigned count = 0, between = 0, before = told(stall ? "stall" : "cut"), found = 0;
    memset(statuses, 0, sizeof statuses);
    for (size_t len = 0; len < flight_len; len++) {
        bool boundary = is_boundary(len);
        if (len % step != from % step && !boundary) {
            continue;
        }
        count++;
        between += boundary;
        found += len < whole || (!boundary && !stall);
        begin(unix_s);
        world_feed(flight, len);
        ek_assert(world.opened == (len >= whole) && world.received == 0);
        if (stall) {
            world_advance(14000000);
            ek_assert(world.closed == 0);
            world_advance(WORLD_HANDSHAKE_S * 1000000u);
            ek_assert(world.closed == (len < whole));
            ek_assert(len >= whole || world.status == EK_ETIMEDOUT);
            ek_assert(len >= whole || strstr(world.log, "does not finish the handshake"));
        } else {
            world_end(EK_ECLOSED);
            ek_assert(world.closed == 1);
            ek_assert(len >= whole || strstr(world.log, "went amid the handshake"));
            ek_assert(len < whole || boundary || strstr(world.log, "went amid a record"));
        }
        finish();
        ek_assert(told(stall ? "stall" : "cut") - before == found);
    }
    printf("%zu bytes, %u records\n", flight_len, between);
    report(stall ? "stall" : "cut", count);
}

// The version in the head of a record that is not encrypted is not looked at (RFC 8446, 5.1), nor
// is a record of type change_cipher_spec.
static bool matters(size_t place) {
    size_t at = 0;
    while (at + 5 + (size_t)(flight[at + 3] << 8 | flight[at + 4]) <= place) {
        at += 5 + (size_t)(flight[at + 3] << 8 | flight[at + 4]);
    }
    return flight[at] == 23 || place < at + 1 || place > at + 2;
}

static void flip(int64_t unix_s, unsigned from, unsigned step) {
    unsigned count = 0;
    size_t whole = handshake_len(unix_s);
    memset(statuses, 0, sizeof statuses);
    for (size_t bit = from; bit < whole * 8; bit += step) {
        if (!matters(bit / 8)) {
            continue;
        }
        memcpy(changed, flight, flight_len);
        changed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        begin(unix_s);
        world_feed(changed, flight_len);
        if (!world.closed) {
            world_advance(WORLD_HANDSHAKE_S * 1000000u);
        }
        if (world.opened || !world.closed) {
            printf("bit %zu of byte %zu was not noticed: %s\n", bit % 8, bit / 8, world.log);
            exit(1);
        }
        finish();
        count++;
    }
    report("flip", count);
}

static void pieces(int64_t unix_s, unsigned seed, unsigned count) {
    srandom(seed);
    memset(statuses, 0, sizeof statuses);
    for (unsigned i = 0; i < count; i++) {
        begin(unix_s);
        size_t most = 1 + (size_t)random() % 300;
        for (size_t at = 0; at < flight_len;) {
            size_t len = 1 + (size_t)random() % most, left = flight_len - at;
            len = len < left ? len : left;
            world_feed(flight + at, len);
            at += len;
            world_advance((uint64_t)random() % 1000);
        }
        ek_assert(world.opened == 1 && world.received > 0 && !world.closed);
        finish();
    }
    report("pieces", count);
}

// The stream takes a few bytes at a time, and all of them in the end.
static void little_room(int64_t unix_s) {
    for (unsigned step = 1; step < 400; step += step / 4 + 1) {
        begin(unix_s);
        world_close();
        world.room = 0;
        world.now_us = 1000000;
        world_open();
        for (size_t fed = 0, rounds = 0; !world.opened; rounds++) {
            ek_assert(rounds < 100000 && !world.closed);
            world_room(step);
            if (rounds * step > 400 && fed == 0) {
                world_feed(flight, fed = flight_len);
            }
        }
        finish();
    }
    report("room", statuses[0]);
}

// Every allocation fails once: the reason is told, and it is that.
static void memory(int64_t unix_s) {
    for (unsigned i = 1;; i++) {
        countdown = i;
        begin(unix_s);
        world_feed(flight, flight_len);
        bool failed = countdown == 0;
        countdown = 0;
        if (!failed) {
            ek_assert(world.opened == 1 && world.received > 0);
            finish();
            report("memory", i - 1);
            return;
        }
        if ((world.closed || !world.opened) && world.status == EK_ENOMEM &&
            strstr(world.log, "out of memory")) {
            finish();
            continue;
        }
        printf("allocation %u fails: opened %u closed %u status %d, %s\n", i, world.opened,
               world.closed, world.status, world.log);
        exit(1);
    }
}

// Heaps from none to one that will do, STEP bytes apart: what is missing is held by somebody else.
static void sweep(int64_t unix_s, unsigned from, unsigned step) {
    unsigned count = 0, small = 0, least = 0;
    memset(statuses, 0, sizeof statuses);
    for (uint32_t size = tls_heap.size; size > 64 + from + step; count++) {
        void *held = __real_tls_calloc(1, size -= step);
        uint32_t taken = tls_heap.live;
        unsigned before = told("memory");
        ek_assert(held);
        begin(unix_s);
        world_feed(flight, flight_len);
        bool stood = world.opened && !world.closed;
        ek_assert(!stood || (world.received > 0 && told("memory") == before));
        ek_assert(stood || (world.status == EK_ENOMEM && told("memory") == before + 1));
        ek_assert(stood || strstr(world.log, "tls: out of memory: no "));
        small += !stood;
        least = stood && !least ? tls_heap.size - taken : least;
        ek_assert(stood || tls_heap.size - taken < LEAST_MAX);
        world_close();
        ek_assert(tls_heap.live == taken);
        tls_free(held);
    }
    printf("%u sizes will not do; the least that does: %u\n", small, least);
    report("sweep", count);
}

// Random numbers that can be guessed: not a byte is sent, and the reason is told and counted.
static void weak(int64_t unix_s) {
    struct tls_stats stats;
    for (unsigned i = 1; i <= 3; i++) {
        world.weak = true;
        world.wrote = never;
        begin(unix_s);
        ek_assert(world.status == EK_EREFUSED && !world.opened);
        tls_get_stats(&stats);
        ek_assert(stats.refusals[TLS_ENTROPY] == i && strcmp(tls_why(), "entropy") == 0);
        ek_assert(i > 1 || strstr(world.log, "random numbers are weak"));
    }
    world.weak = false;
    world.wrote = NULL;
    begin(unix_s);
    world_feed(flight, flight_len);
    ek_assert(world.opened == 1 && strcmp(tls_why(), "") == 0);
    finish();
    report("weak", stats.refusals[TLS_ENTROPY]);
}

int main(int argc, char **argv) {
    char path[512];
    ek_assert(argc >= 4);
    world_load(argv[1]);
    int64_t unix_s = atoll(argv[2]);
    snprintf(path, sizeof path, "%s/flight", argv[1]);
    if (strcmp(argv[3], "live") == 0) {
        world.now_us = 1000000;
        world.boot_unix_s = unix_s;
        world.room = PLENTY;
        live(atoi(argv[4]));
        FILE *file = fopen(path, "wb");
        ek_assert(file && fwrite(flight, 1, flight_len, file) == flight_len);
        fclose(file);
        printf("%zu bytes, received %zu: %s\n", flight_len, world.received, world.log);
        return world.received == 0;
    }
    FILE *file = fopen(path, "rb");
    ek_assert(file);
    flight_len = fread(flight, 1, sizeof flight, file);
    fclose(file);
    unsigned a = argc > 5 ? (unsigned)atoi(argv[4]) : 0, b = argc > 5 ? (unsigned)atoi(argv[5]) : 1;
    if (strcmp(argv[3], "cut") == 0 || strcmp(argv[3], "stall") == 0) {
        cut(unix_s, argv[3][0] == 's', a, b);
    } else if (strcmp(argv[3], "flip") == 0) {
        flip(unix_s, a, b);
    } else if (strcmp(argv[3], "pieces") == 0) {
        pieces(unix_s, a, b);
    } else if (strcmp(argv[3], "room") == 0) {
        little_room(unix_s);
    } else if (strcmp(argv[3], "sweep") == 0) {
        sweep(unix_s, a, b);
    } else if (strcmp(argv[3], "weak") == 0) {
        weak(unix_s);
    } else {
        memory(unix_s);
    }
    return 0;
}
