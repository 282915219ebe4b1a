"""Protections, each violated on purpose by a sensor driver that exists only here: the processor or
the compiler's check stops it, and the panic says what was done. One image per board; the device
configuration says which way to go."""

import re
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from boot_rig import LIMIT_S, WAVE, catalog_with
from elftools.elf.elffile import ELFFile

EXIT_PANIC = 101  # firmware/include/ek/panic.h
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
    }
    after++;
    ek_log("wild: survived");
}

const struct ek_sensor_ops wild_ops = {.poll = poll};
"""
# What the compiler checks, the same everywhere.
COMPILER = {
    "smash stack": r"stack smashed in 0x[0-9a-f]+$",
    "bounds": r"undefined behaviour: array bounds in 0x[0-9a-f]+$",
    "shift": r"undefined behaviour: shift in 0x",
    "overflow": r"undefined behaviour: overflow in 0x",
    "division": r"undefined behaviour: division in 0x",
}
X86_64 = {
    "read null": r"read forbidden: .*address 0x0$",
    "write null": r"write forbidden: .*address 0x0$",
    "call null": r"execution forbidden: .*rip 0x0, .*address 0x0$",
    "write code": r"write forbidden: ",
    "write constant": r"write forbidden: ",
    "call constant": r"execution forbidden: ",
    "call data": r"execution forbidden: ",
    "call stack": r"execution forbidden: ",
    "call device": r"execution forbidden: .*address 0xfee00000$",
    "overflow stack": r"fault, stack overflow: exception 8, ",
}
AARCH64 = {
    "write nowhere": r"data abort: .* far 0x(100000000|90000000)$",
    "instruction": r"undefined instruction: ",
    "read null": r"data abort: .* far 0x0$",
    "write null": r"data abort: .* far 0x0$",
    "call null": r"instruction abort: .* far 0x0$",
    "write code": r"data abort: ",
    "write constant": r"data abort: ",
    "call constant": r"instruction abort: ",
    "call data": r"instruction abort: ",
    "call stack": r"instruction abort: ",
    "call device": r"instruction abort: ",
    "overflow stack": r"data abort, stack overflow: ",
}
ARMV7A = {
    "write nowhere": r"data abort: .* address 0x70000000$",
    "instruction": r"undefined instruction: ",
    "read null": r"data abort: .* address 0x00000000$",
    "write null": r"data abort: .* address 0x00000000$",
    "call null": r"instruction abort: .* address 0x00000000$",
    "write code": r"data abort: ",
    "write constant": r"data abort: ",
    "call constant": r"instruction abort: ",
    "call data": r"instruction abort: ",
    "call stack": r"instruction abort: ",
    "call device": r"instruction abort: ",
    "overflow stack": r"data abort, stack overflow: ",
}
ARMV7M = {
    "read null": r"access forbidden: .* address 0x00000000$",
    "write null": r"access forbidden: .* address 0x00000000$",
    "call null": r"execution forbidden: .* pc 0x00000000 ",
    "write code": r"access forbidden: ",
    "write constant": r"access forbidden: ",
    "call constant": r"execution forbidden: ",
    "call data": r"execution forbidden: ",
    "call stack": r"execution forbidden: ",
    "call device": r"execution forbidden: ",
    "overflow stack": r"(access forbidden|fault), stack overflow: ",
}
KINETIS = {  # bus faults, by CFSR; stores pass through a buffer, and their address is lost
    "read null": r"fault: .* cfsr 0x00008200 .* address 0x00000000$",
    "write null": r"fault: .* cfsr 0x00000400 ",
    "call null": r"fault: .* pc 0x00000000 .* cfsr 0x00000100 ",
    "write code": r"fault: .* cfsr 0x00000400 ",
    "write constant": r"fault: .* cfsr 0x00000400 ",
    "call constant": r"fault: .* cfsr 0x00000100 ",
    "call data": r"fault: .* cfsr 0x00000100 ",
    "call stack": r"fault: .* cfsr 0x00000100 ",
    "call device": r"execution forbidden: .* pc 0x4006a000 ",
    "overflow stack": r"fault, stack overflow: .* cfsr 0x00001400 ",
}
BOARDS = {  # board -> what the processor stops; addresses: a device, nothing
    "x86-microvm": (X86_64, "0xfee00000", "0"),
    "x86-pc": (X86_64, "0xfee00000", "0"),
    "virt-aarch64": (AARCH64, "0x09000000", "0x90000000"),
    "imx8mp-evk": (AARCH64, "0x30890000", "0x100000000"),
    "rpi4": (AARCH64, "0xfe215000", "0x100000000"),
    "imx6ul-evk": (ARMV7A, "0x02020000", "0x70000000"),
    "lm3s6965evb": (ARMV7M, "0x4000c000", "0"),
    "mps2-an385": (ARMV7M, "0x40004000", "0"),
    "frdm-k64f": (KINETIS, "0x4006a000", "0"),
    "microbit": ({}, "0", "0"),  # a Cortex-M0 has no memory protection
}
WAYS = [(b, how) for b, (stops, *_) in BOARDS.items() for how in stops]
# The second and third of their architectures: the compiler is the same.
SECOND = ("x86-pc", "imx8mp-evk", "rpi4", "mps2-an385", "frdm-k64f")
WAYS += [(b, how) for b in BOARDS if b not in SECOND for how in COMPILER]


@pytest.fixture(scope="module")
def built(gateways, tmp_path_factory):
    """The image of a board, with the wild driver beside the real ones."""

    known = {}

    def build(board):
        if board in known:
            return known[board]
        _, device, nowhere = BOARDS[board]
        source = SOURCE.replace("DEVICE", device).replace("NOWHERE", nowhere)
        folder = tmp_path_factory.mktemp("wild")
        catalog = catalog_with(folder, "wild", MANIFEST, HEADER, source)
        known[board] = gateways(board, SENSOR, catalog)
        return known[board]

    return build


@pytest.mark.parametrize(("board", "how"), WAYS)
def test_what_no_program_may_do_ends_in_a_panic_that_says_so(built, boot, board, how):
    stops, *_ = BOARDS[board]
    values = {"mqtt.host": "", "mqtt.user": how, "exit.on_panic": "1"}
    machine = boot(built(board), values)
    status = machine.wait(LIMIT_S)
    text = "\n".join(machine.lines)
    assert f"wild: {how}" in text, text
    assert "survived" not in text, text
    assert text.count("panic: ") == 1, text
    assert re.search("panic: " + (stops | COMPILER)[how], text, re.M), text
    # A Cortex-M whose stack is full could not save where it was.
    if not (stops in (ARMV7M, KINETIS) and how == "overflow stack"):
        assert re.search(r"^.*  at 0x[0-9a-f]+$", text, re.M), text
    if stops is KINETIS:  # nobody there to be told: it resets the chip, which ends the emulation
        assert status == 0, text
        return
    # isa-debug-exit cannot say it plainly: QEMU ends with 2 * code + 1.
    assert status == (2 * EXIT_PANIC + 1 if board.startswith("x86-") else EXIT_PANIC), text


def test_a_panic_resets_the_chip_where_nobody_asked_for_an_exit(built, boot):
    machine = boot(built("imx6ul-evk"), {"mqtt.host": "", "mqtt.user": "instruction"})
    assert machine.wait(LIMIT_S) == 0  # QEMU ends at a reset: -no-reboot
    assert "panic: undefined instruction" in "\n".join(machine.lines)


class Mpu:
    """PMSAv7's answer to an access (Arm DDI 0403E, B3.5), from the regions in an image's flash."""

    READS, WRITES = (1, 2, 3, 5, 6, 7), (1, 2, 3)  # AP, privileged (B3.5.9, table B3-15)

    def __init__(self, program: Path) -> None:
        with program.open("rb") as file:
            elf = ELFFile(file)
            text = elf.get_section_by_name(".text")
            table = elf.get_section_by_name(".symtab")
            self.at = {s.name: s["st_value"] for s in table.iter_symbols()}
            start, end = self.at["__mpu_regions"], self.at["__mpu_regions_end"]
            data = text.data()[start - text["sh_addr"] : end - text["sh_addr"]]
        words = struct.unpack(f"<{len(data) // 4}I", data)
        self.regions = {
            base & 15: (base & ~31, rasr)
            for base, rasr in zip(words[::2], words[1::2], strict=True)
        }
        for base, rasr in self.regions.values():
            size = 2 << (rasr >> 1 & 31)
            assert rasr & 1
            assert size >= 256, "a region without subregions"
            assert base % size == 0, f"{base:#x} is not at a multiple of {size:#x}"

    def allows(self, address: int) -> str:
        """Some of "rwx"."""
        found = ""
        for _, (base, rasr) in sorted(self.regions.items()):
            size = 2 << (rasr >> 1 & 31)
            if base <= address < base + size and not rasr >> (8 + (address - base) * 8 // size) & 1:
                ap = rasr >> 24 & 7
                found = "r" * (ap in self.READS) + "w" * (ap in self.WRITES)
                found += "x" * (ap in self.READS and not rasr >> 28 & 1)
        return found


@pytest.mark.parametrize("board", ["lm3s6965evb", "mps2-an385"])
def test_the_regions_of_a_cortex_m_are_exact(gateways, board):
    built = gateways(board, WAVE)
    mpu = Mpu(next(built.result.image.parent.glob("*.debug.elf")))
    memory = built.image.board.memory
    ram, config = memory["ram"], memory["config"]
    code, code_end = 256, -(-mpu.at["__text_end"] // 128) * 128  # ends at a multiple of 128
    assert mpu.at["__text_start"] >= code
    assert mpu.at["__rodata_start"] == code_end < 1 << 16
    ends = {
        0: "",
        code: "rx",
        code_end: "r",
        config.base + config.size: "",
        ram.base: "rw",
        ram.base + ram.size: "",
        0x4000_0000: "rw",
        0x6000_0000: "",
        1 << 32: "",
    }
    for start, end in pairwise(ends):
        allowed = ends[start]
        step = 32 if allowed == "rx" or start < ram.base else 1 << 12
        wrong = [
            a for a in range(start, min(end, start + (1 << 20)), step) if mpu.allows(a) != allowed
        ]
        assert not wrong, f"{wrong[0]:#x}: {mpu.allows(wrong[0])}, not {allowed}"
        assert mpu.allows(end - 1) == allowed
