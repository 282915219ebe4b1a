"""Boards that have QEMU's tmp105 on their I2C bus: readings are what it measures, a sensor that is
not there is counted; a cable that is pulled is noticed; an exit that no debugger takes is a reset.

The temperature is QEMU's, changed over QMP while the image runs.
"""

import pytest
from boot_rig import (
    EMULATED,
    LIMIT_S,
    TEMPERATURE,
    collect,
    counters,
    has_readings,
    readings,
    set_temperature,
    without_semihosting,
)

from edgeuk.catalog import find_board, load_catalog

QEMU = {name: find_board(load_catalog(), name).qemu for name in EMULATED}
BOARDS = [name for name, qemu in QEMU.items() if any("tmp105" in a for a in qemu.args)]
CABLES = {"imx6ul-evk": "imx.enet.0", "imx8mp-evk": "imx.enet.0", "mps2-an385": "net0"}
# Its monitor ends in a reset, which -no-reboot makes the end of QEMU.
RESET = ["imx6ul-evk", "imx8mp-evk", "rpi4"]
NOBODY = """
[[sensor]]
name = "lost"
driver = "tmp105"
at = "i2c0:0x4f"
every = "200ms"
"""


@pytest.mark.parametrize("board", BOARDS)
def test_readings_follow_the_sensor(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, TEMPERATURE), {"mqtt.port": str(broker.port)})
    for celsius in (21.5, -12.25, 99.5, 127.875, -40.0):
        set_temperature(machine, celsius)
        wanted = [celsius] * 3
        messages = collect(
            monitor,
            lambda m, wanted=wanted: [r.value for r in readings(m, "air")][-3:] == wanted,
        )
        assert {(r.unit, r.quality) for r in readings(messages, "air")} == {("Cel", "")}


@pytest.mark.parametrize("board", BOARDS)
def test_a_sensor_that_is_not_there_is_counted_and_harms_no_other(
    gateways, boot, broker, monitor, board
):
    boot(gateways(board, TEMPERATURE + NOBODY), {"mqtt.port": str(broker.port)})
    messages = collect(
        monitor, lambda m: has_readings("air", 5)(m) and any(x.kind == "stats" for x in m)
    )
    assert readings(messages, "lost") == []
    assert counters(messages)["errors"] > 0


@pytest.mark.parametrize("board", CABLES)
def test_a_cable_that_is_pulled_and_put_back_is_noticed(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, TEMPERATURE), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("air", 2))
    machine.qmp("set_link", name=CABLES[board], up=False)
    machine.wait_line("link down", LIMIT_S)
    machine.qmp("set_link", name=CABLES[board], up=True)
    machine.wait_line("link up", LIMIT_S)
    collect(monitor, has_readings("air", 5))


@pytest.mark.parametrize("board", RESET)
def test_without_a_debugger_an_exit_is_a_reset(gateways, boot, board):
    built = without_semihosting(gateways(board, TEMPERATURE))
    machine = boot(built, {"mqtt.host": "", "exit.after_s": "1"})
    assert machine.wait(LIMIT_S) == 0  # QEMU ends at a reset: -no-reboot
    assert "exit.after_s is over" in machine.lines[-1]
