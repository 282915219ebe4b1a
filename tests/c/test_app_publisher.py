"""app/publisher.c with the MQTT client in a simulated world: what the broker hears of the device
when the outbox is full, and a device configuration that makes no sense.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_peer import FIRMWARE, FLAGS, INCLUDE, WARNINGS, Device, ack, connack, sent

APP = Path(__file__).parent / "app"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("app") / "publisher"
    sources = [APP / "publisher.c", FIRMWARE / "app/publisher.c"]
    sources += [Path(__file__).parent / "mqtt/fake.c", *sorted((FIRMWARE / "mqtt").glob("*.c"))]
    command = ["gcc", *FLAGS, *WARNINGS, f"-I{APP}", *INCLUDE, "-o", str(out), *map(str, sources)]
    subprocess.run(command, check=True, timeout=120)
    return out


@pytest.fixture
def device(program: Path) -> Iterator[Device]:
    with Device(program) as device:
        device.do("config mqtt.host=broker")
        device.do("config mqtt.topic=s")
        yield device


def messages(stream: bytes) -> list[tuple[int, str]]:
    """Packet identifier and topic of each QoS 1 PUBLISH; all packets here are short."""
    found = []
    while stream:
        size = 2 + stream[1]
        one, stream = stream[:size], stream[size:]
        if one[0] >> 4 == 3:
            end = 4 + one[3]
            found.append((int.from_bytes(one[end : end + 2], "big"), one[4:end].decode()))
    return found


def test_a_connection_begins_with_online(device: Device) -> None:
    device.do("start")
    device.do("opened")
    events = device.receive(connack(5))
    assert messages(sent(events)) == [(1, "s/status"), (2, "s/boot")]


def test_why_it_booted_is_said_once_and_as_soon_as_there_is_room(device: Device) -> None:
    device.do("start")
    device.do("opened")
    device.receive(connack(5))
    device.receive(ack(0x40, 1))
    device.receive(ack(0x40, 2))
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    events = device.receive(connack(5))
    assert messages(sent(events)) == [(3, "s/status")]


def test_online_is_said_even_if_the_outbox_was_full(device: Device) -> None:
    device.do("start")
    device.do("opened")
    device.receive(connack(5))
    device.receive(ack(0x40, 1))
    device.receive(ack(0x40, 2))
    assert messages(sent(device.do("queue 5"))) == [(3, "s/data")]  # there is no room for more
    device.do("closed -7")  # the broker says "offline" for us
    device.do("advance 64000")
    device.do("opened")
    assert messages(sent(device.receive(connack(5, 1)))) == [(3, "s/data")]
    now = messages(sent(device.receive(ack(0x40, 3))))
    assert now[0][1] == "s/status"


def test_a_connection_that_breaks_again_and_again_does_not_fill_the_outbox_with_online(
    device: Device,
) -> None:
    device.do("start")
    for session in (0, 1, 1, 1, 1):
        device.do("opened")
        events = device.receive(connack(5, session))
        assert messages(sent(events)) == [(1, "s/status"), (2, "s/boot")]
        device.do("closed -7")
        device.do("advance 64000")


@pytest.mark.parametrize(
    "setting", ["mqtt.version=3", "mqtt.version=260", "mqtt.client_id=", "name="]
)
def test_a_configuration_without_sense_does_not_end_the_image(device: Device, setting: str) -> None:
    device.do(f"config {setting}")
    device.do("start")
    connect = sent(device.do("opened"))
    assert connect[8] == 5  # protocol version
    assert connect[26:28] != b"\0\0"  # length of the client identifier
