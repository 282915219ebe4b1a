// resolver.c: a name's IPv4 address. One query at a time, one server. Follows
// RFC 1035; RFC 5452 in that number and port are random for every query, and
// that the answer must repeat the question. Left out: a cache (an answer is
// used at once), TCP, other records than A; of a chain of CNAMEs the server
// sends all (a recursive one does).
#include "ek/random.h"
#include "ek/status.h"
#include "glue.h"
#include "lwip/pbuf.h"
#include <string.h>

enum { QUESTION_MAX = 132 }; // name, type, class
enum { HEADER_BYTES = 12 };  // (4.1.1)
enum { DNS_PORT = 53 };      // (4.2.1)
enum { TRIES = 4 };          // after 0, 1, 3, 5 s; given up after 9
enum { KEPT_TICKS = 3 };     // who asked comes again in the next turn

uint32_t resolver_server;
static uint8_t question[QUESTION_MAX];
static size_t question_len; // 0: there is none
static int status;          // EK_EAGAIN: waiting for the server
static uint32_t answer;
static uint16_t number, port;
static uint8_t tries,
    wait; // `wait`: ticks until the next try, or until the answer is forgotten

// The question for `name` (4.1.2); returns its length, 0 if it is no name.
static size_t put_question(uint8_t out[QUESTION_MAX], const char *name) {
    size_t at = 0, label = 0; // where the label's length goes
    for (;; name++) {
        if (at >= QUESTION_MAX - 6) {
            return 0;
        }
        if (*name != '.' && *name != '\0') {
            out[++at] = (uint8_t)*name;
            continue;
        }
        size_t len = at - label;
        if (len > 63 || (len == 0 && (*name != '\0' || at == 0))) {
            return 0;
        }
        out[label] = (uint8_t)len;
        label = ++at;
        if (*name == '\0') {
            break;
        }
    }
    if (out[label - 1] != 0) { // it did not end in a dot
        out[at++] = 0;
    }
    memcpy(out + at, (const uint8_t[]){0, 1, 0, 1}, 4); // A, Internet
    return at + 4;
}

static void transmit(void) {
    number = (uint16_t)ek_random32();
    port = (uint16_t)(0xc000 | ek_random32());
    // Longer each time: a late answer has the number of an earlier query, and is not believed.
    wait = (uint8_t)(TICKS_PER_S << tries / 2);
    struct pbuf *p = udp_new((uint16_t)(HEADER_BYTES + question_len));
    if (p) {
        uint8_t *message = p->payload;
        memcpy(message, &number, 2);
        message[2] = 1; // recursion desired
        message[5] = 1; // one question
        memcpy(message + HEADER_BYTES, question, question_len);
        udp_send(p, port, resolver_server, DNS_PORT);
    }
}

int resolver_ask(const char *name, uint32_t *address) {
    if (net_parse_address(name, address)) {
        return EK_OK;
    }
    uint8_t asked[QUESTION_MAX];
    size_t len = put_question(asked, name);
    if (len == 0 || resolver_server == 0) {
        return EK_ENOENT;
    }
    if (len == question_len && memcmp(asked, question, len) == 0) {
        *address = answer;
        if (status != EK_EAGAIN) {
            question_len = 0; // the next one is asked afresh
        }
        return status;
    }
    if (question_len == 0) {
        memcpy(question, asked, len);
        question_len = len;
        status = EK_EAGAIN;
        tries = 1;
        transmit();
    }
    return EK_EAGAIN;
}

static void finish(int result) {
    status = result;
    wait = KEPT_TICKS;
    net_wake();
}

void resolver_tick(void) {
    if (question_len == 0 || --wait != 0) {
        return;
    }
    if (status != EK_EAGAIN) {
        question_len = 0;
    } else if (tries++ == TRIES) {
        finish(EK_ENOENT);
    } else {
        transmit();
    }
}

// Behind a name (4.1.4); NULL if it does not end before `end`.
static const uint8_t *skip_name(const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        uint8_t len = *at++;
        if (len >= 0xc0) { // the rest is elsewhere
            return at < end ? at + 1 : NULL;
        }
        if (len == 0) {
            return at;
        }
        at += len < end - at ? len : end - at;
    }
    return NULL;
}

void resolver_received(const struct datagram *datagram) {
    const uint8_t *message = datagram->data, *end = message + datagram->len;
    if (question_len == 0 || status != EK_EAGAIN || datagram->to_port != port ||
        datagram->from_port != DNS_PORT || datagram->from != resolver_server ||
        datagram->len < HEADER_BYTES + question_len || memcmp(message, &number, 2) != 0 ||
        (message[2] & 0xf8) != 0x80 || // an answer to a standard query
        memcmp(message + HEADER_BYTES, question, question_len) != 0) {
        return;
    }
    const uint8_t *at = message + HEADER_BYTES + question_len;
    unsigned count = (message[3] & 15) == 0 ? message[6] << 8 | message[7] : 0;
    while (count-- > 0) {
        at = skip_name(at, end);
        if (!at || end - at < 10) {
            break;
        }
        size_t len = (size_t)(at[8] << 8 | at[9]);
        bool found = memcmp(at, (const uint8_t[]){0, 1, 0, 1}, 4) == 0 && len == 4;
        at += 10;
        if (len > (size_t)(end - at)) {
            break;
        }
        if (found) {
            memcpy(&answer, at, 4);
            finish(EK_OK);
            return;
        }
        at += len;
    }
    finish(EK_ENOENT);
}
