// test_device_config.c: what test_device_config.py drives: device_config.c and device_data.c over
// the bytes that it is given, each in memory of exactly their size.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "arch/arch.h"
#include "config.h"
#include "ek/device_config.h"
#include "ek/random.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

const char ek_board_name[] = "test";
const uint8_t *arch_device_config(size_t *size_max) {
    *size_max = 0;
    return NULL;
}

static void put_hex(const uint8_t *data, size_t len) {
    putchar('\t');
    for (size_t i = 0; i < len; i++) {
        printf("%02x", data[i]);
    }
}

static size_t from_hex(const char *text, size_t digits, uint8_t *out) {
    for (size_t i = 0; i < digits / 2; i++) {
        unsigned byte = 0;
        sscanf(text + 2 * i, "%2x", &byte);
        out[i] = (uint8_t)byte;
    }
    return digits / 2;
}

// Blobs in hex on lines; prints the status, two texts, a number, bytes, the CRC, the report.
int main(void) {
    static char line[40000];
    while (fgets(line, sizeof line, stdin)) {
        size_t digits = strcspn(line, "\n");
        uint8_t *blob = malloc(digits / 2 > 0 ? digits / 2 : 1);
        size_t len = from_hex(line, digits, blob), data_len = 0;
        printf("%d", device_config_use(blob, len));
        const char *name = ek_device_config("name", "(none)");
        put_hex((const uint8_t *)name, strlen(name));
        printf("\t%u", ek_device_config_u32("mqtt.port", 1883));
        const uint8_t *data = ek_device_config_data("tls.key", &data_len);
        put_hex(data, data ? data_len : 0);
        printf("\t%s\n", kernel_config_report());
        free(blob);
    }
    device_config_use(NULL, 0);
    return device_config_crc() != 0;
}
