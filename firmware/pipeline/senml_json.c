// senml_json.c: SenML in JSON (RFC 8428, 5; RFC 8259), without spaces.
#include "pipeline/senml_writer.h"

static void put_string(struct senml_pack *pack, const char *text) {
    while (*text != '\0') {
        senml_put(pack, (uint8_t)*text++);
    }
}

void senml_put_record(struct senml_pack *pack) {
    if (pack->count > 0) {
        senml_put(pack, ',');
    }
    senml_put(pack, '{');
    pack->fields = 0;
}

void senml_put_label(struct senml_pack *pack, enum senml_label label) {
    if (pack->fields++ > 0) {
        senml_put(pack, ',');
    }
    senml_put(pack, '"');
    if (label < 0) {
        senml_put(pack, 'b');
    }
    senml_put(pack, label == SENML_BN || label == SENML_N   ? 'n'
                    : label == SENML_BT || label == SENML_T ? 't'
                    : label == SENML_U                      ? 'u'
                    : label == SENML_V                      ? 'v'
                                                            : 'q');
    put_string(pack, "\":");
}

void senml_put_text(struct senml_pack *pack, const char *text, uint8_t (*mend)(uint8_t byte)) {
    senml_put(pack, '"');
    for (; *text != '\0'; text++) {
        uint8_t byte = mend((uint8_t)*text);
        if (byte < ' ') { // control characters must be escaped (RFC 8259, 7)
            put_string(pack, "\\u00");
            senml_put(pack, (uint8_t)('0' + (byte >> 4)));
            senml_put(pack, (uint8_t)"0123456789abcdef"[byte & 15]);
            continue;
        }
        if (byte == '"' || byte == '\\') {
            senml_put(pack, '\\');
        }
        senml_put(pack, byte);
    }
    senml_put(pack, '"');
}

void senml_put_number(struct senml_pack *pack, int64_t value, unsigned decimals) {
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    char digits[22]; // 20 of 2^64, the point, the end
    unsigned i = sizeof digits;
    digits[--i] = '\0';
    unsigned count = 0;
    // At least one digit stands before the point.
    while (rest > 0 || count <= decimals) {
        if (count == decimals && decimals > 0) {
            digits[--i] = '.';
        }
        digits[--i] = (char)('0' + rest % 10);
        rest /= 10;
        count++;
    }
    if (value < 0) {
        senml_put(pack, '-');
    }
    put_string(pack, digits + i);
}

void senml_put_record_end(struct senml_pack *pack) {
    senml_put(pack, '}');
    // The end of the pack must fit too: claim its place and give it back.
    senml_put(pack, ']');
    if (!pack->full) {
        pack->len--;
    }
}

void senml_finish(struct senml_pack *pack) { senml_put(pack, ']'); }
