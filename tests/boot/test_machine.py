"""The machine itself: it sleeps when idle, ends with a status, keeps time, and is
told by its device configuration who it is."""

import time
from contextlib import ExitStack

import pytest
from boot_rig import (
    BOARDS,
    LIMIT_S,
    collect,
    cpu_s,
    has_readings,
    readings,
    unconnected,
)

from edgeuk import device_config
from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor

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
WINDOW_READINGS = 6  # one a second


@pytest.mark.parametrize("board", BOARDS)
def test_an_idle_gateway_burns_no_core_and_keeps_pace_with_this_machine(
    gateways, boot, broker, monitor, board
):
    machine = boot(gateways(board, QUIET), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("wave", 2))
    cpu, start = cpu_s(machine), time.monotonic()
    messages = collect(monitor, has_readings("wave", WINDOW_READINGS))
    elapsed = time.monotonic() - start
    assert elapsed == pytest.approx(len(readings(messages, "wave")), rel=0.2)
    share = (cpu_s(machine) - cpu) / elapsed
    assert share < 0.25, f"{share:.0%} of a core while a reading a second is all there is to do"
    stats = [x for x in messages if x.kind == "stats"][-1].readings()
    idle = next(r.value for r in stats if r.name.endswith("/idle"))
    assert idle > 0.8


@pytest.mark.parametrize("board", BOARDS)
def test_an_image_told_to_end_ends_with_status_0(gateways, boot, board):
    machine = boot(gateways(board, QUIET), {"mqtt.host": "", "exit.after_s": "1"})
    status = machine.wait(LIMIT_S)
    # isa-debug-exit cannot say 0: QEMU ends with 2 * code + 1.
    assert status == (1 if board.startswith("x86-") else 0)
    assert "app: exit.after_s is over" in machine.lines[-1]


@pytest.mark.parametrize("board", BOARDS)
def test_the_console_says_what_runs_and_where_random_numbers_come_from(gateways, boot, board):
    machine = boot(gateways(board, QUIET), {"mqtt.host": ""})
    line = machine.wait_line("entropy", LIMIT_S)
    assert board in line
    machine.wait_line(unconnected(board), LIMIT_S)


@pytest.mark.parametrize("board", BOARDS)
def test_a_damaged_device_configuration_is_refused_and_said(gateways, boot, board):
    good = device_config.encode({"name": "gateway", "mqtt.host": "10.0.2.2"})
    machine = boot(gateways(board, QUIET), blob=good[:-2] + b"!\0")
    machine.wait_line("is damaged: no name, no broker", LIMIT_S)
    machine.wait_line(unconnected(board), LIMIT_S)


@pytest.mark.parametrize("board", BOARDS)
def test_two_devices_with_their_own_names_and_brokers_run_one_image(gateways, boot, board):
    built = gateways(board, QUIET)
    before = built.result.image.read_bytes()
    with ExitStack() as stack:
        for name in ("north", "south"):
            broker = stack.enter_context(Broker(kind="mosquitto"))
            topic = f"sites/{name}"
            own = {"name": name, "mqtt.topic": topic, "mqtt.port": str(broker.port)}
            monitor = stack.enter_context(Monitor("127.0.0.1", broker.port, topic))
            boot(built, own)
            messages = collect(monitor, lambda m: any(x.kind == "data" for x in m))
            names = {r.name for x in messages if x.kind == "data" for r in x.readings()}
            assert names == {f"{topic}/wave"}
    assert built.result.image.read_bytes() == before


def test_the_smallest_machine_qemu_can_be_is_enough_for_x86(gateways, boot, broker, monitor):
    built = gateways("x86-microvm", QUIET)
    assert "1536K" in built.image.board.qemu.args
    boot(built, {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("wave", 3))
