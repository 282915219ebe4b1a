// ek/videocore.h: questions to the firmware of a Raspberry Pi's video processor: the property
// channel of the mailbox between the two.
// Documents: the wiki of github.com/raspberrypi/firmware, "Accessing mailboxes" and "Mailbox
// property interface"; Linux's bcm2835-mailbox.c for the registers.
#ifndef EK_VIDEOCORE_H
#define EK_VIDEOCORE_H
#include <stddef.h>
#include <stdint.h>
#include "ek/status.h"

// Words of a message: length in bytes, request (0) and then result, the properties, a word 0. Of a
// property: its name, bytes of room for its value, request (0) and then length, the value.
enum { EK_VIDEOCORE_LENGTH, EK_VIDEOCORE_RESULT, EK_VIDEOCORE_PROPERTIES };
enum { EK_PROPERTY_NAME, EK_PROPERTY_ROOM, EK_PROPERTY_ANSWER, EK_PROPERTY_VALUE };
#define EK_PROPERTY_ANSWERED (1u << 31) // in ANSWER, above the length

// Send the message at `message`, `bytes` long: whole cache lines of 64 bytes of memory below 1 GB.
// EK_OK: answers are in it; each property has its ANSWERED. EK_EIO: refused. EK_ETIMEDOUT: nothing
// came back within a second, and the memory stays the other side's.
int ek_videocore_ask(uintptr_t mailbox, uint32_t *message, size_t bytes);
#endif
