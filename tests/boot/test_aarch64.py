"""Armv8-A: entered at whatever exception level a boot loader leaves, with either interrupt
controller; and memory protection.

QEMU's 64-bit machine `virt` has all levels; its board is changed here. Faults come from a sensor
driver that exists only here.
"""

import re
import shutil
from dataclasses import replace

import pytest
from boot_rig import LIMIT_S, WAVE, collect, counters, has_readings, readings

from edgeuk.catalog import load_catalog
from edgeuk.paths import data_roots

EXIT_PANIC = 101  # firmware/include/ek/panic.h
LEVELS = {1: "secure=off", 2: "virtualization=on", 3: "secure=on"}
GICV3 = 'driver = "gicv3"\ndistributor = 0x0800_0000\nredistributor = 0x080A_0000\n'


@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("level", LEVELS)
def test_an_image_runs_at_whatever_level_it_is_entered(
    gateways, boot, broker, monitor, tmp_path, level, gic
):
    text = (data_roots().boards / "virt-aarch64.toml").read_text()
    text = text.replace("gic-version=2", f"gic-version={gic},{LEVELS[level]}")
    if gic == 3:
        text = re.sub(r'driver = "gicv2"\n.*\n.*\n', GICV3, text)
    path = tmp_path / f"level{level}-gic{gic}.toml"
    path.write_text(text)
    catalog = load_catalog()
    catalog = replace(catalog, boards=dict(catalog.boards) | {path.stem: path})
    machine = boot(
        gateways(path.stem, WAVE, catalog), {"mqtt.port": str(broker.port)}, extra=["-S"]
    )
    registers = machine.qmp("human-monitor-command", **{"command-line": "info registers"})
    assert f"EL{level}h" in registers, registers
    machine.qmp("cont")
    messages = collect(
        monitor, lambda m: has_readings("wave", 12)(m) and any(x.kind == "stats" for x in m)
    )
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(values)
    assert counters(messages)["idle"] > 0.5  # the timer's interrupt ends its sleeps


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
static volatile uint32_t code[1] = {0xd65f03c0}; // ret
static volatile uint32_t after; // no tail calls
static volatile uintptr_t zero; // that the compiler does not know
static void poll(const void *dev);

static void put(uintptr_t addr) { *(volatile uint32_t *)addr = 1; }
static void call(uintptr_t addr) { ((void (*)(void))addr)(); }

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
        put(0x90000000);
    } else if (strcmp(wild->how, "far away") == 0) {
        put(0x100000000);
    } else if (strcmp(wild->how, "code") == 0) {
        put((uintptr_t)poll);
    } else if (strcmp(wild->how, "constant") == 0) {
        put((uintptr_t)&constant);
    } else if (strcmp(wild->how, "call data") == 0) {
        call((uintptr_t)code);
    } else if (strcmp(wild->how, "call constant") == 0) {
        call((uintptr_t)&constant);
    } else if (strcmp(wild->how, "call stack") == 0) {
        volatile uint32_t room[2] = {0xd65f03c0, 0xd65f03c0};
        call((uintptr_t)room);
    } else if (strcmp(wild->how, "call null") == 0) {
        call(zero);
    } else if (strcmp(wild->how, "stack") == 0) {
        after = deeper(0);
    } else {
        __asm__ volatile("brk #1");
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


@pytest.mark.parametrize("board", ["virt-aarch64", "imx8mp-evk"])
@pytest.mark.parametrize(
    ("how", "what"),
    [
        ("null", r"data abort: .* far 0x0$"),
        ("nowhere", r"data abort: .* far 0x90000000$"),
        ("far away", r"data abort: .* far 0x100000000$"),
        ("code", r"data abort: "),
        ("constant", r"data abort: "),
        ("call data", r"instruction abort: "),
        ("call constant", r"instruction abort: "),
        ("call stack", r"instruction abort: "),
        ("call null", r"instruction abort: pc 0x0 "),
        ("stack", r"data abort, stack overflow: "),
        ("trap", r"(breakpoint|undefined) instruction: "),
    ],
)
def test_what_must_not_be_ends_in_a_panic_that_says_so(gateways, boot, drivers, board, how, what):
    built = gateways(board, SENSOR.format(how=how), load_catalog(drivers))
    machine = boot(built, {"mqtt.host": "", "exit.on_panic": "1"})
    status = machine.wait(LIMIT_S)
    text = "\n".join(machine.lines)
    assert re.search("panic: " + what, text, re.M), text
    assert re.search(r"^.*  at 0x40[0-9a-f]+$", text, re.M), text  # in the code
    assert status == EXIT_PANIC, text
