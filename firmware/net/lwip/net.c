// net.c: lwIP joined to an Ethernet driver and to the event loop; addresses; time of day.
//
// lwIP runs from here only: when frames have come (poll), and when one of its timers is due or a
// stream has something to do (turn). Follows RFC 2131 (DHCP), RFC 4330 (SNTP). Left out: IPv6,
// probing an address before use, several uplinks.
#include <stdbool.h>
#include <string.h>
#include "ek/clock.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/loop.h"
#include "ek/timer.h"
#include "lwip/apps/sntp.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/stats.h"
#include "lwip/timeouts.h"
#include "netif/ethernet.h"
#include "net/net.h"
#include "glue.h"

enum { FRAMES_PER_POLL = 8 };      // then others get their turn
enum { LINK_PERIOD_US = 500000 };  // nobody notices a shorter loss; TCP repairs it
enum { NO_ADDRESS_US = 10000000 }; // then the console says that DHCP is silent
enum { HOSTNAME_BYTES = 32 };      // RFC 1123 allows 63 in a label
#define UNIX_MS_FLOOR                                                                              \
    1767225600000                  // 2026-01-01: no image is older; a fixed date, so that
                                   // building twice gives the same image
#define NTP_ERA1_UNIX_S 2085978496 // 2036-02-07T06:28:16Z (RFC 5905, 6)

static struct netif uplink;
static uint8_t mac[6];
static char hostname[HOSTNAME_BYTES];
static struct net_stats stats;
static struct ek_poller poller;
static struct ek_timer turn_timer, link_timer, silence_timer;
static uint32_t address; // the one that was last told, network byte order
static bool by_dhcp, sntp_running;
static uint64_t sntp_asked_us;

u32_t sys_now(void) { return (u32_t)(ek_clock_us() / 1000); }

bool ek_net_up(void) {
    return netif_is_up(&uplink) && netif_is_link_up(&uplink) &&
           !ip4_addr_isany(netif_ip4_addr(&uplink));
}

// Everything that is due, then sleep until lwIP's next timer.
static void turn(void *arg) {
    (void)arg;
    sys_check_timeouts();
    stream_turn();
    u32_t sleep_ms = sys_timeouts_sleeptime();
    if (!turn_timer.armed && sleep_ms != SYS_TIMEOUTS_SLEEPTIME_INFINITE) {
        ek_timer_start(&turn_timer, (uint64_t)sleep_ms * 1000, turn, NULL);
    }
}

void net_wake(void) { ek_timer_start(&turn_timer, 0, turn, NULL); }

static err_t output(struct netif *netif, struct pbuf *p) {
    (void)netif;
    uint8_t *frame = ek_role_uplink.ops->frame(ek_role_uplink.dev);
    if (!frame || p->tot_len > EK_ETH_FRAME_MAX) {
        stats.drops_out++;
        return ERR_MEM;
    }
    (void)pbuf_copy_partial(p, frame, p->tot_len, 0);
    if (ek_role_uplink.ops->send(ek_role_uplink.dev, p->tot_len) != EK_OK) {
        stats.drops_out++;
        return ERR_IF;
    }
    stats.frames_out++;
    return ERR_OK;
}

// One frame from the device into lwIP. False when there was none. Without a free buffer the frame
// is dropped, by way of the room for the next outgoing one: left where it is, it would keep the
// device's interrupt raised.
static bool input(void) {
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
        stats.drops_in += len != 0;
        return len != 0;
    }
    stats.frames_in++;
    pbuf_realloc(p, (u16_t)len);
    if (uplink.input(p, &uplink) != ERR_OK) {
        pbuf_free(p);
    }
    return true;
}

static bool poll(void *arg) {
    (void)arg;
    unsigned frames = 0;
    while (frames < FRAMES_PER_POLL && input()) {
        frames++;
    }
    if (frames != 0) {
        net_wake(); // answers, and timers that the frames may have started
    }
    return frames != 0;
}

static void start_sntp(void) {
    if (sntp_running || (!sntp_getservername(0) && ip_addr_isany(sntp_getserver(0)))) {
        return;
    }
    sntp_running = true;
    sntp_init();
}

// lwIP: the address, mask or gateway was set, or the interface went up or down. Connections from
// the old address have been ended by lwIP.
static void status_changed(struct netif *netif) {
    const ip4_addr_t *now = netif_ip4_addr(netif);
    if (now->addr == address) {
        return;
    }
    if (ip4_addr_isany(now)) {
        ek_log("net: address lost");
        ek_timer_start(&silence_timer, NO_ADDRESS_US, silence_timer.fn, NULL);
    } else {
        char ip[IP4ADDR_STRLEN_MAX], gateway[IP4ADDR_STRLEN_MAX];
        int prefix = __builtin_popcount(netif_ip4_netmask(netif)->addr);
        (void)ip4addr_ntoa_r(now, ip, sizeof ip);
        (void)ip4addr_ntoa_r(netif_ip4_gw(netif), gateway, sizeof gateway);
        ek_log("net: %s/%d gateway %s (%s)", ip, prefix, gateway, by_dhcp ? "DHCP" : "static");
        ek_timer_stop(&silence_timer);
        stats.address_changes++;
        start_sntp();
    }
    address = now->addr;
    net_wake();
}

static void silence(void *arg) {
    (void)arg;
    ek_log("net: no address from DHCP yet, asking on");
}

static void check_link(void *arg) {
    (void)arg;
    bool up = ek_role_uplink.ops->link(ek_role_uplink.dev) != 0;
    if (up != netif_is_link_up(&uplink)) {
        ek_log("net: link %s", up ? "up" : "down");
        if (up) {
            netif_set_link_up(&uplink); // asks DHCP whether the address is still ours
        } else {
            stats.link_losses++;
            netif_set_link_down(&uplink);
        }
        net_wake();
    }
    ek_timer_start(&link_timer, LINK_PERIOD_US, check_link, NULL);
}

void net_sntp_asked(void) { sntp_asked_us = ek_clock_us(); }

void net_sntp_answered(int32_t sec, uint32_t frac) {
    uint64_t round_trip_us = ek_clock_us() - sntp_asked_us;
    int64_t unix_ms =
        (sec + (int64_t)NTP_ERA1_UNIX_S) * 1000 + (int64_t)(((uint64_t)frac * 1000) >> 32);
    if (unix_ms < UNIX_MS_FLOOR) {
        ek_log("net: time server is wrong: before 2026");
        return;
    }
    ek_clock_set_unix_ms(unix_ms + (int64_t)(round_trip_us / 2000), "sntp");
}

static err_t netif_setup(struct netif *netif) {
    netif->name[0] = 'e';
    netif->name[1] = 'n';
    netif->hostname = hostname;
    netif->mtu = 1500;
    netif->hwaddr_len = 6;
    memcpy(netif->hwaddr, mac, 6);
    netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
    netif->output = etharp_output;
    netif->linkoutput = output;
    return ERR_OK;
}

// net.hostname, or the device's name with what RFC 1123 does not allow turned into '-'.
static void choose_hostname(void) {
    const char *name = ek_device_config("net.hostname", ek_device_config("name", ""));
    if (name[0] == '\0') {
        (void)ek_format(hostname, sizeof hostname, "edgeuk-%02x%02x%02x", mac[3], mac[4], mac[5]);
        return;
    }
    size_t len = 0;
    for (; name[len] != '\0' && len + 1 < sizeof hostname; len++) {
        char c = name[len];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        hostname[len] = plain ? c : '-';
    }
    hostname[len] = '\0';
}

static uint32_t config_address(const char *key) {
    ip4_addr_t ip;
    return ip4addr_aton(ek_device_config(key, "0.0.0.0"), &ip) ? ip.addr : 0;
}

static void start_addresses(void) {
    ip4_addr_t ip = {config_address("net.address")};
    ip4_addr_t gateway = {config_address("net.gateway")};
    ip_addr_t dns = {config_address("net.dns")};
    const char *ntp = ek_device_config("net.ntp", NULL);
    by_dhcp = ip4_addr_isany_val(ip);
    if (ntp) {
        sntp_setservername(0, ntp);
    }
    sntp_servermode_dhcp(ntp == NULL);
    if (by_dhcp) {
        ek_timer_start(&silence_timer, NO_ADDRESS_US, silence, NULL);
        if (dhcp_start(&uplink) != ERR_OK) {
            ek_log("net: no memory for DHCP");
        }
        return;
    }
    uint32_t prefix = ek_device_config_u32("net.prefix", 24);
    ip4_addr_t mask = {prefix == 0 || prefix > 32 ? 0 : lwip_htonl(~0u << (32 - prefix))};
    dns_setserver(0, &dns);
    netif_set_addr(&uplink, &ip, &mask, &gateway);
}

void net_init(void) {
    lwip_init();
    int status = ek_role_uplink.ops ? ek_role_uplink.ops->init(ek_role_uplink.dev, mac) : EK_ENOENT;
    if (status != EK_OK) {
        ek_log("net: no network device (%s)", ek_status_name(status));
        net_wake(); // streams still have to be told
        return;
    }
    choose_hostname();
    silence_timer.fn = silence;
    (void)netif_add_noaddr(&uplink, NULL, netif_setup, ethernet_input);
    netif_set_default(&uplink);
    netif_set_status_callback(&uplink, status_changed);
    netif_set_up(&uplink);
    if (ek_role_uplink.ops->link(ek_role_uplink.dev)) {
        netif_set_link_up(&uplink);
    } else {
        ek_log("net: link down");
    }
    ek_timer_start(&link_timer, LINK_PERIOD_US, check_link, NULL);
    start_addresses();
    poller.poll = poll;
    ek_loop_add(&poller);
    net_wake();
}

void net_get_stats(struct net_stats *out) {
    stats.heap_max_bytes = (uint32_t)lwip_stats.mem.max;
    stats.heap_size_bytes = MEM_SIZE;
    *out = stats;
}
