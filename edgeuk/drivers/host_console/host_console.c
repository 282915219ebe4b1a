// host_console.c: standard output of the process as a console. Nothing is read.
#include "host_console.h"
#include "ek/host.h"

static int init(const void *dev) {
    (void)dev;
    return EK_OK;
}

static int write(const void *dev, const uint8_t *data, size_t len) {
    (void)dev;
    return ek_host_write(data, len) < 0 ? EK_ETIMEDOUT : (int)len;
}

static int read(const void *dev, uint8_t *data, size_t len) {
    (void)dev, (void)data, (void)len;
    return 0;
}

const struct ek_uart_ops host_console_ops = {.init = init, .write = write, .read = read};
