// stream.c: ek/stream.h over non-blocking sockets. IPv4, as in lwip/.
//
// Names are looked up by a thread of their own, since getaddrinfo() waits: it gets a copy of the
// name and answers through a pipe, with the generation of the slot that asked, so that an answer
// that comes late finds nobody.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/host.h"
#include "ek/loop.h"
#include "ek/stream.h"
#include "ek/timer.h"
#include "stream_host.h"

enum { SLOTS = 32, NAME_BYTES = 256, OUT_BYTES = 4096, IN_BYTES = 4096 };
enum { RESOLVE_US = 10000000, CONNECT_US = 10000000, WATCH_PERIOD_US = 100000 };
enum { NO_SOCKET = -1 };

enum state { FREE, RESOLVING, RESOLVED, CONNECTING, OPEN, ENDED };

static struct slot {
    struct ek_stream *stream;
    uint64_t deadline_us; // of RESOLVING and CONNECTING
    uint32_t generation;
    struct in_addr ip;
    int fd;
    int status; // when ENDED
    uint8_t state;
    bool tell_writable;
    size_t out_len;
    uint8_t out[OUT_BYTES];
} slots[SLOTS];

struct answer {
    uint32_t slot, generation;
    struct in_addr ip;
    int status;
};
struct question {
    struct answer answer;
    char name[NAME_BYTES];
};

static int answers[2]; // pipe
static struct ek_poller poller;
static struct ek_timer timer;

static void tick(void *arg) { (void)arg; } // waking up is all: the poller does the rest

static void wake(void) { ek_timer_start(&timer, 0, tick, NULL); }

static void end(struct slot *slot, int status) {
    slot->state = ENDED;
    slot->status = status;
    wake();
}

static int status_of(int error) {
    switch (error) {
    case ECONNREFUSED:
        return EK_EREFUSED;
    case ETIMEDOUT:
        return EK_ETIMEDOUT;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
        return EK_ENOMEM;
    default:
        return EK_EIO;
    }
}

static void *look_up(void *arg) {
    struct question *question = arg;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    question->answer.status = EK_ENOENT;
    if (getaddrinfo(question->name, NULL, &hints, &found) == 0) {
        question->answer.ip = ((struct sockaddr_in *)(void *)found->ai_addr)->sin_addr;
        question->answer.status = EK_OK;
        freeaddrinfo(found);
    }
    // Shorter than PIPE_BUF, thus written as one.
    ssize_t n = write(answers[1], &question->answer, sizeof question->answer);
    (void)n;
    free(question);
    return NULL;
}

static void resolve(struct slot *slot, const char *host) {
    slot->state = RESOLVING;
    slot->deadline_us = ek_clock_us() + RESOLVE_US;
    if (inet_pton(AF_INET, host, &slot->ip) == 1) {
        slot->state = RESOLVED;
        return;
    }
    struct question *question = calloc(1, sizeof *question);
    pthread_t thread;
    if (!question || strlen(host) >= NAME_BYTES) {
        free(question);
        end(slot, EK_ENOENT);
        return;
    }
    question->answer.slot = (uint32_t)(slot - slots);
    question->answer.generation = slot->generation;
    memcpy(question->name, host, strlen(host));
    if (pthread_create(&thread, NULL, look_up, question) != 0) {
        free(question);
        end(slot, EK_ENOMEM);
        return;
    }
    (void)pthread_detach(thread);
}

static void take_answers(void) {
    struct answer answer;
    while (read(answers[0], &answer, sizeof answer) == sizeof answer) {
        struct slot *slot = &slots[answer.slot];
        if (slot->state != RESOLVING || slot->generation != answer.generation) {
            continue;
        }
        if (answer.status == EK_OK) {
            slot->ip = answer.ip;
            slot->state = RESOLVED;
        } else {
            end(slot, answer.status);
        }
    }
}

static void connect_slot(struct slot *slot) {
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(slot->stream->port), .sin_addr = slot->ip};
    int on = 1;
    slot->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot->fd < 0) {
        slot->fd = NO_SOCKET;
        end(slot, status_of(errno));
        return;
    }
    (void)setsockopt(slot->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(slot->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    slot->state = CONNECTING;
    slot->deadline_us = ek_clock_us() + CONNECT_US;
    if (connect(slot->fd, (struct sockaddr *)(void *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        end(slot, status_of(errno));
        return;
    }
    ek_host_watch(slot->fd, false, true);
}

// How the handshake stands.
static void check_connect(struct slot *slot) {
    struct pollfd ready = {.fd = slot->fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1) {
        return;
    }
    int error = 0;
    socklen_t len = sizeof error;
    (void)getsockopt(slot->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error != 0) {
        end(slot, status_of(error));
        return;
    }
    slot->state = OPEN;
    ek_host_watch(slot->fd, true, false);
    slot->stream->events->opened(slot->stream->arg);
}

static bool receive(struct slot *slot) {
    uint8_t data[IN_BYTES];
    bool pull = slot->stream->events->readable != NULL;
    ssize_t n = recv(slot->fd, data, pull ? 1 : sizeof data, pull ? MSG_PEEK : 0);
    if (n > 0 && pull) {
        slot->stream->events->readable(slot->stream->arg);
    } else if (n > 0) {
        net_stats.frames_in++;
        slot->stream->events->received(slot->stream->arg, data, (size_t)n);
    } else if (n == 0) {
        end(slot, EK_ECLOSED);
    } else if (errno != EAGAIN && errno != EINTR) {
        end(slot, status_of(errno));
    }
    return n > 0;
}

static void flush(struct slot *slot) {
    if (slot->out_len == 0) {
        return;
    }
    ssize_t n = send(slot->fd, slot->out, slot->out_len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return; // receive() finds out why
    }
    if (n > 0) {
        net_stats.frames_out++;
        memmove(slot->out, slot->out + n, slot->out_len - (size_t)n);
        slot->out_len -= (size_t)n;
        slot->tell_writable = true;
    }
    ek_host_watch(slot->fd, true, slot->out_len > 0);
}

static void drop(struct slot *slot) {
    if (slot->fd != NO_SOCKET) {
        ek_host_watch(slot->fd, false, false);
        (void)close(slot->fd); // the system sends what is left
    }
    slot->fd = NO_SOCKET;
    slot->state = FREE;
    slot->stream->state = FREE;
    slot->stream->pcb = NULL;
    slot->stream = NULL;
    slot->generation++;
}

// Everything that can go on with one stream. Its owner may close it in any event.
static bool advance(struct slot *slot) {
    uint32_t generation = slot->generation;
    bool busy = false;
    if (slot->state == RESOLVED) {
        connect_slot(slot);
    }
    if (slot->state == CONNECTING) {
        check_connect(slot);
    }
    if (slot->generation == generation && slot->state == OPEN) {
        flush(slot);
        busy = receive(slot);
    }
    if (slot->generation == generation && slot->state == OPEN && slot->tell_writable) {
        slot->tell_writable = false;
        if (slot->stream->events->writable) {
            slot->stream->events->writable(slot->stream->arg);
        }
    }
    bool opening = slot->state == RESOLVING || slot->state == CONNECTING;
    if (opening && ek_clock_us() >= slot->deadline_us) {
        end(slot, EK_ETIMEDOUT);
    }
    if (slot->generation == generation && slot->state == ENDED) {
        struct ek_stream *stream = slot->stream;
        int status = slot->status;
        drop(slot);
        stream->events->closed(stream->arg, status);
    }
    return busy;
}

static bool poll_streams(void *arg) {
    (void)arg;
    bool busy = false, opening = false;
    take_answers();
    for (struct slot *slot = slots; slot < slots + SLOTS; slot++) {
        busy |= slot->state != FREE && advance(slot);
        opening |= slot->state == RESOLVING || slot->state == CONNECTING;
    }
    if (opening && !timer.armed) {
        ek_timer_start(&timer, WATCH_PERIOD_US, tick, NULL); // for the time limits
    }
    return busy;
}

void stream_init(void) {
    int made = pipe2(answers, O_NONBLOCK | O_CLOEXEC);
    ek_assert(made == 0);
    ek_host_watch(answers[0], true, false);
    poller.poll = poll_streams;
    ek_loop_add(&poller);
}

int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg) {
    if (stream->state != FREE) {
        return EK_EINVAL;
    }
    struct slot *slot = slots;
    while (slot < slots + SLOTS && slot->state != FREE) {
        slot++;
    }
    ek_assert(slot < slots + SLOTS);
    stream->events = events;
    stream->arg = arg;
    stream->pcb = slot;
    stream->port = port;
    stream->state = OPEN;
    slot->stream = stream;
    slot->fd = NO_SOCKET;
    slot->out_len = 0;
    slot->tell_writable = false;
    resolve(slot, host);
    wake();
    return EK_OK;
}

size_t ek_stream_room(const struct ek_stream *stream) {
    const struct slot *slot = stream->pcb;
    return slot && slot->state == OPEN ? OUT_BYTES - slot->out_len : 0;
}

int ek_stream_write(struct ek_stream *stream, const void *data, size_t len) {
    struct slot *slot = stream->pcb;
    if (!slot || slot->state != OPEN) {
        return EK_ECLOSED;
    }
    size_t room = OUT_BYTES - slot->out_len;
    size_t taken = len < room ? len : room;
    if (taken > 0) {
        memcpy(slot->out + slot->out_len, data, taken);
        slot->out_len += taken;
    }
    wake();
    return (int)taken;
}

void ek_stream_close(struct ek_stream *stream) {
    struct slot *slot = stream->pcb;
    if (!slot) {
        return;
    }
    if (slot->state == OPEN && slot->out_len > 0) {
        ssize_t n = send(slot->fd, slot->out, slot->out_len, MSG_NOSIGNAL); // as much as fits
        (void)n;
    }
    drop(slot);
}

int ek_stream_read(struct ek_stream *stream, void *data, size_t len) {
    struct slot *slot = stream->pcb;
    if (!slot || slot->state != OPEN) {
        return slot ? 0 : EK_ECLOSED;
    }
    ssize_t n = recv(slot->fd, data, len, 0);
    net_stats.frames_in += n > 0;
    return n > 0 ? (int)n : 0; // receive() finds out the rest
}

int stream_adopt(struct ek_stream *stream, int fd, const struct ek_stream_events *events,
                 void *arg) {
    struct slot *slot = slots;
    while (slot < slots + SLOTS && slot->state != FREE) {
        slot++;
    }
    if (stream->state != FREE || slot == slots + SLOTS) {
        return stream->state != FREE ? EK_EINVAL : EK_ENOMEM;
    }
    *stream = (struct ek_stream){.events = events, .arg = arg, .pcb = slot, .state = OPEN};
    slot->stream = stream;
    slot->fd = fd;
    slot->out_len = 0;
    slot->tell_writable = false;
    slot->state = CONNECTING; // has been; check_connect() says so
    slot->deadline_us = ek_clock_us() + CONNECT_US;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ek_host_watch(fd, false, true);
    wake();
    return EK_OK;
}
