// net/net.h: the network's public face: link, addresses, name service, time, streams (ek/stream.h).
// Two implementations: lwip/ over an Ethernet driver, host/ over the system's sockets.
#ifndef NET_NET_H
#define NET_NET_H
#include <stddef.h>
#include <stdint.h>
#include "ek/eth.h"
#include "ek/net.h"
#include "ek/uart.h"

// Bring up the uplink with the device configuration's keys net.* (DHCP without them) and start
// SNTP. Survives a missing device: says so and never comes up.
void net_init(void);

struct net_stats {
    uint32_t frames_in, frames_out;
    uint32_t drops_in;  // damaged, or no buffer
    uint32_t unwanted;  // what nobody here has asked for, dropped
    uint32_t drops_out; // no room, or lost by the device
    uint32_t link_losses;
    uint32_t phy_faults; // times that the PHY has ceased to answer, or was not there
    uint32_t no_link_s;  // seconds since boot without a link
    uint32_t address_changes;
    uint32_t heap_max_bytes, heap_size_bytes; // lwIP's arena
};
void net_get_stats(struct net_stats *stats);

// Defined by the generated devices.c; ops NULL where the board has none (host).
extern const struct ek_eth ek_role_uplink;
extern const struct ek_uart ek_role_modem; // only on boards that have one
#endif
