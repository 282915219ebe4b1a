// modbus_tcp.c: a Modbus TCP client that reads: function codes 1 to 4.
// MODBUS Messaging on TCP/IP Implementation Guide V1.0b ("guide"), MODBUS Application Protocol
// V1.1b3 ("protocol"). Left out: writing, several requests under way on one connection.
//
// A connection is opened by the first poll that needs it and kept. A failure that ends it is told
// to every request that waits, and the next attempt is put off, longer each time. The console hears
// of the first failure and of the recovery.
#include "modbus_tcp.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/random.h"

enum { PORT = 502 }; // guide, 4.2.1
enum { BACK_OFF_FIRST_MS = 250, BACK_OFF_MOST_MS = 10000 };
enum { SILENT_MOST = 3 }; // requests without an answer in a row: the connection is taken for dead
enum { HEADER = 7 };      // transaction, protocol, length, unit (guide, 3.1.3)
enum { REQUEST = HEADER + 5 };
enum { EXCEPTION = 1u << 7 }; // of the function code in an answer (protocol, 7)

static struct modbus_tcp_connection *connection_of(const struct modbus_tcp *request) {
    return request->server->connection;
}

static unsigned big16(const uint8_t *p) { return (unsigned)p[0] << 8 | p[1]; }

static void put16(uint8_t *p, unsigned value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

// "10.0.0.5:502" or "meter.local" into host and port. EK_EINVAL, EK_ENOENT.
static int find_server(const struct modbus_tcp_server *server, uint16_t *port) {
    struct modbus_tcp_connection *c = server->connection;
    const char *text = ek_device_config(server->key, "");
    size_t len = 0;
    for (; text[len] != '\0' && text[len] != ':'; len++) {
        if (len + 1 >= sizeof c->host) {
            return EK_EINVAL;
        }
        c->host[len] = text[len];
    }
    c->host[len] = '\0';
    unsigned number = text[len] == ':' ? 0 : PORT;
    for (const char *p = text + len + (text[len] == ':'); *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || number > 6553) {
            return EK_EINVAL;
        }
        number = number * 10 + (unsigned)(*p - '0');
    }
    *port = (uint16_t)number;
    return len == 0 ? EK_ENOENT : number == 0 || number > 65535 ? EK_EINVAL : EK_OK;
}

static const char *exception_name(unsigned code) { // protocol, 7
    static const char *const names[] = {
        "unknown",        "illegal function", "illegal data address", "illegal data value",
        "device failure", "acknowledge",      "device busy",          "negative acknowledge",
        "memory parity",  "unknown",          "no gateway path",      "gateway target silent",
    };
    return names[code < sizeof names / sizeof *names ? code : 0];
}

// Take the first request off its queue.
static void dequeue(struct modbus_tcp_connection *c) {
    const struct modbus_tcp *request = c->first;
    c->first = request->state->next;
    c->asked = false;
    request->state->next = NULL;
    request->state->waiting = false;
    ek_timer_stop(&c->timer);
}

// The first request ends without values. `exception`: its code, or 0.
static void fail(struct modbus_tcp_connection *c, int status, unsigned exception) {
    const struct modbus_tcp *request = c->first;
    dequeue(c);
    if (c->failures == 0 && request->state->failures++ == 0) {
        ek_log("modbus: %s/%u function %u address %u: %s%s", request->server->name, request->unit,
               request->function, request->first, exception ? "exception " : "",
               exception ? exception_name(exception) : ek_status_name(status));
    }
    for (uint16_t i = 0; i < request->point_count; i++) {
        ek_sensor_report((uint16_t)(request->channel + i), 0, 0, status);
    }
}

// The server has spoken to the request: whatever was wrong with the connection is over.
static void server_is_back(struct modbus_tcp_connection *c) {
    if (c->failures != 0) {
        ek_log("modbus: %s: answers again after %u failures", c->first->server->name,
               (unsigned)c->failures);
    }
    c->failures = 0;
    c->back_off_ms = 0;
    c->silent = 0;
}

static void succeed(struct modbus_tcp_connection *c, const uint8_t *data) {
    const struct modbus_tcp *request = c->first;
    dequeue(c);
    if (request->state->failures != 0) {
        ek_log("modbus: %s/%u function %u address %u: answers again after %u failures",
               request->server->name, request->unit, request->function, request->first,
               (unsigned)request->state->failures);
    }
    request->state->failures = 0;
    for (uint16_t i = 0; i < request->point_count; i++) {
        int64_t value = 0;
        int status = modbus_tcp_convert(&request->points[i], data, &value);
        ek_sensor_report((uint16_t)(request->channel + i), value, 0, status);
    }
}

// There is no connection: all that wait hear of it, and nobody tries before the back-off ends.
static void give_up(struct modbus_tcp_connection *c, int status) {
    if (c->failures == 0) {
        ek_log("modbus: %s: no connection (%s)", c->first ? c->first->server->name : "?",
               ek_status_name(status));
    }
    c->open = c->opening = false;
    c->status = (int8_t)status;
    c->back_off_ms = c->back_off_ms == 0 ? BACK_OFF_FIRST_MS : 2 * c->back_off_ms;
    c->back_off_ms = c->back_off_ms < BACK_OFF_MOST_MS ? c->back_off_ms : BACK_OFF_MOST_MS;
    // A quarter of it is random, so that many devices do not come back at once.
    uint32_t wait_ms = c->back_off_ms - ek_random32() % (c->back_off_ms / 4);
    c->closed_until_us = ek_clock_us() + (uint64_t)wait_ms * 1000;
    while (c->first) {
        c->failures++;
        fail(c, status, 0);
    }
}

static void ask(struct modbus_tcp_connection *c);

static void disconnect(struct modbus_tcp_connection *c) {
    ek_stream_close(&c->stream);
    c->open = c->opening = false;
    c->received = 0;
    c->asked = false;
    ek_timer_stop(&c->timer);
}

// The connection is lost, or of no more use. Its request may have attempts left.
static void lose(struct modbus_tcp_connection *c, int status) {
    bool was_asked = c->asked;
    disconnect(c);
    if (!c->first) {
        return; // servers end idle connections; the next poll opens another
    }
    if (was_asked && c->first->state->attempts <= c->first->retries) {
        ask(c);
    } else {
        give_up(c, status);
    }
}

static void timed_out(void *arg) {
    struct modbus_tcp_connection *c = arg;
    c->asked = false;
    if (++c->silent >= SILENT_MOST) {
        c->silent = 0;
        c->asked = true;
        lose(c, EK_ETIMEDOUT);
        return;
    }
    if (c->first->state->attempts > c->first->retries) {
        fail(c, EK_ETIMEDOUT, 0);
    }
    ask(c);
}

// What the data of an answer must count, in bytes.
static unsigned data_len(const struct modbus_tcp *request) {
    return request->function <= 2 ? (request->count + 7u) / 8 : request->count * 2u;
}

// A whole ADU of `len` bytes lies in c->adu.
static void answered(struct modbus_tcp_connection *c, unsigned len) {
    const uint8_t *pdu = c->adu + HEADER;
    const struct modbus_tcp *request = c->first;
    if (!c->asked || big16(c->adu) != c->transaction || c->adu[6] != request->unit) {
        return; // late, or nobody asked: the right one may still come (guide, 4.4.1.3)
    }
    server_is_back(c);
    if (pdu[0] == (request->function | EXCEPTION) && len == HEADER + 2) {
        fail(c, EK_EREFUSED, pdu[1]);
    } else if (pdu[0] == request->function && pdu[1] == data_len(request) &&
               len == HEADER + 2 + data_len(request)) {
        succeed(c, pdu + 2);
    } else {
        fail(c, EK_EPROTO, 0);
    }
    ask(c);
}

static void on_opened(void *arg) {
    struct modbus_tcp_connection *c = arg;
    c->opening = false;
    c->open = true;
    c->received = 0;
    c->silent = 0;
    ask(c);
}

static void on_received(void *arg, const uint8_t *data, size_t len) {
    struct modbus_tcp_connection *c = arg;
    for (size_t i = 0; i < len && c->open; i++) {
        c->adu[c->received++] = data[i];
        if (c->received < HEADER) {
            continue;
        }
        // Protocol 0; the length counts unit and PDU, the least of which is an exception's
        // (guide, 3.1.3). Else there is no telling where the next answer begins.
        unsigned rest = big16(c->adu + 4);
        if (big16(c->adu + 2) != 0 || rest < 3 || rest > MODBUS_TCP_ADU_MAX - 6) {
            lose(c, EK_EPROTO);
            return;
        }
        if (c->received == 6 + rest) {
            c->received = 0;
            answered(c, 6 + rest);
        }
    }
}

static void on_closed(void *arg, int status) {
    struct modbus_tcp_connection *c = arg;
    lose(c, status);
}

static const struct ek_stream_events events = {
    .opened = on_opened, .received = on_received, .closed = on_closed};

static void open(struct modbus_tcp_connection *c) {
    uint16_t port = 0;
    int status = find_server(c->first->server, &port);
    if (status == EK_OK) {
        status = ek_stream_open(&c->stream, c->host, port, &events, c);
    }
    if (status != EK_OK) {
        give_up(c, status);
        return;
    }
    c->opening = true;
}

static void send(struct modbus_tcp_connection *c) {
    const struct modbus_tcp *request = c->first;
    uint8_t adu[REQUEST];
    c->transaction++;
    put16(adu, c->transaction);
    put16(adu + 2, 0);
    put16(adu + 4, REQUEST - 6);
    adu[6] = request->unit;
    adu[7] = request->function;
    put16(adu + 8, request->first);
    put16(adu + 10, request->count);
    c->asked = true;
    request->state->attempts++;
    int written = ek_stream_write(&c->stream, adu, sizeof adu);
    if (written != REQUEST) {
        lose(c, written < 0 ? written : EK_ENOMEM); // half a request cannot be taken back
        return;
    }
    ek_timer_start(&c->timer, (uint64_t)request->timeout_ms * 1000, timed_out, c);
}

// Go on with the first request, if it waits for anything that can be done now.
static void ask(struct modbus_tcp_connection *c) {
    if (!c->first || c->asked || c->opening) {
        return;
    }
    if (c->open) {
        send(c);
    } else {
        open(c);
    }
}

static void poll(const void *dev) {
    const struct modbus_tcp *request = dev;
    struct modbus_tcp_connection *c = connection_of(request);
    ek_assert(request->function >= 1);
    ek_assert(request->function <= 4);
    if (request->state->waiting) {
        return; // overrun: the last poll is still to be answered
    }
    request->state->waiting = true;
    request->state->attempts = 0;
    if (c->first) {
        c->last->state->next = request;
    } else {
        c->first = request;
    }
    c->last = request;
    if (!c->open && !c->opening && ek_clock_us() < c->closed_until_us) {
        c->failures++;
        fail(c, c->status, 0);
        return;
    }
    ask(c);
}

const struct ek_sensor_ops modbus_tcp_ops = {.poll = poll};
