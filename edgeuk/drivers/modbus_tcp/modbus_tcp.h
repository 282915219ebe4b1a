// modbus_tcp.h: tables that host.py generates, and what the client remembers between polls.
#ifndef MODBUS_TCP_H
#define MODBUS_TCP_H
#include <stdbool.h>
#include <stdint.h>
#include "ek/sensor.h"
#include "ek/stream.h"
#include "ek/timer.h"

// MODBUS Application Protocol V1.1b3, 4.1; Messaging on TCP/IP V1.0b, 3.1.3: an ADU is a header of
// 7 bytes and a PDU of at most 253.
enum { MODBUS_TCP_ADU_MAX = 260 };

enum modbus_tcp_type {
    MODBUS_TCP_BOOL,
    MODBUS_TCP_U16,
    MODBUS_TCP_I16,
    MODBUS_TCP_U32,
    MODBUS_TCP_I32,
    MODBUS_TCP_U64,
    MODBUS_TCP_I64,
    MODBUS_TCP_FLOAT32,
    MODBUS_TCP_FLOAT64,
};
enum { MODBUS_TCP_WORDS_SWAPPED = 1u << 0, MODBUS_TCP_BYTES_SWAPPED = 1u << 1 };

// One value in a request. counts = raw * num / den, rounded half away from zero.
struct modbus_tcp_point {
    int32_t num;     // not INT32_MIN
    uint32_t den;    // not 0
    uint16_t offset; // from the request's first register or bit
    uint8_t type;    // enum modbus_tcp_type
    uint8_t order;   // MODBUS_TCP_*_SWAPPED
};

struct modbus_tcp;

// One connection. Zero at boot.
struct modbus_tcp_connection {
    struct ek_stream stream;
    struct ek_timer timer;                 // of the request under way
    const struct modbus_tcp *first, *last; // requests waiting; the first may be under way
    uint64_t closed_until_us;              // no new attempt before
    uint32_t back_off_ms;                  // of the next failure; 0: none yet
    uint32_t failures;         // requests since the last good answer, all for want of a connection
    uint16_t transaction;      // of the last request that was sent
    uint16_t received;         // bytes in adu
    uint8_t silent;            // answers that did not come, in a row
    int8_t status;             // why there is no connection
    bool opening, open, asked; // asked: the first request waits for its answer
    uint8_t adu[MODBUS_TCP_ADU_MAX];
    char host[64]; // of the device configuration's "host:port"
};

struct modbus_tcp_server {
    const char *name; // "main"
    const char *key;  // "server.main", in the device configuration
    struct modbus_tcp_connection *connection;
};

// One request. Zero at boot.
struct modbus_tcp_state {
    const struct modbus_tcp *next;
    uint32_t failures; // in a row
    bool waiting;      // in its connection's queue
    uint8_t attempts;
};

struct modbus_tcp {
    const struct modbus_tcp_server *server;
    struct modbus_tcp_state *state;
    const struct modbus_tcp_point *points;
    uint32_t timeout_ms; // of one attempt, from when it is sent
    uint16_t channel;    // of the first point; the others follow
    uint16_t point_count;
    uint16_t first; // register or bit address
    uint16_t count; // registers (1 to 125) or bits (1 to 2000)
    uint8_t unit;
    uint8_t function; // 1 coils, 2 discrete inputs, 3 holding registers, 4 input registers
    uint8_t retries;  // attempts after the first
};

extern const struct ek_sensor_ops modbus_tcp_ops;

// convert.c: the value of `point` in the data of an answer, `len` bytes (the caller has made sure
// that it lies inside). EK_OK, or EK_ERANGE: not a number, infinite, or over 64 bits.
int modbus_tcp_convert(const struct modbus_tcp_point *point, const uint8_t *data, int64_t *value);
// The same in parts: the sign, and value = +-mantissa * 2^exponent * num / den, rounded.
int modbus_tcp_scale(bool negative, uint64_t mantissa, int exponent, int32_t num, uint32_t den,
                     int64_t *value);
#endif
