// device_config.c: the device configuration blob (ek/device_config.h), read where it lies.
// Format: "EKC1", length of the payload and its CRC-32 (both 32 bits, little-endian), payload:
// "key=value" strings, each ended by a zero byte. The bytes come from outside: nothing is believed.
#include <string.h>
#include "arch/arch.h"
#include "ek/device_config.h"
#include "ek/status.h"
#include "kernel/internal.h"

enum { HEADER_BYTES = 12, BLOB_BYTES_MAX = 4096 };

static const char *payload = ""; // its last byte is 0
static size_t payload_len;
static uint32_t payload_crc;
static size_t behind_len; // bytes that may be behind it

static uint32_t little32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

// By bits: once or twice per boot, over some hundred bytes, a table does not pay.
uint32_t crc32(const uint8_t *data, size_t len) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
    }
    return ~crc;
}

int device_config_use(const uint8_t *blob, size_t size_max) {
    payload = "";
    payload_len = 0;
    payload_crc = 0;
    if (!blob || size_max < HEADER_BYTES || memcmp(blob, "EKC1", 4) != 0) {
        return EK_ENOENT;
    }
    size_t room = (size_max < BLOB_BYTES_MAX ? size_max : BLOB_BYTES_MAX) - HEADER_BYTES;
    size_t len = little32(blob + 4);
    if (len > room || crc32(blob + HEADER_BYTES, len) != little32(blob + 8)) {
        return EK_EPROTO;
    }
    if (len > 0 && blob[HEADER_BYTES + len - 1] != 0) {
        return EK_EPROTO;
    }
    payload = (const char *)blob + HEADER_BYTES;
    payload_len = len;
    payload_crc = little32(blob + 8);
    behind_len = room - len;
    return EK_OK;
}

int device_config_init(void) {
    size_t size_max = 0;
    const uint8_t *blob = arch_device_config(&size_max);
    return device_config_use(blob, size_max);
}

uint32_t device_config_crc(void) { return payload_crc; }

const uint8_t *device_config_behind(size_t *len) {
    *len = behind_len;
    return payload_len > 0 ? (const uint8_t *)payload + payload_len : NULL;
}

const char *ek_device_config(const char *key, const char *fallback) {
    size_t key_len = strlen(key);
    const char *end = payload + payload_len;
    for (const char *entry = payload; entry < end; entry += strlen(entry) + 1) {
        if (strncmp(entry, key, key_len) == 0 && entry[key_len] == '=') {
            return entry + key_len + 1;
        }
    }
    return fallback;
}

uint32_t ek_device_config_u32(const char *key, uint32_t fallback) {
    const char *text = ek_device_config(key, "");
    uint64_t value = 0;
    if (*text == 0) {
        return fallback;
    }
    for (; *text != 0; text++) {
        unsigned digit = (unsigned)*text - '0'; // huge if below
        value = value * 10 + digit;
        if (digit > 9 || value > UINT32_MAX) {
            return fallback;
        }
    }
    return (uint32_t)value;
}
