// format.c: ek_format (ek/log.h): the part of printf that log lines and protocols need. Left out:
// floating point, precision, left alignment, %n.
#include <stdint.h>
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

// Write `value` into the end of `room`; returns where it begins.
static char *digits(char room[DIGITS_MAX], uint64_t value, unsigned base) {
    char *p = room + DIGITS_MAX;
    // Long division only while it is needed: a function call on 32-bit machines.
    for (; value > UINT32_MAX; value /= base) {
        *--p = "0123456789abcdef"[value % base];
    }
    uint32_t low = (uint32_t)value;
    do {
        *--p = "0123456789abcdef"[low % base];
        low /= base;
    } while (low > 0);
    return p;
}

static void put_number(struct text *text, uint64_t value, unsigned base, bool negative,
                       size_t width, char pad) {
    char room[DIGITS_MAX];
    char *p = digits(room, value, base);
    if (negative) {
        *--p = '-';
    }
    put_padded(text, p, (size_t)(room + DIGITS_MAX - p), width, pad);
}

// Sizes of arguments: `l` and `z` are as wide as a pointer on every machine we have.
static uint64_t unsigned_argument(va_list *args, bool pointer_wide, bool wide) {
    if (wide) {
        return va_arg(*args, unsigned long long);
    }
    return pointer_wide ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
}

static int64_t signed_argument(va_list *args, bool pointer_wide, bool wide) {
    if (wide) {
        return va_arg(*args, long long);
    }
    return pointer_wide ? va_arg(*args, long) : va_arg(*args, int);
}

// One conversion, `p` behind its %; returns where the text goes on.
static const char *convert(struct text *text, const char *p, va_list *args) {
    char pad = ' ';
    size_t width = 0;
    unsigned longs = 0;
    if (*p == '0') {
        pad = '0';
    }
    for (; *p >= '0' && *p <= '9'; p++) {
        width = width * 10 + (size_t)(*p - '0');
    }
    for (; *p == 'l' || *p == 'z'; p++) {
        longs++;
    }
    switch (*p) {
    case 'd': {
        int64_t value = signed_argument(args, longs == 1, longs > 1);
        put_number(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10, value < 0, width,
                   pad);
        break;
    }
    case 'u':
    case 'x': {
        uint64_t value = unsigned_argument(args, longs == 1, longs > 1);
        put_number(text, value, *p == 'x' ? 16 : 10, false, width, pad);
        break;
    }
    case 'p':
        put(text, '0');
        put(text, 'x');
        put_number(text, (uintptr_t)va_arg(*args, void *), 16, false, width, pad);
        break;
    case 's': {
        const char *s = va_arg(*args, const char *);
        size_t len = 0;
        s = s ? s : "(null)";
        while (s[len] != 0) {
            len++;
        }
        put_padded(text, s, len, width, ' ');
        break;
    }
    case 'c': {
        char c = (char)va_arg(*args, int);
        put_padded(text, &c, 1, width, ' ');
        break;
    }
    case 0:
        return p; // a lone % at the end
    default:
        put(text, *p); // %% and what the compiler's format check should have caught
    }
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
