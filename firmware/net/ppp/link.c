// link.c: a PPP link, brought up and kept: LCP (RFC 1661), PAP (RFC 1334), IPCP (RFC 1332).
// Numbers in parentheses are RFC 1661's sections.
//
// Left out: CHAP (who wants it is asked for PAP), multilink, encryption, IPv6.
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/random.h"
#include "ek/status.h"
#include "net/lwip/glue.h"
#include "lwip/ip4.h"
#include "lwip/pbuf.h"
#include "net/net.h"
#include "net/ppp/ppp.h"
#include <string.h>

enum { ECHO_TICKS = 10 * TICKS_PER_S, ECHOES = 4 }; // the peer is gone after 40 s of silence
enum { DOUBLINGS = 6 };                             // waits between calls grow from 2 s to 128 s

static enum phase { DOWN, DIALLING, ESTABLISH, AUTHENTICATE, NETWORK } phase; // (3.2)
static uint16_t wait;   // ticks: of DOWN, AUTHENTICATE
static uint16_t silent; // ticks since the last frame
static uint8_t calls, tries, password_id;

static void ip_down(void) {
    if (netif_is_link_up(&net_uplink)) {
        net_stats.link_losses++;
        netif_set_link_down(&net_uplink);
        net_set_address(0, 0, 0);
    }
    ppp_ipcp.acked = ppp_ipcp.granted = false;
}

void ppp_down(const struct ppp_control *control) {
    ip_down();
    if (control == &ppp_lcp) {
        phase = ESTABLISH;
        ppp_line_reset();
    }
}

void ppp_hang_up(const char *why) {
    if (phase == DOWN) {
        return;
    }
    unsigned seconds = 2u << calls;
    calls += calls < DOUBLINGS;
    ek_log("ppp: %s, again in %u s", why, seconds);
    if (ppp_opened(&ppp_lcp)) {
        ppp_send(PPP_LCP, PPP_TERMINATE, ++ppp_lcp.id, NULL, 0);
    }
    ip_down();
    ppp_lcp.acked = ppp_lcp.granted = false;
    phase = DOWN;
    wait = (uint16_t)(seconds * TICKS_PER_S + ek_random32() % TICKS_PER_S);
}

static void establish(void) {
    phase = ESTABLISH;
    silent = 0;
    ppp_line_reset();
    ppp_lcp.ours[PPP_ACCM] = (struct ppp_option){.type = ppp_lcp.ours[PPP_ACCM].type};
    ppp_lcp.ours[PPP_MAGIC].refused = false;
    ppp_lcp.ours[PPP_MAGIC].value = ek_random32();
    ppp_control_begin(&ppp_lcp);
}

static void call(void) {
    if (ek_device_config("modem.apn", NULL)) {
        phase = DIALLING;
        ppp_dial();
    } else {
        establish();
    }
}

static void dialled(int status) {
    if (status == EK_OK) {
        establish();
    } else if (status != EK_EAGAIN) {
        ppp_hang_up("not connected");
    }
}

static void ask_address(void) {
    uint32_t address = 0, dns = 0;
    (void)net_parse_address(ek_device_config("net.address", ""), &address);
    (void)net_parse_address(ek_device_config("net.dns", ""), &dns);
    ppp_ipcp.ours[PPP_ADDRESS].value = address;
    ppp_ipcp.ours[PPP_ADDRESS].refused = false;
    ppp_ipcp.ours[PPP_DNS].value = dns;
    ppp_ipcp.ours[PPP_DNS].refused = dns != 0; // ours goes first
    phase = NETWORK;
    ppp_control_begin(&ppp_ipcp);
}

static void send_password(void) {
    const char *user = ek_device_config("modem.user", ""),
               *password = ek_device_config("modem.password", "");
    uint8_t user_len = (uint8_t)strlen(user), password_len = (uint8_t)strlen(password);
    uint16_t total = PPP_HEADER_BYTES + 2u + user_len + password_len;
    const uint8_t header[] = {PPP_REQUEST, ++password_id, (uint8_t)(total >> 8), (uint8_t)total};
    wait = PPP_RESTART_TICKS;
    ppp_line_begin(PPP_PAP);
    ppp_line_put(header, sizeof header);
    ppp_line_put(&user_len, 1);
    ppp_line_put(user, user_len);
    ppp_line_put(&password_len, 1);
    ppp_line_put(password, password_len);
    (void)ppp_line_end();
}

void ppp_up(const struct ppp_control *control) {
    if (control == &ppp_lcp) {
        const struct ppp_option *accm = &ppp_lcp.ours[PPP_ACCM];
        ppp_line_agree(accm->refused ? UINT32_MAX : lwip_ntohl(accm->value), ppp_accm);
        if (!ppp_password) {
            ask_address();
            return;
        }
        phase = AUTHENTICATE;
        tries = PPP_MAX_CONFIGURE;
        send_password();
        return;
    }
    uint32_t address = ppp_ipcp.ours[PPP_ADDRESS].value;
    if (address == 0) {
        ppp_hang_up("the peer has no address for us");
        return;
    }
    calls = 0;
    const struct ppp_option *dns = &ppp_ipcp.ours[PPP_DNS];
    resolver_server = dns->value;
    net_uplink.mtu = ppp_mru;
    netif_set_link_up(&net_uplink);
    net_set_address(address, UINT32_MAX, ppp_peer);
}

static void password_received(const struct pbuf *p) {
    const uint8_t *packet = p->payload;
    if (phase != AUTHENTICATE || p->len < PPP_HEADER_BYTES || packet[1] != password_id) {
        return;
    }
    if (packet[0] == PPP_ACK) {
        ask_address();
    } else if (packet[0] == PPP_NAK) {
        ppp_hang_up("the peer refuses modem.user and modem.password");
    }
}

static void check_peer(void) {
    if (phase == NETWORK && ++silent % ECHO_TICKS == 0) {
        if (silent == ECHOES * ECHO_TICKS) {
            ppp_hang_up("the peer is silent");
        } else {
            ppp_ask_echo();
        }
    }
}

// What comes too early for the phase is dropped (3.4 to 3.6).
static void received(uint16_t protocol, struct pbuf *p) {
    silent = 0;
    if (phase == NETWORK && protocol == PPP_IP && ppp_opened(&ppp_ipcp)) {
        if (net_uplink.input(p, &net_uplink) == ERR_OK) {
            return;
        }
    } else if (phase >= ESTABLISH && protocol == PPP_LCP) {
        ppp_control_received(&ppp_lcp, p);
    } else if (phase == NETWORK && protocol == PPP_IPCP) {
        ppp_control_received(&ppp_ipcp, p);
    } else if (protocol == PPP_PAP) {
        password_received(p);
    } else if (ppp_opened(&ppp_lcp) && protocol != PPP_IP && protocol != PPP_IPCP) {
        ppp_reject_protocol(protocol, p);
    }
    pbuf_free(p);
}

bool ppp_receive(void) {
    if (phase == DOWN) {
        ppp_line_gather();
        while (ppp_line_byte() >= 0) {
        }
        return false;
    }
    if (phase == DIALLING) {
        int status = ppp_dial_receive();
        dialled(status);
        return status != EK_EAGAIN;
    }
    uint16_t protocol = 0;
    struct pbuf *p = ppp_line_receive(&protocol);
    if (p) {
        received(protocol, p);
    }
    return p != NULL;
}

void ppp_tick(void) {
    switch (phase) {
    case DOWN:
        if (--wait == 0) {
            call();
        }
        return;
    case DIALLING:
        dialled(ppp_dial_tick());
        return;
    case ESTABLISH:
        ppp_control_tick(&ppp_lcp);
        return;
    case AUTHENTICATE:
        if (--wait == 0 && tries-- > 0) {
            send_password();
        } else if (wait == 0) {
            ppp_hang_up("no answer to the password");
        }
        return;
    case NETWORK:
        ppp_control_tick(&ppp_ipcp);
        check_peer();
        return;
    }
}

static err_t output(struct netif *netif, struct pbuf *p, const ip4_addr_t *to) {
    (void)netif, (void)to;
    if (!ppp_opened(&ppp_ipcp) || p->tot_len > ppp_mru) {
        net_stats.drops_out++;
        return ERR_IF;
    }
    ppp_line_begin(PPP_IP);
    for (; p; p = p->next) {
        ppp_line_put(p->payload, p->len);
    }
    return ppp_line_end() ? ERR_OK : ERR_IF;
}

err_t ppp_setup(struct netif *netif) {
    netif->name[0] = 'p';
    netif->name[1] = 'p';
    netif->mtu = ppp_mru;
    netif->output = output;
    return ERR_OK;
}

int ppp_init(void) {
    int status = ppp_line_init();
    if (status == EK_OK) {
        call();
    }
    return status;
}
