// device_data.c: the second part of the device configuration: bytes that are no text, such as keys.
// Format: "EKD1", length of the payload and its CRC-32 (both 32 bits, little-endian), payload:
// entries of a key, ended by a zero byte, a length of 16 bits, little-endian, and that many bytes.
#include <string.h>
#include "ek/device_config.h"
#include "kernel/internal.h"

enum { HEADER_BYTES = 12 };

static uint32_t little(const uint8_t *p, unsigned bytes) {
    uint32_t value = 0;
    while (bytes-- > 0) {
        value = value << 8 | p[bytes];
    }
    return value;
}

const uint8_t *ek_device_config_data(const char *key, size_t *len) {
    size_t room, key_size = strlen(key) + 1;
    const uint8_t *part = device_config_behind(&room);
    if (!part || room < HEADER_BYTES || memcmp(part, "EKD1", 4) != 0) {
        return NULL;
    }
    size_t size = little(part + 4, 4);
    part += HEADER_BYTES;
    if (size > room - HEADER_BYTES || crc32(part, size) != little(part - 4, 4)) {
        return NULL;
    }
    for (const uint8_t *end = part + size; part < end;) {
        const uint8_t *zero = memchr(part, 0, (size_t)(end - part));
        if (!zero || end - zero < 3 || little(zero + 1, 2) > (size_t)(end - zero - 3)) {
            return NULL;
        }
        *len = little(zero + 1, 2);
        if ((size_t)(zero + 1 - part) == key_size && memcmp(part, key, key_size) == 0) {
            return zero + 3;
        }
        part = zero + 3 + *len;
    }
    return NULL;
}
