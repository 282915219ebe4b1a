"""A Modbus server that is absent, slow, garbled or answers with exceptions: the image keeps
running, takes no wrong value, comes back by itself, counts the errors, and says so."""

import socket
import struct
import time
from collections.abc import Callable

import pytest
from boot_peers import TcpScript, refusing_port
from boot_rig import LIMIT_S, collect, has_readings, readings, statistics, statistics_until

from edgeuk.hil.modbus import ModbusBench

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
decimals = 2
every = "200ms"
timeout = "300ms"
retries = 1
"""


def frame(pdu: bytes, request: bytes, unit: int = 1) -> bytes:
    """An answer to `request` (MODBUS Messaging on TCP/IP v1.0b, 3.1.3)."""
    return request[:2] + struct.pack(">HHB", 0, len(pdu) + 1, unit) + pdu


def late(answer: bytes) -> bytes:
    """`answer`, well after the request's timeout."""
    time.sleep(1.0)  # the slowness itself; nothing waits for it
    return answer


def talk(answer: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    def handle(connection: socket.socket) -> None:
        while request := connection.recv(260):
            connection.sendall(answer(request))

    return handle


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: b"\xff" * 64,
        lambda request: frame(b"\x04\x04\x43", request),  # too short for its byte count
        lambda request: frame(b"\x03\x04\x43\x66\x40\x00", request),  # another function
        lambda request: frame(b"\x04\x04\x43\x66\x40\x00", request, unit=9),
        lambda request: frame(b"\x84\x02", request),  # exception: illegal data address
        lambda request: request[:4] + b"\xff\xff" + bytes(100),  # absurd length
        lambda request: late(frame(b"\x04\x04\x43\x66\x00\x00", request)),
        lambda request: b"",
    ],
    ids=["garbage", "short", "function", "unit", "exception", "length", "slow", "silence"],
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
        statistics_until(monitor, lambda found: found["errors"] > 0)
        port = bad.port
    meter = ModbusBench(port)
    meter.set_float(0, 230.25)
    with meter:
        messages = collect(monitor, has_readings("voltage", 3))
    assert {r.value for r in readings(messages, "voltage")} == {230.25}
    machine.wait_line("answers again", LIMIT_S)


@pytest.mark.parametrize("board", ["x86-microvm", "virt-aarch64", "host"])
def test_a_modbus_server_that_is_absent_or_broken_is_waited_for(
    gateways, boot, broker, monitor, board
):
    with refusing_port() as port:
        machine = boot(
            gateways(board, METER),
            {"mqtt.port": str(broker.port), "server.main": f"localhost:{port}"},
        )
        machine.wait_line("modbus: main: no connection", LIMIT_S)
    meter = ModbusBench(port)
    meter.set_float(0, 230.25)
    with meter:
        collect(monitor, has_readings("voltage", 3))
        absent = statistics(monitor)["errors"]
        assert absent >= 1

        meter.broken = True
        machine.wait_line("exception", LIMIT_S)
        statistics_until(monitor, lambda found: found["errors"] > absent)
        meter.broken = False
        messages = collect(monitor, has_readings("voltage", 3))
    assert {r.value for r in readings(messages, "voltage")} == {230.25}
