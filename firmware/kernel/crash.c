// crash.c: what a boot leaves behind for the next one: what the event loop called last, and the
// text of a panic. The next boot makes of it one sentence, for the console and for MQTT. It lies in
// memory that link.ld leaves alone and that holds over a reset, but not without power; where the
// machine or its boot loader clears it, nothing is remembered.
#include <string.h>
#include "ek/dma.h"
#include "ek/log.h"
#include "kernel/internal.h"
#include "kernel/kernel.h"

enum { TEXT_BYTES = 160, ADDRESSES_MAX = 4, BUILD_BYTES = 16 };
enum { END_BYTES = 8 + BUILD_BYTES }; // "; build ..."

// What the record says of its boot: that it was running, that the watchdog's warning ended it, that
// a panic did, that it ended on purpose. Anything else: there is no record.
#define RUNNING 0x52554e21u
#define HUNG 0x48554e47u
#define PANICKED 0x50414e21u
#define ENDED 0x454e4421u

// Volatile, as only the next boot reads it.
static volatile struct {
    uint32_t state;
    uint32_t crc;              // of `text`, of a boot that panicked
    uintptr_t where, inverted; // the function that the loop called last, 0 while it sleeps
    char build[BUILD_BYTES];   // which image it was: the next may be another
} record __attribute__((section(".bss.noinit")));
static char text[TEXT_BYTES] __attribute__((section(".bss.noinit")));

const char *kernel_boot_report(void) { return text; }

static bool has_panic_text(void) {
    return record.state == PANICKED && text[TEXT_BYTES - 1] == 0 &&
           crc32((const uint8_t *)text, TEXT_BYTES) == record.crc;
}

// Past the caches, which a reset empties.
static void keep(void) { ek_dma_clean((void *)&record, sizeof record); }

void crash_runs(uintptr_t where) {
    record.where = where;
    record.inverted = ~where;
    keep();
}

static void set_state(uint32_t state) {
    record.state = state;
    keep();
}

// Of which image the addresses are; "" where nothing is remembered.
static void get_build(char *out, bool known) {
    for (unsigned i = 0; i < BUILD_BYTES; i++) {
        out[i] = known ? record.build[i] : '\0';
        record.build[i] = ek_build_id[i];
    }
    out[BUILD_BYTES] = '\0';
}

bool crash_begin(bool expired) {
    uintptr_t where = record.where == ~record.inverted ? record.where : 0;
    uint32_t state = record.state;
    bool hung = expired || state == HUNG;
    bool silent = state == RUNNING && where != 0; // reset by a watchdog, or by a button
    char build[BUILD_BYTES + 1];
    get_build(build, where != 0);
    if (hung || silent) {
        (void)ek_format(text, sizeof text, "watchdog: %s; last ran: %p%s%s",
                        hung ? "reset the board" : "the last boot ended without a word",
                        (void *)where, build[0] != '\0' ? "; build " : "", build);
    } else if (!has_panic_text()) {
        (void)ek_format(text, sizeof text, "%s",
                        state == RUNNING ? "reset"
                        : state == ENDED ? "restart"
                                         : "power-on");
    }
    crash_runs(0);
    set_state(RUNNING);
    return hung || silent;
}

void crash_panic(const char *format, va_list args, const uintptr_t *pcs, size_t count) {
    memset(text, 0, sizeof text);
    size_t lead = (size_t)ek_format(text, sizeof text, "panic: "), room = sizeof text - END_BYTES;
    (void)format_list(text + lead, room - lead, format, args);
    for (size_t i = 0; i < count && i < ADDRESSES_MAX; i++) {
        size_t len = strlen(text);
        (void)ek_format(text + len, room - len, i == 0 ? " at %p" : " %p", (void *)pcs[i]);
    }
    size_t len = strlen(text);
    (void)ek_format(text + len, sizeof text - len, "; build %s", ek_build_id);
    ek_dma_clean(text, sizeof text);
    record.crc = crc32((const uint8_t *)text, sizeof text);
    set_state(PANICKED);
}

uintptr_t crash_hung(void) {
    set_state(HUNG);
    return record.where;
}

void crash_ended(void) { set_state(ENDED); }
