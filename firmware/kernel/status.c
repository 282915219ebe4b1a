// status.c: names of enum ek_status for logs and statistics.
#include <string.h>
#include "ek/status.h"

const char *ek_status_name(int status) {
    // One string instead of a table of pointers: half the size.
    const char *name = "ok\0invalid\0i/o error\0timeout\0busy\0not found\0protocol error\0"
                       "closed\0refused\0out of memory\0out of range\0";
    for (; status < 0 && *name != 0; status++) {
        name += strlen(name) + 1;
    }
    return *name != 0 ? name : "unknown";
}
