// world.h: all that firmware/tls stands on, simulated: stream, clock, timers, random numbers (the
// same row for each connection, so that what a server once said can be said again), certificates.
#ifndef WORLD_H
#define WORLD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { WORLD_HANDSHAKE_S = 20 }; // longer than any handshake may take

struct world {
    // The test sets these.
    uint64_t now_us;
    int64_t boot_unix_s; // 0: the time of day is unknown
    size_t room;         // bytes that the stream takes before it is full
    bool weak;           // random numbers
    void (*wrote)(const uint8_t *data, size_t len);
    // What the user of the TLS stream saw.
    unsigned opened, closed;
    int status;         // of the last `closed`, or of the call that opened
    size_t received;    // bytes
    char log[160];      // the last line
    unsigned log_lines; // of this connection
};
extern struct world world;

// Certificates and key: DER files ca, cert, key in `folder`; key and cert may be missing.
void world_load(const char *folder);
// Begins a connection, in a fresh world, and has the stream below opened.
void world_open(void);
// Bytes from the server.
void world_feed(const uint8_t *data, size_t len);
// The stream below ends; what was fed before is still read.
void world_end(int status);
void world_advance(uint64_t us);
void world_room(size_t more);
// The user writes.
int world_write(const void *data, size_t len);
// The user closes, if it is still open; nothing may be left behind. Aborts if there is.
void world_close(void);
#endif
