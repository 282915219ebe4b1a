// mailbox.c: the mailboxes between the processors of a Raspberry Pi (ek/videocore.h).
#include <stdbool.h>
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/mmio.h"
#include "ek/videocore.h"

// Mailbox 0 has what comes from there, mailbox 1 what goes there.
enum { MAIL0_READ = 0x00, MAIL0_STATUS = 0x18, MAIL1_WRITE = 0x20, MAIL1_STATUS = 0x38 };
#define FULL (1u << 31)
#define EMPTY (1u << 30)
enum { PROPERTIES = 8 };     // the channel
#define UNCACHED 0xc0000000u // memory, as the other side sees it past its own cache
#define SUCCESS 0x80000000u  // of the message
enum { LIMIT_US = 1000000 }; // as long as Linux waits

// Give the message to the other side, and wait until it gives it back.
static bool exchange(uintptr_t mailbox, uint32_t mail) {
    bool sent = false;
    for (uint64_t end_us = ek_clock_us() + LIMIT_US; ek_clock_us() < end_us;) {
        // Also what an earlier owner did not fetch.
        if (!(ek_read32(mailbox + MAIL0_STATUS) & EMPTY)) {
            if (ek_read32(mailbox + MAIL0_READ) == mail && sent) {
                return true;
            }
        } else if (!sent && !(ek_read32(mailbox + MAIL1_STATUS) & FULL)) {
            ek_write32(mailbox + MAIL1_WRITE, mail);
            sent = true;
        }
    }
    return false;
}

int ek_videocore_ask(uintptr_t mailbox, uint32_t *message, size_t bytes) {
    ek_dma_clean(message, bytes);
    ek_dma_barrier();
    if (!exchange(mailbox, (uint32_t)(uintptr_t)message | UNCACHED | PROPERTIES)) {
        return EK_ETIMEDOUT;
    }
    ek_dma_invalidate(message, bytes);
    return message[EK_VIDEOCORE_RESULT] == SUCCESS ? EK_OK : EK_EIO;
}
