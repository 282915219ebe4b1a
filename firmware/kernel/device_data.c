// device_data.c: what of the device configuration is no text, such as keys: entries of a key, ended
// by a zero byte, a length of 16 bits, little-endian, and that many bytes.
#include <string.h>
#include "ek/device_config.h"
#include "kernel/internal.h"

const uint8_t *ek_device_config_data(const char *key, size_t *len) {
    size_t room, key_size = strlen(key) + 1;
    const uint8_t *part = device_config_data(&room);
    for (const uint8_t *end = part + room; part < end;) {
        const uint8_t *zero = memchr(part, 0, (size_t)(end - part));
        if (!zero || end - zero < 3) {
            return NULL;
        }
        *len = zero[1] | (size_t)zero[2] << 8;
        if (*len > (size_t)(end - zero - 3)) {
            return NULL;
        }
        if ((size_t)(zero + 1 - part) == key_size && memcmp(part, key, key_size) == 0) {
            return zero + 3;
        }
        part = zero + 3 + *len;
    }
    return NULL;
}
