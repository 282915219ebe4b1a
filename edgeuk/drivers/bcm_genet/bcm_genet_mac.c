// bcm_genet_mac.c: the board's station address, from the firmware of its video processor: the
// property channel of the mailbox between the two.
// Documents: the wiki of github.com/raspberrypi/firmware, "Accessing mailboxes" and "Mailbox
// property interface"; Linux's bcm2835-mailbox.c for the registers.
#include <string.h>
#include "bcm_genet.h"
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
enum { GET_MAC = 0x00010003, GET_SERIAL = 0x00010004 };
enum { WORDS = 12, MAC = 2, SERIAL = 7, VALUE = 3 }; // of the message; where the properties are
enum { LIMIT_US = 1000000 };                         // as long as Linux waits

// Give the message to the other side, and wait until it gives it back.
static bool exchange(const struct bcm_genet *eth) {
    uint32_t mail = (uint32_t)(uintptr_t)eth->state->message | UNCACHED | PROPERTIES;
    bool sent = false;
    for (uint64_t end_us = ek_clock_us() + LIMIT_US; ek_clock_us() < end_us;) {
        // Also what an earlier owner did not fetch.
        if (!(ek_read32(eth->mailbox + MAIL0_STATUS) & EMPTY)) {
            if (ek_read32(eth->mailbox + MAIL0_READ) == mail && sent) {
                return true;
            }
        } else if (!sent && !(ek_read32(eth->mailbox + MAIL1_STATUS) & FULL)) {
            ek_write32(eth->mailbox + MAIL1_WRITE, mail);
            sent = true;
        }
    }
    return false;
}

bool bcm_genet_ask_mac(const struct bcm_genet *eth, uint8_t mac[6]) {
    uint32_t *message = eth->state->message;
    // Length, request; each property: its name, room for its value, request, value; the end.
    const uint32_t request[BCM_GENET_MESSAGE] = {[0] = (WORDS + 1) * 4,
                                                 [MAC] = GET_MAC,
                                                 [MAC + 1] = 8,
                                                 [SERIAL] = GET_SERIAL,
                                                 [SERIAL + 1] = 8};
    memcpy(message, request, sizeof request);
    ek_dma_clean(message, sizeof request);
    ek_dma_barrier();
    if (!exchange(eth)) {
        return false;
    }
    ek_dma_invalidate(message, sizeof request);
    if (message[1] != SUCCESS) {
        return false;
    }
    static const uint8_t none[6];
    memcpy(mac, &message[MAC + VALUE], 6);
    if (message[MAC + 2] & ANSWERED && !(mac[0] & 1) && memcmp(mac, none, 6) != 0) {
        return true;
    }
    // No address: one that is valid on this network only, of the board's serial number.
    uint32_t low = message[SERIAL + VALUE], high = message[SERIAL + VALUE + 1];
    mac[0] = 0x02; // locally administered (IEEE 802-2014, 8.4)
    mac[1] = (uint8_t)high;
    for (unsigned i = 0; i < 4; i++) {
        mac[2 + i] = (uint8_t)(low >> (24 - 8 * i));
    }
    return message[SERIAL + 2] & ANSWERED && low != 0;
}
