"""A broker that is absent, refuses, breaks off or restarts: the image keeps running, comes back by
itself, counts what it lost, and says so on the console and in its statistics."""

import itertools
import socket

import pytest
from boot_peers import TcpScript, refusing_port
from boot_rig import (
    LIMIT_S,
    ONE_OF_A_KIND,
    TOPIC,
    WAVE,
    collect,
    has_readings,
    is_fresh_statistics,
    readings,
    statistics,
)

from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor


@pytest.mark.parametrize("board", ONE_OF_A_KIND)
def test_an_absent_broker_is_waited_for_and_no_queued_reading_is_lost(gateways, boot, board):
    built = gateways(board, WAVE)
    with refusing_port() as port:
        machine = boot(built, {"mqtt.port": str(port)})
        machine.wait_line(f":{port}: refused", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        messages = collect(monitor, has_readings("wave", 30))
        counters = statistics(monitor)
    values = [r.value for r in readings(messages, "wave")]
    steps = {round(b - a, 1) for a, b in itertools.pairwise(values)}
    assert counters["failures"] >= 1
    if counters["dropped"] == 0:  # the broker came before the queue was full
        assert values[0] < 1
        assert_every_step(steps)
    assert values == sorted(set(values))


def assert_every_step(steps):
    # A poll comes up to one period late on a loaded machine, and the ramp goes by the clock.
    assert max(steps) < 3


@pytest.mark.parametrize("board", ONE_OF_A_KIND)
def test_a_broker_that_restarts_finds_all_readings_once_and_in_order(gateways, boot, board):
    built = gateways(board, WAVE.replace("[pipeline]", "[pipeline]\nqueue = 128"))
    with Broker(kind="mosquitto") as first:
        port = first.port
        machine = boot(built, {"mqtt.port": str(port)})
        with Monitor("127.0.0.1", port, TOPIC) as monitor:
            before = collect(monitor, has_readings("wave", 5))
    machine.wait_line("next attempt in", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        after = collect(
            monitor,
            lambda m: len(readings(m, "wave")) >= 30 and any(is_fresh_statistics(x) for x in m),
        )
        counters = statistics(monitor)
    values = [r.value for r in readings(after, "wave")]
    assert values == sorted(values)
    assert values[0] > readings(before, "wave")[0].value
    assert counters["connects"] == 2
    assert counters["dropped"] == 0
    assert max(b - a for a, b in itertools.pairwise(values)) < 3  # none is missing


def connack(reason: int) -> bytes:
    """MQTT 5 CONNACK without properties (MQTT 5.0, 3.2)."""
    return bytes([0x20, 3, 0, reason, 0])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (connack(0x87), "reason 0x87"),  # not authorised
        (connack(0x00)[:3], "next attempt"),  # closes in the middle of a packet
        (connack(0x00) + b"\x40\x7f\x00", "next attempt"),  # the same, once connected
        (connack(0x00) + b"\xf0\xff\xff\xff\xff\xff", "next attempt"),  # malformed, once connected
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "next attempt"),
        (b"", "next attempt"),  # closes without a word
    ],
    ids=["refuses", "half", "half later", "malformed", "another protocol", "silent"],
)
def test_a_broker_that_refuses_or_breaks_off_is_tried_again(gateways, boot, answer, said):
    def misbehave(connection: socket.socket) -> None:
        connection.recv(1024)
        connection.sendall(answer)

    with TcpScript(misbehave) as bad:
        machine = boot(gateways("x86-microvm", WAVE), {"mqtt.port": str(bad.port)})
        machine.wait_line(said, LIMIT_S)
        port = bad.port
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        collect(monitor, has_readings("wave", 3))
        assert statistics(monitor)["failures"] + statistics(monitor)["connects"] >= 2


def test_a_full_queue_drops_the_oldest_counts_them_and_says_so(gateways, boot):
    text = WAVE.replace("[pipeline]", '[pipeline]\nqueue = 16\noverflow = "drop_oldest"')
    built = gateways("x86-microvm", text)
    with refusing_port() as port:
        machine = boot(built, {"mqtt.port": str(port)})
        machine.wait_line("queue is full", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        messages = collect(monitor, has_readings("wave", 20))
        values = [r.value for r in readings(messages, "wave")]
        counters = statistics(monitor)
    assert counters["dropped"] > 0
    assert counters["queue_max"] == counters["queue_size"] == 16
    assert values[0] >= counters["dropped"] - 1  # the ramp counts polls: the first were lost
    assert values == sorted(values)


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_a_hundred_readings_are_all_there_and_in_order(gateways, boot, kind, tmp_path):
    with (
        Broker(kind=kind, log=tmp_path / "broker.log") as broker,
        Monitor("127.0.0.1", broker.port, TOPIC) as monitor,
    ):
        boot(gateways("x86-microvm", WAVE), {"mqtt.port": str(broker.port)})
        messages = collect(monitor, has_readings("wave", 100))
        counters = statistics(monitor)
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(set(values))
    assert max(b - a for a, b in itertools.pairwise(values)) < 3
    assert counters["dropped"] == counters["skipped"] == 0
