"""The product's main job on every board: sensors are polled by the booted image, and their readings
reach a real broker with the right values, units, times and order.

Modbus registers are served by pymodbus. Expected values are those that the peer was given. What is
on a board's I2C bus is in test_thermometer.py.
"""

import itertools
import time
from pathlib import Path

import pytest
from boot_rig import BOARDS, NETWORKED, TOPIC, collect, readings

from edgeuk.hil.modbus import ModbusBench
from edgeuk.run.monitor import Monitor

METER = """
[servers]
main = "localhost:502"
[pipeline]
encoding = "{encoding}"
[[sensor]]
name = "voltage"
driver = "modbus_tcp"
at = "main/1"
register = "input:0"
type = "float32"
unit = "V"
decimals = 2
every = "200ms"
[[sensor]]
name = "count"
driver = "modbus_tcp"
at = "main/1"
register = "holding:10"
type = "i32"
word_order = "CDAB"
every = "200ms"
filter = [{{ offset = 5 }}, {{ multiply = 0.5 }}]
decimals = 1
"""
SIMULATED = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = 0
high = 10
period = "2s"
every = "100ms"
"""


@pytest.mark.parametrize("encoding", ["senml+cbor", "senml+json"])
@pytest.mark.parametrize("board", [*NETWORKED, "frdm-k64f"])
def test_modbus_readings_arrive_with_value_unit_time_and_order(
    gateways, boot, broker, monitor, board, encoding
):
    built = gateways(board, METER.format(encoding=encoding))
    with ModbusBench() as meter:
        meter.set_float(0, 230.25)
        meter.update({10: 0xFFFE, 11: 0xFFFF})  # -2, low word first
        boot(
            built,
            {
                "mqtt.port": str(broker.port),
                "server.main": f"localhost:{meter.port}",
            },
        )
        messages = collect(monitor, lambda m: len(readings(m, "voltage")) >= 12)

    voltage = readings(messages, "voltage")
    assert {(r.value, r.unit, r.quality) for r in voltage} == {(230.25, "V", "")}
    assert {(r.value, r.unit) for r in readings(messages, "count")} == {(1.5, "")}  # (-2 + 5) / 2
    gaps = [b.time - a.time for a, b in itertools.pairwise(voltage)]
    assert all(gap > 0 for gap in gaps)
    assert sum(gaps) / len(gaps) == pytest.approx(0.2, rel=0.25)
    assert abs(voltage[-1].time - time.time()) < 10


@pytest.mark.parametrize("board", BOARDS)
def test_status_is_retained_and_the_will_says_offline(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, SIMULATED), {"mqtt.port": str(broker.port)})
    online = collect(monitor, lambda m: any(x.kind == "status" for x in m))
    assert [x.payload for x in online if x.kind == "status"] == [b"online"]
    with Monitor("127.0.0.1", broker.port, TOPIC) as late:  # a subscriber that comes later
        first = collect(late, lambda m: any(x.kind == "status" for x in m))
        assert [(x.payload, x.retained) for x in first if x.kind == "status"] == [(b"online", True)]
    machine.stop()
    offline = collect(
        monitor, lambda m: any(x.kind == "status" and x.payload == b"offline" for x in m)
    )
    assert offline


@pytest.mark.parametrize("board", BOARDS)
def test_simulated_readings_say_so_and_statistics_are_kept(gateways, boot, broker, monitor, board):
    boot(gateways(board, SIMULATED), {"mqtt.port": str(broker.port)})
    messages = collect(
        monitor,
        lambda m: len(readings(m, "wave")) >= 30 and sum(x.kind == "stats" for x in m) >= 3,
    )
    assert {r.quality for r in readings(messages, "wave")} == {"simulated"}
    last = [x for x in messages if x.kind == "stats"][-1]
    stats = {r.name.rsplit("/", 1)[-1]: r.value for r in last.readings()}
    assert stats["uptime"] >= 1
    assert stats["dropped"] == stats["errors"] == 0
    if board in NETWORKED:
        assert stats["connects"] == 1
    if board != "host":  # whose stack is the system's
        assert 0 < stats["stack_max"] < stats["stack_size"]


ANYWHERE = (Path(__file__).parents[2] / "examples/anywhere/gateway.toml").read_text()


@pytest.mark.parametrize("board", [*BOARDS, "frdm-k64f"])
def test_one_gateway_file_runs_unchanged_on_every_board(gateways, boot, broker, monitor, board):
    text = ANYWHERE.partition("[servers]")[2]  # its name and topic are the rig's
    built = gateways(board, f"[servers]{text}")
    with ModbusBench() as meter:
        meter.set_float(0, 231.5)
        values = {"mqtt.port": str(broker.port), "server.meter": f"localhost:{meter.port}"}
        boot(built, values)
        # QEMU has neither the accelerometer nor the micro:bit's thermometer; the model of the
        # FRDM-K64F has what is on that board, and no other thermometer on its bus.
        lacking = {"die", "air" if board == "frdm-k64f" else "tilt"}
        names = {s.name for s in built.image.gateway.sensors} - lacking
        found = collect(monitor, lambda ms: all(readings(ms, name) for name in names))
    assert names | lacking | set(built.image.left_out) == {
        "voltage",
        "air",
        "die",
        "tilt",
        "wave",
    }
    if "voltage" in names:
        assert readings(found, "voltage")[0].value == pytest.approx(231.5)
