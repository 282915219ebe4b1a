// ek/log.h: lines on the console.
#ifndef EK_LOG_H
#define EK_LOG_H
#include <stddef.h>

// One line "[   12.345678] text"; the newline is added. Formats: %s %d %u %x %p %%, with `l` or `z`
// (not `ll`), a width and 0; nothing else. Lines over 160 bytes are cut and end in "...".
// By convention the text begins with who speaks: "mqtt: connected to 10.0.2.2:1883".
void ek_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Like snprintf(3) with the formats above: always terminated if size > 0, returns the length that
// the whole text would have.
int ek_format(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#endif
