// ek/bus.h: what an architecture provides to buses whose devices appear at run time.
#ifndef EK_BUS_H
#define EK_BUS_H
#include <stdint.h>

// Where the device memory at physical `address`, `size` bytes, is reached, uncached; 0 if the arch
// has no room for it, or memory is there.
uintptr_t ek_bus_map(uint64_t address, uint32_t size);

// A message (a 32-bit write of `data` to `address`) that ends the processor's sleep, as an
// interrupt line would.
struct ek_bus_message {
    uint64_t address;
    uint32_t data;
};
struct ek_bus_message ek_bus_wake_message(void);
#endif
