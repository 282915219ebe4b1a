// udp.c: UDP for our own three clients (DHCP, names, time), between lwIP's IP
// and them; and what else is let in. RFC 768. Left out: fragments and IP
// options (such packets are dropped), ICMP "port unreachable".
#include "lwip/prot/ip.h"
#include "lwip/prot/udp.h"
#include "glue.h"
#include "lwip/inet_chksum.h"
#include "lwip/ip4.h"
#include "lwip/priv/tcp_priv.h"
#include "net/net.h"
#include <string.h>

// Whether the IP packet is a whole and sound UDP datagram: then it is in
// `datagram`.
static bool parse(struct pbuf *p, struct datagram *datagram) {
    const struct ip_hdr *ip = p->payload;
    uint16_t total = lwip_ntohs(IPH_LEN(ip));
    if (p->len < IP_HLEN + UDP_HLEN || IPH_HL(ip) != IP_HLEN / 4 || total > p->len ||
        total < IP_HLEN + UDP_HLEN || (IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK | IP_MF)) != 0 ||
        inet_chksum(ip, IP_HLEN) != 0) {
        return false;
    }
    ip4_addr_t from = {ip->src.addr}, to = {ip->dest.addr};
    pbuf_realloc(p, total); // without what pads a short frame
    (void)pbuf_remove_header(p, IP_HLEN);
    const struct udp_hdr *udp = p->payload;
    uint16_t len = lwip_ntohs(udp->len);
    if (len < UDP_HLEN || len > p->len) {
        return false;
    }
    pbuf_realloc(p, len);
    if (udp->chksum != 0 && ip_chksum_pseudo(p, IP_PROTO_UDP, len, &from, &to) != 0) {
        return false;
    }
    *datagram = (struct datagram){
        .data = (const uint8_t *)p->payload + UDP_HLEN,
        .len = (size_t)len - UDP_HLEN,
        .from = from.addr,
        .from_port = lwip_ntohs(udp->src),
        .to_port = lwip_ntohs(udp->dest),
    };
    return true;
}

static bool listens(uint16_t port) {
    const struct tcp_pcb_listen *pcb = tcp_listen_pcbs.listen_pcbs;
    while (pcb && pcb->local_port != port) {
        pcb = pcb->next;
    }
    return pcb != NULL;
}

// Of what is no UDP: an echo request, all that belongs to an open connection, and a SYN for a port
// that we listen on. What else somebody sends ends here, without an answer: who looks for open
// ports finds silence. But who goes on with a connection that a reset of ours has ended is told so,
// by lwIP's RST: some servers have room for few connections.
static bool is_wanted(const struct pbuf *p) {
    const struct ip_hdr *ip = p->payload;
    if (IPH_HL(ip) != IP_HLEN / 4 || (IPH_OFFSET(ip) & PP_HTONS(IP_OFFMASK | IP_MF)) != 0) {
        return false;
    }
    if (IPH_PROTO(ip) != IP_PROTO_TCP || p->len < IP_HLEN + TCP_HLEN) {
        return IPH_PROTO(ip) == IP_PROTO_ICMP;
    }
    const struct tcp_hdr *tcp = (const struct tcp_hdr *)((const uint8_t *)ip + IP_HLEN);
    return (TCPH_FLAGS(tcp) & (TCP_ACK | TCP_RST)) != 0 ||
           ((TCPH_FLAGS(tcp) & TCP_SYN) && listens(lwip_ntohs(tcp->dest)));
}

// lwIP: an IP packet came, unchecked. Returns whether it was ours. The frame's
// hardware address is enough to know that: the first packets from DHCP are for
// an address that is not set yet.
int net_ip4_hook(struct pbuf *p) {
    if (p->len < IP_HLEN) {
        return 0; // lwIP drops it
    }
    if (IPH_PROTO((const struct ip_hdr *)p->payload) != IP_PROTO_UDP) {
        if (is_wanted(p)) {
            return EK_NET_LISTENERS > 0 && listener_keep(p);
        }
        net_stats.unwanted++;
        pbuf_free(p);
        return 1;
    }
    struct datagram datagram;
    if (parse(p, &datagram)) {
        dhcp_received(&datagram); // each knows its ports and peers
        resolver_received(&datagram);
        sntp_received(&datagram);
    }
    pbuf_free(p);
    return 1;
}

struct pbuf *udp_new(uint16_t len) {
    struct pbuf *p = pbuf_alloc(PBUF_TRANSPORT, len, PBUF_RAM);
    if (p) {
        memset(p->payload, 0, len);
    }
    return p;
}

void udp_send(struct pbuf *p, uint16_t from_port, uint32_t to, uint16_t to_port) {
    ip4_addr_t target = {to};
    const ip4_addr_t *source = netif_ip4_addr(&net_uplink);
    (void)pbuf_add_header(p, UDP_HLEN);
    struct udp_hdr *udp = p->payload;
    udp->src = lwip_htons(from_port);
    udp->dest = lwip_htons(to_port);
    udp->len = lwip_htons(p->tot_len);
    udp->chksum = 0;
    uint16_t sum = ip_chksum_pseudo(p, IP_PROTO_UDP, p->tot_len, source, &target);
    udp->chksum = sum == 0 ? 0xffff : sum;
    (void)ip4_output_if_src(p, source, &target, 64, 0, IP_PROTO_UDP, &net_uplink);
    pbuf_free(p);
}
