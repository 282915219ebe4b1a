// lan9118.h: instance data of the LAN9118 driver, filled in by devices.c.
#ifndef EK_LAN9118_H
#define EK_LAN9118_H
#include <stdbool.h>
#include "ek/eth.h"

struct lan9118_state {
    uint32_t words[(EK_ETH_FRAME_MAX + 3) / 4]; // the next outgoing frame
};

struct lan9118 {
    uintptr_t base;
    bool irq_active_high; // and push-pull; else active low and open drain
    struct lan9118_state *state;
};
extern const struct ek_eth_ops lan9118_ops;
#endif
