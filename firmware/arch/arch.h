// arch/arch.h: what each processor architecture provides to the kernel. One folder per
// architecture (x86_64, aarch64, armv7m, host); nothing above this line knows which one it is on.
#ifndef ARCH_ARCH_H
#define ARCH_ARCH_H
#include <stddef.h>
#include <stdint.h>

// The entry code of an architecture sets up a stack, clears bss, copies data, and calls this, which
// the app defines. It never returns.
_Noreturn void ek_main(void);

// Called once by the kernel before anything else: clock, exception vectors, wake-up timer.
void arch_init(void);

// Microseconds since entry, monotonic, 64 bits.
uint64_t arch_clock_us(void);

// Sleep until a device interrupt, or ek_clock_us() >= deadline_us, or an arch-defined upper limit,
// whichever is first. Device interrupts (ek_irqs) are unmasked here and only here, and an interrupt
// that came just before wakes it at once: no lost wake-up. May return early.
void arch_idle(uint64_t deadline_us);

// Random bytes from a processor instruction (RDRAND, RNDR); returns how many, 0 where there is
// none.
size_t arch_random(uint8_t *data, size_t len);

// The device configuration blob as the loader left it (any content; checked by the kernel), or
// NULL.
const uint8_t *arch_device_config(size_t *size_max);

// Up to `max` return addresses of the callers, innermost first, starting from the caller or from
// the exception being handled; returns the count. Never faults: frames outside the stack end it.
size_t arch_backtrace(uintptr_t *pcs, size_t max);

// Reset by the processor's own means (SYSRESETREQ, triple fault, PSCI); returns only if it has
// none.
void arch_reset(void);

// Interrupt lines of the devices in use, as the interrupt controller numbers them; generated in
// devices.c. Architectures enable exactly these.
extern const uint16_t ek_irqs[];
extern const uint16_t ek_irq_count;
#endif
