"""A panic on purpose: a sensor driver that exists only here does what a broken driver might. The
console says why and where, and the emulator ends with the status of a panic."""

import pytest
from boot_rig import EMULATED, LIMIT_S, catalog_with

from edgeuk.decoder import Decoder
from edgeuk.symbols import Program

EXIT_PANIC = 101  # firmware/include/ek/panic.h
SENSOR = """
[[sensor]]
name = "broken"
driver = "crash"
every = "100ms"
"""
MANIFEST = """\
class = "sensor"
summary = "Ends the machine, in one of several ways; only in tests"
datasheet = "none: there is no device"
sources = ["crash.c"]
needs = []
[channel]
unit = ""
decimals = 0
"""
HEADER = """\
#ifndef CRASH_H
#define CRASH_H
#include "ek/sensor.h"
struct crash {
    uint16_t channel;
};
extern const struct ek_sensor_ops crash_ops;
#endif
"""
SOURCE = """\
#include "crash.h"
#include "ek/assert.h"
#include "ek/device_config.h"

static volatile uint32_t after; // no tail calls: the backtrace is to have them all

__attribute__((noinline)) void crash_now(const struct crash *crash) {
    const char *how = ek_device_config("mqtt.user", "");
    if (how[0] == 'a' && how[1] == 's') {
        ek_assert(crash->channel == 1000);
    } else if (how[0] == 'i') {
        __builtin_trap();
    } else if (how[0] == 'a') {
        *(volatile uint32_t *)(uintptr_t)BAD_ADDRESS = 1;
    } else {
        ((void (*)(void))(uintptr_t)BAD_ADDRESS)();
    }
    after++;
}

static void poll(const void *dev) {
    crash_now(dev);
    after++;
}

const struct ek_sensor_ops crash_ops = {.poll = poll};
"""
BAD_ADDRESS = {  # nothing answers there; the Cortex-M3 has no Arm state to call it in
    "x86-microvm": "0x7fffffff0000ull",
    "virt-aarch64": "0x7fffffff0000ull",
    "lm3s6965evb": "0x70000000u",
    "imx6ul-evk": "0x70000000u",
    "microbit": "0x70000000u",
}
LINES = {  # what is on the line that is at fault
    "assert": "ek_assert(",
    "instruction": "__builtin_trap(",
    "address": "BAD_ADDRESS = 1",
    "call": "BAD_ADDRESS)(",
}
WAYS = [(board, how) for board in EMULATED for how in ("assert", "instruction")]
WAYS += [(board, "address") for board in BAD_ADDRESS] + [("host", "assert")]
# QEMU's lm3s6965evb ignores writes that nobody answers: there, the address is called instead.
WAYS[WAYS.index(("lm3s6965evb", "address"))] = ("lm3s6965evb", "call")


@pytest.fixture(scope="module")
def crashing(gateways, tmp_path_factory):
    """The image of a board; its device configuration says how it ends."""

    known = {}

    def built(board):
        if board not in known:
            source = SOURCE.replace("BAD_ADDRESS", BAD_ADDRESS.get(board, "0"))
            folder = tmp_path_factory.mktemp("crash")
            catalog = catalog_with(folder, "crash", MANIFEST, HEADER, source)
            known[board] = gateways(board, SENSOR, catalog)
        return known[board]

    return built


@pytest.mark.parametrize(("board", "how"), WAYS)
def test_a_panic_says_why_and_where_and_ends_with_its_status(crashing, boot, board, how):
    built = crashing(board)
    machine = boot(built, {"mqtt.host": "", "mqtt.user": how, "exit.on_panic": "1"})
    status = machine.wait(LIMIT_S)
    text = "\n".join(machine.lines)
    assert text.count("panic: ") == 1, text
    # isa-debug-exit cannot say it plainly: QEMU ends with 2 * code + 1.
    assert status == (2 * EXIT_PANIC + 1 if board.startswith("x86-") else EXIT_PANIC), text
    program = next(built.result.image.parent.glob("*.debug.elf"))
    decoder = Decoder(Program(program))
    decoded = [line for line in map(decoder.feed, machine.lines) if line]
    frames = [f for line in decoded for call in line.calls for f in call.frames]
    names = [frame.function for frame in frames]
    assert "ek_main" in names, f"{names} in {text}"
    if how == "assert":
        line = SOURCE[: SOURCE.index("ek_assert(")].count("\n") + 1
        assert f"panic: assertion failed at crash.c:{line}" in text
    else:
        assert "crash_now" in names, f"{names} in {text}"
    if "crash_now" in names:  # one that never returns may be called by a jump
        frame = frames[names.index("crash_now")]
        lines = SOURCE.splitlines()
        assert frame.file == "drivers/crash/crash.c"
        assert LINES[how] in lines[frame.line - 1], f"{frame} in {text}"
