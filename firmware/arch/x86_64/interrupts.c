// interrupts.c: the interrupt table, local APIC, IOAPIC, and sleep. After Intel SDM volume 3
// (2024), chapters 6 and 12, and the 82093AA datasheet. Left out: x2APIC, a second IOAPIC.
//
// Interrupts are enabled only while the processor sleeps. A device's interrupt (level triggered)
// then stays in service, which keeps back all others of its priority, until the next arch_idle()
// ends it: with that, the IOAPIC sends again whatever is still asserted. So nothing is lost, and no
// line needs to be masked.
#include "arch/arch.h"
#include "ek/assert.h"
#include "ek/bus.h"
#include "ek/mmio.h"
#include "ek/pio.h"
#include "x86.h"

enum { APIC = 0xfee00000, IOAPIC = 0xfec00000 };
enum { APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_SPURIOUS = 0xf0, APIC_TIMER_DIVIDE = 0x3e0 };
enum { APIC_ENABLE = 1u << 8, LVT_MASKED = 1u << 16, DIVIDE_BY_1 = 0xb };
enum { IOAPIC_SELECT = 0x00, IOAPIC_WINDOW = 0x10, IOAPIC_REDIRECTION = 0x10 };
enum { IOAPIC_LINES = 24, REDIRECTION_LEVEL = 1u << 15 };
enum { PIC_DATA = 0x21, PIC2_DATA = 0xa1 };

// The upper 4 bits are the priority; the spurious vector's lower 4 bits must be ones.
enum { VECTOR_SPURIOUS = 0x2f, VECTOR_DEVICE = 0x30, VECTOR_TIMER = 0x40, VECTORS = 0x41 };
enum { EXCEPTIONS = 32, EXCEPTION_ENTRY_BYTES = 11, GATE_INTERRUPT = 0x8e, CODE_SELECTOR = 8 };
enum { DOUBLE_FAULT = 8, INTERRUPT_STACK = 1 }; // the stack that start.S gives

struct gate { // SDM volume 3, figure 6-8
    uint16_t offset_low, selector;
    uint8_t stack, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

extern const char x86_exception_entries[], x86_device_entry[], x86_timer_entry[],
    x86_spurious_entry[];

static struct gate gates[VECTORS];
volatile bool x86_device_in_service;

uint32_t x86_apic_read(uint32_t offset) { return ek_read32(APIC + offset); }

void x86_apic_write(uint32_t offset, uint32_t value) { ek_write32(APIC + offset, value); }

static void set_gate(unsigned vector, const char *entry) {
    uintptr_t offset = (uintptr_t)entry; // below 4 GB
    gates[vector] = (struct gate){.offset_low = (uint16_t)offset,
                                  .selector = CODE_SELECTOR,
                                  .type = GATE_INTERRUPT,
                                  .offset_middle = (uint16_t)(offset >> 16)};
}

static void load_gates(void) {
    for (unsigned i = 0; i < EXCEPTIONS; i++) {
        set_gate(i, x86_exception_entries + (size_t)i * EXCEPTION_ENTRY_BYTES);
    }
    // What comes of a stack that overflowed: no exception can be pushed on it.
    gates[DOUBLE_FAULT].stack = INTERRUPT_STACK;
    set_gate(VECTOR_SPURIOUS, x86_spurious_entry);
    set_gate(VECTOR_DEVICE, x86_device_entry);
    set_gate(VECTOR_TIMER, x86_timer_entry);
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = {sizeof gates - 1, (uintptr_t)gates};
    __asm__ volatile("lidt %0" : : "m"(table));
}

static void ioapic_write(uint32_t reg, uint32_t value) {
    ek_write32(IOAPIC + IOAPIC_SELECT, reg);
    ek_write32(IOAPIC + IOAPIC_WINDOW, value);
}

void x86_interrupts_init(void) {
    load_gates();
    ek_out8(PIC_DATA, 0xff); // the old controllers, where there are any, stay silent
    ek_out8(PIC2_DATA, 0xff);

    x86_apic_write(APIC_SPURIOUS, APIC_ENABLE | VECTOR_SPURIOUS);
    x86_apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    x86_apic_write(APIC_TIMER_LVT, LVT_MASKED | VECTOR_TIMER);

    uint32_t self = x86_apic_read(APIC_ID) & 0xff000000;
    for (unsigned i = 0; i < ek_irq_count; i++) {
        ek_assert(ek_irqs[i] < IOAPIC_LINES);
        uint32_t reg = IOAPIC_REDIRECTION + 2u * ek_irqs[i];
        ioapic_write(reg + 1, self);
        ioapic_write(reg, REDIRECTION_LEVEL | VECTOR_DEVICE); // fixed, active high, not masked
    }
}

// Edge triggered, fixed delivery, to this processor (SDM volume 3, 12.11). One that comes while an
// earlier one is in service waits in the local APIC.
struct ek_bus_message ek_bus_wake_message(void) {
    uint32_t self = x86_apic_read(APIC_ID) >> 24;
    return (struct ek_bus_message){.address = APIC | self << 12, .data = VECTOR_DEVICE};
}

void x86_timer_enable(void) { x86_apic_write(APIC_TIMER_LVT, VECTOR_TIMER); } // one shot

void arch_idle(uint64_t deadline_us) {
    uint64_t now_us = arch_clock_us();
    if (!x86_clock_ready() || deadline_us <= now_us) {
        return;
    }
    if (x86_device_in_service) {
        x86_device_in_service = false;
        x86_apic_write(APIC_EOI, 0);
    }
    // A timer left over from an earlier sleep that a device ended can only wake us early.
    uint32_t ticks = x86_timer_ticks(deadline_us - now_us);
    x86_apic_write(APIC_TIMER_INITIAL, ticks != 0 ? ticks : 1);
    // STI takes effect after the next instruction, so that no interrupt comes between it and HLT.
    __asm__ volatile("sti\n\thlt\n\tcli" : : : "memory");
}
