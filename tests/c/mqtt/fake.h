// fake.h: the world of an MQTT client on the host: a stream, a clock, timers and random numbers
// that do only what the test says. Time is simulated.
#ifndef FAKE_H
#define FAKE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake {
    uint64_t now_us;
    size_t room;     // bytes that the stream takes before it is full
    uint32_t random; // what ek_random32() returns
    bool net_up;
    bool open; // the client has the stream open
    void (*wrote)(const uint8_t *data, size_t len);
    void (*opening)(const char *host, uint16_t port);
    void (*closing)(void);
};
extern struct fake fake;

void fake_reset(void);
void fake_opened(void);
void fake_received(const uint8_t *data, size_t len);
void fake_writable(void);
void fake_closed(int status);
// Timers due on the way run at their time, pollers after each.
void fake_advance(uint64_t us);
// Run the pollers until none has anything to do.
void fake_poll(void);
#endif
