// Devices, written by edgeuk from boards/virt-aarch64.toml.
// Board: virt-aarch64 (QEMU's Arm machine `virt`, 64 bit). Changes here are lost.

#include "arch/arch.h"
#include "ek/entropy.h"
#include "ek/eth.h"
#include "ek/intc.h"
#include "ek/power.h"
#include "ek/rtc.h"
#include "ek/uart.h"
#include "ek/virtio.h"
#include "kernel/kernel.h"
#include "net/net.h"
#include "gicv2.h"
#include "pl011.h"
#include "pl031.h"
#include "semihosting.h"
#include "virtio_mmio.h"
#include "virtio_net.h"
#include "virtio_rng.h"

const char ek_board_name[] = "virt-aarch64";
const char ek_build_id[] = "0123456789abcdef";

// [devices.virtio0]: Virtio transport in memory-mapped registers, legacy and modern
static const struct virtio_mmio virtio0 = {
    .base = 0x0a000000u,
    .stride = 512,
    .slots = 32,
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

// [devices.gic]: Arm Generic Interrupt Controller 2, as a wake-up source
static const struct gicv2 gic = {
    .distributor = 0x08000000u,
    .cpu_interface = 0x08010000u,
};
const struct ek_intc ek_device_gic = {.ops = &gicv2_ops, .dev = &gic};

// [devices.uart0]: Arm PrimeCell PL011 UART, polled, 8N1
static const struct pl011 uart0 = {
    .base = 0x09000000u,
    .clock_hz = 24000000,
    .baud = 115200,
};
const struct ek_uart ek_device_uart0 = {.ops = &pl011_ops, .dev = &uart0};

// [devices.rng0]: Virtio entropy device
static struct virtio_rng_state rng0_state;
static const struct virtio_rng rng0 = {
    .bus = &ek_device_virtio0,
    .nth = 0,
    .state = &rng0_state,
};
const struct ek_entropy ek_device_rng0 = {.ops = &virtio_rng_ops, .dev = &rng0};

// [devices.debugger]: Exit status to an emulator or debugger by Arm semihosting
static const struct semihosting debugger = {0};
const struct ek_power ek_device_debugger = {.ops = &semihosting_ops, .dev = &debugger};

// [devices.rtc0]: Arm PL031 real-time clock
static const struct pl031 rtc0 = {
    .base = 0x09010000u,
};
const struct ek_rtc ek_device_rtc0 = {.ops = &pl031_ops, .dev = &rtc0};

// [roles]
const struct ek_uart ek_role_console = {.ops = &pl011_ops, .dev = &uart0};
const struct ek_eth ek_role_uplink = {.ops = &virtio_net_ops, .dev = &net0};
const struct ek_entropy ek_role_entropy = {.ops = &virtio_rng_ops, .dev = &rng0};
const struct ek_power ek_role_power = {.ops = &semihosting_ops, .dev = &debugger};
const struct ek_intc ek_role_intc = {.ops = &gicv2_ops, .dev = &gic};
const struct ek_rtc ek_role_rtc = {.ops = &pl031_ops, .dev = &rtc0};

// [mqtt] url: mqtt
#include "ek/stream.h"
const struct ek_stream_ops ek_transport = {.open = ek_stream_open, .write = ek_stream_write, .room = ek_stream_room, .close = ek_stream_close};

// Interrupt lines that wake the processor: virtio0
const uint16_t ek_irqs[] = {48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79};
const uint16_t ek_irq_count = 32;
