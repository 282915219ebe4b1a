// Devices, written by edgeuk from boards/lm3s6965evb.toml.
// Board: lm3s6965evb (Stellaris LM3S6965 evaluation board: Cortex-M3, Ethernet, I2C). Changes here are lost.

#include "arch/arch.h"
#include "ek/eth.h"
#include "ek/i2c.h"
#include "ek/power.h"
#include "ek/soc.h"
#include "ek/uart.h"
#include "ek/watchdog.h"
#include "kernel/kernel.h"
#include "net/net.h"
#include "luminary_watchdog.h"
#include "pl011.h"
#include "semihosting.h"
#include "stellaris_enet.h"
#include "stellaris_i2c.h"
#include "stellaris_sysctl.h"

const char ek_board_name[] = "lm3s6965evb";
const char ek_build_id[] = "0123456789abcdef";

// [devices.eth0]: Stellaris LM3S Ethernet controller, 10/100 Mbit/s with its internal PHY
static struct stellaris_enet_state eth0_state;
static const struct stellaris_enet eth0 = {
    .base = 0x40048000u,
    .clock_hz = 50000000,
    .mac_registers = 0x400fe1e0u,
    .state = &eth0_state,
};
const struct ek_eth ek_device_eth0 = {.ops = &stellaris_enet_ops, .dev = &eth0};

// [devices.i2c0]: Stellaris LM3S I2C master, polled
static const struct stellaris_i2c i2c0 = {
    .base = 0x40020000u,
    .clock_hz = 50000000,
    .speed_hz = 100000,
    .gpio = 1073762304,
    .scl_pin = 2,
    .sda_pin = 3,
};
const struct ek_i2c ek_device_i2c0 = {.ops = &stellaris_i2c_ops, .dev = &i2c0};

// [devices.sysctl]: Stellaris LM3S system control: PLL, clock gates, pins of ports A and B, wake-up timer
static const struct stellaris_sysctl sysctl = {
    .base = 0x400fe000u,
    .timer = 0x40030000u,
    .clock_hz = 50000000,
    .crystal = 14,
    .rcgc1 = 4097,
    .rcgc2 = 1342177283,
    .alternate_a = 3,
    .open_drain_a = 0,
    .alternate_b = 12,
    .open_drain_b = 12,
};
const struct ek_soc ek_device_sysctl = {.ops = &stellaris_sysctl_ops, .dev = &sysctl};

// [devices.uart0]: Arm PrimeCell PL011 UART, polled, 8N1
static const struct pl011 uart0 = {
    .base = 0x4000c000u,
    .clock_hz = 50000000,
    .baud = 115200,
};
const struct ek_uart ek_device_uart0 = {.ops = &pl011_ops, .dev = &uart0};

// [devices.semihosting]: Exit status to an emulator or debugger by Arm semihosting
static const struct semihosting semihosting = {0};
const struct ek_power ek_device_semihosting = {.ops = &semihosting_ops, .dev = &semihosting};

// [devices.watchdog]: Stellaris LM3S watchdog
static const struct luminary_watchdog watchdog = {
    .base = 0x40000000u,
    .sysctl = 0x400fe000u,
    .clock_hz = 50000000,
};
const struct ek_watchdog ek_device_watchdog = {.ops = &luminary_watchdog_ops, .dev = &watchdog};

// [roles]
const struct ek_uart ek_role_console = {.ops = &pl011_ops, .dev = &uart0};
const struct ek_eth ek_role_uplink = {.ops = &stellaris_enet_ops, .dev = &eth0};
const struct ek_entropy ek_role_entropy = {0}; // none in use
const struct ek_power ek_role_power = {.ops = &semihosting_ops, .dev = &semihosting};
const struct ek_soc ek_role_soc = {.ops = &stellaris_sysctl_ops, .dev = &sysctl};
const struct ek_watchdog ek_role_watchdog = {.ops = &luminary_watchdog_ops, .dev = &watchdog};

// [mqtt] url: mqtt
#include "ek/stream.h"
const struct ek_stream_ops ek_transport = {.open = ek_stream_open, .write = ek_stream_write, .room = ek_stream_room, .close = ek_stream_close};

// Interrupt lines that wake the processor: sysctl, eth0
const uint16_t ek_irqs[] = {19, 42};
const uint16_t ek_irq_count = 2;
