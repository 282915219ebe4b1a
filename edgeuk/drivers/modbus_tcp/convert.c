// convert.c: from the registers of an answer to an integer, exactly and without floating point:
// many targets have no floating point unit, and no library for it is linked.
// IEEE 754: binary32 has 8 exponent and 23 fraction bits, binary64 has 11 and 52.
#include "modbus_tcp.h"

enum { WIDE_BITS = 96 };

// A 96-bit number, least significant part first.
struct wide {
    uint32_t part[3];
};

static struct wide multiply(uint64_t a, uint32_t b) {
    uint64_t low = (a & UINT32_MAX) * b;
    uint64_t high = (a >> 32) * b + (low >> 32); // no carry: (2^32-1)^2 + 2^32-1 < 2^64
    return (struct wide){{(uint32_t)low, (uint32_t)high, (uint32_t)(high >> 32)}};
}

// False when bits are lost at the top.
static bool shift_left(struct wide *n, int bits) {
    for (; bits > 0; bits--) {
        if (n->part[2] >> 31) {
            return false;
        }
        n->part[2] = n->part[2] << 1 | n->part[1] >> 31;
        n->part[1] = n->part[1] << 1 | n->part[0] >> 31;
        n->part[0] <<= 1;
    }
    return true;
}

static void shift_right(struct wide *n, int bits) {
    for (; bits > 0; bits--) {
        n->part[0] = n->part[0] >> 1 | n->part[1] << 31;
        n->part[1] = n->part[1] >> 1 | n->part[2] << 31;
        n->part[2] >>= 1;
    }
}

static void divide(struct wide *n, uint32_t by) {
    uint64_t rest = 0;
    for (int i = 2; i >= 0; i--) {
        uint64_t part = rest << 32 | n->part[i];
        n->part[i] = (uint32_t)(part / by);
        rest = part % by;
    }
}

int modbus_tcp_scale(bool negative, uint64_t mantissa, int exponent, int32_t num, uint32_t den,
                     int64_t *value) {
    struct wide n = multiply(mantissa, num < 0 ? (uint32_t)-num : (uint32_t)num);
    negative ^= num < 0;
    if (mantissa == 0) {
        *value = 0;
        return EK_OK;
    }
    // Twice the value, rounded down; then half of the next one is the value rounded half up.
    // Dividing by 2^k and by den one after the other, each rounded down, is exact. A number that
    // leaves 96 bits is over 2^96 / den > 2^64.
    int shift = exponent + 1;
    if (shift > WIDE_BITS || (shift > 0 && !shift_left(&n, shift))) {
        return EK_ERANGE;
    }
    shift_right(&n, shift < -WIDE_BITS ? WIDE_BITS : -shift);
    divide(&n, den);
    uint64_t low = (uint64_t)n.part[1] << 32 | n.part[0];
    if (n.part[2] > 1 || (n.part[2] == 1 && low == UINT64_MAX)) {
        return EK_ERANGE;
    }
    uint64_t rounded = (uint64_t)n.part[2] << 63 | low >> 1;
    if (low & 1) {
        rounded++;
    }
    if (rounded > (uint64_t)INT64_MAX + negative) {
        return EK_ERANGE;
    }
    *value = negative ? (int64_t)(0 - rounded) : (int64_t)rounded;
    return EK_OK;
}

static int from_float(uint64_t bits, int exponent_bits, int fraction_bits,
                      const struct modbus_tcp_point *point, int64_t *value) {
    uint64_t fraction = bits & (((uint64_t)1 << fraction_bits) - 1);
    int most = (1 << exponent_bits) - 1;
    int exponent = (int)(bits >> fraction_bits) & most;
    bool negative = bits >> (exponent_bits + fraction_bits) & 1;
    if (exponent == most) {
        return EK_ERANGE; // infinite or not a number (3.4)
    }
    if (exponent == 0) {
        exponent = 1; // subnormal: no hidden one
    } else {
        fraction |= (uint64_t)1 << fraction_bits;
    }
    exponent -= most / 2 + fraction_bits;
    return modbus_tcp_scale(negative, fraction, exponent, point->num, point->den, value);
}

static int from_signed(int64_t raw, const struct modbus_tcp_point *point, int64_t *value) {
    uint64_t size = raw < 0 ? 0 - (uint64_t)raw : (uint64_t)raw;
    return modbus_tcp_scale(raw < 0, size, 0, point->num, point->den, value);
}

// `words` registers as one number, in the point's order.
static uint64_t gather(const struct modbus_tcp_point *point, const uint8_t *data, int words) {
    uint64_t bits = 0;
    for (int i = 0; i < words; i++) {
        const uint8_t *word =
            data + 2 * (point->order & MODBUS_TCP_WORDS_SWAPPED ? words - 1 - i : i);
        int swapped = (point->order & MODBUS_TCP_BYTES_SWAPPED) != 0;
        bits = bits << 16 | (uint64_t)word[swapped] << 8 | word[!swapped];
    }
    return bits;
}

int modbus_tcp_convert(const struct modbus_tcp_point *point, const uint8_t *data, int64_t *value) {
    if (point->type == MODBUS_TCP_BOOL) { // the first bit is the lowest of the first byte (6.1)
        int64_t bit = data[point->offset / 8] >> (point->offset % 8) & 1;
        return from_signed(bit, point, value);
    }
    data += 2 * point->offset;
    switch (point->type) {
    case MODBUS_TCP_U16:
        return from_signed((int64_t)gather(point, data, 1), point, value);
    case MODBUS_TCP_I16:
        return from_signed((int16_t)gather(point, data, 1), point, value);
    case MODBUS_TCP_U32:
        return from_signed((int64_t)gather(point, data, 2), point, value);
    case MODBUS_TCP_I32:
        return from_signed((int32_t)gather(point, data, 2), point, value);
    case MODBUS_TCP_U64:
        return modbus_tcp_scale(false, gather(point, data, 4), 0, point->num, point->den, value);
    case MODBUS_TCP_I64:
        return from_signed((int64_t)gather(point, data, 4), point, value);
    case MODBUS_TCP_FLOAT32:
        return from_float(gather(point, data, 2), 8, 23, point, value);
    default:
        return from_float(gather(point, data, 4), 11, 52, point, value);
    }
}
