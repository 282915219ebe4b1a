// eth_either.h: instance data of the choice of an Ethernet device, filled in by devices.c.
#ifndef EK_ETH_EITHER_H
#define EK_ETH_EITHER_H
#include "ek/eth.h"

struct eth_either_state {
    const struct ek_eth *chosen; // NULL: none is there
};

struct eth_either {
    const struct ek_eth *first, *second;
    struct eth_either_state *state;
};
extern const struct ek_eth_ops eth_either_ops;
#endif
