"""PPP over a serial line, the uplink of boards with a modem: in QEMU the peer of edgeuk.run.ppp is
at its other end, with QEMU's user networking behind it.
"""

import pytest
from boot_rig import (
    LIMIT_S,
    NETWORKED_EMULATED,
    TEMPERATURE,
    WAVE,
    collect,
    has_readings,
    readings,
    set_temperature,
    statistics,
)

from edgeuk.catalog import find_board, load_catalog

CATALOG = load_catalog()
QEMU = {name: find_board(CATALOG, name).qemu for name in NETWORKED_EMULATED}
BOARDS = [name for name, qemu in QEMU.items() if qemu is not None and qemu.modem_serial]


@pytest.mark.parametrize("board", BOARDS)
def test_readings_of_a_chip_arrive_over_ppp(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, TEMPERATURE), {"mqtt.port": str(broker.port)})
    machine.wait_line("10.0.2.15/32 gateway 10.0.2.2 (PPP)", LIMIT_S)
    for celsius in (21.5, -12.25, 127.875):
        set_temperature(machine, celsius)
        collect(monitor, lambda m, v=celsius: [r.value for r in readings(m, "air")][-3:] == [v] * 3)


@pytest.mark.parametrize("board", BOARDS)
def test_a_modem_is_dialled_first(gateways, boot, broker, monitor, board):
    values = {"mqtt.port": str(broker.port), "modem.apn": "iot.example"}
    boot(gateways(board, WAVE), values)
    collect(monitor, has_readings("wave", 5))


@pytest.mark.parametrize("board", BOARDS)
def test_a_static_address_is_asked_for(gateways, boot, broker, monitor, board):
    values = {"net.address": "192.168.76.9", "net.prefix": "24", "net.gateway": "192.168.76.1"}
    machine = boot(gateways(board, WAVE), {"mqtt.port": str(broker.port), **values})
    collect(monitor, has_readings("wave", 3))
    assert "192.168.76.9/32 gateway 192.168.76.1 (PPP)" in "\n".join(machine.lines)


@pytest.mark.parametrize("board", BOARDS)
def test_a_steady_flow_loses_nothing(gateways, boot, broker, monitor, board):
    boot(gateways(board, WAVE), {"mqtt.port": str(broker.port)})
    values = [r.value for r in readings(collect(monitor, has_readings("wave", 60)), "wave")]
    assert values == sorted(set(values))
    counters = statistics(monitor)
    assert counters["frames_in"] > 10
    assert counters["frames_out"] > 10
    assert counters["frames_lost"] == counters["dropped"] == 0
    assert counters["address_changes"] == counters["connects"] == 1


@pytest.mark.parametrize("board", BOARDS)
def test_the_peer_takes_a_machine_that_begins_anew(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, WAVE), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("wave", 3))
    machine.qmp("set-action", reboot="reset")  # instead of the runner's -no-reboot
    machine.qmp("system_reset")
    collect(monitor, lambda messages: any(m.kind == "status" for m in messages))
    collect(monitor, has_readings("wave", 5))
    assert sum("(PPP)" in line for line in machine.lines) == 2
