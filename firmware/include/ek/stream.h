// ek/stream.h: a byte stream to a host and port: TCP, TLS over it, sockets on `host`.
// Events come from the event loop, never from inside a call made here.
#ifndef EK_STREAM_H
#define EK_STREAM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

struct ek_stream_events {
    // The connection stands.
    void (*opened)(void *arg);
    // `len` bytes came. All are taken: who cannot use them closes the stream.
    void (*received)(void *arg, const uint8_t *data, size_t len);
    // Instead of `received`: bytes wait for ek_stream_read(), and the peer is held back by them.
    // Only net/ knows this event, and only in images with TLS. The end is told after the last byte
    // is read.
    void (*readable)(void *arg);
    // There is room again after a short write, or what was written has been acknowledged.
    // May be NULL.
    void (*writable)(void *arg);
    // It is over: EK_ENOENT (name not found), EK_EREFUSED, EK_ETIMEDOUT, EK_ECLOSED (by the
    // peer), EK_EIO (reset, or the network went away), EK_ENOMEM. Not called after
    // ek_stream_close().
    void (*closed)(void *arg, int status);
};

// The owner provides the storage; every field belongs to net/. Zero before first use.
struct ek_stream {
    const struct ek_stream_events *events;
    void *arg;
    void *pcb; // lwIP's control block
    int fd;    // host only
    uint32_t generation;
    uint16_t port;
    uint8_t state;
};

// Resolve `host` (a name or dotted quad; must live until opened or closed) and connect. EK_OK: an
// event will follow, `opened` or `closed`, within 20 s. EK_EINVAL: the stream is in use.
int ek_stream_open(struct ek_stream *stream, const char *host, uint16_t port,
                   const struct ek_stream_events *events, void *arg);
// Bytes taken: all of them, or fewer when there is no room (then `writable` follows); EK_ECLOSED.
// Written bytes leave when the event loop comes round; several writes share a packet.
int ek_stream_write(struct ek_stream *stream, const void *data, size_t len);
// How many bytes a write would take now.
size_t ek_stream_room(const struct ek_stream *stream);
// Send what is left, then end. No event follows. No effect on a closed stream.
void ek_stream_close(struct ek_stream *stream);
// Up to `len` of the bytes that `readable` told of; 0: none are left; EK_ECLOSED.
int ek_stream_read(struct ek_stream *stream, void *data, size_t len);

// These calls for one kind of stream.
struct ek_stream_ops {
    int (*open)(struct ek_stream *stream, const char *host, uint16_t port,
                const struct ek_stream_events *events, void *arg);
    int (*write)(struct ek_stream *stream, const void *data, size_t len);
    size_t (*room)(const struct ek_stream *stream);
    void (*close)(struct ek_stream *stream);
};
// The kind that leads to the broker: the generated devices.c says which, so that no device
// configuration can choose a weaker one, and the calls cost no more than direct ones.
extern const struct ek_stream_ops ek_transport;
#endif
