// tests/fake/fake.c: what firmware/include/ek promises to drivers, handed on to the functions that
// a test puts into the fake_* pointers. A failed assertion, a report of the undefined-behaviour
// sanitizer, or an exception in the test's model ends the driver's call (guarded(),
// driver_harness.py).
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "ek/assert.h"
#include "ek/bus.h"
#include "ek/clock.h"
#include "ek/counters.h"
#include "ek/critical.h"
#include "ek/dma.h"
#include "ek/i2c.h"
#include "ek/log.h"
#include "ek/mmio.h"
#include "ek/pio.h"
#include "ek/semihosting.h"
#include "ek/sensor.h"
#include "ek/timer.h"

uint64_t (*fake_read)(uintptr_t addr, unsigned bits);
void (*fake_write)(uintptr_t addr, unsigned bits, uint32_t value);
uint64_t (*fake_port_in)(uint16_t port, unsigned bits);
void (*fake_port_out)(uint16_t port, unsigned bits, uint32_t value);
uint64_t (*fake_clock)(void);
void (*fake_dma)(const char *what, const void *addr, size_t len);
void (*fake_critical)(int enter);
void (*fake_log)(const char *line);
void (*fake_report)(uint16_t channel, int64_t value, uint8_t quality, int status);
long (*fake_semihosting)(uint32_t operation, uintptr_t argument);
int (*fake_transfer)(uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in, size_t in_len);
void (*fake_timer)(struct ek_timer *timer, uint64_t due_us);

jmp_buf fake_end;
struct ek_counters ek_counters;
char fake_reason[200]; // why the call was ended
bool fake_raised;      // the model raised an exception, which Python keeps

_Noreturn static void end(const char *what, const char *file, unsigned line) {
    snprintf(fake_reason, sizeof fake_reason, "%s at %s:%u", what, file, line);
    longjmp(fake_end, 1);
}

static void check(void) {
    if (fake_raised) {
        end("exception in the model", "", 0);
    }
}

void ek_assert_fail(const char *file, int line) { end("ek_assert", file, (unsigned)line); }

uint32_t ek_read32(uintptr_t addr) {
    uint32_t value = (uint32_t)fake_read(addr, 32);
    check();
    return value;
}
void ek_write32(uintptr_t addr, uint32_t value) {
    fake_write(addr, 32, value);
    check();
}
uint16_t ek_read16(uintptr_t addr) {
    uint16_t value = (uint16_t)fake_read(addr, 16);
    check();
    return value;
}
void ek_write16(uintptr_t addr, uint16_t value) {
    fake_write(addr, 16, value);
    check();
}
uint8_t ek_read8(uintptr_t addr) {
    uint8_t value = (uint8_t)fake_read(addr, 8);
    check();
    return value;
}
void ek_write8(uintptr_t addr, uint8_t value) {
    fake_write(addr, 8, value);
    check();
}
uint8_t ek_in8(uint16_t port) {
    uint8_t value = (uint8_t)fake_port_in(port, 8);
    check();
    return value;
}
void ek_out8(uint16_t port, uint8_t value) {
    fake_port_out(port, 8, value);
    check();
}
uint16_t ek_in16(uint16_t port) {
    uint16_t value = (uint16_t)fake_port_in(port, 16);
    check();
    return value;
}
void ek_out16(uint16_t port, uint16_t value) {
    fake_port_out(port, 16, value);
    check();
}
uint32_t ek_in32(uint16_t port) {
    uint32_t value = (uint32_t)fake_port_in(port, 32);
    check();
    return value;
}
void ek_out32(uint16_t port, uint32_t value) {
    fake_port_out(port, 32, value);
    check();
}
uint64_t ek_clock_us(void) {
    uint64_t now = fake_clock();
    check();
    return now;
}
// Device memory is where it is; what lies below is the machine's own.
uintptr_t ek_bus_map(uint64_t address, uint32_t size) {
    return size == 0 || address < 0x10000000 ? 0 : (uintptr_t)address;
}
struct ek_bus_message ek_bus_wake_message(void) {
    return (struct ek_bus_message){.address = 0xfee00000, .data = 0x30};
}
// Not every model cares for it, as with `dma`.
static void critical(int enter) {
    if (fake_critical) {
        fake_critical(enter);
        check();
    }
}

uint32_t ek_critical_enter(void) {
    critical(1);
    return 0x51;
}

void ek_critical_leave(uint32_t before) {
    if (before != 0x51) {
        end("ek_critical_leave of something else", "", 0);
    }
    critical(0);
}

static void dma(const char *what, const void *addr, size_t len) {
    if (fake_dma) {
        fake_dma(what, addr, len);
        check();
    }
}
void ek_dma_barrier(void) { dma("barrier", NULL, 0); }
void ek_dma_clean(const void *addr, size_t len) { dma("clean", addr, len); }
void ek_dma_invalidate(void *addr, size_t len) { dma("invalidate", addr, len); }
void ek_log(const char *format, ...) {
    char line[161];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fake_log(line);
    check();
}
void ek_sensor_report(uint16_t channel, int64_t value, uint8_t quality, int status) {
    fake_report(channel, value, quality, status);
    check();
}
long ek_semihosting(uint32_t operation, uintptr_t argument) {
    long result = fake_semihosting(operation, argument);
    check();
    return result;
}
void ek_timer_start_at(struct ek_timer *timer, uint64_t due_us, void (*fn)(void *), void *arg) {
    timer->fn = fn;
    timer->arg = arg;
    timer->armed = true;
    timer->due_us = due_us;
    fake_timer(timer, due_us);
}
void ek_timer_start(struct ek_timer *timer, uint64_t delay_us, void (*fn)(void *), void *arg) {
    ek_timer_start_at(timer, ek_clock_us() + delay_us, fn, arg);
}
void ek_timer_stop(struct ek_timer *timer) { timer->armed = false; }

static int i2c_init(const void *dev) {
    (void)dev;
    return EK_OK;
}
static int i2c_transfer(const void *dev, uint8_t addr, const uint8_t *out, size_t out_len,
                        uint8_t *in, size_t in_len) {
    (void)dev;
    int status = fake_transfer(addr, out, out_len, in, in_len);
    check();
    return status;
}
static const struct ek_i2c_ops i2c_ops = {.init = i2c_init, .transfer = i2c_transfer};
const struct ek_i2c fake_i2c = {.ops = &i2c_ops, .dev = NULL};

// The sanitizer's handlers (compiler-rt, ubsan_handlers.h): all begin their data with the place.
struct place {
    const char *file;
    uint32_t line;
    uint32_t column;
};
// The names are given to the assembler, since compilers know them with other types.
#define HANDLER(name)                                                                              \
    void report_##name(const struct place *place) __asm__("__ubsan_handle_" #name);                \
    void report_##name(const struct place *place) { end(#name, place->file, place->line); }
HANDLER(add_overflow)
HANDLER(sub_overflow)
HANDLER(mul_overflow)
HANDLER(negate_overflow)
HANDLER(divrem_overflow)
HANDLER(shift_out_of_bounds)
HANDLER(out_of_bounds)
HANDLER(type_mismatch_v1)
HANDLER(alignment_assumption)
HANDLER(pointer_overflow)
HANDLER(load_invalid_value)
HANDLER(builtin_unreachable)
HANDLER(missing_return)
HANDLER(vla_bound_not_positive)
HANDLER(float_cast_overflow)
HANDLER(invalid_builtin)
HANDLER(nonnull_arg)
HANDLER(nonnull_return_v1)
HANDLER(nullability_arg)
HANDLER(nullability_return_v1)
