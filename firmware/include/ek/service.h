// ek/service.h: what a service is built on: it waits for connections and answers them. What is
// said over a connection goes through ek/stream.h; time through ek/timer.h; everything runs from
// the event loop. A gateway file names a service's sources: [service] sources = ["hello.c"].
#ifndef EK_SERVICE_H
#define EK_SERVICE_H
#include "ek/stream.h"

// The service's own: called once at boot. The network may not be up yet; listening need not wait
// for it.
void ek_service_start(void);

// The owner provides the storage, sets `connected` and `arg`, and keeps it for ever.
struct ek_listener {
    // Someone has connected: take it, now, with ek_accept(). Who is not taken is turned away.
    void (*connected)(void *arg);
    void *arg;
    void *pcb; // net/'s: the connection that waits
    int fd;    // net/'s, on host only
    uint16_t port;
};

// Wait for connections to `port`, on every address. EK_OK; EK_EINVAL: the port is in use;
// EK_ENOMEM: more listeners than the gateway file's [service] listeners.
int ek_listen(struct ek_listener *listener, uint16_t port);

// Called in `connected`: hand the connection to `stream`, which is not in use. `events` begin with
// `opened`; `received`, `writable` and `closed` are as in ek/stream.h. EK_OK; EK_EAGAIN: nobody
// waits; EK_EINVAL: the stream is in use; EK_ENOMEM: more connections than the gateway file's
// [service] connections.
int ek_accept(struct ek_listener *listener, struct ek_stream *stream,
              const struct ek_stream_events *events, void *arg);
#endif
