"""The board imx6ul-evk: reset, and memory protection of the architecture. Sensor and cable are in
test_thermometer.py. Faults come from a sensor driver that exists only here."""

import re
import shutil
from dataclasses import replace

import pytest
from boot_rig import LIMIT_S

from edgeuk.catalog import load_catalog
from edgeuk.paths import data_roots

BOARD = "imx6ul-evk"
EXIT_PANIC = 101  # firmware/include/ek/panic.h


def test_without_an_emulators_exit_the_watchdog_resets_the_chip(gateways, boot, drivers):
    built = crashing(gateways, drivers, "trap")
    machine = boot(built, {"mqtt.host": ""})  # a panic; nobody asked for an exit status
    assert machine.wait(LIMIT_S) == 0  # QEMU ends at a reset: -no-reboot
    assert "panic: undefined instruction" in "\n".join(machine.lines)


# Memory protection.

SENSOR = """
[[sensor]]
name = "broken"
driver = "wild"
how = "{how}"
every = "100ms"
"""
MANIFEST = """\
class = "sensor"
summary = "Goes where it must not; only in tests"
datasheet = "none: there is no device"
sources = ["wild.c"]
needs = []
[channel]
unit = ""
decimals = 0
[props]
how = { type = "string" }
"""
HEADER = """\
#ifndef WILD_H
#define WILD_H
#include "ek/sensor.h"
struct wild {
    uint16_t channel;
    const char *how;
};
extern const struct ek_sensor_ops wild_ops;
#endif
"""
SOURCE = """\
#include <string.h>
#include "wild.h"

static const volatile uint32_t constant = 1;
static volatile uint16_t code[2] = {0x4770, 0x4770}; // bx lr
static volatile uint32_t after; // no tail calls
static void poll(const void *dev);

static void put(uintptr_t addr) { *(volatile uint32_t *)addr = 1; }
static void call(uintptr_t addr) { ((void (*)(void))(addr | 1))(); }

__attribute__((noinline)) static uint32_t deeper(uint32_t depth) {
    volatile uint32_t room[64];
    room[depth % 64] = depth;
    if (depth == 1000000) {
        return 0;
    }
    uint32_t below = deeper(depth + 1);
    return room[below % 64] + below;
}

static void poll(const void *dev) {
    const struct wild *wild = dev;
    if (strcmp(wild->how, "null") == 0) {
        put(0);
    } else if (strcmp(wild->how, "nowhere") == 0) {
        put(0x70000000);
    } else if (strcmp(wild->how, "code") == 0) {
        put((uintptr_t)poll & ~(uintptr_t)3);
    } else if (strcmp(wild->how, "constant") == 0) {
        put((uintptr_t)&constant);
    } else if (strcmp(wild->how, "call data") == 0) {
        call((uintptr_t)code);
    } else if (strcmp(wild->how, "call null") == 0) {
        call(0);
    } else if (strcmp(wild->how, "stack") == 0) {
        after = deeper(0);
    } else {
        __asm__ volatile("udf #0");
    }
    after++;
}

const struct ek_sensor_ops wild_ops = {.poll = poll};
"""


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """The real drivers and the wild one."""
    roots = data_roots()
    folder = tmp_path_factory.mktemp("drivers") / "drivers"
    shutil.copytree(roots.drivers, folder)
    (folder / "wild").mkdir()
    (folder / "wild/driver.toml").write_text(MANIFEST)
    (folder / "wild/wild.h").write_text(HEADER)
    (folder / "wild/wild.c").write_text(SOURCE)
    return replace(roots, drivers=folder)


def crashing(gateways, drivers, how):
    return gateways(BOARD, SENSOR.format(how=how), load_catalog(drivers))


@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("null", r"data abort: .* address 0x00000000"),
        ("nowhere", r"data abort: .* address 0x70000000"),
        ("code", r"data abort: "),
        ("constant", r"data abort: "),
        ("call data", r"instruction abort: "),
        ("call null", r"instruction abort: pc 0x00000000"),
        ("stack", r"data abort, stack overflow: "),
        ("trap", r"undefined instruction: "),
    ],
)
def test_what_must_not_be_ends_in_a_panic_that_says_so(gateways, boot, drivers, how, what):
    machine = boot(crashing(gateways, drivers, how), {"mqtt.host": "", "exit.on_panic": "1"})
    status = machine.wait(LIMIT_S)
    text = "\n".join(machine.lines)
    assert re.search("panic: " + what, text), text
    assert re.search(r"^.*  at 0x8000[0-9a-f]{4}$", text, re.M), text  # in the code
    assert status == EXIT_PANIC, text
