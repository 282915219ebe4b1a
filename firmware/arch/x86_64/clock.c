// clock.c: microseconds since entry, from the time stamp counter (TSC).
//
// Its frequency comes from the hypervisor or from CPUID. Where neither tells (QEMU without KVM),
// the local APIC's timer does: it counts at 1 GHz there, with or without KVM (QEMU hw/intc/apic.c:
// one count per ns of virtual time; Linux arch/x86/kvm/lapic.h: APIC_BUS_CYCLE_NS 1). Nothing waits
// for that: until CALIBRATION_NS have passed, the timer itself is the clock, and arch_idle() does
// not sleep. Left out: a TSC that stops or differs between processors; we have one and never stop
// it.
#include "arch/arch.h"
#include "x86.h"

enum {
    KVM_SIGNATURE = 0x4b4d564b, // EBX of leaf 0x4000_0000, "KVMK"
    KVM_CLOCKSOURCE2 = 1u << 3, // EAX of leaf 0x4000_0001 (Linux, virt/kvm/x86/cpuid.rst)
    KVM_SYSTEM_TIME_NEW = 0x4b564d01,
    CPUID_HYPERVISOR = 1u << 31, // ECX of leaf 1
};
// A read of the pair takes under 1 us, so that 20 ms give 50 ppm.
enum { CALIBRATION_NS = 20000000, PAIR_TRIES = 4 };

// What KVM writes for KVM_SYSTEM_TIME_NEW (Linux, virt/kvm/x86/msr.rst); 64 bytes aligned, so that
// it does not cross a page.
struct kvm_time {
    uint32_t version, pad;
    uint64_t tsc, system_ns;
    uint32_t multiplier;
    int8_t shift;
    uint8_t flags, pad2[2];
};

static uint64_t us_per_tsc_40; // microseconds per TSC tick, times 2^40; 0: not known yet
static uint32_t timer_khz = 1000000;
static uint64_t calibration_tsc;
static uint32_t calibration_count;

static uint64_t from_khz(uint64_t tsc_khz) {
    return tsc_khz == 0 ? 0 : (1000ull << 40) / tsc_khz; // 2^50 / 2^21: 9 digits and more
}

static uint64_t from_kvm(void) {
    static volatile struct kvm_time time __attribute__((aligned(64)));
    x86_write_msr(KVM_SYSTEM_TIME_NEW, (uintptr_t)&time | 1);
    uint64_t ns_per_tsc_32 = time.multiplier; // times 2^shift
    int8_t shift = time.shift;
    x86_write_msr(KVM_SYSTEM_TIME_NEW, 0);
    if (shift < -12 || shift > 12) {
        return 0; // no processor is that slow or fast
    }
    return (ns_per_tsc_32 << 20) / 1000 >> (12 - shift);
}

// From CPUID's own leaves (SDM volume 3, 20.7.3): crystal clock and ratio, else the base frequency.
static uint64_t from_processor(bool virtual) {
    uint32_t leaves = x86_cpuid(0).eax;
    if (leaves >= 0x15) {
        struct cpuid crystal = x86_cpuid(0x15);
        if (crystal.eax != 0 && crystal.ebx != 0 && crystal.ecx != 0) {
            if (!virtual) {
                timer_khz = crystal.ecx / 1000;
            }
            return from_khz((uint64_t)crystal.ecx * crystal.ebx / crystal.eax / 1000);
        }
    }
    return leaves >= 0x16 ? from_khz((x86_cpuid(0x16).eax & 0xffff) * 1000ull) : 0;
}

static uint64_t from_anyone(void) {
    bool virtual = (x86_cpuid(1).ecx & CPUID_HYPERVISOR) != 0;
    uint64_t found = 0;
    if (virtual) {
        struct cpuid hypervisor = x86_cpuid(0x40000000);
        bool kvm = hypervisor.ebx == KVM_SIGNATURE;
        if (kvm && (x86_cpuid(0x40000001).eax & KVM_CLOCKSOURCE2)) {
            found = from_kvm();
        }
        // VMware's timing leaf, which others copy: kHz of the TSC and of the APIC's timer.
        if (hypervisor.eax >= 0x40000010 && hypervisor.eax <= 0x400000ff) {
            struct cpuid timing = x86_cpuid(0x40000010);
            found = found ? found : from_khz(timing.eax);
            timer_khz = timing.ebx ? timing.ebx : timer_khz;
        }
    }
    return found ? found : from_processor(virtual);
}

// Read TSC and timer at the same moment: of a few tries the one that took shortest, because the
// host may take the processor away between the two.
static uint32_t read_pair(uint64_t *tsc) {
    uint64_t best = UINT64_MAX;
    uint32_t count = 0;
    for (int i = 0; i < PAIR_TRIES; i++) {
        uint64_t before = x86_tsc();
        uint32_t current = x86_apic_read(APIC_TIMER_CURRENT);
        uint64_t took = x86_tsc() - before;
        if (took < best) {
            best = took;
            count = current;
            *tsc = before + took / 2;
        }
    }
    return count;
}

// The time by the timer, which began a little after entry; sets the TSC's frequency once enough of
// it has passed, and then the time since entry, which is a little more.
static uint64_t calibrate(void) {
    uint64_t elapsed_ns = UINT32_MAX - x86_apic_read(APIC_TIMER_CURRENT);
    if (elapsed_ns < CALIBRATION_NS) {
        return elapsed_ns / 1000;
    }
    uint64_t tsc;
    uint32_t ns = calibration_count - read_pair(&tsc);
    us_per_tsc_40 = ((uint64_t)ns << 30) / (tsc - calibration_tsc) * 1024 / 1000;
    x86_timer_enable();
    return arch_clock_us();
}

void x86_clock_init(void) {
    us_per_tsc_40 = from_anyone();
    if (us_per_tsc_40 != 0) {
        x86_timer_enable();
        return;
    }
    // Starts to count down from its maximum, for 4.29 s.
    x86_apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
    calibration_count = read_pair(&calibration_tsc);
}

bool x86_clock_ready(void) { return us_per_tsc_40 != 0; }

uint64_t arch_clock_us(void) {
    if (us_per_tsc_40 == 0) {
        return calibrate();
    }
    unsigned __int128 product = (unsigned __int128)(x86_tsc() - x86_entry_tsc) * us_per_tsc_40;
    return (uint64_t)(product >> 40);
}

uint32_t x86_timer_ticks(uint64_t us) {
    if (us > UINT32_MAX / 1000) {
        us = UINT32_MAX / 1000;
    }
    uint64_t ticks = us * timer_khz / 1000;
    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}
