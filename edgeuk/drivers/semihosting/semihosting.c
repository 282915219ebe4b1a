// semihosting.c: end the emulator with an exit status. Reset is left to the processor (arch_reset).
// Document: Arm Semihosting for AArch32 and AArch64, 2.0; numbers in parentheses are its sections.
#include "semihosting.h"
#include "ek/semihosting.h"

enum { APPLICATION_EXIT = 0x20026 }; // ADP_Stopped_ApplicationExit (6.5)

static void exit(const void *dev, int code) {
    (void)dev;
    const uintptr_t block[2] = {APPLICATION_EXIT, (uintptr_t)code}; // fields of a register (6.6)
    (void)ek_semihosting(EK_SEMIHOSTING_EXIT_EXTENDED, (uintptr_t)block);
}

static void reset(const void *dev) { (void)dev; }

const struct ek_power_ops semihosting_ops = {.exit = exit, .reset = reset};
