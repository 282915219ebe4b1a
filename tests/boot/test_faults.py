"""What goes wrong in the field, done to booted images by real or scripted peers: the image keeps
running, recovers by itself, counts what it lost, and says so on the console and in its statistics.
"""

import itertools
import os
import socket
import struct
import time
from collections.abc import Callable

import pytest
from boot_rig import TOPIC, Boot, collect, readings
from boot_peers import Dns, ModbusServer, TcpScript, float_registers
from pymodbus.constants import ExcCodes

from edgeuk.run.broker import Broker, free_port
from edgeuk.run.monitor import Monitor

LIMIT_S = 60.0  # back-off and time-outs of the image add up; a loaded machine doubles them
WAVE = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = 0
high = 1000
period = "100s"
every = "100ms"
"""
METER = """
[servers]
main = "localhost:502"
[pipeline]
statistics = "1s"
[[sensor]]
name = "voltage"
driver = "modbus_tcp"
at = "main/1"
register = "input:0"
type = "float32"
unit = "V"
every = "200ms"
timeout = "300ms"
retries = 1
"""
NETWORKED = ["x86-microvm", "virt-aarch64", "lm3s6965evb"]


def statistics(monitor: Monitor) -> dict[str, float]:
    """The gateway's counters, from the next statistics record."""
    messages = collect(monitor, lambda m: any(x.kind == "stats" and not x.retained for x in m))
    last = [x for x in messages if x.kind == "stats"][-1]
    return {r.name.rsplit("/", 1)[-1]: r.value for r in last.readings()}


def has_reading(name: str, count: int = 1):
    return lambda messages: len(readings(messages, name)) >= count


# --- the broker -----------------------------------------------------------------------------------


@pytest.mark.parametrize("board", [*NETWORKED, "host"])
def test_an_absent_broker_is_waited_for_and_no_queued_reading_is_lost(gateways, boot, board):
    port = free_port()
    machine = boot(gateways(board, WAVE), {"mqtt.port": str(port)})
    machine.wait_line(f":{port}: refused", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        messages = collect(monitor, has_reading("wave", 30), LIMIT_S)
        values = [r.value for r in readings(messages, "wave")]
        lost = statistics(monitor)["dropped"]
    assert lost == 0
    assert values == sorted(values)
    steps = {round(b - a, 3) for a, b in itertools.pairwise(values)}
    assert steps == {1.0}  # 1000 units in 100 s, ten a second: each one there, none twice


@pytest.mark.parametrize("board", [*NETWORKED, "host"])
def test_a_broker_restart_loses_and_doubles_nothing_in_the_queue(gateways, boot, board):
    port = free_port()
    with Broker(port, kind="mosquitto"):
        machine = boot(gateways(board, WAVE), {"mqtt.port": str(port)})
        with Monitor("127.0.0.1", port, TOPIC) as monitor:
            collect(monitor, has_reading("wave", 5), LIMIT_S)
    machine.wait_line("next attempt in", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        messages = collect(monitor, has_reading("wave", 20), LIMIT_S)
        counters = statistics(monitor)
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(set(values)), "readings doubled or out of order"
    assert counters["connects"] == 2
    assert counters["dropped"] == 0


def connack(reason: int) -> bytes:
    """MQTT 5 CONNACK without properties (MQTT 5.0, 3.2)."""
    return bytes([0x20, 3, 0, reason, 0])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (connack(0x87), "reason 0x87"),  # not authorised
        (connack(0x00)[:3], "next attempt"),  # closes in the middle of a packet
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "next attempt"),
        (b"", "next attempt"),  # closes without a word
    ],
    ids=["refuses", "half a packet", "another protocol", "silent"],
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
        collect(monitor, has_reading("wave", 3), LIMIT_S)
        assert statistics(monitor)["failures"] >= 1


def test_a_full_queue_drops_the_oldest_and_counts_them(gateways, boot):
    text = WAVE.replace("[pipeline]", '[pipeline]\nqueue = 16\noverflow = "drop_oldest"')
    port = free_port()
    machine = boot(gateways("x86-microvm", text), {"mqtt.port": str(port)})
    machine.wait_line(f":{port}: refused", LIMIT_S)
    machine.wait_line("queue is full", LIMIT_S)
    with Broker(port, kind="mosquitto"), Monitor("127.0.0.1", port, TOPIC) as monitor:
        messages = collect(monitor, has_reading("wave", 20), LIMIT_S)
        values = [r.value for r in readings(messages, "wave")]
        dropped = statistics(monitor)["dropped"]
    assert dropped > 0
    assert values[0] == pytest.approx(dropped, abs=2)  # the ramp counts polls: the first were lost
    assert values == sorted(values)


# --- the network ----------------------------------------------------------------------------------


@pytest.mark.parametrize("board", NETWORKED)
def test_dhcp_may_come_late(gateways, boot, broker, monitor, board):
    machine = boot(
        gateways(board, WAVE), {"mqtt.port": str(broker.port)}, netdev="hubport,id=net0,hubid=0"
    )
    machine.wait_line("no address", LIMIT_S)
    machine.qmp("netdev_add", type="user", id="late")
    machine.qmp("netdev_add", type="hubport", id="plug", hubid=0, netdev="late")
    collect(monitor, has_reading("wave", 3), LIMIT_S)
    assert statistics(monitor)["address_changes"] >= 1


@pytest.mark.parametrize("board", ["x86-microvm", "virt-aarch64"])
def test_a_pulled_cable_is_noticed_and_survived(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, WAVE), {"mqtt.port": str(broker.port)})
    collect(monitor, has_reading("wave", 3), LIMIT_S)
    machine.qmp("set_link", name="net0", up=False)
    machine.wait_line("link is down", LIMIT_S)
    machine.qmp("set_link", name="net0", up=True)
    machine.wait_line("link is up", LIMIT_S)
    collect(monitor, has_reading("wave", 10), LIMIT_S)
    assert statistics(monitor)["link_losses"] == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="a DNS server's port, 53, takes root")
@pytest.mark.parametrize("board", NETWORKED)
def test_a_name_that_does_not_resolve_is_asked_again(gateways, boot, broker, monitor, board):
    with Dns() as names:
        machine = boot(
            gateways(board, WAVE),
            {
                "mqtt.host": "broker.example",
                "mqtt.port": str(broker.port),
                "net.address": "10.0.2.15",
                "net.prefix": "24",
                "net.gateway": "10.0.2.2",
                "net.dns": "10.0.2.2",
            },
        )
        machine.wait_line("not found", LIMIT_S)
        names.address = "10.0.2.2"
        collect(monitor, has_reading("wave", 3), LIMIT_S)


def test_a_static_address_needs_no_dhcp(gateways, boot, broker, monitor):
    machine = boot(
        gateways("x86-microvm", WAVE),
        {
            "mqtt.port": str(broker.port),
            "net.address": "192.168.76.9",
            "net.prefix": "24",
            "net.gateway": "192.168.76.1",
        },
    )
    collect(monitor, has_reading("wave", 3), LIMIT_S)
    assert "192.168.76.9/24" in "\n".join(machine.lines)


# --- the Modbus server ----------------------------------------------------------------------------


def frame(pdu: bytes, request: bytes, unit: int = 1) -> bytes:
    """An answer to `request` (MODBUS Messaging on TCP/IP v1.0b, 3.1.3)."""
    return request[:2] + struct.pack(">HHB", 0, len(pdu) + 1, unit) + pdu


def talk(answer: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        while request := connection.recv(260):
            connection.sendall(answer(request))

    return handle


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: b"\xff" * 64,  # garbage
        lambda request: frame(b"\x04\x04\x43", request),  # too short for its byte count
        lambda request: frame(b"\x03\x04\x43\x66\x40\x00", request),  # another function
        lambda request: frame(b"\x04\x04\x43\x66\x40\x00", request, unit=9),
        lambda request: frame(b"\x84\x02", request),  # exception: illegal data address
        lambda request: request[:4] + b"\xff\xff" + bytes(100),  # absurd length
        lambda request: b"",  # silence
    ],
    ids=["garbage", "short", "function", "unit", "exception", "length", "silence"],
)
def test_a_modbus_server_that_answers_wrongly_is_counted_and_outlived(
    gateways, boot, broker, monitor, answer
):
    with TcpScript(talk(answer)) as bad:
        machine = boot(
            gateways("x86-microvm", METER),
            {"mqtt.port": str(broker.port), "server.main": f"localhost:{bad.port}"},
        )
        machine.wait_line("modbus: main", LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        while statistics(monitor)["errors"] == 0:
            assert time.monotonic() < deadline, "no error was ever counted"
        port = bad.port
    with ModbusServer(float_registers({0: 230.25}), port):
        messages = collect(monitor, has_reading("voltage", 3), LIMIT_S)
    assert {r.value for r in readings(messages, "voltage")} == {230.25}


@pytest.mark.parametrize("board", ["x86-microvm", "virt-aarch64", "host"])
def test_an_absent_modbus_server_is_waited_for(gateways, boot, broker, monitor, board):
    port = free_port()
    machine = boot(
        gateways(board, METER),
        {"mqtt.port": str(broker.port), "server.main": f"localhost:{port}"},
    )
    machine.wait_line("modbus: main", LIMIT_S)
    with ModbusServer(float_registers({0: 230.25}), port) as meter:
        collect(monitor, has_reading("voltage", 3), LIMIT_S)
        errors = statistics(monitor)["errors"]
        assert errors >= 1
        meter.exception = ExcCodes.DEVICE_BUSY
        machine.wait_line("exception", LIMIT_S)
        meter.exception = None
        collect(monitor, has_reading("voltage", 3), LIMIT_S)
        assert statistics(monitor)["errors"] > errors
        meter.delay_s = 1.0  # beyond timeout and retries
        before = statistics(monitor)["errors"]
        deadline = time.monotonic() + LIMIT_S
        while statistics(monitor)["errors"] == before:
            assert time.monotonic() < deadline, "a slow server was not counted"
        meter.delay_s = 0.0
        collect(monitor, has_reading("voltage", 3), LIMIT_S)


def test_a_hundred_readings_of_a_booted_gateway_are_all_there_and_in_order(
    gateways, boot: Boot, broker, monitor
):
    boot(gateways("x86-microvm", WAVE), {"mqtt.port": str(broker.port)})
    messages = collect(monitor, has_reading("wave", 100), LIMIT_S)
    values = [r.value for r in readings(messages, "wave")]
    assert values == [pytest.approx(values[0] + i) for i in range(len(values))]
