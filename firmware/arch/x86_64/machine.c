// machine.c: ports, RDRAND, the device configuration's place, memory order, reset.
#include <string.h>
#include "arch/arch.h"
#include "ek/dma.h"
#include "ek/pio.h"
#include "x86.h"

enum { CPUID_RDRAND = 1u << 30 }; // ECX of leaf 1
enum { RDRAND_TRIES = 10 };       // SDM volume 1, 7.3.17.1
enum { PVH_MAGIC = 0x336ec578 };  // "xEn3", bit 7 set (Xen, public/arch-x86/hvm/start_info.h)
enum { RESET_CONTROL = 0xcf9, KEYBOARD_CONTROL = 0x64 };

struct pvh_start_info {
    uint32_t magic, version, flags, module_count;
    uint64_t modules, command_line, rsdp;
};
struct pvh_module {
    uint64_t address, size, command_line, reserved;
};

extern const uint8_t __config_start[], __config_end[];

uint8_t ek_in8(uint16_t port) {
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

void ek_out8(uint16_t port, uint8_t value) {
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

uint16_t ek_in16(uint16_t port) {
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

void ek_out16(uint16_t port, uint16_t value) {
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

uint32_t ek_in32(uint16_t port) {
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

void ek_out32(uint16_t port, uint32_t value) {
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

// A locked instruction orders loads and stores as MFENCE does, which is part of SSE2.
void ek_dma_barrier(void) { __asm__ volatile("lock orl $0, (%%rsp)" : : : "memory", "cc"); }

void ek_dma_clean(const void *addr, size_t len) { // caches are coherent with devices
    (void)addr;
    (void)len;
}

void ek_dma_invalidate(void *addr, size_t len) {
    (void)addr;
    (void)len;
}

void arch_init(void) {
    x86_interrupts_init();
    x86_clock_init();
}

static bool rdrand(uint64_t *value) {
    for (int i = 0; i < RDRAND_TRIES; i++) {
        bool got;
        __asm__ volatile("rdrand %0" : "=r"(*value), "=@ccc"(got));
        if (got) {
            return true;
        }
    }
    return false;
}

size_t arch_random(uint8_t *data, size_t len) {
    if (!(x86_cpuid(1).ecx & CPUID_RDRAND)) {
        return 0;
    }
    size_t done = 0;
    uint64_t value;
    while (done < len && rdrand(&value)) {
        size_t part = len - done < sizeof value ? len - done : sizeof value;
        memcpy(data + done, &value, part);
        done += part;
    }
    return done;
}

const uint8_t *arch_device_config(size_t *size_max) {
    const struct pvh_start_info *info = (const void *)x86_start_info;
    if (info && info->magic == PVH_MAGIC && info->module_count > 0) {
        const struct pvh_module *module = (const void *)info->modules;
        *size_max = module->size;
        return (const uint8_t *)module->address;
    }
    *size_max = (size_t)(__config_end - __config_start);
    return __config_start;
}

void arch_reset(void) {
    ek_out8(RESET_CONTROL, 0x06); // hard reset, where there is a chipset
    ek_out8(KEYBOARD_CONTROL, 0xfe);
    // An exception without a table of handlers shuts the processor down, and the machine resets.
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};
    __asm__ volatile("lidt %0\n\tint3" : : "m"(nothing));
}
