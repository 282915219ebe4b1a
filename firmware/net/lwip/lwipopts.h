// lwipopts.h: which parts of lwIP there are, and how much memory they get.
//
// From config.h: EK_NET_POOL_BUFFERS (received frames, 1.5 KB each), EK_NET_HEAP_BYTES (everything
// that is sent), EK_TCP_WINDOW_BYTES, EK_SENSOR_TCP_STREAMS. The defaults are for 64 KB of RAM.
#ifndef LWIPOPTS_H
#define LWIPOPTS_H
#include <stdint.h>
#include "config.h"
#include "ek/random.h"

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
#define EK_TCP_STREAMS (EK_SENSOR_TCP_STREAMS + 1) // and one for MQTT

// No OS, one thread, the raw API only.
#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0

// Protocols.
#define LWIP_IPV6 0
#define LWIP_RAW 0
#define LWIP_DHCP 1
#define LWIP_DNS 1
#define LWIP_ACD 0 // no ARP probe of an address before use: it would cost 2 s at boot
#define LWIP_DHCP_DOES_ACD_CHECK 0
#define LWIP_DHCP_DISCOVER_ADD_HOSTNAME 1
#define LWIP_DHCP_GET_NTP_SRV 1
#define LWIP_DHCP_MAX_NTP_SERVERS 1
#define LWIP_DHCP_MAX_DNS_SERVERS 2
#define IP_REASSEMBLY 0 // TCP and our UDP fit one frame
#define IP_FRAG 0
#define IP_FORWARD 0
#define IP_OPTIONS_ALLOWED 0 // such packets are dropped
#define ARP_QUEUEING 0       // one packet waits per address that is being resolved
#define ARP_TABLE_SIZE 6
#define LWIP_NETIF_HOSTNAME 1
#define LWIP_NETIF_STATUS_CALLBACK 1
#define LWIP_NETIF_LINK_CALLBACK 1
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
#define MEMP_NUM_UDP_PCB 3     // DHCP, SNTP, DNS
#define MEMP_NUM_TCP_PCB (EK_TCP_STREAMS + 1) // and one that is closing
#define MEMP_NUM_TCP_PCB_LISTEN 1
#define MEMP_NUM_TCP_SEG (TCP_SND_QUEUELEN + 2 + 2 * EK_SENSOR_TCP_STREAMS)
#define MEMP_NUM_SYS_TIMEOUT (LWIP_NUM_SYS_TIMEOUT_INTERNAL + 2) // SNTP has two

// TCP.
#define TCP_MSS 1460
#define TCP_WND EK_TCP_WINDOW_BYTES
#define TCP_SND_BUF (2 * TCP_MSS)
#define TCP_SND_QUEUELEN 8
#define TCP_OVERSIZE 128       // room behind a small write for the next one, taken from the heap
#define TCP_QUEUE_OOSEQ 0      // a segment that overtook another is sent again by the peer
#define LWIP_TCP_RTO_TIME 1000 // first retransmission after 1 s (RFC 6298, 2)
#define TCP_MAXRTX 12          // minutes; keep-alives of the protocols above notice sooner
#define TCP_CALCULATE_EFF_SEND_MSS 0 // one interface, MTU 1500
#define TCP_SYNMAXRTX 12             // one a second; stream.c gives up earlier
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_CALLBACK_API 1
#define LWIP_HOOK_TCP_ISN(local_ip, local_port, remote_ip, remote_port) ek_random32()
#define LWIP_RANDOMIZE_INITIAL_LOCAL_PORTS 1 // after a reset the peer may remember the last one

// Names: random query ids, from a port that is random per boot. Per server 1 + 1 + 2 s.
#define LWIP_DNS_SECURE LWIP_DNS_SECURE_RAND_XID
#define DNS_TABLE_SIZE 3
#define DNS_MAX_NAME_LENGTH 128
#define DNS_MAX_RETRIES 3
#define DNS_MAX_SERVERS 2

// DHCP: ticks of 1 s in 32 bits, so that a lease of any length ends on time; the first retries
// after 0.5 s instead of 2; the rest as in lwIP.
#define DHCP_COARSE_TIMER_SECS 1
#define DHCP_TIMEOUT_SIZE_T u32_t
#define DHCP_DEFINE_CUSTOM_TIMEOUTS 1
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T0_LEASE(res, dhcp) (res) = (dhcp)->offered_t0_lease
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T1_RENEW(res, dhcp) (res) = (dhcp)->offered_t1_renew
#define DHCP_SET_TIMEOUT_FROM_OFFERED_T2_REBIND(res, dhcp) (res) = (dhcp)->offered_t2_rebind
#define DHCP_NEXT_TIMEOUT_THRESHOLD 60
#define DHCP_REQUEST_BACKOFF_SEQUENCE(tries) (u16_t)((tries) < 7 ? 250u << (tries) : 30000u)

// Time of day. A request carries 64 random bits in place of our time; only an answer that repeats
// them is believed. Half the round trip is added by net.c.
#define SNTP_SERVER_DNS 1
#define SNTP_MAX_SERVERS 1
#define SNTP_CHECK_RESPONSE 2
#define SNTP_STARTUP_DELAY 0
#define SNTP_MONITOR_SERVER_REACHABILITY 0
#define SNTP_RECV_TIMEOUT 1000
#define SNTP_RETRY_TIMEOUT 1000
#define SNTP_RETRY_TIMEOUT_MAX 128000
#define SNTP_UPDATE_DELAY 3600000
void net_sntp_asked(void);
void net_sntp_answered(int32_t sec, uint32_t frac); // since 2036-02-07T06:28:16Z; 2^-32 s
#define SNTP_GET_SYSTEM_TIME_NTP(sec, frac)                                                        \
    do {                                                                                           \
        (sec) = (s32_t)ek_random32();                                                              \
        (frac) = ek_random32();                                                                    \
        net_sntp_asked();                                                                          \
    } while (0)
#define SNTP_SET_SYSTEM_TIME_NTP(sec, frac) net_sntp_answered(sec, frac)

// Sums: 32 bits at a time from any alignment, as all headers may lie at odd halfwords.
#define LWIP_CHKSUM_ALGORITHM 3
#define LWIP_CHECKSUM_ON_COPY 0

// Statistics: only the heap's high-water mark.
#define LWIP_STATS 1
#define LINK_STATS 0
#define ETHARP_STATS 0
#define IP_STATS 0
#define IPFRAG_STATS 0
#define ICMP_STATS 0
#define UDP_STATS 0
#define TCP_STATS 0
#define MEMP_STATS 0
#define SYS_STATS 0
#define MEM_STATS 1
#endif
