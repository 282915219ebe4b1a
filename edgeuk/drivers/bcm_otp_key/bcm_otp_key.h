// bcm_otp_key.h: instance data of the driver, filled in by the generated devices.c.
#ifndef EK_BCM_OTP_KEY_H
#define EK_BCM_OTP_KEY_H
#include "ek/device_key.h"

enum { BCM_OTP_KEY_MESSAGE = 16 }; // words: whole lines of the cache

struct bcm_otp_key_state {
    _Alignas(64) uint32_t message[BCM_OTP_KEY_MESSAGE]; // the other side reads and writes it
};

struct bcm_otp_key {
    uintptr_t mailbox;
    struct bcm_otp_key_state *state;
};
extern const struct ek_device_key_ops bcm_otp_key_ops;
#endif
