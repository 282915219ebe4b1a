// device_config.c: the device configuration (ek/device_config.h), read where it lies.
//
// Two copies, each with a header, "key=value" strings that end with a zero byte, and entries of
// bytes (device_data.c): docs/device-config-spec.md. Of the whole ones, that with the higher
// sequence number is used, else the other. The bytes come from outside: nothing is believed.
#include <string.h>
#include "arch/arch.h"
#include "config.h"
#include "ek/device_config.h"
#include "ek/log.h"
#include "ek/status.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"
#include "kernel/seal.h"

enum { COPY_BYTES = 4096 };
struct header { // every processor that we run on is little-endian, as the format
    char magic[4];
    uint32_t crc; // of all that follows it up to the end of the payload
    uint16_t len, text_len;
    uint32_t sequence, flags;
};
enum { HEADER_BYTES = 20, CHECKED = 8 }; // where what the CRC covers begins
enum { SEALED = 1, ENCRYPTED = 2 };      // flags
_Static_assert(sizeof(struct header) == HEADER_BYTES, "no padding");

static const char *text = ""; // its last byte is 0
static size_t text_len, data_len;
static uint32_t config_crc;
static char report[72];

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

// Whether a copy is whole; NULL if it is.
static const char *look(const struct header *header, const uint8_t *copy, size_t room) {
    if (memcmp(header->magic, "EKC2", 4) != 0) {
        return "missing";
    }
    size_t len = HEADER_BYTES + header->len;
    if (len + (header->flags & SEALED ? SEAL_BYTES : 0) > room ||
        crc32(copy + CHECKED, len - CHECKED) != header->crc) {
        return "damaged";
    }
    return NULL;
}

static void use_none(void) {
    text = "";
    text_len = data_len = config_crc = 0;
}

// Use a copy that is whole; NULL if it is for this device.
static const char *take(const struct header *header, const uint8_t *copy) {
    const uint8_t *payload = copy + HEADER_BYTES;
    size_t len = header->len;
#ifdef EK_SEALED // config.h: only what the project's CA has sealed
    if (!(header->flags & SEALED) || !seal_valid(copy, HEADER_BYTES + len)) {
        return "not sealed by this project";
    }
#endif
    if (header->flags & ENCRYPTED) {
#ifdef EK_DEVICE_KEY // config.h: the board has a key of its own
        payload = seal_open(copy + CHECKED, HEADER_BYTES - CHECKED, payload, &len);
        if (!payload)
#endif
            return "another device's";
    }
    if (header->flags > (SEALED | ENCRYPTED) || header->text_len > len ||
        (header->text_len > 0 && payload[header->text_len - 1] != 0)) {
        return "damaged";
    }
    text = (const char *)payload;
    text_len = header->text_len;
    data_len = len - text_len;
    config_crc = header->crc;
    if (strcmp(ek_device_config("board", ek_board_name), ek_board_name) != 0) {
        use_none();
        return "another board's";
    }
    return NULL;
}

int device_config_use(const uint8_t *blob, size_t size_max) {
    struct header headers[2];
    unsigned count = !blob || size_max < HEADER_BYTES       ? 0
                     : size_max < COPY_BYTES + HEADER_BYTES ? 1
                                                            : 2;
    for (unsigned i = 0; i < count; i++) {
        memcpy(&headers[i], blob + i * COPY_BYTES, HEADER_BYTES);
    }
    unsigned newer = count == 2 && headers[1].sequence > headers[0].sequence, bad = 0;
    const char *said = count == 0 ? "missing" : NULL;
    bool used = false;
    use_none();
    for (unsigned i = 0; i < count; i++) { // the newer first: if it can be used, it is
        unsigned which = i ^ newer;
        const uint8_t *copy = blob + which * COPY_BYTES;
        size_t room = size_max - which * COPY_BYTES;
        const char *fault = look(&headers[which], copy, room < COPY_BYTES ? room : COPY_BYTES);
        if (!fault && !used) {
            fault = take(&headers[which], copy);
            used = !fault;
        }
        if (fault) {
            said = fault;
            bad = which;
        }
    }
    report[0] = 0;
    if (said) {
        (void)ek_format(report, sizeof report, "; config: copy %u is %s%s", bad + 1, said,
                        used ? "" : ": no name, no broker");
    }
    return used ? EK_OK : EK_ENOENT;
}

void device_config_init(void) {
    size_t size_max = 0;
    const uint8_t *blob = arch_device_config(&size_max);
    (void)device_config_use(blob, size_max);
}

const char *kernel_config_report(void) { return report; }

uint32_t device_config_crc(void) { return config_crc; }

const uint8_t *device_config_data(size_t *len) {
    *len = data_len;
    return (const uint8_t *)text + text_len;
}

const char *ek_device_config(const char *key, const char *fallback) {
    size_t key_len = strlen(key);
    const char *end = text + text_len;
    for (const char *entry = text; entry < end; entry += strlen(entry) + 1) {
        if (strncmp(entry, key, key_len) == 0 && entry[key_len] == '=') {
            return entry + key_len + 1;
        }
    }
    return fallback;
}

uint32_t ek_device_config_u32(const char *key, uint32_t fallback) {
    const char *value_text = ek_device_config(key, "");
    uint64_t value = 0;
    if (*value_text == 0) {
        return fallback;
    }
    for (; *value_text != 0; value_text++) {
        unsigned digit = (unsigned)*value_text - '0'; // huge if below
        value = value * 10 + digit;
        if (digit > 9 || value > UINT32_MAX) {
            return fallback;
        }
    }
    return (uint32_t)value;
}
