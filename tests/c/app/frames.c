// frames.c: app/serial/frames.c on the host. Reads payloads as "type length bytes" and writes what
// would go over the line.
#include <stdio.h>
#include <stdlib.h>
#include "app/serial/serial.h"
#include "ek/assert.h"
#include "kernel/kernel.h"

void ek_assert_fail(const char *file, int line) {
    fprintf(stderr, "%s:%d\n", file, line);
    abort();
}

static int write_line(const void *dev, const uint8_t *data, size_t len) {
    (void)dev;
    return (int)fwrite(data, 1, len, stdout);
}

static const struct ek_uart_ops ops = {.write = write_line};
const struct ek_uart ek_role_console = {.ops = &ops};

int main(void) {
    int type, high;
    while ((type = getchar()) != EOF && (high = getchar()) != EOF) {
        size_t len = (size_t)(high << 8 | getchar()), size;
        uint8_t *payload = frames_payload(&size);
        if (len > size || fread(payload, 1, len, stdin) != len) {
            return 2;
        }
        if (frames_send((enum frame_type)type, len) != 0) {
            return 1;
        }
    }
    return 0;
}
