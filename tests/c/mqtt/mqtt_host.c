// mqtt_host.c: the MQTT client over the system's sockets and clock, driven over stdin; see
// commands.h. Besides: "cut" drops the connection without a word. One stream, one timer at a time.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "commands.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/loop.h"
#include "ek/net.h"
#include "ek/random.h"
#include "ek/stream.h"
#include "ek/timer.h"

enum { CLOSED, OPENING, OPEN };
static struct ek_stream *stream;
static struct ek_timer *timers;
static struct ek_poller *pollers;
static bool want_writable;

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    abort();
}

uint64_t ek_clock_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
uint32_t ek_random32(void) { return (uint32_t)random() & 0xff; } // short back-offs
bool ek_net_up(void) { return true; }
void ek_loop_add(struct ek_poller *poller) {
    poller->next = pollers;
    pollers = poller;
}

void ek_timer_stop(struct ek_timer *timer) {
    for (struct ek_timer **at = &timers; *at != NULL; at = &(*at)->next) {
        if (*at == timer) {
            *at = timer->next;
            return;
        }
    }
}
void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *), void *arg) {
    ek_timer_stop(timer);
    *timer = (struct ek_timer){.next = timers, .due_us = due_us, .fn = fn, .arg = arg};
    timers = timer;
}

int ek_stream_open(struct ek_stream *opened, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &to.sin_addr);
    stream = opened;
    *stream = (struct ek_stream){.events = events, .arg = arg, .state = OPENING};
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    (void)connect(stream->fd, (struct sockaddr *)&to, sizeof to);
    return EK_OK;
}

int ek_stream_write(struct ek_stream *to, const void *data, size_t len) {
    if (to->state != OPEN) {
        return EK_ECLOSED;
    }
    ssize_t taken = send(to->fd, data, len, MSG_NOSIGNAL);
    want_writable |= taken < (ssize_t)len;
    return taken < 0 ? 0 : (int)taken;
}

size_t ek_stream_room(const struct ek_stream *of) { return of->state == OPEN ? 64 : 0; }

void ek_stream_close(struct ek_stream *closed) {
    if (closed->state != CLOSED) {
        close(closed->fd);
        closed->state = CLOSED;
    }
}

static void end(int status) {
    ek_stream_close(stream);
    stream->events->closed(stream->arg, status);
}

static void run_stream(short events) {
    static uint8_t bytes[4096];
    if (stream->state == OPENING && events & (POLLOUT | POLLERR | POLLHUP)) {
        int error = 0;
        socklen_t len = sizeof error;
        getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            end(error == ECONNREFUSED ? EK_EREFUSED : EK_EIO);
            return;
        }
        stream->state = OPEN;
        stream->events->opened(stream->arg);
        return;
    }
    if (events & POLLOUT) {
        want_writable = false;
        stream->events->writable(stream->arg);
    }
    if (stream->state == OPEN && events & (POLLIN | POLLERR | POLLHUP)) {
        ssize_t len = recv(stream->fd, bytes, sizeof bytes, 0);
        if (len > 0) {
            stream->events->received(stream->arg, bytes, (size_t)len);
        } else if (len == 0) {
            end(EK_ECLOSED);
        } else if (errno != EAGAIN) {
            end(EK_EIO);
        }
    }
}

// False at the end of stdin.
static bool run_stdin(void) {
    static char text[150000];
    static size_t have;
    ssize_t len = read(0, text + have, sizeof text - 1 - have);
    if (len <= 0) {
        return false;
    }
    have += (size_t)len;
    for (char *newline; (newline = memchr(text, '\n', have)) != NULL;) {
        *newline = '\0';
        size_t used = (size_t)(newline + 1 - text);
        if (!strcmp(text, "cut")) {
            if (stream != NULL && stream->state != CLOSED) {
                end(EK_EIO);
            }
        } else if (!run_command(text)) {
            exit(2);
        }
        have -= used;
        memmove(text, newline + 1, have);
    }
    return true;
}

static void run_due(void) {
    for (struct ek_timer *timer = timers; timer != NULL; timer = timer->next) {
        if (timer->due_us <= ek_clock_us()) {
            ek_timer_stop(timer);
            timer->fn(timer->arg);
            break;
        }
    }
    for (bool worked = true; worked;) {
        worked = false;
        for (struct ek_poller *poller = pollers; poller != NULL; poller = poller->next) {
            worked |= poller->poll(poller->arg);
        }
    }
}

static int wait_ms(void) {
    uint64_t now_us = ek_clock_us(), wait_us = 1000000;
    for (struct ek_timer *timer = timers; timer != NULL; timer = timer->next) {
        uint64_t left_us = timer->due_us > now_us ? timer->due_us - now_us : 0;
        wait_us = left_us < wait_us ? left_us : wait_us;
    }
    return (int)((wait_us + 999) / 1000);
}

int main(void) {
    srandom((unsigned)getpid());
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (;;) {
        run_due();
        struct pollfd fds[2] = {{.fd = 0, .events = POLLIN}, {.fd = -1}};
        if (stream != NULL && stream->state != CLOSED) {
            fds[1].fd = stream->fd;
            fds[1].events = stream->state == OPENING
                                ? POLLOUT
                                : (short)(POLLIN | (want_writable ? POLLOUT : 0));
        }
        poll(fds, 2, wait_ms());
        if (fds[0].revents != 0 && !run_stdin()) {
            return 0;
        }
        if (fds[1].revents != 0 && stream->state != CLOSED && stream->fd == fds[1].fd) {
            run_stream(fds[1].revents);
        }
    }
}

const struct ek_stream_ops ek_transport = {.open = ek_stream_open,
                                           .write = ek_stream_write,
                                           .room = ek_stream_room,
                                           .close = ek_stream_close};
