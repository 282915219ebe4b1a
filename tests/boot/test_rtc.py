"""Boards with a real-time clock know the time of day before anybody on the network tells it."""

from datetime import UTC, datetime

import pytest
from boot_rig import WAVE, collect, has_readings, readings

BASE = "2031-02-03T04:05:06"
BOARDS = ["virt-aarch64", "x86-microvm", "x86-pc"]


@pytest.mark.parametrize("board", BOARDS)
def test_readings_carry_the_clocks_time_without_sntp(gateways, boot, broker, monitor, board):
    values = {"mqtt.port": str(broker.port), "net.ntp": ""}
    machine = boot(gateways(board, WAVE), values, extra=("-rtc", f"base={BASE}"))
    found = readings(collect(monitor, has_readings("wave", 20)), "wave")
    begin = datetime.fromisoformat(BASE).replace(tzinfo=UTC).timestamp()
    assert all(begin <= r.time < begin + 60 for r in found), (begin, found[0])
    assert any("from rtc" in line for line in machine.lines)


def test_a_clock_that_was_never_set_is_not_believed(gateways, boot, broker, monitor):
    values = {"mqtt.port": str(broker.port), "net.ntp": ""}
    extra = ("-rtc", "base=2001-01-01T00:00:00")
    machine = boot(gateways("virt-aarch64", WAVE), values, extra=extra)
    collect(monitor, has_readings("wave", 3))
    assert machine.wait_line("rtc: no time: out of range", 10)
    assert not any("from rtc" in line for line in machine.lines)


def test_a_machine_without_one_has_no_time_and_lives(gateways, boot, broker, monitor):
    values = {"mqtt.port": str(broker.port), "net.ntp": ""}
    machine = boot(gateways("x86-microvm", WAVE), values, extra=("-machine", "rtc=off"))
    collect(monitor, has_readings("wave", 3))
    assert not any("rtc" in line for line in machine.lines)
