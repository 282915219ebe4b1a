// control.c: the automaton of LCP and IPCP, RFC 1661, 4 and 5; numbers in parentheses are its
// sections.
//
// Without its states Closing and Stopping: who ends the link calls again later in any case.
#include "ek/status.h"
#include "net/lwip/glue.h"
#include "lwip/pbuf.h"
#include "net/ppp/ppp.h"
#include <string.h>

enum { CODE_REJECT = 7, PROTOCOL_REJECT = 8, ECHO = 9, ECHO_REPLY = 10, DISCARD = 11 }; // (5)

bool ppp_opened(const struct ppp_control *control) { return control->acked && control->granted; }

void ppp_send(uint16_t protocol, uint8_t code, uint8_t id, const void *body, size_t len) {
    size_t total = PPP_HEADER_BYTES + len;
    const uint8_t header[] = {code, id, (uint8_t)(total >> 8), (uint8_t)total};
    ppp_line_begin(protocol);
    ppp_line_put(header, sizeof header);
    ppp_line_put(body, len);
    (void)ppp_line_end();
}

static void request(struct ppp_control *control) {
    uint8_t options[6 * PPP_OPTIONS];
    control->acked = false;
    control->wait = PPP_RESTART_TICKS;
    ppp_send(control->protocol, PPP_REQUEST, ++control->id, options,
             ppp_write_options(control, options));
}

void ppp_control_begin(struct ppp_control *control) {
    control->tries = PPP_MAX_CONFIGURE;
    control->naks = PPP_MAX_FAILURE;
    control->granted = false;
    request(control);
}

// The layer leaves Opened (4.1: tld), and all above it.
static void down(struct ppp_control *control) {
    if (ppp_opened(control)) {
        ppp_down(control);
    }
    control->acked = control->granted = false;
}

static void judge(struct ppp_control *control, uint8_t *packet, size_t len) {
    uint8_t code = ppp_judge(control, packet + PPP_HEADER_BYTES, &len);
    if (code == 0) {
        return;
    }
    if (ppp_opened(control)) { // it begins anew (4.1)
        down(control);
        ppp_control_begin(control);
    }
    if (code == PPP_NAK && control->naks-- == 0) {
        ppp_hang_up("the line is a loop, or the peer wants what we have not");
        return;
    }
    ppp_send(control->protocol, code, packet[1], packet + PPP_HEADER_BYTES, len);
    control->granted = code == PPP_ACK;
    if (ppp_opened(control)) {
        ppp_up(control);
    }
}

// An answer to our request: it must be the last one, and an Ack must repeat it (5.2).
static void answered(struct ppp_control *control, const uint8_t *packet, size_t len) {
    uint8_t options[6 * PPP_OPTIONS];
    size_t asked = ppp_write_options(control, options);
    const uint8_t *body = packet + PPP_HEADER_BYTES;
    bool ack = packet[0] == PPP_ACK;
    if (packet[1] != control->id || (ack && (len != asked || memcmp(body, options, len) != 0))) {
        return;
    }
    if (control->acked) { // twice: the ends do not agree on where they are (4.1)
        down(control);
        request(control);
    } else if (ack) {
        control->acked = true;
        if (ppp_opened(control)) {
            ppp_up(control);
        }
    } else if (control->naks-- == 0 || !ppp_apply(control, packet[0] == PPP_REJECT, body, len)) {
        ppp_hang_up("the peer refuses what we ask for");
    } else {
        request(control);
    }
}

static void echo(uint8_t *packet, size_t len) {
    uint8_t *magic = packet + PPP_HEADER_BYTES;
    uint32_t ours = ppp_lcp.ours[PPP_MAGIC].refused ? 0 : ppp_lcp.ours[PPP_MAGIC].value;
    if (!ppp_opened(&ppp_lcp) || len < sizeof ours) {
        return;
    }
    if (ours != 0 && memcmp(magic, &ours, sizeof ours) == 0) {
        ppp_hang_up("the line is a loop");
    } else if (packet[0] == ECHO) {
        memcpy(magic, &ours, sizeof ours);
        ppp_send(PPP_LCP, ECHO_REPLY, packet[1], magic, len);
    }
}

// What the peer does not know of us: without any of these there is no network (4.3: RXJ-).
static bool is_needed(uint8_t code, const uint8_t *what) {
    uint16_t protocol = (uint16_t)(what[0] << 8 | what[1]);
    return code == CODE_REJECT ? what[0] <= PPP_TERMINATED
                               : protocol == PPP_IPCP || protocol == PPP_IP || protocol == PPP_PAP;
}

void ppp_control_received(struct ppp_control *control, struct pbuf *p) {
    uint8_t *packet = p->payload;
    size_t len = p->len >= PPP_HEADER_BYTES ? (size_t)(packet[2] << 8 | packet[3]) : 0;
    if (len < PPP_HEADER_BYTES || len > p->len) {
        return;
    }
    size_t body = len - PPP_HEADER_BYTES; // what is behind it is padding (5)
    uint8_t code = packet[0];
    if (code == PPP_REQUEST) {
        judge(control, packet, body);
    } else if (code >= PPP_ACK && code <= PPP_REJECT) {
        answered(control, packet, body);
    } else if (code == PPP_TERMINATE) {
        ppp_send(control->protocol, PPP_TERMINATED, packet[1], NULL, 0);
        ppp_hang_up("the peer ends the link");
    } else if (code == PPP_TERMINATED) {
        if (control->acked) {
            down(control);
            request(control);
        }
    } else if (code == CODE_REJECT || (code == PROTOCOL_REJECT && control == &ppp_lcp)) {
        if (body >= 2 && is_needed(code, packet + PPP_HEADER_BYTES)) {
            ppp_hang_up("the peer does not know what we need");
        }
    } else if (code >= ECHO && code <= DISCARD && control == &ppp_lcp) {
        if (code != DISCARD) {
            echo(packet, body);
        }
    } else {
        static uint8_t id; // not the request's: its answer may be under way (5.2, 5.6)
        ppp_send(control->protocol, CODE_REJECT, ++id, packet,
                 len <= ppp_mru - PPP_HEADER_BYTES ? len : ppp_mru - PPP_HEADER_BYTES);
    }
}

void ppp_reject_protocol(uint16_t protocol, const struct pbuf *p) {
    size_t most = ppp_mru - PPP_HEADER_BYTES - 2u, len = p->len < most ? p->len : most;
    size_t total = PPP_HEADER_BYTES + 2u + len;
    const uint8_t header[] = {PROTOCOL_REJECT,          ++ppp_lcp.id,
                              (uint8_t)(total >> 8),    (uint8_t)total,
                              (uint8_t)(protocol >> 8), (uint8_t)protocol};
    ppp_line_begin(PPP_LCP);
    ppp_line_put(header, sizeof header);
    ppp_line_put(p->payload, len);
    (void)ppp_line_end();
}

void ppp_control_tick(struct ppp_control *control) {
    if (ppp_opened(control) || --control->wait != 0) {
        return;
    }
    if (control->tries-- == 0) {
        ppp_hang_up("no answer");
    } else {
        request(control);
    }
}

void ppp_ask_echo(void) {
    const struct ppp_option *magic = &ppp_lcp.ours[PPP_MAGIC];
    uint32_t ours = magic->refused ? 0 : magic->value;
    ppp_send(PPP_LCP, ECHO, ++ppp_lcp.id, &ours, sizeof ours);
}
