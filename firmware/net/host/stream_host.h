// stream_host.h: between net.c and stream.c.
#ifndef STREAM_HOST_H
#define STREAM_HOST_H
#include "net/net.h"

void stream_init(void);
extern struct net_stats net_stats; // frames are calls of recv() and send()
#endif
