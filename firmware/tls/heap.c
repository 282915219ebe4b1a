// heap.c: memory for mbedTLS and nobody else, so that what it needs is known and bounded. First fit
// over one array; neighbours that are free join when they are looked at.
#include <string.h>
#include "config.h"
#include "ek/assert.h"
#include "mbedtls/mbedtls_config.h"
#include "internal.h"

#ifndef EK_TLS_HEAP_BYTES
// Both buffers, what a handshake needs besides (measured: 3792 with 32 bits, 5112 with 64; in the
// compatible profile 10520 and 12176, more for RSA of 4096 bits), and room for three intermediate
// certificates and a ticket that is refused. Tests have a tenth above the minimum, devices more:
// chains of the public CAs are longer than any test's.
#define EK_TLS_HEAP_BYTES                                                                          \
    (EK_TLS_RECORD_BYTES + EK_TLS_SEND_BYTES + (sizeof(void *) == 8 ? 9728 : 7680) +               \
     EK_TLS_COMPATIBLE * 14336)
#endif

struct block {
    uint32_t size; // with this header; a multiple of UNIT
    uint32_t used;
};
enum { UNIT = 8, HEAP_BYTES = EK_TLS_HEAP_BYTES / UNIT * UNIT }; // 64-bit fields want 8
_Static_assert(sizeof(struct block) == UNIT, "what follows a header is aligned");

static _Alignas(UNIT) uint8_t heap[HEAP_BYTES];
struct heap_stats tls_heap = {.size = HEAP_BYTES};

static struct block *at(uint32_t offset) { return (struct block *)(void *)(heap + offset); }

static void *fail(size_t bytes) {
    tls_heap.failures++;
    tls_heap.failed_bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
    return NULL;
}

void *tls_calloc(size_t count, size_t size) {
    if (size != 0 && count > HEAP_BYTES / size) {
        return fail(HEAP_BYTES);
    }
    uint32_t bytes = ((uint32_t)(count * size) + UNIT + UNIT - 1) / UNIT * UNIT;
    if (at(0)->size == 0) {
        at(0)->size = HEAP_BYTES;
    }
    for (uint32_t offset = 0; offset < HEAP_BYTES; offset += at(offset)->size) {
        struct block *block = at(offset);
        if (block->used) {
            continue;
        }
        uint32_t next;
        while ((next = offset + block->size) < HEAP_BYTES && !at(next)->used) {
            block->size += at(next)->size;
        }
        if (block->size < bytes) {
            continue;
        }
        if (block->size > bytes) {
            *at(offset + bytes) = (struct block){.size = block->size - bytes};
            block->size = bytes;
        }
        block->used = 1;
        tls_heap.live += bytes;
        tls_heap.peak = tls_heap.live > tls_heap.peak ? tls_heap.live : tls_heap.peak;
        return memset(block + 1, 0, bytes - UNIT);
    }
    return fail(count * size);
}

// Wiped, as it may have held keys.
void tls_free(void *memory) {
    if (!memory) {
        return;
    }
    struct block *block = (struct block *)memory - 1;
    ek_assert(block->used == 1);
    tls_heap.live -= block->size;
    memset(memory, 0, block->size - UNIT);
    __asm__ volatile("" : : "r"(memory) : "memory"); // the compiler must not drop that
    block->used = 0;
}
