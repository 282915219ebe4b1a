// Devices, written by edgeuk from boards/host.toml.
// Board: host (An ordinary Linux process with sanitizers, on the system's sockets). Changes here are lost.

#include "arch/arch.h"
#include "ek/eth.h"
#include "ek/power.h"
#include "ek/uart.h"
#include "kernel/kernel.h"
#include "net/net.h"
#include "host_console.h"
#include "host_power.h"

const char ek_board_name[] = "host";
const char ek_build_id[] = "0123456789abcdef";

// [devices.stdout]: Standard output of the process as a console
static const struct host_console stdout = {0};
const struct ek_uart ek_device_stdout = {.ops = &host_console_ops, .dev = &stdout};

// [devices.process]: Exit status of the process
static const struct host_power process = {0};
const struct ek_power ek_device_process = {.ops = &host_power_ops, .dev = &process};

// [roles]
const struct ek_uart ek_role_console = {.ops = &host_console_ops, .dev = &stdout};
const struct ek_eth ek_role_uplink = {0}; // none in use
const struct ek_entropy ek_role_entropy = {0}; // none in use
const struct ek_power ek_role_power = {.ops = &host_power_ops, .dev = &process};

// [mqtt] url: mqtt
#include "ek/stream.h"
const struct ek_stream_ops ek_transport = {.open = ek_stream_open, .write = ek_stream_write, .room = ek_stream_room, .close = ek_stream_close};

// Interrupt lines that wake the processor: none
const uint16_t ek_irqs[] = {0};
const uint16_t ek_irq_count = 0;
