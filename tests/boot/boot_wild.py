"""A sensor driver that only tests have: it does what no program may, or tells the registers of the
memory's protection, as the device configuration says (`mqtt.user`). One image per board for all.
"""

from collections.abc import Callable

import pytest
from boot_rig import Built, catalog_with

SENSOR = """
[[sensor]]
name = "wild"
driver = "wild"
every = "100ms"
"""
MANIFEST = """\
class = "sensor"
summary = "Does what no program may; only in tests"
datasheet = "none: there is no device"
sources = ["wild.c"]
needs = []
[channel]
unit = ""
decimals = 0
[props]
"""
HEADER = """\
#ifndef WILD_H
#define WILD_H
#include "ek/sensor.h"
struct wild {
    uint16_t channel;
};
extern const struct ek_sensor_ops wild_ops;
#endif
"""
SOURCE = """\
#include <string.h>
#include "ek/device_config.h"
#include "ek/log.h"
#include "wild.h"

#if __x86_64__
#define RETURN 0xc3c3c3c3
#define UNDEFINED "ud2"
#elif __aarch64__
#define RETURN 0xd65f03c0
#define UNDEFINED "udf #1"
#else
#define RETURN 0x47704770 // bx lr
#define UNDEFINED "udf #0"
#endif
#ifdef __thumb__
#define THUMB 1
#else
#define THUMB 0
#endif

static volatile uint32_t code[2] = {RETURN, RETURN};
static const volatile uint32_t constant[2] = {RETURN, RETURN};
static volatile uint32_t after; // no tail calls: the backtrace is to have them all
static volatile unsigned zero, nine = 9, forty = 40;
static volatile int greatest = INT32_MAX;
static uint32_t table[4];

static void put(uintptr_t address) { *(volatile uint32_t *)address = 1; }

static void get(uintptr_t address) { after += *(volatile uint32_t *)address; }

static void call(uintptr_t address) {
    ((void (*)(void))(address + THUMB))();
    after++;
}

__attribute__((noinline)) static uint32_t deeper(uint32_t depth) {
    volatile uint32_t room[16];
    room[depth % 16] = depth;
    return depth == UINT32_MAX ? 0 : deeper(depth + 1) + room[depth % 16];
}

__attribute__((noinline)) static void smash(unsigned len) {
    char room[16];
    volatile char *to = room;
    for (unsigned i = 0; i < len; i++) {
        to[i] = 'A';
    }
    after++;
}

#if __x86_64__
#define GET(name, to) __asm__ volatile("mov %%" name ", %0" : "=r"(to))

static unsigned long msr(uint32_t number) {
    uint32_t low, high;
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (unsigned long)high << 32 | low;
}

static void tell_registers(void) {
    unsigned long cr0, cr3, cr4;
    GET("cr0", cr0);
    GET("cr3", cr3);
    GET("cr4", cr4);
    ek_log("wild: cr0=%lx cr3=%lx cr4=%lx efer=%lx", cr0, cr3, cr4, msr(0xc0000080));
    ek_log("wild: pat=%lx", msr(0x277));
}
#elif __aarch64__
#define GET(name, to) __asm__ volatile("mrs %0, " name : "=r"(to))

static void tell_registers(void) {
    unsigned long el, sctlr, tcr, mair, ttbr0;
    GET("currentel", el);
    GET("sctlr_el1", sctlr);
    GET("tcr_el1", tcr);
    GET("mair_el1", mair);
    GET("ttbr0_el1", ttbr0);
    ek_log("wild: el=%lx sctlr=%lx tcr=%lx mair=%lx ttbr0=%lx", el >> 2, sctlr, tcr, mair, ttbr0);
}
#elif __ARM_ARCH_7A__
#define GET(where, to) __asm__ volatile("mrc p15, 0, %0, " where : "=r"(to))

static void tell_registers(void) {
    uint32_t sctlr, ttbcr, mair0, mair1, low, high;
    GET("c1, c0, 0", sctlr);
    GET("c2, c0, 2", ttbcr);
    GET("c10, c2, 0", mair0);
    GET("c10, c2, 1", mair1);
    __asm__ volatile("mrrc p15, 0, %0, %1, c2" : "=r"(low), "=r"(high));
    ek_log("wild: sctlr=%x ttbcr=%x mair0=%x mair1=%x", (unsigned)sctlr, (unsigned)ttbcr,
           (unsigned)mair0, (unsigned)mair1);
    ek_log("wild: ttbr0=%x ttbr0_high=%x", (unsigned)low, (unsigned)high);
}
#else
#define MPU ((volatile uint32_t *)0xe000ed90) // TYPE, CTRL, RNR, RBAR, RASR
#define SYSMPU ((volatile uint32_t *)0x4000d000) // of a Kinetis: CESR; descriptors from 0x400 on

static void tell_registers(void) {
    unsigned count = MPU[0] >> 8 & 0xff;
    ek_log("wild: regions=%x ctrl=%x", count, (unsigned)MPU[1]);
    for (unsigned i = 0; i < count; i++) {
        MPU[2] = i;
        ek_log("wild: rbar%u=%x rasr%u=%x", i, (unsigned)MPU[3], i, (unsigned)MPU[4]);
    }
    if (count != 0) {
        return;
    }
    ek_log("wild: cesr=%x", (unsigned)SYSMPU[0]);
    for (unsigned i = 0; i < 12; i++) {
        volatile uint32_t *r = SYSMPU + 0x100 + 4 * i;
        ek_log("wild: start%u=%x end%u=%x rights%u=%x valid%u=%x", i, (unsigned)r[0], i,
               (unsigned)r[1], i, (unsigned)r[2], i, (unsigned)r[3]);
    }
}
#endif

static void poll(const void *dev) {
    (void)dev;
    const char *how = ek_device_config("mqtt.user", "");
    ek_log("wild: %s", how);
    if (strcmp(how, "read null") == 0) {
        get(zero);
    } else if (strcmp(how, "write null") == 0) {
        put(zero);
    } else if (strcmp(how, "call null") == 0) {
        call(zero);
    } else if (strcmp(how, "write nowhere") == 0) {
        put((uintptr_t)NOWHERE);
    } else if (strcmp(how, "write code") == 0) {
        put((uintptr_t)poll & ~(uintptr_t)3);
    } else if (strcmp(how, "write constant") == 0) {
        put((uintptr_t)constant);
    } else if (strcmp(how, "call constant") == 0) {
        call((uintptr_t)constant);
    } else if (strcmp(how, "call data") == 0) {
        call((uintptr_t)code);
    } else if (strcmp(how, "call stack") == 0) {
        volatile uint32_t room[2] = {RETURN, RETURN};
        call((uintptr_t)room);
    } else if (strcmp(how, "call device") == 0) {
        call(DEVICE);
    } else if (strcmp(how, "overflow stack") == 0) {
        after = deeper(0);
    } else if (strcmp(how, "smash stack") == 0) {
        smash(16 + 8 + nine);
    } else if (strcmp(how, "bounds") == 0) {
        after += table[nine];
    } else if (strcmp(how, "shift") == 0) {
        after += 1u << forty;
    } else if (strcmp(how, "overflow") == 0) {
        greatest++;
    } else if (strcmp(how, "division") == 0) {
        after = 1 / zero;
    } else if (strcmp(how, "instruction") == 0) {
        __asm__ volatile(UNDEFINED);
    } else if (strcmp(how, "tell registers") == 0) {
        tell_registers();
    }
    after++;
    ek_log("wild: survived");
}

const struct ek_sensor_ops wild_ops = {.poll = poll};
"""
PLACES = {  # board -> addresses: a device, nothing
    "x86-microvm": ("0xfee00000", "0"),
    "x86-pc": ("0xfee00000", "0"),
    "virt-aarch64": ("0x09000000", "0x90000000"),
    "imx8mp-evk": ("0x30890000", "0x100000000"),
    "rpi4": ("0xfe215000", "0x100000000"),
    "imx6ul-evk": ("0x02020000", "0x70000000"),
    "lm3s6965evb": ("0x4000c000", "0"),
    "mps2-an385": ("0x40004000", "0"),
    "frdm-k64f": ("0x4006a000", "0"),
    "microbit": ("0", "0"),
}


_KNOWN: dict[str, Built] = {}


def wild_image(
    board: str, gateways: Callable[..., Built], folders: pytest.TempPathFactory
) -> Built:
    """The image of a board, with the wild driver beside the real ones."""
    if board not in _KNOWN:
        device, nowhere = PLACES[board]
        source = SOURCE.replace("DEVICE", device).replace("NOWHERE", nowhere)
        catalog = catalog_with(folders.mktemp("wild"), "wild", MANIFEST, HEADER, source)
        _KNOWN[board] = gateways(board, SENSOR, catalog)
    return _KNOWN[board]
