// ppp.c: net/ppp between a fake UART and a fake clock: lwip.c without Ethernet. Further lines on
// standard input: `serial HEX` arrives, `stuck 1` lets nothing leave, `stats`. Bytes that leave
// come out as `sent HEX`.
#define ek_role_uplink ethernet
#define main ethernet_main
#include "lwip.c"
#undef main
#undef ek_role_uplink

extern const struct ek_eth ek_role_uplink;
const struct ek_eth ek_role_uplink = {0};

static uint8_t arrived[4096];
static size_t arrived_len, taken;
static int stuck, absent;

static int uart_init(const void *dev) { return (void)dev, absent ? EK_EINVAL : EK_OK; }
static int uart_write(const void *dev, const uint8_t *data, size_t len) {
    (void)dev;
    if (stuck) {
        return EK_ETIMEDOUT;
    }
    print_hex("sent", data, len);
    return (int)len;
}
static int uart_read(const void *dev, uint8_t *data, size_t len) {
    (void)dev;
    size_t left = arrived_len - taken;
    len = len < left ? len : left;
    memcpy(data, arrived + taken, len);
    taken += len;
    return (int)len;
}
static const struct ek_uart_ops uart_ops = {uart_init, uart_write, uart_read};
const struct ek_uart ek_role_modem = {.ops = &uart_ops};

static void serial(const char *hex) {
    arrived_len = taken = 0;
    for (unsigned byte; sscanf(hex, "%2x", &byte) == 1; hex += 2) {
        arrived[arrived_len++] = (uint8_t)byte;
    }
    run_until(now_us);
}

int main(void) {
    static char text[2 * sizeof arrived + 16];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (fgets(text, sizeof text, stdin)) {
        if (strncmp(text, "serial ", 7) == 0) {
            serial(text + 7);
        } else if (sscanf(text, "stuck %d", &stuck) == 1 ||
                   sscanf(text, "absent %d", &absent) == 1) {
        } else if (strcmp(text, "stats\n") == 0) {
            struct net_stats stats;
            net_get_stats(&stats);
            printf("stats %u %u %u %u %u\n", stats.frames_in, stats.frames_out, stats.drops_in,
                   stats.drops_out, stats.link_losses);
        } else {
            line(text);
        }
        printf(".\n");
    }
    return 0;
}
