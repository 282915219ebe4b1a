// eth_either.c: the first of two Ethernet devices that is there, for boards of which some have this
// one and some have that. Of three, the second is another such choice.
#include "eth_either.h"

static int init(const void *dev, uint8_t mac[6]) {
    const struct eth_either *either = dev;
    const struct ek_eth **chosen = &either->state->chosen;
    *chosen = either->first;
    int status = (*chosen)->ops->init((*chosen)->dev, mac);
    if (status == EK_ENOENT) {
        *chosen = either->second;
        status = (*chosen)->ops->init((*chosen)->dev, mac);
    }
    *chosen = status == EK_ENOENT ? NULL : *chosen;
    return status;
}

static uint8_t *frame(const void *dev) {
    const struct ek_eth *eth = ((const struct eth_either *)dev)->state->chosen;
    return eth ? eth->ops->frame(eth->dev) : NULL;
}

static int send(const void *dev, size_t len) {
    const struct ek_eth *eth = ((const struct eth_either *)dev)->state->chosen;
    return eth ? eth->ops->send(eth->dev, len) : EK_EIO;
}

static int receive(const void *dev, uint8_t *data, size_t size) {
    const struct ek_eth *eth = ((const struct eth_either *)dev)->state->chosen;
    return eth ? eth->ops->receive(eth->dev, data, size) : 0;
}

static int link(const void *dev) {
    const struct ek_eth *eth = ((const struct eth_either *)dev)->state->chosen;
    return eth ? eth->ops->link(eth->dev) : 0;
}

const struct ek_eth_ops eth_either_ops = {
    .init = init,
    .frame = frame,
    .send = send,
    .receive = receive,
    .link = link,
};
