// bcm_genet_mac.c: the board's station address, from the firmware of its video processor.
#include <string.h>
#include "bcm_genet.h"
#include "ek/videocore.h"

enum { GET_MAC = 0x00010003, GET_SERIAL = 0x00010004 };
// Where the properties are in the message, each with 8 bytes for its value.
enum { MAC = EK_VIDEOCORE_PROPERTIES, SERIAL = MAC + EK_PROPERTY_VALUE + 2 };
enum { WORDS = SERIAL + EK_PROPERTY_VALUE + 2 + 1 };

bool bcm_genet_ask_mac(const struct bcm_genet *eth, uint8_t mac[6]) {
    uint32_t *message = eth->state->message;
    const uint32_t request[BCM_GENET_MESSAGE] = {[EK_VIDEOCORE_LENGTH] = WORDS * 4,
                                                 [MAC + EK_PROPERTY_NAME] = GET_MAC,
                                                 [MAC + EK_PROPERTY_ROOM] = 8,
                                                 [SERIAL + EK_PROPERTY_NAME] = GET_SERIAL,
                                                 [SERIAL + EK_PROPERTY_ROOM] = 8};
    memcpy(message, request, sizeof request);
    if (ek_videocore_ask(eth->mailbox, message, sizeof request) != EK_OK) {
        return false;
    }
    static const uint8_t none[6];
    memcpy(mac, &message[MAC + EK_PROPERTY_VALUE], 6);
    if (message[MAC + EK_PROPERTY_ANSWER] & EK_PROPERTY_ANSWERED && !(mac[0] & 1) &&
        memcmp(mac, none, 6) != 0) {
        return true;
    }
    // No address: one that is valid on this network only, of the board's serial number.
    uint32_t low = message[SERIAL + EK_PROPERTY_VALUE],
             high = message[SERIAL + EK_PROPERTY_VALUE + 1];
    mac[0] = 0x02; // locally administered (IEEE 802-2014, 8.4)
    mac[1] = (uint8_t)high;
    for (unsigned i = 0; i < 4; i++) {
        mac[2 + i] = (uint8_t)(low >> (24 - 8 * i));
    }
    return message[SERIAL + EK_PROPERTY_ANSWER] & EK_PROPERTY_ANSWERED && low != 0;
}
