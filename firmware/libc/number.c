// number.c: strtol and friends (C11 7.22). There is no errno: overflow only saturates.
#include <ctype.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>

// The value of a digit in bases up to 36; 36 for anything else.
static int digit(char c) {
    if (isdigit(c)) {
        return c - '0';
    }
    return isalpha(c) ? tolower(c) - 'a' + 10 : 36;
}

long strtol(const char *restrict text, char **restrict end, int base) {
    const char *p = text;
    while (isspace(*p)) {
        p++;
    }
    bool negative = *p == '-';
    if (*p == '-' || *p == '+') {
        p++;
    }
    if ((base == 0 || base == 16) && p[0] == '0' && (p[1] | 0x20) == 'x' && digit(p[2]) < 16) {
        p += 2;
        base = 16;
    } else if (base == 0) {
        base = *p == '0' ? 8 : 10;
    }
    unsigned long limit = negative ? (unsigned long)LONG_MAX + 1 : (unsigned long)LONG_MAX;
    unsigned long value = 0;
    const char *first = p;
    for (; digit(*p) < base; p++) {
        unsigned long add = (unsigned long)digit(*p);
        bool fits = value <= (limit - add) / (unsigned long)base;
        value = fits ? value * (unsigned long)base + add : limit;
    }
    if (end) {
        *end = (char *)(p == first ? text : p);
    }
    return negative ? (long)(0 - value) : (long)value;
}

int atoi(const char *text) { return (int)strtol(text, NULL, 10); }

int abs(int value) { return value < 0 ? -value : value; }
