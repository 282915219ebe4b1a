// hello.c: a web service: every path is greeted. Several connections at a time, kept alive between
// requests; every wait for a peer ends.
#include <string.h>
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/service.h"
#include "ek/timer.h"
#include "http.h"

enum { CONNECTIONS = 8 };      // as in gateway.toml
enum { REQUEST_BYTES = 1024 }; // the longest head that is answered
enum { ANSWER_BYTES = REQUEST_BYTES + 256 };
enum { REQUEST_US = 10000000 }; // from one answer to the end of the next head
enum { LINGER_US = 1000000 };   // after an error, for the peer to read it (RFC 9112, 9.6)

static struct connection {
    struct ek_stream stream;
    struct ek_timer timer;
    uint64_t since_us; // of the last answer, or of the connection
    size_t in_len, out_len, out_sent;
    bool used;
    bool last;      // end once the answer is written
    bool lingering; // an error has been answered: what still comes is not read
    char in[REQUEST_BYTES];
    char out[ANSWER_BYTES];
} connections[CONNECTIONS];

static struct ek_listener listener;

static void end(void *arg) {
    struct connection *c = arg;
    ek_timer_stop(&c->timer);
    ek_stream_close(&c->stream);
    c->used = false;
}

static void wait_for_request(struct connection *c) {
    c->since_us = ek_clock_us();
    ek_timer_start(&c->timer, REQUEST_US, end, c);
}

static void flush(struct connection *c) {
    int taken = ek_stream_write(&c->stream, c->out + c->out_sent, c->out_len - c->out_sent);
    c->out_sent += taken > 0 ? (size_t)taken : 0;
    if (c->out_sent < c->out_len) {
        return; // `writable` follows
    }
    c->out_len = c->out_sent = 0;
    if (c->lingering) {
        ek_timer_start(&c->timer, LINGER_US, end, c);
    } else if (c->last) {
        end(c);
    } else {
        wait_for_request(c);
    }
}

static size_t put_head(struct connection *c, enum http_status status, size_t content) {
    const char *allow = status == HTTP_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "";
    const char *close = c->last || c->lingering ? "Connection: close\r\n" : "";
    return (size_t)ek_format(c->out, sizeof c->out,
                             "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                             "Content-Length: %u\r\n%s%s\r\n",
                             (int)status, http_reason(status), (unsigned)content, allow, close);
}

static void put(struct connection *c, const char *data, size_t len) {
    memcpy(c->out + c->out_len, data, len);
    c->out_len += len;
}

static void refuse(struct connection *c, enum http_status status) {
    const char *reason = http_reason(status);
    c->lingering = true;
    c->out_len = put_head(c, status, strlen(reason) + 1);
    put(c, reason, strlen(reason));
    put(c, "\n", 1);
    c->in_len = 0;
    flush(c);
}

// The head and the greeting fit: the path is shorter than a request, the rest than 256 bytes.
static void greet(struct connection *c, const struct http_request *request) {
    static const char greeting[] = "Hello from Unikernel! Path: ";
    c->last = !request->keep_alive;
    c->out_len = put_head(c, HTTP_OK, sizeof greeting - 1 + request->path_len);
    if (!request->head) {
        put(c, greeting, sizeof greeting - 1);
        put(c, request->path, request->path_len);
    }
}

// Answer what is complete, one request after the other.
static void serve(struct connection *c) {
    while (c->used && !c->lingering && c->out_len == 0 && c->in_len > 0) {
        struct http_request request;
        int len = http_parse(c->in, c->in_len, &request);
        if (len < 0) {
            refuse(c, (enum http_status) - len);
        } else if (len > 0) {
            greet(c, &request);
            c->in_len -= (size_t)len;
            memmove(c->in, c->in + len, c->in_len);
            flush(c);
        } else if (c->in_len == sizeof c->in) {
            bool in_line = !memchr(c->in, '\n', c->in_len);
            refuse(c, in_line ? HTTP_URI_TOO_LONG : HTTP_HEAD_TOO_LARGE);
        } else {
            return;
        }
    }
}

static void opened(void *arg) { (void)arg; }

static void received(void *arg, const uint8_t *data, size_t len) {
    struct connection *c = arg;
    while (len > 0 && c->used && !c->lingering) {
        size_t room = sizeof c->in - c->in_len, part = len < room ? len : room;
        if (part == 0) {
            end(c); // requests come faster than their answers are read
            return;
        }
        memcpy(c->in + c->in_len, data, part);
        c->in_len += part;
        data += part;
        len -= part;
        serve(c);
    }
}

static void writable(void *arg) {
    struct connection *c = arg;
    if (c->out_len > 0) {
        flush(c);
        serve(c);
    }
}

static void closed(void *arg, int status) {
    struct connection *c = arg;
    (void)status;
    ek_timer_stop(&c->timer);
    c->used = false;
}

static const struct ek_stream_events events = {
    .opened = opened, .received = received, .writable = writable, .closed = closed};

// A connection that nobody uses; if need be, the one that has waited longest for a request.
static struct connection *find_free(void) {
    struct connection *idle = NULL;
    for (struct connection *c = connections; c < connections + CONNECTIONS; c++) {
        if (!c->used) {
            return c;
        }
        bool waits = c->in_len == 0 && c->out_len == 0;
        if (waits && (!idle || c->since_us < idle->since_us)) {
            idle = c;
        }
    }
    if (idle) {
        end(idle);
    }
    return idle;
}

static void connected(void *arg) {
    (void)arg;
    struct connection *c = find_free();
    if (!c || ek_accept(&listener, &c->stream, &events, c) != EK_OK) {
        return; // turned away
    }
    c->in_len = c->out_len = c->out_sent = 0;
    c->last = c->lingering = false;
    c->used = true;
    wait_for_request(c);
}

void ek_service_start(void) {
    uint16_t port = (uint16_t)ek_device_config_u32("service.port", 8080);
    listener.connected = connected;
    int status = ek_listen(&listener, port);
    ek_log("http: port %u: %s", port, status == EK_OK ? "listening" : ek_status_name(status));
}
