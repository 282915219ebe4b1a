// Devices, written by edgeuk from boards/x86-microvm.toml.
// Board: x86-microvm (QEMU's x86 machine `microvm`: PVH entry, virtio-mmio). Changes here are lost.

#include "arch/arch.h"
#include "ek/entropy.h"
#include "ek/eth.h"
#include "ek/power.h"
#include "ek/rtc.h"
#include "ek/uart.h"
#include "ek/virtio.h"
#include "kernel/kernel.h"
#include "net/net.h"
#include "isa_debug_exit.h"
#include "mc146818.h"
#include "uart16550.h"
#include "virtio_mmio.h"
#include "virtio_net.h"
#include "virtio_rng.h"

const char ek_board_name[] = "x86-microvm";
const char ek_build_id[] = "0123456789abcdef";

// [devices.virtio0]: Virtio transport in memory-mapped registers, legacy and modern
static const struct virtio_mmio virtio0 = {
    .base = 0xfeb00000u,
    .stride = 512,
    .slots = 8,
};
const struct ek_virtio ek_device_virtio0 = {.ops = &virtio_mmio_ops, .dev = &virtio0};

// [devices.net0]: Virtio network device, without offloads
static struct virtio_net_state net0_state;
static const struct virtio_net net0 = {
    .bus = &ek_device_virtio0,
    .nth = 0,
    .state = &net0_state,
};
const struct ek_eth ek_device_net0 = {.ops = &virtio_net_ops, .dev = &net0};

// [devices.uart0]: 16550A UART at I/O ports, polled, 8N1
static const struct uart16550 uart0 = {
    .port = 1016,
    .clock_hz = 1843200,
    .baud = 115200,
};
const struct ek_uart ek_device_uart0 = {.ops = &uart16550_ops, .dev = &uart0};

// [devices.rng0]: Virtio entropy device
static struct virtio_rng_state rng0_state;
static const struct virtio_rng rng0 = {
    .bus = &ek_device_virtio0,
    .nth = 0,
    .state = &rng0_state,
};
const struct ek_entropy ek_device_rng0 = {.ops = &virtio_rng_ops, .dev = &rng0};

// [devices.exit]: QEMU isa-debug-exit: ends the emulator with an exit status
static const struct isa_debug_exit exit = {
    .iobase = 244,
};
const struct ek_power ek_device_exit = {.ops = &isa_debug_exit_ops, .dev = &exit};

// [devices.rtc0]: MC146818 real-time clock of PCs (CMOS clock)
static const struct mc146818 rtc0 = {
    .port = 112,
    .century = 50,
};
const struct ek_rtc ek_device_rtc0 = {.ops = &mc146818_ops, .dev = &rtc0};

// [roles]
const struct ek_uart ek_role_console = {.ops = &uart16550_ops, .dev = &uart0};
const struct ek_eth ek_role_uplink = {.ops = &virtio_net_ops, .dev = &net0};
const struct ek_entropy ek_role_entropy = {.ops = &virtio_rng_ops, .dev = &rng0};
const struct ek_power ek_role_power = {.ops = &isa_debug_exit_ops, .dev = &exit};
const struct ek_rtc ek_role_rtc = {.ops = &mc146818_ops, .dev = &rtc0};

// [mqtt] url: mqtt
#include "ek/stream.h"
const struct ek_stream_ops ek_transport = {.open = ek_stream_open, .write = ek_stream_write, .room = ek_stream_room, .close = ek_stream_close};

// Interrupt lines that wake the processor: virtio0
const uint16_t ek_irqs[] = {5, 6, 7, 8, 9, 10, 11, 12};
const uint16_t ek_irq_count = 8;
