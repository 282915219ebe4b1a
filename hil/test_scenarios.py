"""What a gateway must survive, on any board and target: `edgeuk test --board B [--target T]`.

`board.beat()` is the sensor that is listened to: one that counts (`sim`, shape `ramp`), where the
gateway has one, as that shows loss and disorder; else the quickest that gives readings here. What
sensors should read is set by the bench. A test that needs what gateway, board or target lack is
skipped and says so.
"""

import itertools
import re
import time

import pytest

from edgeuk.hil.benches import is_ramp

READINGS = 1000
LONG_S = 120.0  # the most that a test listens
RESTART_S = 90.0  # from a fault to the next reading: time-outs and back-off of TCP and MQTT
SILENCE_S = 3.0
STEPS_MAX = 3  # a poll comes late on a loaded machine, and the ramp goes by the clock
STATISTICS_S = 60  # nobody waits for records that come less often
UPSET_S = 5.0
NMI = re.compile(r"panic: fault:? (exception )?2\b")


def few(sensor, count, most_s=LONG_S):
    """`count` readings, or as many as come in `most_s`."""
    return max(2, min(count, int(most_s * 1000 / sensor.every_ms)))


def listen(readings, sensor, count, limit_s=RESTART_S):
    """The next readings of a sensor, however slow it is."""
    count = few(sensor, count)
    return readings.wait(sensor.name, count, limit_s + 3 * count * sensor.every_ms / 1000)


def step_of(sensor):
    props = sensor.props
    return float(props["high"] - props["low"]) * sensor.every_ms / props["period"]


def once(found):
    """Values without what the gateway had to send again: QoS 1 delivers at least once."""
    return list(dict.fromkeys(r.value for r in found))


def is_rising(sensor, values):
    """Two polls that come late together read the same."""
    return not is_ramp(sensor) or all(a <= b for a, b in itertools.pairwise(values))


def has_gap(sensor, values):
    """Whether the ramp jumps further than late polls explain."""
    pairs = itertools.pairwise(values)
    return is_ramp(sensor) and any(b - a > STEPS_MAX * step_of(sensor) for a, b in pairs)


def missing(sensor, values):
    """How many readings the ramp says there should have been beside these."""
    if not is_ramp(sensor):
        return 0
    return round((values[-1] - values[0]) / step_of(sensor)) - (len(values) - 1)


def counters_of(board, readings):
    """The gateway's counters; None where they come too seldom."""
    period_s = board.plan.image.gateway.pipeline.statistics_s
    return readings.statistics(period_s + RESTART_S) if period_s <= STATISTICS_S else None


@pytest.mark.quick
def test_ten_readings_arrive(board, readings):
    sensor = board.beat()
    found = listen(readings, sensor, 10)
    assert is_rising(sensor, once(found))
    assert {r.unit for r in found} == {sensor.unit}


def test_readings_are_right(board, sensors, readings, rng):
    for sensor, wired in sensors.wired():
        limit_s = RESTART_S + 6 * sensor.every_ms / 1000
        for value in (wired.low, wired.high, rng.randrange(wired.low, wired.high)):
            allowed = sensors.set(sensor.name, value)
            found = readings.until(
                sensor.name,
                lambda found, v=value, a=allowed: (
                    len(found) >= 3 and all(abs(r.value - v) <= a for r in found[-3:])
                ),
                limit_s,
                what=f"{value} within {allowed}",
            )
            assert found[-1].unit == sensor.unit
            assert found[-1].quality == ""


def test_modbus_readings_follow_the_registers(board, modbus, readings, rng):
    sensor = board.sensor(driver="modbus_tcp", type="float32", filters="()")
    if {"word_order", "scale"} & set(sensor.props):
        pytest.skip(f"{sensor.name} has its own word order or scale")
    server, register = modbus[sensor.at.target], int(sensor.props["register"].partition(":")[2])
    for _ in range(3):
        value = rng.randrange(0, 40_000) / 100
        server.set_float(register, value)
        readings.until(
            sensor.name,
            lambda found, v=value: found != [] and found[-1].value == pytest.approx(v, abs=0.01),
            RESTART_S + 3 * sensor.every_ms / 1000,
            what=f"{value}",
        )


def test_a_modbus_server_that_fails_is_counted_and_comes_back(board, modbus, readings):
    sensor = board.sensor(driver="modbus_tcp")
    server = modbus[sensor.at.target]
    listen(readings, sensor, 2)
    before = counters_of(board, readings)
    server.broken = True
    if before is not None:
        while readings.statistics()["errors"] <= before["errors"]:
            pass
    server.broken = False
    readings.drain()
    listen(readings, sensor, 3)


def test_a_contact_is_a_reading(board, pins, readings):
    for sensor in pins.inputs():
        high = sensor.props["active"] == "high"
        for closed in (True, False, True):
            pins.drive(sensor.name, closed == high)
            readings.until(
                sensor.name, lambda found, c=closed: found != [] and found[-1].value == c
            )


def test_a_command_switches_an_output(board, pins, command, readings):
    for actuator in pins.outputs():
        high = actuator.props["active"] == "high"
        readings.wait(actuator.name)  # connected, and told of its state
        for word, on in (("on", True), ("off", False), ("on", True)):
            command(actuator.name, word)
            pins.wait(actuator.name, on == high)


def test_a_thousand_readings_are_neither_lost_nor_reordered(board, readings):
    sensor = board.beat()
    found = listen(readings, sensor, READINGS)
    values = [r.value for r in found]
    assert is_rising(sensor, values)
    if is_ramp(sensor):
        assert values[0] < 20 * step_of(sensor)  # from the first one on
    counters = counters_of(board, readings)
    if counters is None:
        return
    losses = ("dropped", "unsendable", "lost")  # without a network there are not all of them
    assert [counters.get(name, 0) for name in losses] == [0, 0, 0]
    assert counters["readings"] >= len(found)
    if counters["skipped"] == 0:
        assert not has_gap(sensor, values)
        # Nor is one missing here and there, or there twice.
        assert abs(missing(sensor, values)) <= STEPS_MAX


@pytest.mark.quick
def test_a_broker_restart_loses_no_reading(board, broker, readings):
    sensor = board.beat()
    listen(readings, sensor, 5)
    board.need_broker()
    began, since = time.monotonic(), len(readings.messages)
    broker.restart()
    listen(readings, sensor, 1)
    away_s = time.monotonic() - began
    # It says how it is as soon as it is back, if there is room for that.
    records = readings.records(since)
    counters = records[0] if records else counters_of(board, readings)
    listen(readings, sensor, 10)
    values = once(readings.of(sensor.name))
    assert is_rising(sensor, values)
    if counters is None:
        return
    rate = sum(1000 / s.every_ms for s in board.sensors)
    if away_s * rate < board.plan.image.gateway.pipeline.queue:
        assert counters["dropped"] == 0
    if counters["dropped"] == counters["skipped"] == 0:
        assert not has_gap(sensor, values)


def test_a_pulled_cable_is_survived(board, network, readings):
    sensor = board.beat()
    listen(readings, sensor, 5)
    network.pull()
    readings.drain(SILENCE_S / 10)
    last = len(readings.messages)
    readings.drain(SILENCE_S)
    assert readings.of(sensor.name, last) == []
    network.plug()
    listen(readings, sensor, 20)
    assert is_rising(sensor, once(readings.of(sensor.name)))


def test_a_slow_and_lossy_network_is_survived(board, network, readings, rng):
    sensor = board.beat()
    listen(readings, sensor, 5)
    network.spoil(delay_s=rng.uniform(0.05, 0.2), loss=rng.uniform(0.05, 0.15))
    readings.drain(UPSET_S / 10)
    listen(readings, sensor, 20)
    network.mend()
    listen(readings, sensor, 20)
    assert is_rising(sensor, once(readings.of(sensor.name)))


@pytest.mark.parametrize("attempt", range(3))
def test_a_power_cycle_in_the_middle_is_survived(board, readings, rng, attempt):
    sensor = board.beat()
    listen(readings, sensor, rng.randrange(1, 20))
    board.off()
    readings.drain()
    since = len(readings.messages)
    board.on()
    found = listen(readings, sensor, 10)
    if is_ramp(sensor):
        assert found[0].value < 200 * step_of(sensor)  # it began anew
    assert is_rising(sensor, once(readings.of(sensor.name, since)))


def test_a_power_cycle_at_any_moment_of_the_boot_is_survived(board, readings, rng):
    sensor = board.beat()
    listen(readings, sensor, 1)
    for _ in range(3):
        board.off()
        board.on()
        time.sleep(rng.uniform(0, 0.3))
    board.off()
    readings.drain()
    board.on()
    listen(readings, sensor, 10)


def test_a_reset_is_survived(board, console, readings):
    sensor = board.beat()
    listen(readings, sensor, 5)
    board.reset()
    console.wait("edgeuk")
    readings.drain(0.1)
    listen(readings, sensor, 10)


def test_firmware_that_hangs_is_reset_by_the_watchdog(board, console, readings):
    board.need_role("watchdog")
    sensor = board.beat()
    listen(readings, sensor, 5)
    board.hang()
    since = len(readings.messages)
    console.wait("edgeuk", limit_s=RESTART_S)  # it boots again
    listen(readings, sensor, 10)
    boots = [m.payload.decode() for m in readings.messages[since:] if m.kind == "boot"]
    # Where neither chip nor emulator tells of the watchdog, a hang in the idle loop is a `reset`.
    assert boots != []
    assert boots[-1] not in ("power-on", "restart")
    # It hung, and did not crash. Exception 2 is the NMI, by which some watchdogs warn.
    assert not [line for line in console.lines if "panic" in line and not NMI.search(line)]
