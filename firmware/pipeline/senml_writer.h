// pipeline/senml_writer.h: what an encoding provides to senml.c. Private to the pipeline.
#ifndef PIPELINE_SENML_WRITER_H
#define PIPELINE_SENML_WRITER_H
#include "pipeline/senml.h"

// Labels (RFC 8428, table 4); q is ours.
enum senml_label {
    SENML_BT = -3,
    SENML_BN = -2,
    SENML_N = 0,
    SENML_U = 1,
    SENML_V = 2,
    SENML_T = 6,
    SENML_Q = 'q',
};

// Append one byte, or set `full`.
void senml_put(struct senml_pack *pack, uint8_t byte);

// Each of these appends; what does not fit sets `full`.
void senml_put_record(struct senml_pack *pack);
void senml_put_label(struct senml_pack *pack, enum senml_label label);
// As text; every byte passes through `mend`.
void senml_put_text(struct senml_pack *pack, const char *text, uint8_t (*mend)(uint8_t byte));
// value * 10^-decimals, decimals > 0 only where value has no factor 10.
void senml_put_number(struct senml_pack *pack, int64_t value, unsigned decimals);
// The record is complete; leave room for what must follow the last one.
void senml_put_record_end(struct senml_pack *pack);
// Make of the records a pack; cannot fail.
void senml_finish(struct senml_pack *pack);
#endif
