// glue.h: between the files of net/lwip. Addresses are in network byte order,
// as in lwIP.
#ifndef GLUE_H
#define GLUE_H
#include "lwip/netif.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// net.c. Everything that waits for time is counted in ticks.
enum { TICKS_PER_S = 4 };
extern struct netif net_uplink;
extern char net_hostname[32]; // RFC 1123 allows 63 in a label
extern struct net_stats net_stats;
// Ask for a turn as soon as the event loop comes round: something waits to be
// sent or told.
void net_wake(void);
// The uplink has this address from now on; 0: none.
void net_set_address(uint32_t address, uint32_t mask, uint32_t gateway);
// "10.0.2.15", nothing else.
bool net_parse_address(const char *text, uint32_t *address);

// udp.c
struct datagram {
    const uint8_t *data;
    size_t len;
    uint32_t from;
    uint16_t from_port, to_port;
};
// `len` bytes, zeroed, at `payload`; NULL without memory.
struct pbuf *udp_new(uint16_t len);
// Sends and frees it. What is lost is sent again by its owner.
void udp_send(struct pbuf *p, uint16_t from_port, uint32_t to, uint16_t to_port);

// dhcp_client.c
void dhcp_begin(void);
void dhcp_link_up(void); // again
void dhcp_tick(void);
void dhcp_received(const struct datagram *datagram);

// resolver.c
extern uint32_t resolver_server; // 0: none
// EK_OK, EK_ENOENT, or EK_EAGAIN: ask again in the next turn. A dotted quad is
// its own answer.
int resolver_ask(const char *name, uint32_t *address);
void resolver_tick(void);
void resolver_received(const struct datagram *datagram);

// sntp_client.c
extern uint32_t sntp_server;     // from DHCP; 0: none
extern const char *sntp_setting; // "host" or "host:port", goes first; NULL: none
void sntp_turn(void);
void sntp_tick(void);
void sntp_received(const struct datagram *datagram);

// stream.c. One turn of all streams: start what can start, send what was
// written, tell what happened.
void stream_turn(void);
// listener.c, in images with a service. Called for what is not UDP: true if the packet was kept,
// until there is an address; and when there is.
bool listener_keep(struct pbuf *p);
void listener_address(void);
// For listener.c: `stream` takes over a connection that a peer opened. EK_OK; EK_EINVAL: it is in
// use; EK_ENOMEM: all streams of the image are.
struct ek_stream;
struct ek_stream_events;
struct tcp_pcb;
int stream_adopt(struct ek_stream *stream, struct tcp_pcb *pcb,
                 const struct ek_stream_events *events, void *arg);
#endif
