"""The board rpi4, in a QEMU that has it: its I2C bus, reset by its power manager, and what QEMU
lacks of it and an image must stand: Ethernet, random numbers, a watchdog that counts.

Its uplink there is PPP over the mini UART. Beside tmp105's driver, one that exists only here reads
the bus and says on the console what it gets. The sensor's temperature is QEMU's, changed over QMP
while the image runs.
"""

import pytest
from boot_rig import LIMIT_S, SLEEPLESS, TEMPERATURE, catalog_with, set_temperature
from elftools.elf.elffile import ELFFile

from edgeuk.flash.card import KERNEL_ROOM

BOARD = "rpi4"
EXIT_PANIC = 101  # firmware/include/ek/panic.h
SENSOR = """
[[sensor]]
name = "raw{addr}"
driver = "raw"
at = "i2c0:{addr}"
every = "100ms"
"""
MANIFEST = """\
class = "sensor"
summary = "Says two bytes of register 0; only in tests"
datasheet = "none"
sources = ["raw.c"]
needs = ["i2c"]
at = "i2c"
[channel]
unit = ""
decimals = 0
"""
HEADER = """\
#ifndef RAW_H
#define RAW_H
#include "ek/i2c.h"
#include "ek/sensor.h"
struct raw {
    uint16_t channel;
    const struct ek_i2c *bus;
    uint8_t addr;
};
extern const struct ek_sensor_ops raw_ops;
#endif
"""
SOURCE = """\
#include "ek/log.h"
#include "raw.h"
static void poll(const void *dev) {
    const struct raw *raw = dev;
    uint8_t in[2] = {0xaa, 0xaa};
    int status = raw->bus->ops->transfer(raw->bus->dev, raw->addr, (const uint8_t[]){0}, 1, in, 2);
    ek_log("raw: %x %d %x %x", raw->addr, status, in[0], in[1]);
    if (raw->addr == 0x4a) {
        __asm__ volatile("brk #1");
    }
}
const struct ek_sensor_ops raw_ops = {.poll = poll};
"""


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """The real drivers and the raw one."""
    return catalog_with(tmp_path_factory.mktemp("raw"), "raw", MANIFEST, HEADER, SOURCE)


@pytest.fixture
def machine(gateways, boot, drivers):
    """An image that reads at these addresses, running."""

    def make(*addresses, values=None, extra=()):
        built = gateways(BOARD, "".join(SENSOR.format(addr=a) for a in addresses), drivers)
        return boot(built, {"mqtt.host": ""} | (values or {}), extra=extra)

    return make


def test_the_bus_gives_what_the_sensor_measures(machine):
    running = machine("0x48")
    for celsius, data in ((21.5, "15 80"), (-12.5, "f3 80"), (99.5, "63 80")):  # TMP105, table 5
        set_temperature(running, celsius)
        running.wait_line(f"raw: 48 0 {data}", LIMIT_S)


def test_nobody_at_an_address_is_said_and_harms_no_other(machine):
    running = machine("0x4f", "0x48")
    set_temperature(running, 21.5)
    for _ in range(2):
        running.wait_line("raw: 4f -2 aa aa", LIMIT_S)
        running.wait_line("raw: 48 0 15 80", LIMIT_S)


def test_what_qemu_lacks_is_survived(machine):
    running = machine("0x48", values={"exit.after_s": "12"}, extra=SLEEPLESS)
    assert running.wait(LIMIT_S) == 0  # longer than the watchdog's time, which is 8 s
    text = "\n".join(running.lines)
    assert "entropy clock jitter (weak)" in text
    assert text.count("edgeuk rpi4 ") == 1
    assert "panic" not in text


def test_a_panic_ends_in_a_reset(machine):
    running = machine("0x4a")
    assert running.wait(LIMIT_S) == 0
    assert "panic: breakpoint instruction" in "\n".join(running.lines)


def test_a_panic_may_be_an_exit_status(machine):
    running = machine("0x4a", values={"exit.on_panic": "1"})
    assert running.wait(LIMIT_S) == EXIT_PANIC


def test_what_a_reset_leaves_alone_lies_behind_all_that_the_firmware_loads(gateways):
    """It loads the card's kernel8.img again, which is as long as a slot has room for."""
    built = gateways(BOARD, TEMPERATURE)
    with built.result.debug.open("rb") as file:
        symbols = ELFFile(file).get_section_by_name(".symtab")
        (record,) = symbols.get_symbol_by_name("record")
    assert record["st_value"] >= built.image.board.memory["ram"].base + KERNEL_ROOM
