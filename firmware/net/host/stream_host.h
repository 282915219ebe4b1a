// stream_host.h: between net.c and stream.c.
#ifndef STREAM_HOST_H
#define STREAM_HOST_H
#include "ek/stream.h"
#include "net/net.h"

void stream_init(void);
// For listener.c: `stream` takes over a connected socket. EK_OK; EK_EINVAL: it is in use;
// EK_ENOMEM: all are.
int stream_adopt(struct ek_stream *stream, int fd, const struct ek_stream_events *events,
                 void *arg);
extern struct net_stats net_stats; // frames are calls of recv() and send()
#endif
