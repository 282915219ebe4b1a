"""What a gateway knows of its last boot's end, on boards whose watchdog or reset is driven here: a
loop that hangs is reset, and the next boot says where, on the console and to the broker; so does
one after a panic.

The hanging loop is a sensor driver of this test, whose third poll never returns; the other panics.
"""

import re

import pytest
from boot_rig import HURRIED, catalog_with, collect, function_at, readings

TIMEOUT_S = 8  # kernel/watchdog.c
DOG = {
    "x86-pc": ("-device", "i6300esb", *HURRIED),
    "imx6ul-evk": HURRIED,
    "imx8mp-evk": HURRIED,
    "frdm-k64f": (),
}
SENSOR = """
[[sensor]]
name = "broken"
driver = "ending"
how = "{how}"
every = "300ms"
"""
MANIFEST = """
class = "sensor"
summary = "Hangs or panics at its third poll, once per start of the emulator"
sources = ["ending.c"]
needs = []
budget = { text = 1_000, ram = 8 } # link-time optimisation may put some of its caller there
state = true
[channel]
unit = ""
decimals = 0
[props]
how = { type = "string", choices = ["hang", "panic"] }
"""
HEADER = """
#ifndef ENDING_H
#define ENDING_H
#include "ek/sensor.h"
struct ending_state { unsigned polls; };
struct ending { const char *how; uint16_t channel; struct ending_state *state; };
extern const struct ek_sensor_ops ending_ops;
#endif
"""
SOURCE = """
#include "ending.h"
#include <stdbool.h>
#include "ek/panic.h"
static void poll(const void *dev) {
    const struct ending *sensor = dev;
    static uint32_t once __attribute__((section(".bss.noinit"))); // a reset leaves it
    bool now = ++sensor->state->polls == 3 && once != 0x12345678;
    if (now) {
        once = 0x12345678;
        if (sensor->how[0] == 'p') {
            ek_panic("the third of %u", 3);
        }
    }
    for (bool first = true; first || now; first = false) {
        __asm__ volatile("" ::: "memory");
    }
    ek_sensor_report(sensor->channel, 1, 0, EK_OK);
}
const struct ek_sensor_ops ending_ops = {.poll = poll};
"""


@pytest.fixture(scope="module")
def ending(gateways, tmp_path_factory):
    """Builds a gateway that ends in one of the ways."""
    folder = tmp_path_factory.mktemp("ending")
    catalog = catalog_with(folder, "ending", MANIFEST, HEADER, SOURCE)
    return lambda board, how: gateways(board, SENSOR.format(how=how), catalog)


def boot_reports(messages):
    """What the gateway said of its boots; once each, as QoS 1 may bring a message twice."""
    return list(dict.fromkeys(m.payload.decode() for m in messages if m.kind == "boot"))


def next_boot(machine, monitor):
    """What the gateway says to the broker of its boots, two of them."""
    messages = collect(monitor, lambda messages: len(boot_reports(messages)) >= 2)
    assert sum("entropy" in text for text in machine.lines) <= 2  # banners
    return boot_reports(messages)


@pytest.mark.parametrize("board", DOG)
def test_a_loop_that_hangs_is_reset_and_the_broker_hears_where(
    ending, boot, broker, monitor, board
):
    built = ending(board, "hang")
    machine = boot(built, {"mqtt.port": str(broker.port)}, extra=DOG[board])
    machine.qmp("set-action", reboot="reset")  # instead of the runner's -no-reboot
    if board == "frdm-k64f":  # no QEMU; hurried in its own way, once it has said that it is there
        machine.wait_line("mqtt: connected", TIMEOUT_S)
        machine.qmp("qom-set", path="/clock", property="speed", value=8)
    line = machine.wait_line("; last ran: ", TIMEOUT_S + 60)
    first, second = next_boot(machine, monitor)
    assert first == "power-on"
    assert line.endswith(second)
    place = int(re.search(r"last ran: (0x[0-9a-f]+)", second)[1], 16)
    assert function_at(built.result.debug, place) == "run"  # of pipeline/sched.c
    assert len(readings(collect(monitor, lambda m: len(readings(m, "broken")) > 3), "broken")) > 3


def test_the_function_of_a_pc_knows_that_it_was_it(ending, boot):
    machine = boot(ending("x86-pc", "hang"), {"mqtt.host": ""}, extra=DOG["x86-pc"])
    machine.qmp("set-action", reboot="reset")
    assert "watchdog: reset the board" in machine.wait_line("; last ran: ", TIMEOUT_S + 60)


PANICS = ["x86-microvm", "imx6ul-evk", "lm3s6965evb", "virt-aarch64", "frdm-k64f"]


@pytest.mark.parametrize("board", PANICS)
def test_after_a_panic_the_broker_hears_its_reason_and_place(ending, boot, broker, monitor, board):
    built = ending(board, "panic")
    machine = boot(built, {"mqtt.port": str(broker.port)})
    machine.qmp("set-action", reboot="reset")
    first, second = next_boot(machine, monitor)
    assert first == "power-on"
    assert second.startswith("panic: the third of 3 at 0x")
    places = [int(word, 16) for word in re.findall(r"0x[0-9a-f]+", second)]
    assert {"poll", "run"} & {function_at(built.result.debug, p) for p in places}


def test_a_pc_without_one_runs_and_says_nothing(ending, boot, broker, monitor):
    machine = boot(ending("x86-pc", "panic"), {"mqtt.port": str(broker.port)})
    collect(monitor, boot_reports)
    assert not [line for line in machine.lines if "watchdog" in line]
