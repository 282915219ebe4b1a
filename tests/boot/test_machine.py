"""The machine itself: it sleeps when idle, ends with a status, says why it panics, keeps time."""

import os
import re
import time

import pytest
from boot_rig import collect, readings

from edgeuk.run.process import Process

QUIET = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
low = 0
high = 10
period = "10s"
every = "1s"
"""
EMULATED = ["x86-microvm", "virt-aarch64", "lm3s6965evb"]
BOARDS = [*EMULATED, "host"]
WINDOW_READINGS = 6  # one a second


def cpu_s(machine: Process) -> float:
    """Processor time that it has used so far, user and system (proc(5), stat, fields 14 and 15)."""
    with open(f"/proc/{machine.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("board", BOARDS)
def test_an_idle_gateway_does_not_burn_a_core(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, QUIET), {"mqtt.port": str(broker.port)})
    collect(monitor, lambda m: len(readings(m, "wave")) >= 2)
    cpu, wall = cpu_s(machine), time.monotonic()
    messages = collect(monitor, lambda m: len(readings(m, "wave")) >= WINDOW_READINGS)
    share = (cpu_s(machine) - cpu) / (time.monotonic() - wall)
    assert share < 0.25, f"{share:.0%} of a core while a reading a second is all there is to do"
    stats = [x for x in messages if x.kind == "stats"][-1].readings()
    idle = next(r.value for r in stats if r.name.endswith("/idle"))
    assert idle > 0.8


@pytest.mark.parametrize("board", BOARDS)
def test_an_image_told_to_end_ends_with_status_0(gateways, boot, board):
    machine = boot(gateways(board, QUIET), {"mqtt.host": "", "exit.after_s": "1"})
    status = machine.wait(30)
    # isa-debug-exit cannot say 0: QEMU ends with 2 * code + 1.
    assert status == (1 if board == "x86-microvm" else 0)
    assert "app: exit.after_s is over" in machine.lines[-1]


@pytest.mark.parametrize("board", BOARDS)
def test_the_clock_runs_at_the_pace_of_this_machine(gateways, boot, broker, monitor, board):
    boot(gateways(board, QUIET), {"mqtt.port": str(broker.port)})
    collect(monitor, lambda m: len(readings(m, "wave")) >= 1)
    start = time.monotonic()
    messages = collect(monitor, lambda m: len(readings(m, "wave")) >= WINDOW_READINGS)
    elapsed = time.monotonic() - start
    assert elapsed == pytest.approx(len(readings(messages, "wave")), rel=0.2)


@pytest.mark.parametrize("board", BOARDS)
def test_the_console_says_what_runs_and_where_random_numbers_come_from(gateways, boot, board):
    machine = boot(gateways(board, QUIET), {"mqtt.host": ""})
    line = machine.wait_line("entropy", 30)
    assert board in line
    machine.wait_line("no broker", 30)


@pytest.mark.parametrize("board", EMULATED)
def test_a_damaged_device_configuration_is_refused_and_said(gateways, boot, board):
    from edgeuk import device_config

    built = gateways(board, QUIET)
    original = device_config.encode
    try:
        device_config.encode = lambda values: original(values)[:-1] + b"!"
        machine = boot(built, {"mqtt.host": "localhost"})
    finally:
        device_config.encode = original
    assert re.search(r"config", machine.wait_line("config", 30))
    machine.wait_line("no broker", 30)
