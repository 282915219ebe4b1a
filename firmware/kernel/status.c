// status.c: names of enum ek_status for logs and statistics.
#include <stddef.h>
#include "ek/status.h"

const char *ek_status_name(int status) {
    static const char *const names[] = {
        "ok",     "invalid", "i/o error",     "timeout",      "busy", "not found", "protocol error",
        "closed", "refused", "out of memory", "out of range",
    };
    size_t index = status < 0 ? 0 - (size_t)status : 0;
    return index < sizeof names / sizeof names[0] ? names[index] : "unknown";
}
