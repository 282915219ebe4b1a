// senml_cbor.c: SenML in CBOR (RFC 8428, 6; RFC 8949). Definite lengths, shortest heads.
#include <string.h>
#include "pipeline/senml_writer.h"

// Major types (RFC 8949, 3.1) and the tag of decimal fractions (3.4.4).
enum { UNSIGNED = 0, NEGATIVE = 1, TEXT = 3, ARRAY = 4, MAP = 5, TAG = 6 };
enum { TAG_DECIMAL = 4 };
enum { ONE_BYTE_BELOW = 24 }; // a larger argument does not fit the first byte

static void put_head(struct senml_pack *pack, unsigned major, uint64_t argument) {
    unsigned more = argument < ONE_BYTE_BELOW ? 0
                    : argument <= UINT8_MAX   ? 1
                    : argument <= UINT16_MAX  ? 2
                    : argument <= UINT32_MAX  ? 4
                                              : 8;
    // 24 to 27 say that 1, 2, 4 or 8 bytes follow.
    unsigned info = more == 0 ? (unsigned)argument : 24u + (more > 1) + (more > 2) + (more > 4);
    senml_put(pack, (uint8_t)(major << 5 | info));
    while (more-- > 0) {
        senml_put(pack, (uint8_t)(argument >> (8 * more)));
    }
}

static void put_integer(struct senml_pack *pack, int64_t value) {
    // -1 - value is what a negative integer carries (3.1): all bits turned over.
    put_head(pack, value < 0 ? NEGATIVE : UNSIGNED, (uint64_t)(value < 0 ? ~value : value));
}

// The head of a map, one byte because a record has at most seven fields, is filled in at its end.
void senml_put_record(struct senml_pack *pack) {
    pack->record = pack->len;
    pack->fields = 0;
    senml_put(pack, 0);
}

void senml_put_label(struct senml_pack *pack, enum senml_label label) {
    pack->fields++;
    if (label == SENML_Q) {
        put_head(pack, TEXT, 1);
        senml_put(pack, SENML_Q);
    } else {
        put_integer(pack, label);
    }
}

void senml_put_text(struct senml_pack *pack, const char *text, uint8_t (*mend)(uint8_t byte)) {
    put_head(pack, TEXT, strlen(text));
    while (*text != '\0') {
        senml_put(pack, mend((uint8_t)*text++));
    }
}

void senml_put_number(struct senml_pack *pack, int64_t value, unsigned decimals) {
    if (decimals > 0) { // [exponent, mantissa]
        put_head(pack, TAG, TAG_DECIMAL);
        put_head(pack, ARRAY, 2);
        put_integer(pack, -(int64_t)decimals);
    }
    put_integer(pack, value);
}

void senml_put_record_end(struct senml_pack *pack) {
    if (!pack->full) {
        pack->out[pack->record] = (uint8_t)(MAP << 5 | pack->fields);
    }
    // The array's head was kept at one byte; from 24 records on it has two. The room for the second
    // is claimed with the 24th record, and used here, while that record is known to fit.
    if (pack->count + 1 == ONE_BYTE_BELOW) {
        senml_put(pack, 0);
        if (!pack->full) {
            memmove(pack->out + 2, pack->out + 1, pack->len - 2);
        }
    }
}

void senml_finish(struct senml_pack *pack) {
    size_t len = pack->len;
    pack->len = 0;
    put_head(pack, ARRAY, pack->count);
    pack->len = len;
}
