// parts.c: firmware/tls/heap.c against a model, and clock.c by lines: parts heap SEED STEPS | wrong
// CASE | clock. A line for clock: "date S" or "time FLOOR_S TOLD_S UP_S" (TOLD_S 0: unknown).
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "ek/assert.h"
#include "ek/clock.h"
#include "mbedtls/mbedtls_config.h"
#include "internal.h"
#include "mbedtls/platform_time.h"
#include "mbedtls/platform_util.h"

enum { LIVE_MAX = 64, HEADER = 8 };

static struct {
    uint8_t *at;
    size_t size;
    uint8_t pattern;
} live[LIVE_MAX];
static unsigned count;
const uint32_t tls_built_s = 950;
static uint64_t now_us;
static int64_t boot_unix_ms;

void ek_assert_fail(const char *file, int line) {
    printf("%s:%d: assertion failed\n", file, line);
    exit(3);
}
uint64_t ek_clock_us(void) { return now_us; }
const char *ek_clock_source(void) { return boot_unix_ms ? "test" : ""; }
bool ek_clock_boot_unix_ms(int64_t *out) {
    *out = boot_unix_ms;
    return boot_unix_ms != 0;
}

static size_t cost(size_t size) { return (size + 7) / 8 * 8 + HEADER; }

static int by_address(const void *a, const void *b) {
    const uint8_t *const *x = a, *const *y = b;
    return *x < *y ? -1 : *x > *y;
}

// Largest run of bytes between live blocks of the heap that begins at `base`.
static size_t largest_gap(const uint8_t *base) {
    size_t most = 0;
    const uint8_t *end = base;
    qsort(live, count, sizeof live[0], by_address);
    for (unsigned i = 0; i < count; i++) {
        size_t gap = (size_t)(live[i].at - HEADER - end);
        most = gap > most ? gap : most;
        end = live[i].at - HEADER + cost(live[i].size);
    }
    size_t gap = (size_t)(base + tls_heap.size - end);
    return gap > most ? gap : most;
}

static void drop(unsigned i) {
    for (size_t n = 0; n < live[i].size; n++) {
        ek_assert(live[i].at[n] == live[i].pattern); // nobody else wrote there
    }
    tls_free(live[i].at);
    for (size_t n = 0; n < live[i].size; n++) {
        ek_assert(live[i].at[n] == 0); // wiped; the array is still there
    }
    live[i] = live[--count];
}

static void take(size_t size, const uint8_t *base) {
    size_t parts = size % 3 == 0 ? 3 : 1;
    bool fits = cost(size) <= largest_gap(base);
    uint32_t failures = tls_heap.failures;
    uint8_t *at = tls_calloc(parts, size / parts);
    ek_assert((at != NULL) == fits);
    ek_assert(tls_heap.failures == failures + !fits);
    if (!at) {
        ek_assert(tls_heap.failed_bytes == size);
        return;
    }
    ek_assert((uintptr_t)at % 8 == 0);
    ek_assert(at - HEADER >= base && at + size <= base + tls_heap.size);
    for (size_t n = 0; n < size; n++) {
        ek_assert(at[n] == 0);
    }
    uint8_t pattern = (uint8_t)(1 + random() % 255);
    memset(at, pattern, size);
    live[count].at = at;
    live[count].size = size;
    live[count++].pattern = pattern;
}

static void heap_model(unsigned seed, unsigned steps) {
    srandom(seed);
    uint8_t *first = tls_calloc(1, 1);
    const uint8_t *base = first - HEADER;
    tls_free(first);
    uint32_t peak = tls_heap.peak, taken = 0, refused = 0;
    for (unsigned i = 0; i < steps; i++) {
        // Mostly small, as TLS has them; full at times, empty at times.
        unsigned fill = i / 200 % 2 ? 70 : 40;
        if (count < LIVE_MAX && (unsigned)random() % 100 < fill) {
            size_t most = random() % 3 ? 120 : 2500;
            uint32_t failures = tls_heap.failures;
            take((size_t)random() % most, base);
            taken += tls_heap.failures == failures;
            refused += tls_heap.failures != failures;
        } else if (count > 0) {
            drop((unsigned)random() % count);
        }
        size_t sum = 0;
        for (unsigned n = 0; n < count; n++) {
            sum += cost(live[n].size);
        }
        ek_assert(tls_heap.live == sum);
        peak = sum > peak ? (uint32_t)sum : peak;
        ek_assert(tls_heap.peak == peak);
    }
    while (count > 0) {
        drop(0);
    }
    ek_assert(tls_heap.live == 0);
    void *all = tls_calloc(1, tls_heap.size - HEADER); // all free pieces join again
    ek_assert(all);
    tls_free(all);
    printf("taken %u refused %u peak %u\n", taken, refused, peak);
}

static void heap_wrong(const char *what) {
    if (strcmp(what, "sizes") == 0) {
        const size_t sizes[][2] = {
            {SIZE_MAX, 2},       {2, SIZE_MAX},          {SIZE_MAX / 2 + 1, 2},
            {1, SIZE_MAX},       {SIZE_MAX, SIZE_MAX},   {1, (size_t)UINT32_MAX + 9},
            {1, UINT32_MAX},     {1, UINT32_MAX - 7},    {1u << 31, 1u << 31},
            {1u << 16, 1 << 16}, {1, SIZE_MAX - HEADER}, {tls_heap.size, 1}};
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            ek_assert(!tls_calloc(sizes[i][0], sizes[i][1]));
            ek_assert(tls_heap.failures == i + 1 && tls_heap.live == 0);
        }
        tls_free(tls_calloc(0, 5));
        tls_free(tls_calloc(5, 0));
        tls_free(NULL);
        ek_assert(tls_heap.live == 0);
        return;
    }
    uint8_t *a = tls_calloc(1, 24);
    uint8_t *b = tls_calloc(1, 24);
    tls_free(a);
    if (strcmp(what, "twice") == 0) {
        tls_free(a);
    } else {
        b[-8 + 4] = 7; // an underrun into the header
        tls_free(b);
    }
}

static void clock_lines(void) {
    char line[128];
    int64_t a, b, c;
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "date %" SCNd64, &a) == 1) {
            struct tm tm;
            mbedtls_time_t time = a;
            ek_assert(mbedtls_platform_gmtime_r(&time, &tm) == &tm);
            printf("%d-%02d-%02d %02d:%02d:%02d\n", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
        } else if (sscanf(line, "time %" SCNd64 " %" SCNd64 " %" SCNd64, &a, &b, &c) == 3) {
            int64_t out = 0;
            now_us = (uint64_t)c * 1000000;
            tls_clock_floor(a);
            boot_unix_ms = b == 0 ? 0 : (b - c) * 1000;
            ek_assert(tls_time(&out) == out && tls_time(NULL) == out);
            printf("%" PRId64 " %d %s\n", out, tls_clock_known(), tls_clock_source());
        }
    }
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "heap") == 0) {
        heap_model((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    } else if (argc == 3 && strcmp(argv[1], "wrong") == 0) {
        heap_wrong(argv[2]);
    } else {
        clock_lines();
    }
    return 0;
}
