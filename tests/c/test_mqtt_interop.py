"""The MQTT client over real sockets against real brokers: mosquitto (5.0, 3.1.1), amqtt (3.1.1).

paho-mqtt plays the other side. Brokers listen on free ports of 127.0.0.1 and end with the test.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mqtt_brokers import BrokerProcess, Listener, amqtt, mosquitto
from mqtt_peer import HostDevice, compile_program

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") is None,
    reason="mosquitto is not installed",
)
VERSIONS = pytest.mark.parametrize("version", [5, 4])
Connect = Callable[..., HostDevice]


@pytest.fixture(scope="session")
def host_program(once) -> Path:
    sources = ("mqtt_host.c", "commands.c")
    return once("mqtt-host", lambda folder: compile_program(folder / "mqtt_host", *sources))


@pytest.fixture(params=["mosquitto", "amqtt"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerProcess]:
    if request.param == "mosquitto" and not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"):
        pytest.skip("mosquitto is not installed")
    with mosquitto(tmp_path) if request.param == "mosquitto" else amqtt(tmp_path) as broker:
        yield broker


@pytest.fixture
def start(host_program: Path) -> Callable[[int, int, str], HostDevice]:
    def start(port: int, version: int, more: str = "") -> HostDevice:
        options = f"version={version} host=127.0.0.1 port={port} id=device outbox=4000 receive=1000"
        return HostDevice(host_program, f"{options} {more}")

    return start


# amqtt says nothing to version 5: there the client falls back after its time-out. It delivers with
# the QoS of the subscription, and does not keep messages for a session without a connection.
QOS_KEPT = "mosquitto"


@VERSIONS
def test_each_qos_goes_out(broker: BrokerProcess, start: Connect, version: int) -> None:
    with Listener(broker.port, "out/#") as listener, start(broker.port, version) as device:
        device.wait("connected 0")
        for qos in range(3):
            device.do(f"publish {qos} 0 out/{qos} 0{qos}ff")
            granted = qos if QOS_KEPT in broker.command[0] else 2
            assert listener.get() == (f"out/{qos}", bytes([qos, 255]), granted, False)
        for _ in range(2):
            assert device.wait("acknowledged").endswith(" 0")
        for number in range(40):  # more than the window
            device.do(f"publish {number % 2 + 1} 0 out/many {number:02x}")
        got = [listener.get()[1][0] for _ in range(40)]
        for odd in (0, 1):  # order within each QoS
            assert [n for n in got if n % 2 == odd] == list(range(odd, 40, 2))
        for _ in range(40):
            assert device.wait("acknowledged").endswith(" 0")


@VERSIONS
def test_each_qos_comes_in(broker: BrokerProcess, start: Connect, version: int) -> None:
    with Listener(broker.port) as other, start(broker.port, version) as device:
        device.do("subscribe in/# 2")
        assert device.wait("subscribed") == "subscribed in/# 2"
        for qos in range(3):
            other.publish(f"in/{qos}", b"\1\2", qos)
            got = qos if QOS_KEPT in broker.command[0] else 2
            assert device.wait("message") == f"message {got} 0 0 in/{qos} 0102"
        # More than our Receive Maximum, but not at once: once mosquitto before 2.0.13 has had to
        # queue, it sends all that waits at the next PUBCOMP, whatever the maximum (its issue 2301),
        # and the client rightly ends such a connection with reason 0x93.
        for first in range(0, 60, 10):
            ten = range(first, first + 10)
            for number in ten:
                other.publish("in/many", bytes([number]), 2)
            many = [device.wait("message").split()[-1] for _ in ten]
            assert many == [f"{number:02x}" for number in ten]


@VERSIONS
def test_the_will_comes_when_the_connection_is_cut(
    broker: BrokerProcess, start: Connect, version: int
) -> None:
    will = "will_topic=status will_payload=offline will_qos=1 keep_alive=30"
    with Listener(broker.port, "status") as listener:
        with start(broker.port, version, will) as device:
            device.wait("connected")
            device.do("cut")
            assert listener.get() == ("status", b"offline", 1, False)
            device.wait("connected")
            device.do("stop")  # DISCONNECT: no will
        listener.publish("status", b"end", 0)
        assert listener.get()[1] == b"end"


@VERSIONS
def test_a_session_survives_a_cut(broker: BrokerProcess, start: Connect, version: int) -> None:
    with (
        Listener(broker.port, "out") as listener,
        start(broker.port, version, "expiry=600") as device,
    ):
        device.do("subscribe in 1")
        device.wait("subscribed")
        for number in range(20):
            device.do(f"publish 2 0 out {number:02x}")
            if number % 5 == 2:
                device.do("cut")
                listener.publish("in", bytes([number]), 1)
        assert [listener.get()[1][0] for _ in range(20)] == list(range(20))  # exactly once
        for _ in range(20):
            assert device.wait("acknowledged").endswith(" 0")
        if "mosquitto" in broker.command[0]:
            got = {device.wait("message").split()[-1] for _ in range(4)}
            assert got == {"02", "07", "0c", "11"}


@needs_mosquitto
@VERSIONS
def test_a_session_survives_a_restart_of_the_broker(
    tmp_path: Path, start: Connect, version: int
) -> None:
    with mosquitto(tmp_path) as broker, start(broker.port, version, "expiry=600") as device:
        device.do("subscribe in 2")
        device.wait("connected 0")
        device.wait("subscribed")
        device.do("cut")  # mosquitto 2.0.11 does not store a session whose last start was clean
        device.wait("connected 1")
        device.wait("disconnected")
        broker.stop()
        device.wait("disconnected")
        for number in range(5):
            device.do(f"publish 2 1 out/{number} 0{number}")
        broker.start()
        assert device.wait("connected") == "connected 1"
        for _ in range(5):
            assert device.wait("acknowledged").endswith(" 0")
        with Listener(broker.port, "out/#") as other:
            assert sorted(other.get()[1] for _ in range(5)) == [bytes([n]) for n in range(5)]
            other.publish("in", b"\7", 2)
        assert device.wait("message") == "message 2 0 0 in 07"


@needs_mosquitto
@VERSIONS
def test_the_broker_ends_the_connection(tmp_path: Path, start: Connect, version: int) -> None:
    """A second client of the same name takes over; the broker may say so (0x8e) or just close."""
    with mosquitto(tmp_path) as broker, start(broker.port, version) as device:
        device.wait("connected")
        with start(broker.port, version) as second:
            second.wait("connected")
            assert device.wait("disconnected").startswith(
                ("disconnected -8 142", "disconnected -7 0")
            )
            second.do("stop")
            second.do("pending")
            second.wait("pending")
            device.wait("connected")


@needs_mosquitto
@VERSIONS
def test_user_name_and_password(tmp_path: Path, start: Connect, version: int) -> None:
    passwords = tmp_path / "passwords"
    command = ["mosquitto_passwd", "-b", "-c", str(passwords), "user", "secret"]
    subprocess.run(command, check=True, timeout=10, capture_output=True)
    with mosquitto(tmp_path, f"password_file {passwords}") as broker:
        with start(broker.port, version, "user=user password=secret") as device:
            device.wait("connected")
        with start(broker.port, version, "user=user password=wrong") as device:
            refused = "disconnected -8 135" if version == 5 else "disconnected -8 5"
            assert device.wait("disconnected").startswith(refused)


@needs_mosquitto
def test_limits_of_the_broker_are_kept(tmp_path: Path, start: Connect) -> None:
    limits = (
        "max_packet_size 100",
        "max_inflight_messages 3",
        "max_qos 1",
        "retain_available false",
    )
    with mosquitto(tmp_path, *limits) as broker, start(broker.port, 5) as device:
        device.wait("connected")
        device.do("publish 1 0 out " + "00" * 100)
        assert device.wait("returned") == "returned -10"
        with Listener(broker.port, "out") as listener:
            for number in range(10):
                device.do(f"publish 2 1 out {number:02x}")
            got = [listener.get() for _ in range(10)]
            assert got == [("out", bytes([n]), 1, False) for n in range(10)]
        for _ in range(10):
            assert device.wait("acknowledged").endswith(" 0")
        device.do("stats")
        assert device.wait("stats").split()[1:3] == ["1", "0"]  # one connection, no failure


@needs_mosquitto
@VERSIONS
def test_an_idle_connection_stays(tmp_path: Path, start: Connect, version: int) -> None:
    with mosquitto(tmp_path) as broker, start(broker.port, version, "keep_alive=1") as device:
        device.wait("connected")
        device.stays_without("disconnected", 3.5)  # mosquitto closes after 1.5 s of silence
        assert (tmp_path / "log").read_text().count("Received PINGREQ from device") >= 3
