// net.c: lwIP joined to an Ethernet driver and to the event loop; the uplink's
// address.
//
// lwIP runs from here only: when frames have come or a stream has something to
// do (poll), and four times a second (tick), which is what all its timers are
// made of. Left out: IPv6, several uplinks.
#include "net/net.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/random.h"
#include "ek/timer.h"
#include "glue.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "netif/ethernet.h"
#include "net/ppp/ppp.h"
#include <stdbool.h>
#include <string.h>

enum { FRAMES_PER_POLL = 8 };                 // then others get their turn
enum { TICK_US = 1000000 / TICKS_PER_S };     // lwIP's TCP_TMR_INTERVAL
enum { LINK_TICKS = TICKS_PER_S / 2 };        // nobody notices a shorter loss; TCP repairs it
enum { NO_ADDRESS_TICKS = 10 * TICKS_PER_S }; // then the console says that DHCP is silent
// A device has stopped when it loses so many frames in a row, or has no room for one for so long
// while the link is up. It is started again, as often as this at most.
enum { SENDS_LOST_MAX = 4, RECEIVES_LOST_MAX = 64, FULL_TICKS = 2 * TICKS_PER_S };
enum { RESTART_TICKS = 5 * TICKS_PER_S }; // nor is a PHY that does not answer asked more often
_Static_assert(TCP_TMR_INTERVAL * 1000 == TICK_US && ARP_TMR_INTERVAL == 1000, "tick");

struct netif net_uplink;
char net_hostname[32];
struct net_stats net_stats;
static struct ek_poller poller;
static struct ek_timer tick_timer;
static uint32_t ticks,
    silent_ticks; // `silent_ticks`: since there is no address
static uint32_t sends_lost, receives_lost, full_ticks, restart_after; // of the Ethernet device
static bool awake, by_dhcp;
static bool by_modem;  // instead of the Ethernet device
static int phy_status; // EK_OK: the PHY answers
static uint32_t no_link_ticks;

bool ek_net_up(void) {
    return netif_is_up(&net_uplink) && netif_is_link_up(&net_uplink) &&
           !ip4_addr_isany_val(*netif_ip4_addr(&net_uplink));
}

void net_wake(void) { awake = true; }

// lwIP: a connection has begun, so that tcp_tmr() has to be called. It always
// is.
void tcp_timer_needed(void) {}

static err_t output(struct netif *netif, struct pbuf *p) {
    (void)netif;
    uint8_t *frame = ek_role_uplink.ops->frame(ek_role_uplink.dev);
    if (!frame || p->tot_len > EK_ETH_FRAME_MAX) {
        net_stats.drops_out++;
        return ERR_MEM;
    }
    (void)pbuf_copy_partial(p, frame, p->tot_len, 0);
    if (ek_role_uplink.ops->send(ek_role_uplink.dev, p->tot_len) != EK_OK) {
        net_stats.drops_out++;
        sends_lost++;
        return ERR_IF;
    }
    sends_lost = 0;
    net_stats.frames_out++;
    return ERR_OK;
}

// One frame from the device into lwIP. False when there was none. Without a
// free buffer the frame is dropped, by way of the room for the next outgoing
// one: left where it is, it would keep the device's interrupt raised.
static bool input(void) {
    if (EK_NET_PPP && by_modem) {
        return ppp_receive();
    }
    struct pbuf *p = pbuf_alloc(PBUF_RAW, EK_ETH_FRAME_MAX, PBUF_POOL);
    uint8_t *frame = p ? p->payload : ek_role_uplink.ops->frame(ek_role_uplink.dev);
    if (!frame) {
        return false;
    }
    int len = ek_role_uplink.ops->receive(ek_role_uplink.dev, frame, EK_ETH_FRAME_MAX);
    if (len <= 0 || !p) {
        if (p) {
            pbuf_free(p);
        }
        net_stats.drops_in += len != 0;
        receives_lost += len < 0;
        return len != 0 && receives_lost < RECEIVES_LOST_MAX; // it may be broken: no busy loop
    }
    receives_lost = 0;
    net_stats.frames_in++;
    ek_random_stir(ek_clock_us());
    pbuf_realloc(p, (u16_t)len);
    if (net_uplink.input(p, &net_uplink) != ERR_OK) {
        pbuf_free(p);
    }
    return true;
}

static bool poll(void *arg) {
    (void)arg;
    unsigned frames = 0;
    while (netif_is_up(&net_uplink) && frames < FRAMES_PER_POLL && input()) {
        frames++;
    }
    if (frames == 0 && !awake) {
        return false;
    }
    awake = false;
    stream_turn();
    sntp_turn();
    return true;
}

// Connections from the old address are ended by lwIP.
void net_set_address(uint32_t address, uint32_t mask, uint32_t gateway) {
    ip4_addr_t ip = {address}, netmask = {mask}, router = {gateway};
    bool same = address == netif_ip4_addr(&net_uplink)->addr;
    netif_set_addr(&net_uplink, &ip, &netmask, &router);
    if (same) {
        return;
    }
    if (address == 0) {
        ek_log("net: address lost");
        silent_ticks = 0;
    } else {
        const uint8_t *a = (const uint8_t *)&address, *g = (const uint8_t *)&gateway;
        ek_log("net: %u.%u.%u.%u/%d gateway %u.%u.%u.%u (%s)", a[0], a[1], a[2], a[3],
               __builtin_popcount(mask), g[0], g[1], g[2], g[3],
               EK_NET_PPP && by_modem ? "PPP"
               : by_dhcp              ? "DHCP"
                                      : "static");
        net_stats.address_changes++;
        if (EK_NET_LISTENERS > 0) {
            listener_address();
        }
    }
    net_wake();
}

// A PHY that does not answer leaves the link as it was: frames may pass all the same.
static bool ask_link(bool before) {
    int link = ek_role_uplink.ops->link(ek_role_uplink.dev);
    int status = link < 0 ? link : EK_OK;
    if (status != phy_status) {
        net_stats.phy_faults += phy_status == EK_OK;
        phy_status = status;
        ek_log("net: PHY: %s", ek_status_name(status));
    }
    return link < 0 ? before : link != 0;
}

static void check_link(void) {
    bool up = ask_link(netif_is_link_up(&net_uplink));
    if (up == netif_is_link_up(&net_uplink)) {
        return;
    }
    ek_log("net: link %s", up ? "up" : "down");
    if (up) {
        netif_set_link_up(&net_uplink);
        dhcp_link_up(); // asks whether the address is still ours
    } else {
        net_stats.link_losses++;
        netif_set_link_down(&net_uplink);
    }
}

// A link that is down after a frame was lost may be a driver's word for a device that is broken.
static void check_device(void) {
    bool room = ek_role_uplink.ops->frame(ek_role_uplink.dev) != NULL;
    bool up = netif_is_link_up(&net_uplink);
    full_ticks = room || !up || phy_status < 0 ? 0 : full_ticks + 1;
    bool stopped = sends_lost >= SENDS_LOST_MAX || receives_lost >= RECEIVES_LOST_MAX ||
                   full_ticks >= FULL_TICKS || (!up && sends_lost > 0);
    if (!stopped || ticks < restart_after) {
        return;
    }
    int status = ek_role_uplink.ops->init(ek_role_uplink.dev, net_uplink.hwaddr);
    ek_log("net: the device had stopped, started again: %s", ek_status_name(status));
    ek_counters.device_restarts++;
    restart_after = ticks + RESTART_TICKS;
    sends_lost = status == EK_OK ? 0 : SENDS_LOST_MAX; // once more later
    receives_lost = full_ticks = 0;
}

static void tick(void *arg) {
    (void)arg;
    ek_timer_start(&tick_timer, TICK_US, tick, NULL);
    net_wake();
    tcp_tmr();
    resolver_tick();
    no_link_ticks += !netif_is_link_up(&net_uplink);
    if (!netif_is_up(&net_uplink)) {
        return;
    }
    if (EK_NET_PPP && by_modem) {
        ppp_tick();
        sntp_tick();
        return;
    }
    ticks++;
    check_device();
    if (ticks % (phy_status < 0 ? RESTART_TICKS : LINK_TICKS) == 0) {
        check_link();
    }
    if (ticks % TICKS_PER_S == 0) {
        etharp_tmr();
    }
    dhcp_tick();
    sntp_tick();
    if (by_dhcp && !ek_net_up() && ++silent_ticks == NO_ADDRESS_TICKS) {
        ek_log("net: no address from DHCP yet, asking on");
    }
}

static err_t netif_setup(struct netif *netif) {
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, netif->state, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = output;
    return ERR_OK;
}

// net.hostname, or the device's name with what RFC 1123 does not allow turned
// into '-'.
static void choose_hostname(const uint8_t mac[6]) {
    const char *name = ek_device_config("net.hostname", ek_device_config("name", ""));
    if (name[0] == '\0') {
        (void)ek_format(net_hostname, sizeof net_hostname, "edgeuk-%02x%02x%02x", mac[3], mac[4],
                        mac[5]);
        return;
    }
    size_t len = 0;
    for (; name[len] != '\0' && len + 1 < sizeof net_hostname; len++) {
        char c = name[len];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        net_hostname[len] = plain ? c : '-';
    }
    net_hostname[len] = '\0';
}

bool net_parse_address(const char *text, uint32_t *address) {
    uint8_t bytes[4];
    for (unsigned i = 0; i < sizeof bytes; i++) {
        unsigned value = 0, digits = 0;
        while (*text >= '0' && *text <= '9' && digits++ < 3) {
            value = value * 10 + (unsigned)(*text++ - '0');
        }
        if (digits == 0 || value > 255 || *text++ != (i < 3 ? '.' : '\0')) {
            return false;
        }
        bytes[i] = (uint8_t)value;
    }
    memcpy(address, bytes, sizeof bytes);
    return true;
}

static uint32_t config_address(const char *key) {
    uint32_t address = 0;
    (void)net_parse_address(ek_device_config(key, ""), &address);
    return address;
}

static void start_addresses(void) {
    uint32_t address = config_address("net.address");
    sntp_setting = ek_device_config("net.ntp", NULL);
    by_dhcp = address == 0;
    if (by_dhcp) {
        dhcp_begin();
        return;
    }
    uint32_t prefix = ek_device_config_u32("net.prefix", 24);
    uint32_t mask = prefix == 0 || prefix > 32 ? 0 : lwip_htonl(~0u << (32 - prefix));
    resolver_server = config_address("net.dns");
    net_set_address(address, mask, config_address("net.gateway"));
}

// Of boards with a modem: PPP gives the address.
static void start_modem(int status) {
    ek_log("net: no Ethernet (%s), PPP over the modem's line", ek_status_name(status));
    choose_hostname((const uint8_t[6]){0});
    (void)netif_add_noaddr(&net_uplink, NULL, ppp_setup, ip4_input);
    netif_set_default(&net_uplink);
    netif_set_up(&net_uplink);
    sntp_setting = ek_device_config("net.ntp", NULL);
    by_modem = true;
    status = ppp_init();
    if (status != EK_OK) {
        ek_log("net: no modem (%s)", ek_status_name(status));
        netif_set_down(&net_uplink);
    }
}

void net_init(void) {
    uint8_t mac[6] = {0}; // the device's own (ek/eth.h)
    lwip_init();
    poller.poll = poll;
    ek_loop_add(&poller);
    ek_timer_start(&tick_timer, TICK_US, tick, NULL);
    int status = ek_role_uplink.ops ? ek_role_uplink.ops->init(ek_role_uplink.dev, mac) : EK_ENOENT;
    if (EK_NET_PPP && status != EK_OK) {
        start_modem(status);
        return;
    }
    if (status != EK_OK) {
        ek_log("net: no network device (%s)", ek_status_name(status));
        return; // streams still are told
    }
    choose_hostname(mac);
    (void)netif_add_noaddr(&net_uplink, mac, netif_setup, ethernet_input);
    netif_set_default(&net_uplink);
    netif_set_up(&net_uplink);
    if (ask_link(true)) {
        netif_set_link_up(&net_uplink);
    } else {
        ek_log("net: link down");
    }
    start_addresses();
}

void net_get_stats(struct net_stats *out) {
    net_stats.no_link_s = no_link_ticks / TICKS_PER_S;
    net_stats.heap_max_bytes = (uint32_t)lwip_stats.mem.max;
    net_stats.heap_size_bytes = MEM_SIZE;
    *out = net_stats;
}
