// kernel/kernel.h: what the app layer starts, and what the generated devices.c provides.
#ifndef KERNEL_KERNEL_H
#define KERNEL_KERNEL_H
#include <stddef.h>
#include <stdint.h>
#include "ek/entropy.h"
#include "ek/power.h"
#include "ek/uart.h"

// Clock, console, device configuration, random numbers, in this order; prints the banner. Called
// once, first, by ek_main.
void kernel_init(void);

// Where random numbers come from: "virtio_rng" (the driver's name), "processor"
// (RDRAND, RNDR), "clock jitter (weak)".
const char *kernel_entropy_source(void);

// Why this boot began, in one line: "power-on", "reset" (from outside), "restart" (on purpose),
// "watchdog: reset the board; last ran: 0x..; build ..", "panic: <reason> at 0x..; build ..". A
// watchdog that ends an endless sleep is a "reset" where the chip does not tell the two apart.
const char *kernel_boot_report(void);

// What is wrong with the device configuration: "; config: copy 2 is damaged"; "" where all is well.
const char *kernel_config_report(void);

// Highest use of the stack so far, in bytes, of kernel_stack_size() (painted at boot).
size_t kernel_stack_used(void);
size_t kernel_stack_size(void);

// Roles, defined by the generated devices.c; ops NULL where the board has no such device.
extern const struct ek_uart ek_role_console;
extern const struct ek_entropy ek_role_entropy;
extern const struct ek_power ek_role_power;
// "x86-microvm"; the image's first 16 hex digits of the build's input hash.
extern const char ek_board_name[];
extern const char ek_build_id[];
#endif
