// ppp.h: between the files of net/ppp, and for net.c. Addresses are in network byte order.
#ifndef PPP_H
#define PPP_H
#include "lwip/netif.h"
#include "net/lwip/glue.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// link.c
// EK_OK, or why there is no line. The link is then brought up, and up again, for ever.
int ppp_init(void);
bool ppp_receive(void); // one frame; false when there was none
void ppp_tick(void);
err_t ppp_setup(struct netif *netif); // for netif_add()

// For control.c: what happens to the link.
struct ppp_control;
void ppp_up(const struct ppp_control *control);
void ppp_down(const struct ppp_control *control);
void ppp_hang_up(const char *why);

// options.c: what both ends want of LCP and IPCP. All of ours have four bytes.
enum { PPP_IP = 0x0021, PPP_IPCP = 0x8021, PPP_LCP = 0xc021, PPP_PAP = 0xc023 };
enum { PPP_REQUEST = 1, PPP_ACK, PPP_NAK, PPP_REJECT, PPP_TERMINATE, PPP_TERMINATED }; // (1661: 5)
enum { PPP_OPTIONS = 2 };
struct ppp_option {
    uint8_t type;
    bool refused; // the peer does not know it
    uint32_t value;
};
struct ppp_control {
    uint16_t protocol;
    uint8_t id;          // of the last request
    uint8_t tries, naks; // left
    uint8_t wait;        // ticks until the request is sent again
    bool acked, granted; // our request, the peer's
    struct ppp_option ours[PPP_OPTIONS];
};
extern struct ppp_control ppp_lcp, ppp_ipcp;
enum { PPP_ACCM, PPP_MAGIC };  // LCP's options
enum { PPP_ADDRESS, PPP_DNS }; // IPCP's
extern uint16_t ppp_mru;       // what the peer's last request asks for
extern uint32_t ppp_accm;
extern bool ppp_password;
extern uint32_t ppp_peer;
size_t ppp_write_options(const struct ppp_control *control, uint8_t *at); // 6 bytes each
// The code that answers a request, and its options in place of the request's; 0: it is damaged.
uint8_t ppp_judge(const struct ppp_control *control, uint8_t *options, size_t *len);
// The peer's Nak or Reject of our options. False: it leaves nothing to ask for.
bool ppp_apply(struct ppp_control *control, bool reject, const uint8_t *options, size_t len);

// control.c: requests, answers and what else LCP and IPCP say.
enum { PPP_HEADER_BYTES = 4 };                         // code, id, length (1661: 5)
enum { PPP_RESTART_TICKS = 3 * TICKS_PER_S };          // (1661: 4.6)
enum { PPP_MAX_CONFIGURE = 10, PPP_MAX_FAILURE = 10 }; // (1661: 4.6); Naks of both ends together
bool ppp_opened(const struct ppp_control *control);
void ppp_control_begin(struct ppp_control *control);
void ppp_control_received(struct ppp_control *control, struct pbuf *p);
void ppp_control_tick(struct ppp_control *control);
void ppp_send(uint16_t protocol, uint8_t code, uint8_t id, const void *body, size_t len);
void ppp_reject_protocol(uint16_t protocol, const struct pbuf *p);
void ppp_ask_echo(void);

// line.c: frames on the serial line, RFC 1662.
int ppp_line_init(void);
void ppp_line_reset(void); // no agreement with the peer any more
void ppp_line_agree(uint32_t accm_in, uint32_t accm_out);
void ppp_line_begin(uint16_t protocol);
void ppp_line_put(const void *data, size_t len);
bool ppp_line_end(void); // whether all of it was sent
// The next sound frame's information, to be freed; NULL when there is none yet.
struct pbuf *ppp_line_receive(uint16_t *protocol);
void ppp_line_text(const char *text);
// Take what has come, as much as there is room for; then byte by byte, or frame by frame.
void ppp_line_gather(void);
int ppp_line_byte(void); // -1: none is left

// dial.c: a cellular modem's commands until it is connected. EK_EAGAIN: not yet.
void ppp_dial(void);
int ppp_dial_receive(void);
int ppp_dial_tick(void);
#endif
