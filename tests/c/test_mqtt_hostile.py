"""MQTT client: packets that a broker must not send, and some odd ones that it may.

As test_mqtt_flows.py: a simulated world, bytes of the specification. 5.0 tells the broker why
(4.13), 3.1.1 just closes.
"""

import pytest
from mqtt_peer import Device, ack, connack, others, packet, publish, sent, text
from test_mqtt_flows import PUBACK, PUBCOMP, PUBREC, device, program

__all__ = ["device", "program"]  # fixtures

BAD = {
    "type 0": ("0000", 0x81),
    "flags of PUBACK": ("41020001", 0x81),
    "flags of PUBREL": ("60020001", 0x81),
    "flags of PINGRESP": ("d100", 0x81),
    "PINGRESP with a body": ("d00100", 0x81),
    "QoS 3": ("3606000161000100", 0x81),
    "QoS 0 with DUP": ("380400016100", 0x81),
    "length of five bytes": ("30ffffffff01", 0x81),
    "length not the shortest": ("308000", 0x81),
    "larger than announced": ("30ff01", 0x95),
    "topic longer than the packet": ("30050009616200", 0x81),
    "no topic length": ("300100", 0x81),
    "no packet identifier": ("3203000161", 0x81),
    "packet identifier 0": ("32060001610000 00", 0x82),
    "empty topic": ("3003000000", 0x82),
    "wildcard in topic": ("30040001 2b00", 0x90),
    "topic with NUL": ("300400010000", 0x81),
    "overlong UTF-8": ("30050002c08000", 0x81),
    "surrogate": ("30060003eda08000", 0x81),
    "topic alias": ("30070001 6103230001", 0x94),
    "property length beyond the packet": ("30050001610901", 0x81),
    "property length not the shortest": ("3005000161 8000", 0x81),
    "unknown property": ("300600016102 7f00", 0x81),
    "property of another packet": ("30070001 6103210001", 0x81),
    "property twice": ("30080001 6104 01000101", 0x82),
    "payload format 2": ("300600016102 0102", 0x82),
    "PUBACK without identifier": ("400101", 0x81),
    "PUBACK of identifier 0": ("40020000", 0x82),
    "PUBREL of identifier 0": ("62020000", 0x82),
    "PUBACK with text that is no UTF-8": ("400800010004 1f0001ff", 0x81),
    "second CONNACK": ("2003000000", 0x82),
    "CONNECT": ("1000", 0x82),
    "SUBSCRIBE": ("800500010000 00", 0x82),
    "SUBACK for nothing": ("900400070000", 0x82),
    "SUBACK with reason 3": ("9004fffc0003", 0x81),
    "UNSUBACK": ("b0040001 0000", 0x82),
    "PINGREQ": ("c000", 0x82),
    "AUTH": ("f000", 0x82),
    "DISCONNECT with rubbish": ("e003000501", 0x81),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("how", ["receive", "bytes"])
def test_5_ends_a_bad_packet_with_its_reason(device: Device, name: str, how: str) -> None:
    data, reason = BAD[name]
    device.connect(5)
    events = device.receive(bytes.fromhex(data), how=how)
    assert events == [f"sent e001{reason:02x}", "closed", f"disconnected -6 {reason} 0"]
    assert device.number("stats")[7] == 1


BAD_4 = {
    "QoS 3": "36050001610001",
    "PUBACK with a reason": "4003000100",
    "DISCONNECT": "e000",
    "SUBACK with code 3": "9003fffc03",
    "wildcard in topic": "300300012b",
    "an acknowledgement larger than receive": "40ff01",
    "second CONNACK": "20020000",
}


@pytest.mark.parametrize("how", ["at once", "bytes"])
@pytest.mark.parametrize(("header", "identifier", "answer"), [
    ("30", "", []),
    ("32", "0007", ["sent 40020007"]),
    ("34", "0007", ["sent 50020007"]),
])  # fmt: skip
def test_311_passes_over_a_message_larger_than_receive(
    device: Device, header: str, identifier: str, answer: list[str], how: str
) -> None:
    """And takes the next one."""
    device.connect(4)
    body = bytes.fromhex("000161" + identifier).ljust(400, b"x")
    small = bytes.fromhex("3004000161") + b"y"
    packets = bytes.fromhex(header + "9003") + body + small
    if how == "bytes":
        events = [e for byte in packets for e in device.receive(bytes([byte]))]
    else:
        events = device.receive(packets)
    assert [e for e in events if e.startswith("sent")] == answer
    assert [e.split()[0] for e in events if not e.startswith("sent")] == ["message"]


@pytest.mark.parametrize("name", BAD_4)
def test_311_closes_on_a_bad_packet(device: Device, name: str) -> None:
    device.connect(4)
    events = device.receive(bytes.fromhex(BAD_4[name]))
    assert events[0] == "closed"
    assert events[1].startswith("disconnected -6 ")


@pytest.mark.parametrize(
    "data",
    [
        "d000",  # not CONNACK
        "e00182",
        "f000",  # AUTH, which CONNECT did not ask for
        "2003020000",  # reserved flag
        "2003010500",  # a session with a refusal
        "2003000003",  # properties missing
        "200600000321 0000",  # Receive Maximum 0
        "20080000052700000000",  # Maximum Packet Size 0
        "2005000002 2402",  # Maximum QoS 2
        "20080000051500 02 7878",  # Authentication Method
        "2101",
    ],
)
def test_a_bad_connack_just_closes(device: Device, data: str) -> None:
    device.start(5)
    events = others(device.receive(bytes.fromhex(data) + b"\0" * 200, how="bytes"))
    assert events[0] == "closed"
    assert events[1].startswith("disconnected -6 ")


def test_an_answer_to_half_a_connect_is_an_error(device: Device) -> None:
    """Found by fuzzing: PUBLISH went out as the rest of CONNECT."""
    device.do("room 5")
    device.start(5)
    assert device.receive(connack(5)) == ["closed", "disconnected -6 130 0"]


@pytest.mark.parametrize(("qos", "wrong"), [(1, PUBREC), (1, PUBCOMP), (2, PUBACK), (2, PUBCOMP)])
def test_the_wrong_answer_is_a_protocol_error(device: Device, qos: int, wrong: int) -> None:
    device.connect(5)
    device.publish(qos)
    assert sent(device.receive(ack(wrong, 1))) == bytes.fromhex("e00182")


def test_more_than_the_announced_receive_maximum_is_an_error(device: Device) -> None:
    device.connect(5)
    for ident in range(1, 21):
        assert others(device.receive(publish(5, 2, "a", b"", ident))) != []
    assert sent(device.receive(publish(5, 2, "a", b"", 21))) == bytes.fromhex("e00193")


def test_a_disconnect_of_the_broker_is_reported(device: Device) -> None:
    device.connect(5)
    assert device.receive(packet(0xE0, b"\x8b")) == ["closed", "disconnected -8 139 0"]
    device.do("advance 0")
    device.do("opened")
    device.receive(connack(5))
    body = b"\x9d\x0b\x1c" + text("other:18")
    assert device.receive(packet(0xE0, body)) == ["closed", "disconnected -8 157 0"]


def test_properties_that_are_legal_are_taken(device: Device) -> None:
    pair = b"\x26" + text("k") + text("v")
    device.connect(5, properties=pair + pair + bytes.fromhex("1100000005 2800 2200ff 120001 61"))
    props = bytes.fromhex("0101 0200000009 0300017a 0800017a 09000199 0b8101 0b01") + pair + pair
    body = text("a") + bytes([len(props)]) + props + b"\5"
    assert device.receive(packet(0x30, body)) == ["message 0 0 0 a 05"]
