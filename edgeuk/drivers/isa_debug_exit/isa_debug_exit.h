// isa_debug_exit.h: QEMU's isa-debug-exit device.
#ifndef ISA_DEBUG_EXIT_H
#define ISA_DEBUG_EXIT_H
#include <stdint.h>
#include "ek/power.h"

struct isa_debug_exit {
    uint16_t iobase;
};

extern const struct ek_power_ops isa_debug_exit_ops;
#endif
