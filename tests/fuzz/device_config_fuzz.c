// device_config_fuzz.c: libFuzzer target for the device configuration's reader. Input: one byte of
// MODE, then the blob; with TWO, its halves are the two copies. As no fuzzer guesses a CRC, magic,
// lengths and CRC are put right where MODE says so. Compiled with EK_SEALED and EK_DEVICE_KEY too:
// then a seal is right if it begins with 's', and decrypting turns bits over.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/arch.h"
#include "ek/assert.h"
#include "ek/device_config.h"
#include "ek/status.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"
#include "kernel/seal.h"

enum { RIGHT_1 = 1, RIGHT_2 = 2, TWO = 4, TEXT_ONLY = 8 }; // of MODE
enum { COPY_BYTES = 4096, HEADER_BYTES = 20, CRC_FROM = 8 };

const char ek_board_name[] = "test";
const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = 0;
    return NULL;
}

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed\n", file, line);
    abort();
}

bool seal_valid(const uint8_t *copy, size_t len) {
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < len + SEAL_BYTES; i++) { // all that the real one reads
        sum = (uint8_t)(sum + copy[i]);
    }
    return copy[len] == 's';
}

static uint8_t opened[COPY_BYTES];
const uint8_t *seal_open(const uint8_t *header, size_t header_len, const uint8_t *payload,
                         size_t *len) {
    ek_assert(header_len == HEADER_BYTES - CRC_FROM && header[0] + header[1] * 256u == *len);
    if (*len < 28 || *len > sizeof opened) { // nonce and tag
        return NULL;
    }
    *len -= 28;
    for (size_t i = 0; i < *len; i++) {
        opened[i] = payload[i] ^ 0xff;
    }
    return opened;
}

static void put_right(uint8_t *copy, size_t room, unsigned mode) {
    if (room < HEADER_BYTES) {
        return;
    }
    memcpy(copy, "EKC2", 4);
    size_t most = room - HEADER_BYTES, len = (size_t)(copy[8] | copy[9] << 8);
    len = len > most ? most : len;
    copy[8] = (uint8_t)len;
    copy[9] = (uint8_t)(len >> 8);
    if (mode & TEXT_ONLY && len > 0) {
        copy[10] = copy[8];
        copy[11] = copy[9];
        copy[HEADER_BYTES + len - 1] = 0;
    }
    uint32_t crc = crc32(copy + CRC_FROM, HEADER_BYTES - CRC_FROM + len);
    for (unsigned i = 0; i < 4; i++) {
        copy[4 + i] = (uint8_t)(crc >> 8 * i);
    }
}

static bool inside(const void *at, size_t len, const uint8_t *blob, size_t size) {
    const uint8_t *first = at;
    return (first >= blob && first + len <= blob + size) ||
           (first >= opened && first + len <= opened + sizeof opened);
}

static void look(const uint8_t *blob, size_t size, int status) {
    static const char *const keys[] = {"name", "mqtt.host", "mqtt.port", "board",
                                       "",     "tls.key",   "a"};
    ek_assert(status == EK_OK || status == EK_ENOENT);
    ek_assert(status == EK_OK || device_config_crc() == 0);
    ek_assert(strlen(kernel_config_report()) < 72);
    for (unsigned i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *value = ek_device_config(keys[i], NULL);
        ek_assert(!value || (status == EK_OK && inside(value, strlen(value) + 1, blob, size)));
        (void)ek_device_config_u32(keys[i], 7);
        size_t len = 0;
        const uint8_t *data = ek_device_config_data(keys[i], &len);
        ek_assert(!data || (status == EK_OK && inside(data, len, blob, size)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) {
        return 0;
    }
    unsigned mode = *data++;
    size--;
    size_t first = mode & TWO ? size / 2 : size,
           whole = mode & TWO ? COPY_BYTES + size - first : size;
    first = first < COPY_BYTES ? first : COPY_BYTES;
    uint8_t *blob = malloc(whole); // exactly as large as said, for the sanitizer
    memset(blob, 0xff, whole);
    memcpy(blob, data, first);
    if (mode & TWO) {
        memcpy(blob + COPY_BYTES, data + size / 2, whole - COPY_BYTES);
    }
    if (mode & RIGHT_1) {
        put_right(blob, mode & TWO ? COPY_BYTES : first, mode);
    }
    if (mode & TWO && mode & RIGHT_2) {
        put_right(blob + COPY_BYTES, whole - COPY_BYTES, mode);
    }
    look(blob, whole, device_config_use(blob, whole));
    free(blob);
    ek_assert(device_config_use(NULL, 0) == EK_ENOENT);
    return 0;
}
