// lwipopts.h: which parts of lwIP there are, and how much memory they get.
//
// From config.h: EK_NET_POOL_BUFFERS (received frames, 1.5 KB each),
// EK_NET_HEAP_BYTES (everything that is sent), EK_TCP_WINDOW_BYTES,
// EK_SENSOR_TCP_STREAMS. The defaults are for 64 KB of RAM.
#ifndef LWIPOPTS_H
#define LWIPOPTS_H
#include "config.h"
#include "ek/random.h"
#include <stdint.h>

#ifndef EK_NET_POOL_BUFFERS
#define EK_NET_POOL_BUFFERS 3
#endif
#ifndef EK_NET_HEAP_BYTES
#define EK_NET_HEAP_BYTES 4608
#endif
#ifndef EK_TCP_WINDOW_BYTES
#define EK_TCP_WINDOW_BYTES 2920
#endif
#ifndef EK_SENSOR_TCP_STREAMS
#define EK_SENSOR_TCP_STREAMS 0
#endif
#ifndef EK_NET_LISTENERS // of a service, and the connections to it
#define EK_NET_LISTENERS 0
#define EK_SERVICE_STREAMS 0
#endif
#ifndef EK_NET_PPP // the board has a modem: ppp/ is linked
#define EK_NET_PPP 0
#endif
#define EK_TCP_STREAMS (EK_SENSOR_TCP_STREAMS + EK_SERVICE_STREAMS + 1) // and one for MQTT

// No OS, one thread, the raw API only.
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

// Protocols.
#define LWIP_IPV6 0
#define LWIP_RAW 0
#define LWIP_UDP 0 // our own (udp.c), and on it DHCP, names and time
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_ACD 0    // no ARP probe of an address before use: it would cost 2 s at boot
#define LWIP_TIMERS 0 // net.c calls tcp_tmr() and etharp_tmr()
struct pbuf;
int net_ip4_hook(struct pbuf *p);
#define LWIP_HOOK_IP4_INPUT(p, inp) net_ip4_hook(p)
#define IP_REASSEMBLY 0 // TCP and our UDP fit one frame
#define IP_FRAG 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0 // such packets are dropped
#define ARP_QUEUEING 1       // at boot several first packets wait for the address of the gateway
#define ARP_QUEUE_LEN 3
#define MEMP_NUM_ARP_QUEUE 6
#define ARP_TABLE_SIZE 6
#define LWIP_NETIF_TX_SINGLE_PBUF 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_NUM_NETIF_CLIENT_DATA 0

// Memory.
#ifdef __LP64__
#define MEM_ALIGNMENT 8
#else
#define MEM_ALIGNMENT 4
#endif
#define MEM_SIZE EK_NET_HEAP_BYTES
#define PBUF_POOL_SIZE EK_NET_POOL_BUFFERS
#define PBUF_POOL_BUFSIZE 1520 // a whole frame (EK_ETH_FRAME_MAX 1514), aligned: one pbuf, no chain
#define MEMP_NUM_PBUF 4        // only for references; we copy
// And one that is closing; with a service, two that are opening.
#define MEMP_NUM_TCP_PCB (EK_TCP_STREAMS + 1 + (EK_NET_LISTENERS ? 2 : 0))
#define MEMP_NUM_TCP_PCB_LISTEN (EK_NET_LISTENERS ? EK_NET_LISTENERS : 1)
#define MEMP_NUM_TCP_SEG (TCP_SND_QUEUELEN + 2 + 2 * EK_SENSOR_TCP_STREAMS + 4 * EK_SERVICE_STREAMS)

// TCP.
#define TCP_MSS 1460
#define TCP_WND EK_TCP_WINDOW_BYTES
#define TCP_SND_BUF (2 * TCP_MSS)
#define TCP_SND_QUEUELEN 8
#define TCP_OVERSIZE 128       // room behind a small write for the next one, taken from the heap
#define TCP_QUEUE_OOSEQ 0      // a segment that overtook another is sent again by the peer
#define LWIP_TCP_RTO_TIME 1000 // first retransmission after 1 s (RFC 6298, 2)
#define TCP_MAXRTX 12          // minutes; keep-alives of the protocols above notice sooner
#define TCP_CALCULATE_EFF_SEND_MSS EK_NET_PPP // Ethernet has an MTU of 1500, PPP what the peer says
#define TCP_SYNMAXRTX 12                      // one a second; stream.c gives up earlier
// A peer that vanished is noticed after 60 + 3 * 10 s of silence.
#define TCP_KEEPIDLE_DEFAULT 60000
#define TCP_KEEPINTVL_DEFAULT 10000
#define TCP_KEEPCNT_DEFAULT 3
#define LWIP_CALLBACK_API 1
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) ek_random32()
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1 // after a reset the peer may remember the last one

// Sums: 32 bits at a time from any alignment, as all headers may lie at odd
// halfwords.
#define LWIP_CHKSUM_ALGORITHM 3
#define LWIP_CHECKSUM_ON_COPY 0

// Statistics: only the heap's high-water mark.
#define LWIP_STATS 1
#define LINK_STATS 0
#define ETHARP_STATS 0
#define IP_STATS 0
#define IPFRAG_STATS 0
#define ICMP_STATS 0
#define TCP_STATS 0
#define MEMP_STATS 0
#define SYS_STATS 0
#define MEM_STATS 1
#endif
