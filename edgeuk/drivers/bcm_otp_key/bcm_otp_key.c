// bcm_otp_key.c: the 256 bits that a Raspberry Pi keeps for a private key of its owner's, in rows
// 56 to 63 of its one-time programmable memory. The firmware of the video processor reads them: the
// property channel of the mailbox. `rpi-otp-private-key` writes and shows them; what that prints is
// the key, byte by byte. Left out: writing them.
// Documents: for the property, which the firmware's wiki lacks, rpi-otp-private-key of
// github.com/raspberrypi/rpi-eeprom and QEMU's bcm2835_property.c.
#include <stdbool.h>
#include <string.h>
#include "bcm_otp_key.h"
#include "ek/assert.h"
#include "ek/dma.h"
#include "ek/videocore.h"

enum { GET_PRIVATE_KEY = 0x00030081, ROWS = EK_DEVICE_KEY_BYTES / 4 };
enum {
    PROPERTY = EK_VIDEOCORE_PROPERTIES,
    FIRST_ROW = PROPERTY + EK_PROPERTY_VALUE,
    ROW_COUNT,
    KEY,
    END = KEY + ROWS,
    WORDS
};
_Static_assert((int)WORDS <= (int)BCM_OTP_KEY_MESSAGE, "the message has room");

static int read_key(const void *dev, uint8_t key[EK_DEVICE_KEY_BYTES]) {
    const struct bcm_otp_key *otp = dev;
    uint32_t *message = otp->state->message;
    ek_assert(otp->mailbox != 0);
    memset(message, 0, sizeof otp->state->message);
    message[EK_VIDEOCORE_LENGTH] = WORDS * 4;
    message[PROPERTY + EK_PROPERTY_NAME] = GET_PRIVATE_KEY;
    message[PROPERTY + EK_PROPERTY_ROOM] = 8 + EK_DEVICE_KEY_BYTES;
    message[ROW_COUNT] = ROWS;
    int status = ek_videocore_ask(otp->mailbox, message, sizeof otp->state->message);
    if (status == EK_ETIMEDOUT) {
        return status; // and the message stays the other side's
    }
    // Its length is that of the value, with first row and count, or without them.
    uint32_t answer = message[PROPERTY + EK_PROPERTY_ANSWER];
    bool answered = status == EK_OK && answer & EK_PROPERTY_ANSWERED &&
                    (answer & ~EK_PROPERTY_ANSWERED) >= EK_DEVICE_KEY_BYTES;
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
