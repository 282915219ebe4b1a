// arch/x86_64/x86.h: instructions that C has no words for, and what this folder's files share.
#ifndef ARCH_X86_64_X86_H
#define ARCH_X86_64_X86_H
#include <stdbool.h>
#include <stdint.h>

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid x86_cpuid(uint32_t leaf) {
    struct cpuid out;
    __asm__ volatile("cpuid"
                     : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
                     : "a"(leaf), "c"(0));
    return out;
}

static inline uint64_t x86_tsc(void) {
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void x86_write_msr(uint32_t msr, uint64_t value) {
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

// start.S: the PVH start information's address, and the time stamp counter at entry.
extern uint64_t x86_start_info, x86_entry_tsc;

// clock.c
void x86_clock_init(void);
// Whether x86_timer_ticks() may be asked yet.
bool x86_clock_ready(void);
// Ticks of the local APIC's timer for `us` microseconds, at most 32 bits.
uint32_t x86_timer_ticks(uint64_t us);

// interrupts.c. Registers of the local APIC (SDM volume 3, table 12-1).
enum { APIC_TIMER_LVT = 0x320, APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390 };
uint32_t x86_apic_read(uint32_t offset);
void x86_apic_write(uint32_t offset, uint32_t value);
void x86_interrupts_init(void);
// Let the timer interrupt when it reaches 0; before, it only counts.
void x86_timer_enable(void);
#endif
