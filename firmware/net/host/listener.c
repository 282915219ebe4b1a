// listener.c: ek/service.h over the sockets of the system. Linked only where the gateway has a
// service.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "ek/host.h"
#include "ek/loop.h"
#include "ek/service.h"
#include "stream_host.h"

enum { LISTENERS = 8 }; // the most that a gateway file can ask for
enum { BACKLOG = 16, NO_SOCKET = -1 };

static struct ek_listener *listeners[LISTENERS];
static unsigned count;
static struct ek_poller poller;
static int waiting = NO_SOCKET; // the connection that `connected` is about

static bool poll_listeners(void *arg) {
    (void)arg;
    bool busy = false;
    for (unsigned i = 0; i < count; i++) {
        waiting = accept4(listeners[i]->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (waiting < 0) {
            continue;
        }
        busy = true;
        listeners[i]->connected(listeners[i]->arg);
        if (waiting >= 0) {
            struct linger reset = {.l_onoff = 1};
            (void)setsockopt(waiting, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            (void)close(waiting);
        }
        waiting = NO_SOCKET;
    }
    return busy;
}

int ek_listen(struct ek_listener *listener, uint16_t port) {
    if (count == LISTENERS) {
        return EK_ENOMEM;
    }
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return EK_ENOMEM;
    }
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(port)}; // every address
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)(void *)&here, sizeof here) != 0 || listen(fd, BACKLOG) != 0) {
        (void)close(fd);
        return EK_EINVAL;
    }
    listener->fd = fd;
    listener->port = port;
    listeners[count++] = listener;
    ek_host_watch(fd, true, false);
    if (!poller.poll) {
        poller.poll = poll_listeners;
        ek_loop_add(&poller);
    }
    return EK_OK;
}

int ek_accept(struct ek_listener *listener, struct ek_stream *stream,
              const struct ek_stream_events *events, void *arg) {
    (void)listener;
    if (waiting < 0) {
        return EK_EAGAIN;
    }
    int status = stream_adopt(stream, waiting, events, arg);
    if (status == EK_OK) {
        waiting = NO_SOCKET;
    }
    return status;
}
