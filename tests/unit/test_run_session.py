"""edgeuk/run: addresses and names that a run is given, what it makes of them; the broker
as far as it concerns who runs this. No program is run."""

import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeuk.errors import DeviceError, UsageError
from edgeuk.run import monitor
from edgeuk.run.broker import Broker, PortTakenError, check_port, free_port
from edgeuk.run.session import Uplink, broker_of, localised, uplink

QEMU = SimpleNamespace(qemu=object(), cpu="x86_64", roles={"uplink": "net"})
SERIAL = SimpleNamespace(qemu=object(), cpu="cortex-m0", roles={"console": "uart"})
HOST = SimpleNamespace(qemu=None, unicorn=None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://broker:2883", ("broker", 2883)),
        ("mqtt://broker", ("broker", 1883)),
        ("broker:2883", ("broker", 2883)),
        ("10.0.0.1", ("10.0.0.1", 1883)),
    ],
)
def test_a_broker_is_named_by_url_or_host(url, expected):
    assert broker_of(url) == expected


@pytest.mark.parametrize(
    "url", ["mqtts://broker", "http://x", "mqtt://", "mqtt://x:port", "mqtt://x:70000", ""]
)
def test_what_is_no_broker_is_said(url):
    with pytest.raises(UsageError, match="is no broker"):
        broker_of(url)


def test_localhost_is_this_machine_as_the_gateway_sees_it():
    values = {
        "name": "localhost",
        "mqtt.host": "localhost",
        "net.ntp": "127.0.0.1:1123",
        "server.main": "localhost:502",
        "server.far": "10.1.1.1:502",
        "mqtt.topic": "localhost:1",
    }
    assert localised(values, "10.0.2.2") == values | {
        "mqtt.host": "10.0.2.2",
        "net.ntp": "10.0.2.2:1123",
        "server.main": "10.0.2.2:502",
    }


@pytest.mark.parametrize(
    ("board", "values", "expected"),
    [
        (HOST, {"net.address": "10.9.9.9"}, Uplink("127.0.0.1", "")),
        (QEMU, {}, Uplink("10.0.2.2", "user,id=net0")),
        (
            QEMU,
            {"net.address": "192.168.1.20", "net.prefix": "24", "net.gateway": "192.168.1.254"},
            Uplink(
                "192.168.1.254",
                "user,id=net0,net=192.168.1.0/24,host=192.168.1.254,dns=192.168.1.1",
            ),
        ),
        (  # the gateway has the first address, and names no router
            QEMU,
            {"net.address": "10.1.2.1", "net.prefix": "29"},
            Uplink("10.1.2.2", "user,id=net0,net=10.1.2.0/29,host=10.1.2.2,dns=10.1.2.3"),
        ),
    ],
)
def test_the_user_network_is_laid_around_a_static_address(board, values, expected):
    assert uplink(board, values) == expected


def test_a_port_in_use_is_said():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"port {port}: address already in use"):
            check_port(port)
    check_port(free_port())


def test_mosquitto_stays_who_it_is_even_without_a_name(tmp_path, monkeypatch):
    broker = Broker(1883, kind="mosquitto")
    for uid, stays in ((0, True), (54_321, False)):  # a container's user has often no entry
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        config = Path(broker._argv(tmp_path)[2]).read_text()
        assert ("\nuser root\n" in config) == stays
        assert ("user" in config) == stays


def test_a_broker_that_accepts_and_is_silent_is_said(monkeypatch):
    monkeypatch.setattr(monitor, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(DeviceError) as error, monitor.Monitor("127.0.0.1", port, "a"):
            pass
    assert error.value.what == f"mqtt://127.0.0.1:{port} says nothing in MQTT within 0.2 s"
    assert "is this the broker?" in error.value.hint


@pytest.mark.parametrize(
    ("answers", "what"),
    [  # MQTT 3.1.1, 3.2 and 3.9: return codes of CONNACK and SUBACK
        ([b"\x20\x02\x00\x05"], "refused us: Not authorized"),
        ([b"\x20\x02\x00\x00", b"\x90\x03\x00\x01\x80"], "does not let us read `a/#`: "),
    ],
)
def test_what_a_broker_refuses_is_said(answers, what):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def play():
            with server.accept()[0] as peer:
                for answer in answers:
                    peer.recv(4096)
                    peer.sendall(answer)
                peer.recv(4096)

        peer = threading.Thread(target=play)
        peer.start()
        with pytest.raises(DeviceError) as error, monitor.Monitor("127.0.0.1", port, "a"):
            pass
        peer.join(10)
        assert not peer.is_alive(), "the connection is still open"
    assert error.value.what.startswith(f"mqtt://127.0.0.1:{port} {what}")


def test_a_board_without_a_network_gets_none():
    assert uplink(SERIAL, {"net.address": "10.1.2.1"}).netdev == ""


def test_a_network_too_small_for_a_router_is_said():
    with pytest.raises(DeviceError, match="no room"):
        uplink(QEMU, {"net.address": "10.1.2.1", "net.prefix": "32"})
