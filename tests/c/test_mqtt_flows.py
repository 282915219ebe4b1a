"""MQTT client: what it sends and answers, in a simulated world, against bytes of the specification.

MQTT 5.0 (OASIS, 2019-03-07) and 3.1.1 (OASIS, 2014-10-29); numbers in comments are sections of 5.0.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_peer import (
    Device,
    ack,
    compile_program,
    connack,
    others,
    packet,
    publish,
    sent,
    text,
)

PUBACK, PUBREC, PUBREL, PUBCOMP = 0x40, 0x50, 0x62, 0x70
BOTH = pytest.mark.parametrize("version", [5, 4])


@pytest.fixture(scope="session")
def program(once) -> Path:
    sources = ("script.c", "fake.c", "commands.c")
    return once("mqtt-script", lambda folder: compile_program(folder / "script", *sources))


@pytest.fixture
def device(program: Path) -> Iterator[Device]:
    with Device(program) as device:
        yield device


def test_connect_5_has_every_field_in_order(device: Device) -> None:
    options = "id=dev user=me password=pw keep_alive=60 expiry=3600 receive=300"
    will = " will_topic=w will_payload=off will_qos=1 will_retain=1"
    body = text("MQTT") + bytes([5, 0b1110_1110, 0, 60])  # 3.1.2; all flags but bit 0
    body += bytes([13, 0x11, 0, 0, 0x0E, 0x10, 0x21, 0, 20, 0x27, 0, 0, 0x01, 0x2C])
    body += text("dev") + b"\0" + text("w") + text("off") + text("me") + text("pw")
    assert device.start(5, options + will) == packet(0x10, body)


def test_connect_311_has_every_field_in_order(device: Device) -> None:
    options = "id=dev user=me password=pw keep_alive=60 expiry=3600 will_topic=w will_payload=off"
    body = text("MQTT") + bytes([4, 0b1100_0100, 0, 60])
    body += text("dev") + text("w") + text("off") + text("me") + text("pw")
    assert device.start(4, options) == packet(0x10, body)


def test_311_sends_no_password_without_a_user_name(device: Device) -> None:
    assert device.start(4, "password=pw") == bytes.fromhex("100d00044d5154540402000000 0163")


def test_connects_only_when_the_network_is_up(device: Device) -> None:
    assert device.do("start version=5") == []
    assert device.do("advance 100000") == []
    assert device.do("net 1") == ["opening broker 1883"]


@BOTH
@pytest.mark.parametrize("retain", [0, 1])
def test_publishes_qos_0(device: Device, version: int, retain: int) -> None:
    device.connect(version)
    events = device.do(f"publish 0 {retain} a/b 0102")
    assert events == [
        "returned 0",
        "sent " + publish(version, 0, "a/b", b"\1\2", flags=retain).hex(),
    ]
    assert device.number("pending") == [0, 1]


@BOTH
def test_publishes_qos_1(device: Device, version: int) -> None:
    device.do("random 41")  # the identifier before the first
    device.connect(version)
    events = device.do("publish 1 0 a/b 0102")
    assert events == ["returned 42", "sent " + publish(version, 1, "a/b", b"\1\2", 42).hex()]
    assert device.number("pending") == [1, 1]
    assert device.receive(ack(PUBACK, 42)) == ["acknowledged 42 0"]
    assert device.receive(ack(PUBACK, 42)) == []  # a repetition is no error
    assert device.number("pending") == [0, 1]


@BOTH
def test_publishes_qos_2(device: Device, version: int) -> None:
    device.connect(version)
    assert sent(device.do("publish 2 0 a/b 01")) == publish(version, 2, "a/b", b"\1", 1)
    assert device.receive(ack(PUBREC, 1)) == ["sent 62020001"]
    assert device.receive(ack(PUBREC, 1)) == ["sent 62020001"]
    assert device.receive(ack(PUBCOMP, 1)) == ["acknowledged 1 0"]
    assert device.number("pending") == [0, 1]


@pytest.mark.parametrize(("qos", "first"), [(1, PUBACK), (2, PUBREC)])
def test_a_refusal_ends_the_exchange(device: Device, qos: int, first: int) -> None:
    device.connect(5)
    device.publish(qos)
    assert device.receive(ack(first, 1, 0x97)) == ["acknowledged 1 151"]  # Quota exceeded
    assert device.number("pending") == [0, 1]


@BOTH
def test_receives_each_qos_and_answers(device: Device, version: int) -> None:
    device.connect(version)
    assert device.receive(publish(version, 0, "a", b"", flags=1)) == ["message 0 1 0 a -"]
    assert device.receive(publish(version, 1, "a", b"\7", 9)) == [
        "message 1 0 0 a 07",
        "sent 40020009",
    ]
    first = publish(version, 2, "a", b"\7", 9)
    again = publish(version, 2, "a", b"\7", 9, flags=8)
    assert device.receive(first) == ["message 2 0 0 a 07", "sent 50020009"]
    assert device.receive(again) == ["sent 50020009"]  # exactly once
    assert device.receive(ack(PUBREL, 9)) == ["sent 70020009"]
    reply = "sent 7003000992" if version == 5 else "sent 70020009"  # identifier not found
    assert device.receive(ack(PUBREL, 9)) == [reply]
    assert device.receive(first) == ["message 2 0 0 a 07", "sent 50020009"]  # a new message
    assert device.number("stats")[5:7] == [4, 1]  # received, duplicates


def test_an_unknown_pubrec_is_answered(device: Device) -> None:
    device.connect(5)
    assert device.receive(ack(PUBREC, 5)) == ["sent 6203000592"]  # 3.6.2.1


@BOTH
def test_subscribes_again_only_without_a_session(device: Device, version: int) -> None:
    device.start(version, "expiry=60")
    assert device.do("subscribe cmd/# 1") == ["returned 0"]
    props = b"\0" if version == 5 else b""
    wanted = packet(0x82, b"\xff\xfc" + props + text("cmd/#") + b"\1")
    assert sent(device.receive(connack(version))) == wanted
    suback = packet(0x90, b"\xff\xfc" + props + b"\1")
    assert device.receive(suback) == ["subscribed cmd/# 1"]
    device.do("closed -7")
    assert device.reconnect(version, 1) == b""
    device.do("closed -7")
    assert device.reconnect(version, 0) == wanted
    device.do("closed -7")  # before SUBACK
    assert device.reconnect(version, 1) == wanted


def test_the_fifth_subscription_is_refused(device: Device) -> None:
    device.connect()
    returned = [device.do("subscribe a 0")[0] for _ in range(5)]
    assert returned == ["returned 0"] * 4 + ["returned -9"]


@BOTH
def test_any_fragmentation_means_the_same(device: Device, version: int) -> None:
    device.start(version)
    stream = connack(version) + publish(version, 1, "abc", b"x" * 200, 1)
    stream += publish(version, 0, "d", b"") + publish(version, 2, "e", b"\1", 2) + ack(PUBREL, 2)
    events = device.receive(stream, how="bytes")
    assert others(events) == [
        "connected 0",
        "message 1 0 0 abc " + "78" * 200,
        "message 0 0 0 d -",
        "message 2 0 0 e 01",
    ]
    assert sent(events) == bytes.fromhex("40020001 50020002 70020002")


@BOTH
@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_what_the_stream_does_not_take_at_once_goes_later(
    device: Device, version: int, step: int
) -> None:
    device.do("room 0")
    assert device.start(version, "user=u will_topic=w will_payload=bye outbox=400") == b""
    got = b""
    while not got.endswith(text("u")):
        device.do(f"room {step}")
        chunk = sent(device.do("writable"))
        assert 1 <= len(chunk) <= step
        got += chunk
        assert len(got) < 100
    device.do("room 0")
    device.receive(connack(version))
    for payload in (b"a" * 100, b"b" * 130):
        device.publish(1, payload)
    got = b""
    wanted = publish(version, 1, "t", b"a" * 100, 1) + publish(version, 1, "t", b"b" * 130, 2)
    while len(got) < len(wanted) - 40:
        device.do(f"room {step}")
        chunk = sent(device.do("writable"))
        assert chunk
        got += chunk
    device.do("room 0")
    device.receive(publish(version, 1, "q", b"", 3))  # its PUBACK must not cut into a packet
    device.do("room 1000")
    got += sent(device.do("writable"))
    assert got == wanted + bytes.fromhex("40020003")


def test_nothing_is_sent_after_stop_but_disconnect(device: Device) -> None:
    device.connect(5, "keep_alive=10")
    assert device.do("stop") == ["sent e000", "closed"]
    assert device.do("advance 1000000") == []
    assert device.publish(0) == -4


def test_a_callback_may_stop_the_client(device: Device) -> None:
    device.connect(5, "on_message=stop")
    two = publish(5, 1, "a", b"", 1) + publish(5, 1, "a", b"", 2)
    assert device.receive(two) == ["message 1 0 0 a -", "sent e000", "closed"]


@pytest.mark.parametrize("topic", ["a/+", "#", "-"])
def test_publish_refuses_bad_topics(device: Device, topic: str) -> None:
    device.connect()
    assert device.publish(1, topic=topic) == -1


def test_publish_bounds_are_the_outbox(device: Device) -> None:
    device.start(5, "outbox=100")
    assert device.publish(0) == -4  # not connected
    assert device.publish(1, b"x" * 92) == -10  # 8 bytes of header and 1 of topic: 101
    ident = device.publish(1, b"x" * 91)
    assert device.publish(1, b"") == -4
    assert "room" in device.receive(connack(5))  # for QoS 0
    assert device.publish(1, b"") == -4
    assert device.receive(ack(PUBACK, ident)) == [f"acknowledged {ident} 0", "room"]
    assert device.publish(1, b"") > 0


def test_a_pubrec_gives_the_room_of_the_body_back(device: Device) -> None:
    device.connect(5, "outbox=100")
    assert device.publish(2, b"x" * 91) == 1
    assert device.publish(1, b"x" * 70) == -4
    assert sorted(device.receive(ack(PUBREC, 1))) == ["room", "sent 62020001"]
    assert device.publish(1, b"x" * 70) > 0
    assert device.receive(ack(PUBCOMP, 1)) == ["acknowledged 1 0"]


@BOTH
def test_a_release_waits_for_the_end_of_the_publish_that_is_half_sent(
    device: Device, version: int
) -> None:
    device.connect(version)
    device.publish(2, b"1")
    device.do("room 3")
    begin = sent(device.do("publish 2 0 t 32"))
    assert len(begin) == 3
    assert sent(device.receive(ack(PUBREC, 1))) == b""
    device.do("room 100000")
    rest = sent(device.do("writable"))
    assert begin + rest == publish(version, 2, "t", b"2", 2) + ack(PUBREL, 1)


def test_a_repeated_message_that_has_to_go_at_qos_0_is_no_duplicate(device: Device) -> None:
    device.connect(5, "expiry=60")
    device.publish(1, b"1")
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    events = device.receive(connack(5, 1, properties=b"\x24\0"))  # Maximum QoS 0
    assert sent(events) == publish(5, 0, "t", b"1")  # DUP must be 0 (3.3.1.1)
