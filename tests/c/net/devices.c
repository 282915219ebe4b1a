// devices.c: what the generated devices.c of a host image would hold, for test programs.
#include "ek/host.h"
#include "kernel/kernel.h"

static int init(const void *dev) {
    (void)dev;
    return EK_OK;
}
static int write(const void *dev, const uint8_t *data, size_t len) {
    (void)dev;
    return ek_host_write(data, len);
}
static const struct ek_uart_ops console = {.init = init, .write = write};

const struct ek_uart ek_role_console = {.ops = &console};
const struct ek_entropy ek_role_entropy;
const struct ek_power ek_role_power;
const char ek_board_name[] = "host";
const char ek_build_id[] = "0000000000000000";
