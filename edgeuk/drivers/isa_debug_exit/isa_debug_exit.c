// isa_debug_exit.c: QEMU's isa-debug-exit: a write of `code` ends QEMU with the exit status
// (code << 1) | 1 (QEMU 7.2, hw/misc/debugexit.c). Without the device, nothing happens.
#include "isa_debug_exit.h"
#include "ek/pio.h"

static void exit(const void *dev, int code) {
    const struct isa_debug_exit *device = dev;
    ek_out8(device->iobase, (uint8_t)code);
}

// The device cannot reset; the processor can.
static void reset(const void *dev) { (void)dev; }

const struct ek_power_ops isa_debug_exit_ops = {.exit = exit, .reset = reset};
