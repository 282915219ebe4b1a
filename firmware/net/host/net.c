// net.c: net/net.h for a Linux process: the system's network is taken as up, its clock as right.
// The keys net.* of the device configuration mean nothing here.
#define _GNU_SOURCE
#include <time.h>
#include "ek/clock.h"
#include "net/net.h"
#include "stream_host.h"

struct net_stats net_stats;

bool ek_net_up(void) { return true; }

void net_init(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) == 0) {
        ek_clock_set_unix_ms((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000, "system");
    }
    stream_init();
}

void net_get_stats(struct net_stats *stats) { *stats = net_stats; }
