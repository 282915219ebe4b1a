// bcm_otp_key.c: the 256 bits that a Raspberry Pi keeps for a private key of its owner's, in rows
// 56 to 63 of its one-time programmable memory. The firmware of the video processor reads them: the
// property channel of the mailbox. `rpi-otp-private-key` writes and shows them; what that prints is
// the key, byte by byte. Left out: writing them.
// Documents: the wiki of github.com/raspberrypi/firmware, "Accessing mailboxes" and "Mailbox
// property interface"; Linux's bcm2835-mailbox.c for the registers; for the property, which the
// wiki lacks, rpi-otp-private-key of github.com/raspberrypi/rpi-eeprom and QEMU's
// bcm2835_property.c.
#include <stdbool.h>
#include <string.h>
#include "bcm_otp_key.h"
#include "ek/assert.h"
#include "ek/clock.h"
#include "ek/dma.h"
#include "ek/mmio.h"

// Mailbox 0 has what comes from there, mailbox 1 what goes there.
enum { MAIL0_READ = 0x00, MAIL0_STATUS = 0x18, MAIL1_WRITE = 0x20, MAIL1_STATUS = 0x38 };
#define FULL (1u << 31)
#define EMPTY (1u << 30)
enum { PROPERTIES = 8 };     // the channel
#define UNCACHED 0xc0000000u // memory, as the other side sees it past its own cache
#define SUCCESS 0x80000000u  // of the message
#define ANSWERED (1u << 31)  // of a property
enum { GET_PRIVATE_KEY = 0x00030081, ROWS = EK_DEVICE_KEY_BYTES / 4 };
enum { LENGTH, RESULT, NAME, ROOM, ANSWER, FIRST_ROW, ROW_COUNT, KEY, END = KEY + ROWS, WORDS };
enum { LIMIT_US = 1000000 }; // as long as Linux waits
_Static_assert((int)WORDS <= (int)BCM_OTP_KEY_MESSAGE, "the message has room");

// Give the message to the other side, and wait until it gives it back.
static bool exchange(const struct bcm_otp_key *otp) {
    uint32_t mail = (uint32_t)(uintptr_t)otp->state->message | UNCACHED | PROPERTIES;
    bool sent = false;
    for (uint64_t end_us = ek_clock_us() + LIMIT_US; ek_clock_us() < end_us;) {
        // Also what an earlier owner did not fetch.
        if (!(ek_read32(otp->mailbox + MAIL0_STATUS) & EMPTY)) {
            if (ek_read32(otp->mailbox + MAIL0_READ) == mail && sent) {
                return true;
            }
        } else if (!sent && !(ek_read32(otp->mailbox + MAIL1_STATUS) & FULL)) {
            ek_write32(otp->mailbox + MAIL1_WRITE, mail);
            sent = true;
        }
    }
    return false;
}

static int read_key(const void *dev, uint8_t key[EK_DEVICE_KEY_BYTES]) {
    const struct bcm_otp_key *otp = dev;
    uint32_t *message = otp->state->message;
    ek_assert(otp->mailbox != 0);
    memset(message, 0, sizeof otp->state->message);
    message[LENGTH] = WORDS * 4;
    message[NAME] = GET_PRIVATE_KEY;
    message[ROOM] = 8 + EK_DEVICE_KEY_BYTES;
    message[ROW_COUNT] = ROWS;
    ek_dma_clean(message, sizeof otp->state->message);
    ek_dma_barrier();
    if (!exchange(otp)) {
        return EK_ETIMEDOUT; // and the message stays the other side's
    }
    ek_dma_invalidate(message, sizeof otp->state->message);
    // Its length is that of the value, with first row and count, or without them.
    bool answered = message[RESULT] == SUCCESS && message[ANSWER] & ANSWERED &&
                    (message[ANSWER] & ~ANSWERED) >= EK_DEVICE_KEY_BYTES;
    uint32_t any = 0;
    for (unsigned row = 0; row < ROWS; row++) {
        uint32_t word = message[KEY + row];
        any |= word;
        for (unsigned byte = 0; byte < 4; byte++) {
            key[4 * row + byte] = (uint8_t)(word >> (24 - 8 * byte));
        }
    }
    memset(message, 0, sizeof otp->state->message); // no second copy of a key
    ek_dma_clean(message, sizeof otp->state->message);
    return !answered ? EK_EIO : any == 0 ? EK_ENOENT : EK_OK;
}

const struct ek_device_key_ops bcm_otp_key_ops = {.read = read_key};
