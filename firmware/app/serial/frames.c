// frames.c: frames on a line that also carries text (docs/serial-frames.md):
// 0x00 COBS(type, sequence number, payload, CRC) 0x00. Text has no 0x00, so a receiver that comes
// late, or lost some bytes, is right again at the next one.
#include "app/serial/serial.h"
#include "config.h"
#include "ek/assert.h"
#include "ek/status.h"
#include "kernel/kernel.h"

enum { HEAD_BYTES = 3, CRC_BYTES = 2, BLOCK_MAX = 254 };

static uint8_t frame[HEAD_BYTES + EK_MESSAGE_BYTES + CRC_BYTES];
static uint32_t sent;

uint8_t *frames_payload(size_t *size) {
    *size = EK_MESSAGE_BYTES;
    return frame + HEAD_BYTES;
}

uint32_t frames_sent(void) { return sent; }

// CRC-16/IBM-3740: polynomial 0x1021, begins with all ones, most significant bit first.
static uint16_t crc16(const uint8_t *data, size_t len) {
    uint32_t crc = 0xffff;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint32_t)data[i] << 8;
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc << 1 ^ (crc & 0x8000 ? 0x11021 : 0);
        }
    }
    return (uint16_t)crc;
}

static int put(const uint8_t *data, size_t len) {
    return ek_role_console.ops->write(ek_role_console.dev, data, len);
}

static int put_byte(uint8_t byte) { return put(&byte, 1); }

// Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999): each block is its length + 1 and up
// to 254 bytes; a shorter one stands for a zero behind it, but for the last.
static int put_cobs(const uint8_t *data, size_t len) {
    for (size_t at = 0; at <= len;) {
        size_t block = 0;
        while (block < BLOCK_MAX && at + block < len && data[at + block] != 0) {
            block++;
        }
        int status = put_byte((uint8_t)(block + 1));
        if (status >= 0 && block > 0) {
            status = put(data + at, block);
        }
        if (status < 0) {
            return status;
        }
        at += block + (block < BLOCK_MAX);
        if (block == BLOCK_MAX && at == len) {
            break;
        }
    }
    return EK_OK;
}

int frames_send(enum frame_type type, size_t len) {
    ek_assert(len <= EK_MESSAGE_BYTES);
    frame[0] = (uint8_t)type;
    frame[1] = (uint8_t)(sent >> 8);
    frame[2] = (uint8_t)sent;
    len += HEAD_BYTES;
    uint16_t crc = crc16(frame, len);
    frame[len++] = (uint8_t)(crc >> 8);
    frame[len++] = (uint8_t)crc;
    sent++; // one that was begun and not ended is a lost one
    int status = put_byte(0);
    if (status >= 0) {
        status = put_cobs(frame, len);
    }
    if (status >= 0) {
        status = put_byte(0);
    }
    return status < 0 ? status : EK_OK;
}
