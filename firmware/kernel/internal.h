// kernel/internal.h: what the kernel's files know of each other and nobody else does.
#ifndef KERNEL_INTERNAL_H
#define KERNEL_INTERNAL_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// format.c: ek_format() with a va_list.
int format_list(char *out, size_t size, const char *format, va_list args);
// log.c: one line, `lead` before the formatted text.
void log_list(const char *lead, const char *format, va_list args);

// timer.c: run timers that are due; true if one ran. A bounded number each time.
bool timer_run(void);
// ek_clock_us() at which the next timer is due; UINT64_MAX without one.
uint64_t timer_next_us(void);

// chacha20.c: one block of RFC 8439, 2.3: key, counter and nonce in `input`, out as bytes.
void chacha20_block(const uint32_t input[12], uint8_t out[64]);

// random.c: seed the generator from the best source there is.
void random_init(void);

// device_config.c: find the configuration, choose a copy.
void device_config_init(void);
// Use the copies in `size_max` bytes; NULL stands for none. EK_OK, or EK_ENOENT: none can be used,
// and kernel_config_report() says why. Afterwards, ek_device_config() reads it in place.
int device_config_use(const uint8_t *blob, size_t size_max);
// CRC-32 of the configuration in use, 0 without one.
uint32_t device_config_crc(void);
// What of it is no text.
const uint8_t *device_config_data(size_t *len);

// IEEE 802.3, reflected.
uint32_t crc32(const uint8_t *data, size_t len);

// guard.c: a canary that nobody can guess, for functions that are called from now on.
void guard_seed(void);

// stack.c: fill what is unused of the stack with a pattern.
void stack_paint(void);

// watchdog.c: arm the board's watchdog, if it has one. watchdog_report() says, once there is a
// console, what the last boot left behind.
void watchdog_start(void);
void watchdog_report(void);
// Once per round of the event loop.
void watchdog_feed(void);
// The loop calls the function at `where` next; 0: none, it sleeps.
void watchdog_runs(uintptr_t where);
// A panic, of which the watchdog's warning may be the cause.
void watchdog_panic(void);

// rtc.c: ask the board's real-time clock for the time; tell it the time that `source` knows.
void rtc_start(void);
void rtc_learn(const char *source);

// crash.c: read what the last boot left behind, into kernel_boot_report(), and begin a record of
// this one. `expired`: the watchdog says that it ended it. True if a watchdog did, or may have.
bool crash_begin(bool expired);
// The loop calls the function at `where` next; 0: none, it sleeps.
void crash_runs(uintptr_t where);
// This boot ends: by a panic, with up to four of the `count` addresses; by the watchdog's warning
// (returns what runs), on purpose.
void crash_panic(const char *format, va_list args, const uintptr_t *pcs, size_t count);
uintptr_t crash_hung(void);
void crash_ended(void);
#endif
