// pipeline/senml.h: SenML packs (RFC 8428). Linked with exactly one of senml_cbor.c, senml_json.c.
//
// Names: base name and record names together must keep to RFC 8428, 4.5.1; the base name is mended
// here, record names are the caller's. Times: with the time of day known, seconds since 1970, else
// seconds relative to now (4.5.3); resolution 1 ms. Numbers are exact: decimal fractions in CBOR
// (tag 4), decimals in JSON, never floating point. Quality that is not good adds the label "q".
#ifndef PIPELINE_SENML_H
#define PIPELINE_SENML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct senml_record {
    const char *name;
    const char *unit; // RFC 8428, 12.1; "" for none
    int64_t value;    // in 10^-decimals of the unit
    uint64_t time_us; // ek_clock_us() of the measurement
    uint8_t decimals; // 0 to 18
    uint8_t quality;  // EK_QUALITY flags
};

// A pack being written. All members are private.
struct senml_pack {
    uint8_t *out;
    size_t size, len;
    const char *base_name;
    int64_t origin_ms; // SenML time of boot
    int64_t base_ms;   // SenML time of the first record
    uint8_t count;     // records
    uint8_t fields;    // in the record under way
    size_t record;     // where it begins in `out`
    bool full;         // something did not fit
};

enum { SENML_RECORDS_MAX = 255 };

// Begin a pack in `out`; "" for no base name. It must stay valid until senml_end().
void senml_begin(struct senml_pack *pack, uint8_t *out, size_t size, const char *base_name);
// Append one record. False, and the pack is as before: it does not fit.
bool senml_add(struct senml_pack *pack, const struct senml_record *record);
// The length of the pack, at most `size`; 0 if it has no record.
size_t senml_end(struct senml_pack *pack);
// All of this at once: the length of a pack of the first *encoded of `count` records.
size_t senml_encode(uint8_t *out, size_t size, const char *base_name,
                    const struct senml_record *records, unsigned count, unsigned *encoded);
#endif
