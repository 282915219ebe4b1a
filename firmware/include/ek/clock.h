// ek/clock.h: time since boot, and the time of day once it is known.
#ifndef EK_CLOCK_H
#define EK_CLOCK_H
#include <stdbool.h>
#include <stdint.h>

// Microseconds since the image was entered. Never goes back, does not wrap.
uint64_t ek_clock_us(void);

// Milliseconds between 1970-01-01T00:00Z and boot, once the time of day is known: add
// ek_clock_us() / 1000 for "now". False while unknown. Corrections move it; readings keep their
// time since boot until they are encoded.
bool ek_clock_boot_unix_ms(int64_t *boot_unix_ms);

// The time of day now, learned from `source` ("sntp", "rtc"; static storage).
void ek_clock_set_unix_ms(int64_t unix_ms, const char *source);
// The source that told the time of day last; "" while it is unknown.
const char *ek_clock_source(void);
#endif
