// log.c: lines on the console (ek/log.h). Each is formatted whole and written at once.
#include <string.h>
#include "ek/clock.h"
#include "ek/log.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

enum { LINE_MAX = 160 }; // bytes, without the newline

void log_list(const char *lead, const char *format, va_list args) {
    char line[LINE_MAX + 1];
    uint64_t now_us = ek_clock_us();
    uint32_t now_s = (uint32_t)(now_us / 1000000);
    uint32_t part_us = (uint32_t)(now_us - (uint64_t)now_s * 1000000);
    size_t len = (size_t)ek_format(line, sizeof line, "[%5u.%06u] %s", (unsigned)now_s,
                                   (unsigned)part_us, lead);
    len += (size_t)format_list(line + len, sizeof line - len, format, args);
    if (len > LINE_MAX) {
        len = LINE_MAX;
        memcpy(line + LINE_MAX - 3, "...", 3);
    }
    line[len] = '\n';
    if (ek_role_console.ops) {
        // A console that does not take it has lost the line: nobody is there to be told.
        (void)ek_role_console.ops->write(ek_role_console.dev, (uint8_t *)line, len + 1);
    }
}

void ek_log(const char *format, ...) {
    va_list args;
    va_start(args, format);
    log_list("", format, args);
    va_end(args);
}
