// dhcp_client.c: an address by DHCP. Follows RFC 2131, RFC 2132 for options.
//
// Smaller than lwIP's: no probing of the address before use (2 s at boot), no
// release (the image never goes down).
#include "ek/random.h"
#include "glue.h"
#include "lwip/pbuf.h"
#include "lwip/prot/iana.h"
#include <string.h>

enum { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6 }; // (2132: 9.6)
// Offsets in a message (2131: 2).
enum { OP = 0, XID = 4, CIADDR = 12, YIADDR = 16, CHADDR = 28, SNAME = 44, BOOT_FILE = 108 };
enum { COOKIE = 236, OPTIONS = 240 };
enum { BOOT_FILE_OPTIONS = 1u << 0, SNAME_OPTIONS = 1u << 1 }; // option overload (2132: 9.3)
enum { MESSAGE_BYTES = 300 }; // what BOOTP relays want at least (951: 3)
_Static_assert(OPTIONS + 3 + 6 + 6 + 10 + 2 + sizeof net_hostname <= MESSAGE_BYTES, "all options");
enum { ASK_TRIES = 4 };                  // REQUESTs for one offer: 0.5 + 1 + 2 + 4 s
enum { DOUBLINGS = 4 };                  // waits grow to 8 to 12 s
enum { RENEW_TICKS = 60 * TICKS_PER_S }; // least time between renewals (2131: 4.4.5)
enum { LEASE_MAX_S = 1 << 28 };          // 8 years stand for "for ever"

// From BOUND on there is an address in use. REBOOTING: the link was away, is it
// still good?
enum state { OFF, SELECTING, REQUESTING, BOUND, REBOOTING, RENEWING, REBINDING };

// What is asked for, and read from answers: four bytes each.
enum { MASK, ROUTER, DNS, NTP, LEASE, SERVER, T1, T2, VALUES };
static const uint8_t codes[VALUES] = {1, 3, 6, 42, 51, 54, 58, 59};

static uint8_t state, tries;
static uint32_t xid, address,
    server; // the address offered or in use, and who gave it
static uint32_t since,
    patience; // ticks since the last message, and until the next
static uint32_t age, lease, t1,
    t2; // ticks since the lease was asked for, and its times

static uint8_t *put_option(uint8_t *at, uint8_t code, const void *data, size_t len) {
    *at++ = code;
    *at++ = (uint8_t)len;
    memcpy(at, data, len);
    return at + len;
}

static void transmit(void) {
    struct pbuf *p = udp_new(MESSAGE_BYTES);
    if (!p) {
        return;
    }
    bool discover = state == SELECTING, renewing = state == RENEWING;
    uint8_t *message = p->payload;
    memcpy(message, (const uint8_t[]){1, 1, 6}, 3); // a request, on Ethernet
    memcpy(message + XID, &xid, 4);
    if (state >= RENEWING) {
        memcpy(message + CIADDR, &address, 4);
    }
    memcpy(message + CHADDR, net_uplink.hwaddr, 6);
    memcpy(message + COOKIE, (const uint8_t[]){0x63, 0x82, 0x53, 0x63, 53, 1}, 6);
    uint8_t *at = message + OPTIONS + 2;
    *at++ = discover ? DISCOVER : REQUEST;
    if (state == REQUESTING || state == REBOOTING) {
        at = put_option(at, 50, &address, 4);
    }
    if (state == REQUESTING) {
        at = put_option(at, 54, &server, 4);
    }
    at = put_option(at, 55, codes, sizeof codes);
    at = put_option(at, 12, net_hostname, strlen(net_hostname));
    *at = 255;
    udp_send(p, LWIP_IANA_PORT_DHCP_CLIENT, renewing ? server : UINT32_MAX,
             LWIP_IANA_PORT_DHCP_SERVER);
}

// Sends what `state` asks for and says when to send it again. Random, so that a
// site that gets its power back does not ask in step.
static void ask(void) {
    since = 0;
    if (state >= RENEWING) { // half of what is left, of T2 or of the lease (2131: 4.4.5)
        patience = ((state == RENEWING ? t2 : lease) - age) / 2;
        patience = patience < RENEW_TICKS ? RENEW_TICKS : patience;
    } else {
        patience = (2 + (ek_random32() & 1)) << tries;
    }
    tries += tries < DOUBLINGS;
    transmit();
}

static void enter(enum state next) {
    state = (uint8_t)next;
    tries = 0;
    if (next != REQUESTING) { // which answers an OFFER, under its number (2131: 4.4.1)
        xid = ek_random32();
    }
    ask();
}

void dhcp_begin(void) { enter(SELECTING); }

void dhcp_link_up(void) {
    if (state != OFF) {
        enter(state >= BOUND ? REBOOTING : SELECTING);
    }
}

static void start_again(void) {
    net_set_address(0, 0, 0);
    enter(SELECTING);
}

void dhcp_tick(void) {
    since++;
    age++;
    if (state == OFF || !netif_is_link_up(&net_uplink)) {
        return;
    }
    enum state due = age >= t2 ? REBINDING : age >= t1 ? RENEWING : BOUND;
    if (state >= BOUND && age >= lease) {
        start_again();
    } else if (state >= BOUND && state < due) {
        enter(due);
    } else if (state != BOUND && since >= patience) {
        if (state == REQUESTING && tries == ASK_TRIES) {
            enter(SELECTING);
        } else if (state == REBOOTING && tries == ASK_TRIES) {
            state = BOUND; // nobody objects (2131: 3.2)
        } else {
            ask();
        }
    }
}

// The type of the message, 0 if there is none; `values` stay as they are where an option is
// missing.
static uint8_t read_options(const uint8_t *at, const uint8_t *end, uint32_t values[VALUES],
                            uint8_t *overload) {
    uint8_t type = 0;
    while (end - at >= 2 && *at != 255) {
        if (*at == 0) {
            at++; // padding has no length
            continue;
        }
        uint8_t code = at[0], len = at[1];
        at += 2;
        if (len > end - at) {
            return 0;
        }
        if (code == 53 && len == 1) {
            type = *at;
        }
        if (code == 52 && len == 1) {
            *overload = *at;
        }
        for (unsigned i = 0; i < VALUES; i++) {
            if (codes[i] == code && len >= 4) {
                memcpy(&values[i], at, 4);
            }
        }
        at += len;
    }
    return type;
}

static uint32_t ticks(uint32_t seconds) {
    seconds = lwip_ntohl(seconds);
    return (seconds < LEASE_MAX_S ? seconds : LEASE_MAX_S) * TICKS_PER_S;
}

static void accept(const uint32_t values[VALUES]) {
    lease = ticks(values[LEASE]);
    t1 = ticks(values[T1]);
    t2 = ticks(values[T2]);
    if (t1 == 0 || t1 >= t2 || t2 >= lease) { // (2131: 4.4.5)
        t1 = lease / 2;
        t2 = lease - lease / 8;
    }
    state = BOUND;
    age = since;
    resolver_server = values[DNS];
    sntp_server = values[NTP];
    uint32_t mask = values[MASK];
    net_set_address(address, mask != 0 ? mask : PP_HTONL(0xffffff00), values[ROUTER]);
}

void dhcp_received(const struct datagram *datagram) {
    const uint8_t *message = datagram->data;
    if (datagram->to_port != LWIP_IANA_PORT_DHCP_CLIENT ||
        datagram->from_port != LWIP_IANA_PORT_DHCP_SERVER || datagram->len < OPTIONS ||
        message[OP] != 2 || memcmp(message + XID, &xid, 4) != 0 ||
        memcmp(message + CHADDR, net_uplink.hwaddr, 6) != 0 ||
        memcmp(message + COOKIE, (const uint8_t[]){0x63, 0x82, 0x53, 0x63}, 4) != 0) {
        return;
    }
    uint32_t values[VALUES] = {0};
    uint8_t overload = 0, unused;
    uint8_t type = read_options(message + OPTIONS, message + datagram->len, values, &overload);
    if (overload & BOOT_FILE_OPTIONS) {
        (void)read_options(message + BOOT_FILE, message + COOKIE, values, &unused);
    }
    if (overload & SNAME_OPTIONS) {
        (void)read_options(message + SNAME, message + BOOT_FILE, values, &unused);
    }
    uint8_t first = message[YIADDR];
    bool host = first != 0 && first != 127 && first < 224 && values[SERVER] != 0;
    // Only the server that was chosen may speak while we ask for its offer.
    bool asked = state >= REBOOTING || (state == REQUESTING && values[SERVER] == server);
    if (type == OFFER && state == SELECTING && host) {
        memcpy(&address, message + YIADDR, 4);
        server = values[SERVER];
        enter(REQUESTING);
    } else if (type == ACK && asked && host && values[LEASE] != 0) {
        memcpy(&address, message + YIADDR, 4);
        server = values[SERVER];
        accept(values);
    } else if (type == NAK && asked && state == REQUESTING) {
        state = SELECTING; // who refuses what he offers is asked again at our pace
    } else if (type == NAK && asked) {
        start_again();
    }
}
