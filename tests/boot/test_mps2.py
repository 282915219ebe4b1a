"""The watchdogs of Cortex-M boards, on `mps2-an385` with its LAN9118 and others.

A loop that hangs is made by a sensor driver of this test, whose third poll never returns.
"""

import re

import pytest
from boot_rig import HURRIED, LIMIT_S, SLEEPLESS, TEMPERATURE, catalog_with, function_at

BOARD = "mps2-an385"
TIMEOUT_S = 8  # kernel/watchdog.c
HANG = """
[[sensor]]
name = "wave"
driver = "hang"
every = "100ms"
"""
HANG_TOML = """
class = "sensor"
summary = "Hangs at its third poll"
sources = ["hang.c"]
needs = []
budget = { text = 1_000, ram = 8 } # link-time optimisation may put some of its caller there
state = true
[channel]
unit = ""
decimals = 0
[props]
"""
HANG_H = """
#ifndef HANG_H
#define HANG_H
#include "ek/sensor.h"
struct hang_state { unsigned polls; };
struct hang { uint16_t channel; struct hang_state *state; };
extern const struct ek_sensor_ops hang_ops;
#endif
"""
HANG_C = """
#include "hang.h"
#include <stdbool.h>
static void poll(const void *dev) {
    const struct hang *sensor = dev;
    for (bool once = true; once || sensor->state->polls == 3; once = false) {
        __asm__ volatile("" ::: "memory");
        sensor->state->polls += once;
    }
    ek_sensor_report(sensor->channel, 1, 0, EK_OK);
}
const struct ek_sensor_ops hang_ops = {.poll = poll};
"""


@pytest.fixture(scope="session")
def hanging(gateways, tmp_path_factory):
    """Builds a gateway that hangs for a board."""
    folder = tmp_path_factory.mktemp("hanging")
    catalog = catalog_with(folder, "hang", HANG_TOML, HANG_H, HANG_C)
    return lambda board: gateways(board, HANG, catalog)


def test_a_loop_that_runs_is_not_reset(gateways, boot):
    values = {"mqtt.host": "", "exit.after_s": str(10 * TIMEOUT_S)}
    machine = boot(gateways(BOARD, TEMPERATURE), values, extra=SLEEPLESS)
    assert machine.wait(LIMIT_S) == 0
    assert machine.wait_line("exit.after_s is over", LIMIT_S)
    assert sum("entropy" in line for line in machine.lines) == 1  # banners
    assert not [line for line in machine.lines if "watchdog" in line]


@pytest.mark.parametrize("board", [BOARD, "lm3s6965evb"])
def test_a_loop_that_hangs_is_reset_and_the_next_boot_says_where(hanging, boot, board):
    built = hanging(board)
    machine = boot(built, {"mqtt.host": ""}, extra=HURRIED)
    machine.qmp("set-action", reboot="reset")  # instead of the runner's -no-reboot
    line = machine.wait_line("; last ran: ", TIMEOUT_S + 60)
    assert sum("entropy" in text for text in machine.lines) == 2  # banners
    place = int(re.search(r"last ran: (0x[0-9a-f]+)", line)[1], 16)
    assert function_at(built.result.debug, place) == "run"  # of pipeline/sched.c


def test_the_warning_says_where_before_the_reset(hanging, boot):
    built = hanging(BOARD)
    machine = boot(built, {"mqtt.host": ""}, extra=HURRIED)
    line = machine.wait_line("panic: ", TIMEOUT_S + 60)  # NMI is exception 2
    place = int(re.search(r"exception 2 pc (0x[0-9a-f]+)", line)[1], 16)
    assert function_at(built.result.debug, place)
    machine.wait_line("watchdog: not fed for 4000 ms", 30)
    assert machine.wait(30) == 0  # -no-reboot: a reset ends QEMU
