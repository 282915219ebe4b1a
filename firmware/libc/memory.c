// memory.c: memcpy and friends (C11 7.24), by words where both sides allow it and never with an
// unaligned access: devices' memory and processors without an MMU on refuse those. No vector
// registers: kernels and emulated processors may not have them.
#include <stdint.h>
#include <string.h>

typedef uintptr_t __attribute__((may_alias)) word;
enum { WORD = sizeof(word) };

static int aligned(const void *p) { return ((uintptr_t)p & (WORD - 1)) == 0; }

// Whether both become aligned after the same number of bytes.
static int alike(const void *a, const void *b) {
    return (((uintptr_t)a ^ (uintptr_t)b) & (WORD - 1)) == 0;
}

void *memcpy(void *restrict to, const void *restrict from, size_t len) {
    unsigned char *out = to;
    const unsigned char *in = from;
    if (alike(out, in)) {
        for (; len > 0 && !aligned(out); len--) {
            *out++ = *in++;
        }
        for (; len >= WORD; len -= WORD, out += WORD, in += WORD) {
            *(word *)out = *(const word *)in;
        }
    }
    while (len-- > 0) {
        *out++ = *in++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t len) {
    // Forwards is right unless `to` begins inside `from`.
    if ((uintptr_t)to - (uintptr_t)from >= len) {
        return memcpy(to, from, len);
    }
    // Backwards by bytes: it is rare, and short.
    while (len-- > 0) {
        ((unsigned char *)to)[len] = ((const unsigned char *)from)[len];
    }
    return to;
}

void *memset(void *to, int byte, size_t len) {
    unsigned char *out = to;
    word pattern = (word)-1 / 255 * (unsigned char)byte; // 0x0101...01 times the byte
    for (; len > 0 && !aligned(out); len--) {
        *out++ = (unsigned char)byte;
    }
    for (; len >= WORD; len -= WORD, out += WORD) {
        *(word *)out = pattern;
    }
    while (len-- > 0) {
        *out++ = (unsigned char)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t len) {
    const unsigned char *x = a, *y = b;
    for (; len > 0; len--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}

void *memchr(const void *data, int byte, size_t len) {
    const unsigned char *p = data;
    for (; len > 0; len--, p++) {
        if (*p == (unsigned char)byte) {
            return (void *)(uintptr_t)p;
        }
    }
    return NULL;
}
