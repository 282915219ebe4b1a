// stellaris_enet.h: instance data of the LM3S Ethernet driver, filled in by devices.c.
#ifndef EK_STELLARIS_ENET_H
#define EK_STELLARIS_ENET_H
#include "ek/eth.h"

enum { STELLARIS_ENET_WORDS = (2 + EK_ETH_FRAME_MAX + 3) / 4 };

struct stellaris_enet_state {
    // The next outgoing frame, as the FIFO takes it: two bytes for the length come before it.
    uint32_t words[STELLARIS_ENET_WORDS];
};

struct stellaris_enet {
    uintptr_t base;
    uint32_t clock_hz;       // system clock
    uintptr_t mac_registers; // where the board's maker put the station address
    struct stellaris_enet_state *state;
};
extern const struct ek_eth_ops stellaris_enet_ops;
#endif
