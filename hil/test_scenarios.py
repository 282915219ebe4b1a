"""What a gateway must survive, on any board and target: `edgeuk test --board B [--target T]`.

The sensor that counts (`sim`, shape `ramp`) shows loss and disorder; what the others should read is
set by the bench. A test that needs what board or target lack is skipped and says so.
"""

import itertools

import pytest

READINGS = 1000
SILENCE_S = 3.0
RESTART_S = 90.0  # from a fault to the next reading: time-outs and back-off of TCP and MQTT
STEPS_MAX = 3  # a poll comes late on a loaded machine, and the ramp goes by the clock


def counting(board):
    return board.sensor(driver="sim", shape="ramp").name


def step_of(sensor):
    props = sensor.props
    return float(props["high"] - props["low"]) * sensor.every_ms / props["period"]


def is_rising(found):
    values = [r.value for r in found]
    return all(a < b for a, b in itertools.pairwise(values))


def test_readings_arrive_and_are_right(board, sensors, readings, rng):
    for sensor, wired in sensors.wired():
        for value in (wired.low, wired.high, rng.randrange(wired.low, wired.high)):
            allowed = sensors.set(sensor.name, value)
            found = readings.until(
                sensor.name,
                lambda found, v=value, a=allowed: (
                    len(found) >= 3 and all(abs(r.value - v) <= a for r in found[-3:])
                ),
                what=f"{value} within {allowed}",
            )
            assert found[-1].unit == sensor.unit
            assert found[-1].quality == ""


def test_modbus_readings_follow_the_registers(board, modbus, readings, rng):
    sensor = board.sensor(driver="modbus_tcp", register="input:0", type="float32")
    server = modbus[sensor.at.target]
    for _ in range(3):
        value = rng.randrange(0, 40_000) / 100
        server.set_float(0, value)
        readings.until(
            sensor.name,
            lambda found, v=value: found != [] and found[-1].value == pytest.approx(v, abs=0.01),
            what=f"{value}",
        )


def test_a_modbus_server_that_fails_is_counted_and_comes_back(board, modbus, readings):
    sensor = board.sensor(driver="modbus_tcp")
    server = modbus[sensor.at.target]
    readings.wait(sensor.name, 2)
    server.broken = True
    before = readings.statistics()["errors"]
    while readings.statistics()["errors"] <= before:
        pass
    server.broken = False
    readings.wait(sensor.name, 3)


def test_readings_are_neither_lost_nor_reordered(board, readings):
    name = counting(board)
    sensor = board.sensor(driver="sim", shape="ramp")
    found = readings.wait(name, READINGS, limit_s=60 + 3 * READINGS * sensor.every_ms / 1000)
    assert is_rising(found)
    values = [r.value for r in found]
    assert values[0] < 10 * step_of(sensor)  # from the first one on
    counters = readings.statistics()
    assert counters["dropped"] == counters["unsendable"] == counters["lost"] == 0
    assert counters["readings"] >= READINGS
    if counters["skipped"] == 0:
        assert max(b - a for a, b in itertools.pairwise(values)) < STEPS_MAX * step_of(sensor)


def test_a_broker_restart_loses_no_reading(board, broker, readings):
    name = counting(board)
    readings.wait(name, 5)
    broker.restart()
    readings.wait(name, 20, limit_s=RESTART_S)
    assert is_rising(readings.of(name))
    counters = readings.statistics()
    assert counters["dropped"] == 0
    assert counters["connects"] == 2


def test_a_pulled_cable_is_survived(board, network, readings):
    name = counting(board)
    readings.wait(name, 5)
    network.pull()
    readings.drain(SILENCE_S / 10)
    last = len(readings.messages)
    readings.drain(SILENCE_S)
    assert readings.of(name, last) == []
    network.plug()
    readings.wait(name, 20, limit_s=RESTART_S)
    values = [r.value for r in readings.of(name)]
    assert sorted(values) == values


@pytest.mark.parametrize("attempt", range(3))
def test_a_power_cycle_in_the_middle_is_survived(board, readings, rng, attempt):
    name = counting(board)
    readings.wait(name, rng.randrange(1, 20))
    board.off()
    readings.drain()
    since = len(readings.messages)
    board.on()
    found = readings.wait(name, 10, limit_s=RESTART_S)
    assert found[0].value < 100 * step_of(board.sensor(driver="sim", shape="ramp"))
    assert is_rising(readings.of(name, since))


def test_a_reset_is_survived(board, console, readings):
    name = counting(board)
    readings.wait(name, 5)
    board.reset()
    console.wait("edgeuk")
    readings.drain(0.1)
    readings.wait(name, 10, limit_s=RESTART_S)


def test_firmware_that_hangs_is_reset_by_the_watchdog(board, console, readings):
    board.need_role("watchdog")
    name = counting(board)
    readings.wait(name, 5)
    board.hang()
    console.wait("edgeuk", limit_s=RESTART_S)  # it boots again
    readings.wait(name, 10, limit_s=RESTART_S)
    assert not any("panic" in line for line in console.lines)  # it hung, and did not crash
