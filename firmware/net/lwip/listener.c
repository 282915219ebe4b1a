// listener.c: ek/service.h over lwIP's raw TCP. Linked only where the gateway has a service.
#include "ek/net.h"
#include "ek/service.h"
#include "glue.h"
#include "lwip/ip4.h"
#include "lwip/tcp.h"

// Who forwards connections to us may know our address from DHCP's offer, before we have it by the
// server's acknowledgement: QEMU's user network, which would try again only 6 s later. So the last
// packet that comes early waits.
static struct pbuf *early;

bool listener_keep(struct pbuf *p) {
    if (ek_net_up()) {
        return false;
    }
    if (early) {
        pbuf_free(early);
    }
    early = p;
    return true;
}

void listener_address(void) {
    struct pbuf *p = early;
    early = NULL;
    if (p) {
        (void)ip4_input(p, &net_uplink); // frees it
    }
}

// lwIP: a handshake is complete.
static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err) {
    struct ek_listener *listener = arg;
    if (err != ERR_OK || !pcb) {
        return ERR_VAL; // without memory for it; the peer tries again
    }
    listener->pcb = pcb;
    listener->connected(listener->arg);
    if (!listener->pcb) {
        return ERR_OK;
    }
    listener->pcb = NULL;
    tcp_abort(pcb);
    return ERR_ABRT;
}

int ek_listen(struct ek_listener *listener, uint16_t port) {
    struct tcp_pcb *pcb = tcp_new();
    if (!pcb) {
        return EK_ENOMEM;
    }
    ip_set_option(pcb, SOF_KEEPALIVE); // connections inherit it
    // This too, until they are adopted: who only knocks has to give way to what we open.
    tcp_setprio(pcb, TCP_PRIO_NORMAL - 1);
    if (tcp_bind(pcb, IP_ADDR_ANY, port) != ERR_OK) {
        (void)tcp_close(pcb);
        return EK_EINVAL;
    }
    struct tcp_pcb *waiting = tcp_listen(pcb);
    if (!waiting) {
        (void)tcp_close(pcb);
        return EK_ENOMEM;
    }
    listener->pcb = NULL;
    listener->port = port;
    tcp_arg(waiting, listener);
    tcp_accept(waiting, on_accept);
    return EK_OK;
}

int ek_accept(struct ek_listener *listener, struct ek_stream *stream,
              const struct ek_stream_events *events, void *arg) {
    if (!listener->pcb) {
        return EK_EAGAIN;
    }
    int status = stream_adopt(stream, listener->pcb, events, arg);
    if (status == EK_OK) {
        listener->pcb = NULL;
    }
    return status;
}
