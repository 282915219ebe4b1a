// format.c: ek_format (ek/log.h): the part of printf that log lines and protocols need. Left out:
// floating point, precision, left alignment, %c, %n, and `ll`, which 32-bit processors divide by
// calling functions.
#include <stdbool.h>
#include <string.h>
#include "ek/log.h"
#include "kernel/internal.h"

struct text {
    char *out;
    size_t size, len;
};

static void put(struct text *text, char c) {
    if (text->len + 1 < text->size) {
        text->out[text->len] = c;
    }
    text->len++;
}

static void put_padded(struct text *text, const char *s, size_t len, size_t width, char pad) {
    if (pad == '0' && len > 0 && *s == '-') {
        put(text, *s++); // the sign goes before zeros
        len--;
        width -= width > 0;
    }
    for (; width > len; width--) {
        put(text, pad);
    }
    while (len-- > 0) {
        put(text, *s++);
    }
}

enum { DIGITS_MAX = 21 }; // 2^64 has 20 decimal digits; and a sign

// One conversion, `p` behind its %; returns where the text goes on. `l` and `z` are as wide as a
// pointer on every machine we have; nothing is wider.
static const char *convert(struct text *text, const char *p, va_list *args) {
    char pad = *p == '0' ? '0' : ' ';
    size_t width = 0;
    for (; *p >= '0' && *p <= '9'; p++) {
        width = width * 10 + (size_t)(*p - '0');
    }
    bool wide = *p == 'l' || *p == 'z' || *p == 'p';
    if (*p == 'l' || *p == 'z') {
        p++;
    }
    char conversion = *p;
    if (conversion == 0) {
        return p; // a lone % at the end
    }
    if (conversion == 's') {
        const char *s = va_arg(*args, const char *);
        s = s ? s : "(null)";
        put_padded(text, s, strlen(s), width, ' ');
        return p + 1;
    }
    if (conversion == 'p') {
        put(text, '0');
        put(text, 'x');
    } else if (conversion != 'd' && conversion != 'u' && conversion != 'x') {
        put(text, conversion); // %% and what the compiler's format check should have caught
        return p + 1;
    }
    unsigned base = conversion == 'd' || conversion == 'u' ? 10 : 16;
    unsigned long value = wide                ? va_arg(*args, unsigned long)
                          : conversion == 'd' ? (unsigned long)va_arg(*args, int)
                                              : va_arg(*args, unsigned);
    bool negative = conversion == 'd' && (long)value < 0;
    value = negative ? 0 - value : value;
    char room[DIGITS_MAX];
    char *at = room + DIGITS_MAX;
    do {
        *--at = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    if (negative) {
        *--at = '-';
    }
    put_padded(text, at, (size_t)(room + DIGITS_MAX - at), width, pad);
    return p + 1;
}

int format_list(char *out, size_t size, const char *format, va_list args) {
    struct text text = {out, size, 0};
    va_list rest; // a copy, because a va_list argument has an address of another type on x86_64
    va_copy(rest, args);
    while (*format != 0) {
        if (*format != '%') {
            put(&text, *format++);
            continue;
        }
        format = convert(&text, format + 1, &rest);
    }
    va_end(rest);
    if (size > 0) {
        out[text.len < size ? text.len : size - 1] = 0;
    }
    return (int)text.len;
}

int ek_format(char *out, size_t size, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int len = format_list(out, size, format, args);
    va_end(args);
    return len;
}
