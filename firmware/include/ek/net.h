// ek/net.h: what drivers and services may know of the network.
#ifndef EK_NET_H
#define EK_NET_H
#include <stdbool.h>
#include <stdint.h>
// True while there is a link and an address.
bool ek_net_up(void);
#endif
