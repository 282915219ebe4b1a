// senml.c: which fields a record has; the encodings say how they are written.
#include "pipeline/senml.h"
#include <string.h>
#include "ek/clock.h"
#include "ek/sensor.h"
#include "pipeline/senml_writer.h"

// Seconds; a smaller time is relative to now (RFC 8428, 4.5.3).
static const int64_t absolute_from_ms = (INT64_C(1) << 28) * 1000;

static bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

void senml_put(struct senml_pack *pack, uint8_t byte) {
    if (pack->len < pack->size) {
        pack->out[pack->len++] = byte;
    } else {
        pack->full = true;
    }
}

void senml_begin(struct senml_pack *pack, uint8_t *out, size_t size, const char *base_name) {
    // A name begins with a letter or digit (4.5.1); a topic may begin with "/".
    while (*base_name != '\0' && !is_alphanumeric(*base_name)) {
        base_name++;
    }
    // A clock that says a time before 1978 would be read as relative: then better say relative.
    int64_t boot_ms;
    if (!ek_clock_boot_unix_ms(&boot_ms) || boot_ms < absolute_from_ms) {
        boot_ms = -(int64_t)(ek_clock_us() / 1000);
    }
    *pack =
        (struct senml_pack){.out = out, .size = size, .base_name = base_name, .origin_ms = boot_ms};
    senml_put(pack, '['); // its place; senml_finish() has the last word
}

// What a name may not have becomes "_" (4.5.1).
static uint8_t mend_name(uint8_t byte) {
    return is_alphanumeric((char)byte) || (byte >= '-' && byte <= '/') || byte == ':' || byte == '_'
               ? byte
               : '_';
}

static uint8_t keep(uint8_t byte) { return byte; }

static void put_text(struct senml_pack *pack, enum senml_label label, const char *text,
                     uint8_t (*mend)(uint8_t byte)) {
    senml_put_label(pack, label);
    senml_put_text(pack, text, mend);
}

static void put_number(struct senml_pack *pack, enum senml_label label, int64_t value,
                       unsigned decimals) {
    // Without its sign: one division less to link on 32-bit processors.
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    while (decimals > 0 && magnitude % 10 == 0) {
        magnitude /= 10;
        decimals--;
    }
    senml_put_label(pack, label);
    senml_put_number(pack, (int64_t)(value < 0 ? 0 - magnitude : magnitude), decimals);
}

// A time that is left out is 0 (4.1, 4.2).
static void put_nonzero_time(struct senml_pack *pack, enum senml_label label, int64_t time_ms) {
    if (time_ms != 0) {
        put_number(pack, label, time_ms, 3);
    }
}

static const char *quality_text(uint8_t quality) {
    bool simulated = quality & EK_QUALITY_SIMULATED;
    bool clamped = quality & EK_QUALITY_CLAMPED;
    return simulated && clamped ? "simulated,clamped" : simulated ? "simulated" : "clamped";
}

static void put_fields(struct senml_pack *pack, const struct senml_record *record) {
    int64_t time_ms = pack->origin_ms + (int64_t)(record->time_us / 1000);
    if (pack->count == 0) {
        pack->base_ms = time_ms;
    }
    senml_put_record(pack);
    if (pack->count == 0) {
        if (pack->base_name[0] != '\0') {
            put_text(pack, SENML_BN, pack->base_name, mend_name);
        }
        put_nonzero_time(pack, SENML_BT, time_ms);
    }
    put_text(pack, SENML_N, record->name, mend_name);
    if (record->unit[0] != '\0') {
        put_text(pack, SENML_U, record->unit, keep);
    }
    put_number(pack, SENML_V, record->value, record->decimals);
    put_nonzero_time(pack, SENML_T, time_ms - pack->base_ms);
    if (record->quality != 0) {
        put_text(pack, SENML_Q, quality_text(record->quality), keep);
    }
    senml_put_record_end(pack);
}

bool senml_add(struct senml_pack *pack, const struct senml_record *record) {
    if (pack->count == SENML_RECORDS_MAX) {
        return false;
    }
    size_t len = pack->len;
    put_fields(pack, record);
    if (pack->full) {
        pack->full = pack->size == 0;
        pack->len = len;
        return false;
    }
    pack->count++;
    return true;
}

size_t senml_end(struct senml_pack *pack) {
    if (pack->count == 0) {
        return 0;
    }
    senml_finish(pack);
    return pack->len;
}

size_t senml_encode(uint8_t *out, size_t size, const char *base_name,
                    const struct senml_record *records, unsigned count, unsigned *encoded) {
    struct senml_pack pack;
    senml_begin(&pack, out, size, base_name);
    *encoded = 0;
    while (*encoded < count && senml_add(&pack, &records[*encoded])) {
        ++*encoded;
    }
    return senml_end(&pack);
}
