// options.c: the options of LCP (RFC 1661, 6; RFC 1662, 7.1) and IPCP (RFC 1332, 3; RFC 1877).
//
// We ask for no escaped characters, a magic number, an address and a name server. The peer may
// have a smaller MRU, its own ACCM and address, a password by PAP, and short headers, which we do
// not use. Rejected: all else, such as Van Jacobson's compression.
#include "ek/random.h"
#include "net/lwip/glue.h"
#include "net/ppp/ppp.h"
#include <string.h>

enum { OPTION_BYTES = 6 };                                          // type, length, value
enum { MRU = 1, ACCM = 2, AUTH = 3, MAGIC = 5, PFC = 7, ACFC = 8 }; // of LCP
enum { ADDRESS = 3, DNS = 129 };                                    // of IPCP
enum { MRU_MAX = 1500, MRU_MIN = 128 }; // headers of IP and TCP leave room for something in that

struct ppp_control ppp_lcp = {.protocol = PPP_LCP, .ours = {{.type = ACCM}, {.type = MAGIC}}};
struct ppp_control ppp_ipcp = {.protocol = PPP_IPCP, .ours = {{.type = ADDRESS}, {.type = DNS}}};
uint16_t ppp_mru = MRU_MAX;
uint32_t ppp_accm = UINT32_MAX, ppp_peer;
bool ppp_password;

size_t ppp_write_options(const struct ppp_control *control, uint8_t *at) {
    const uint8_t *start = at;
    for (unsigned i = 0; i < PPP_OPTIONS; i++) {
        const struct ppp_option *option = &control->ours[i];
        if (!option->refused) {
            *at++ = option->type;
            *at++ = OPTION_BYTES;
            memcpy(at, &option->value, sizeof option->value);
            at += sizeof option->value;
        }
    }
    return (size_t)(at - start);
}

static uint8_t judge_mru(uint8_t *value) {
    uint16_t mru = (uint16_t)(value[0] << 8 | value[1]);
    if (mru < MRU_MIN) {
        value[0] = MRU_MAX >> 8;
        value[1] = MRU_MAX & 0xff;
        return PPP_NAK;
    }
    ppp_mru = mru < MRU_MAX ? mru : MRU_MAX;
    return PPP_ACK;
}

// CHAP and others become PAP: `option` gets that length.
static uint8_t judge_auth(uint8_t *option) {
    static const uint8_t pap[] = {AUTH, 4, PPP_PAP >> 8, PPP_PAP & 0xff};
    if (memcmp(option, pap, sizeof pap) == 0) {
        ppp_password = true;
        return PPP_ACK;
    }
    memcpy(option, pap, sizeof pap);
    return PPP_NAK;
}

static uint8_t judge_lcp(uint8_t *option) {
    uint32_t value;
    switch (option[0] << 8 | option[1]) {
    case MRU << 8 | 4:
        return judge_mru(option + 2);
    case ACCM << 8 | OPTION_BYTES:
        memcpy(&value, option + 2, sizeof value);
        ppp_accm = lwip_ntohl(value);
        return PPP_ACK;
    case MAGIC << 8 | OPTION_BYTES:
        // Our own: the line may be a loop. Another one shows (1661: 6.4).
        if (memcmp(option + 2, &ppp_lcp.ours[PPP_MAGIC].value, sizeof value) != 0) {
            return PPP_ACK;
        }
        value = ek_random32();
        memcpy(option + 2, &value, sizeof value);
        return PPP_NAK;
    case PFC << 8 | 2:
    case ACFC << 8 | 2:
        return PPP_ACK;
    default:
        return option[0] == AUTH && option[1] >= 4 ? judge_auth(option) : PPP_REJECT;
    }
}

// To a peer without an address of its own (0: it asks us for one) some address is as good as
// another: it is the line's other end, and nobody else sees it.
static uint8_t judge_ipcp(uint8_t *option) {
    static const uint8_t none[] = {ADDRESS, OPTION_BYTES, 0, 0, 0, 0};
    static const uint8_t some[] = {10, 64, 64, 64};
    if (option[0] != ADDRESS || option[1] != OPTION_BYTES) {
        return PPP_REJECT;
    }
    if (memcmp(option, none, sizeof none) == 0) {
        memcpy(option + 2, some, sizeof some);
        return PPP_NAK;
    }
    memcpy(&ppp_peer, option + 2, sizeof ppp_peer);
    return PPP_ACK;
}

// An option is at least its type and length, and all of it is there.
static bool sound(const uint8_t *at, const uint8_t *end) {
    while (end - at >= 2 && at[1] >= 2 && at[1] <= end - at) {
        at += at[1];
    }
    return at == end;
}

// The worst verdict is the answer; it lists just the options with that verdict, in their order
// (1661: 5.3, 5.4).
uint8_t ppp_judge(const struct ppp_control *control, uint8_t *options, size_t *len) {
    bool lcp = control->protocol == PPP_LCP;
    uint8_t *out = options, *end = options + *len, worst = PPP_ACK;
    if (!sound(options, end)) {
        return 0;
    }
    if (lcp) { // what is not asked for has its default
        ppp_mru = MRU_MAX;
        ppp_accm = UINT32_MAX;
        ppp_password = false;
    } else {
        ppp_peer = 0;
    }
    for (uint8_t *at = options, *next; at < end; at = next) {
        next = at + at[1];
        uint8_t verdict = lcp ? judge_lcp(at) : judge_ipcp(at);
        if (verdict > worst) {
            worst = verdict;
            out = options;
        }
        if (verdict == worst) {
            uint8_t bytes = at[1];
            memmove(out, at, bytes);
            out += bytes;
        }
    }
    *len = (size_t)(out - options);
    return worst;
}

bool ppp_apply(struct ppp_control *control, bool reject, const uint8_t *at, size_t len) {
    const uint8_t *end = at + len;
    if (!sound(at, end)) {
        return true; // nothing learnt: asked again
    }
    for (; at < end; at += at[1]) {
        for (unsigned i = 0; i < PPP_OPTIONS; i++) {
            struct ppp_option *ours = &control->ours[i];
            if (ours->type != at[0]) {
                continue;
            }
            if (reject) {
                ours->refused = true;
            } else if (ours == &ppp_lcp.ours[PPP_MAGIC]) {
                ours->value = ek_random32();
            } else if (at[1] == OPTION_BYTES) {
                memcpy(&ours->value, at + 2, sizeof ours->value);
            }
        }
    }
    return control != &ppp_ipcp || !ppp_ipcp.ours[PPP_ADDRESS].refused;
}
