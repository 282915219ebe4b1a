"""MQTT client: loss of the connection at every step, sessions, limits, time and versions.

As test_mqtt_flows.py: a simulated world, bytes of the specification (numbers are sections of 5.0).
"""

from itertools import count

import pytest
from mqtt_peer import Device, ack, connack, others, packet, publish, sent, text
from test_mqtt_flows import BOTH, PUBACK, PUBCOMP, PUBREC, PUBREL, device, program

__all__ = ["device", "program"]  # fixtures


class Broker:
    """A broker with a persistent session: delivers each QoS 2 message once (4.3.3, method A)."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.held: dict[int, bytes] = {}
        self.delivered: list[bytes] = []

    def answers(self, stream: bytes) -> list[bytes]:
        out = []
        while stream:
            size = 2 + stream[1]  # all packets here are short
            one, stream = stream[:size], stream[size:]
            kind = one[0] >> 4
            if kind == 3:
                at = 4 + one[3]
                ident = int.from_bytes(one[at : at + 2], "big")
                payload = one[at + (3 if self.version == 5 else 2) :]
                if one[0] >> 1 & 3 == 1:
                    self.delivered.append(payload)
                    out.append(ack(PUBACK, ident))
                else:
                    self.held.setdefault(ident, payload)
                    out.append(ack(PUBREC, ident))
            elif kind == 6:
                ident = int.from_bytes(one[2:4], "big")
                if ident in self.held:
                    self.delivered.append(self.held.pop(ident))
                out.append(ack(PUBCOMP, ident))
        return out


@BOTH
@pytest.mark.parametrize("qos", [1, 2])
@pytest.mark.parametrize("lost", ["to the broker", "to the client"])
def test_every_cut_delivers_at_least_or_exactly_once(
    device: Device, version: int, qos: int, lost: str
) -> None:
    payloads = [b"\1", b"\2", b"\3"]
    for cut in count():
        broker = Broker(version)
        device.connect(version, "expiry=60")
        packets = 0
        was_cut = False
        waiting = [sent(device.do(f"publish {qos} 0 t {p.hex()}")) for p in payloads]
        while waiting:
            one = waiting.pop(0)
            packets += 1
            if packets - 1 == cut:
                was_cut = True
                if lost == "to the client":
                    broker.answers(one)
                device.do("closed -7")
                waiting = [device.reconnect(version, 1)]
                continue
            for reply in broker.answers(one):
                events = device.receive(reply)
                waiting += [bytes.fromhex(e.split()[1]) for e in events if e.startswith("sent")]
        assert device.number("pending")[0] == 0
        if qos == 2:
            assert broker.delivered == payloads, f"cut {cut}"
        else:
            assert sorted(set(broker.delivered)) == payloads, f"cut {cut}"
        device.do("stop")
        if not was_cut:
            assert cut == len(payloads) * qos
            return


@BOTH
def test_a_resumed_session_repeats_in_order_with_dup(device: Device, version: int) -> None:
    device.connect(version, "expiry=60")
    for payload in (b"1", b"2", b"3"):
        device.publish(2 if payload != b"2" else 1, payload)
    device.receive(ack(PUBREC, 1))
    device.do("closed -7")
    assert device.publish(1, b"4") == 4
    assert device.publish(0, b"5") == -4
    again = ack(PUBREL, 1) + publish(version, 1, "t", b"2", 2, flags=8)
    again += publish(version, 2, "t", b"3", 3, flags=8) + publish(version, 1, "t", b"4", 4)
    assert device.reconnect(version, 1) == again


@BOTH
def test_an_answer_before_the_repetition_counts(device: Device, version: int) -> None:
    """amqtt answers what an earlier connection brought it at once, in one segment with CONNACK."""
    device.connect(version, "expiry=60")
    device.publish(2, b"1")
    device.publish(1, b"2")
    device.publish(2, b"3")
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    answers = ack(PUBREC, 1) + ack(PUBACK, 2)
    events = device.receive(connack(version, 1) + answers)
    # No PUBLISH follows a PUBREL of the same message (4.3.3).
    assert sent(events) == ack(PUBREL, 1) + publish(version, 2, "t", b"3", 3, flags=8)
    assert others(events) == ["connected 1", "acknowledged 2 0"]


@BOTH
def test_an_answer_amid_the_repetition_waits_for_its_end(device: Device, version: int) -> None:
    device.connect(version, "expiry=60")
    device.publish(2, b"123")
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    device.do("room 5")
    begin = sent(device.receive(connack(version, 1)))
    assert len(begin) == 5
    assert device.receive(ack(PUBREC, 1)) == []
    device.do("room 100000")
    rest = sent(device.do("writable"))
    assert begin + rest == publish(version, 2, "t", b"123", 1, flags=8)
    assert sent(device.receive(ack(PUBREC, 1))) == ack(PUBREL, 1)


def test_a_pubcomp_before_pubrec_is_an_error_after_a_reconnect_too(device: Device) -> None:
    device.connect(5, "expiry=60")
    device.publish(2, b"1")
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    events = device.receive(connack(5, 1) + ack(PUBCOMP, 1))
    assert "disconnected -6 130 0" in events  # 0x82: protocol error
    assert device.number("pending")[0] == 1


@BOTH
def test_a_lost_session_repeats_as_new(device: Device, version: int) -> None:
    device.connect(version, "expiry=60")
    device.publish(2, b"1")
    device.publish(1, b"2")
    device.receive(ack(PUBREC, 1))
    device.do("closed -7")
    device.do("advance 64000")
    device.do("opened")
    events = device.receive(connack(version, 0))
    assert sent(events) == publish(version, 1, "t", b"2", 2)
    assert others(events) == ["connected 0", "acknowledged 1 146"]  # 0x92: only the broker knows


@BOTH
@pytest.mark.parametrize("session", [1, 0])
def test_incoming_qos_2_is_remembered_with_the_session(
    device: Device, version: int, session: int
) -> None:
    device.connect(version, "expiry=60")
    device.receive(publish(version, 2, "a", b"", 5))
    device.do("closed -7")
    device.reconnect(version, session)
    again = others(device.receive(publish(version, 2, "a", b"", 5, flags=8)))
    assert again == ([] if session else ["message 2 0 1 a -"])


def test_clean_start_follows_what_is_known(device: Device) -> None:
    first = device.start(5, "expiry=60")
    assert first[9] == 0b10  # we know of no session (3.2.2.1.1)
    device.receive(connack(5))
    device.do("closed -7")
    device.do("advance 64000")
    assert sent(device.do("opened"))[9] == 0


def test_an_unasked_session_is_an_error(device: Device) -> None:
    device.start(5, "expiry=60")
    assert device.receive(connack(5, 1)) == ["closed", "disconnected -6 130 0"]


def test_half_a_publish_is_not_a_duplicate(device: Device) -> None:
    device.connect(5, "expiry=60")
    device.do("room 5")
    assert device.publish(1, b"abc") == 1
    device.do("closed -2")
    device.do("room 1000")
    assert device.reconnect() == publish(5, 1, "t", b"abc", 1)


def test_a_cut_amid_a_publish_leaves_nothing_behind(device: Device) -> None:
    device.connect(5, "expiry=60")
    device.do("subscribe a 0")
    device.do("room 5")
    assert device.publish(1, b"abc") == 1
    device.do("closed -2")
    device.do("room 1000")
    subscribe = packet(0x82, b"\xff\xfc\0" + text("a") + b"\0")
    assert device.reconnect(5, 0) == subscribe + publish(5, 1, "t", b"abc", 1)


def test_qos_0_does_not_outlive_the_connection(device: Device) -> None:
    device.connect(5, "expiry=60")
    device.do("room 5")
    assert device.publish(0, b"abc") == 0
    assert device.number("pending") == [1, 1]
    device.do("closed -2")
    device.do("room 1000")
    assert device.number("pending") == [0, 0]
    assert device.reconnect() == b""
    assert device.number("stats")[8] == 1  # and is counted as lost


# Limits of the broker (3.2.2.3).


def test_the_receive_maximum_is_kept(device: Device) -> None:
    device.connect(5, properties=bytes.fromhex("210002"))
    got = [sent(device.do(f"publish 1 0 t {n:02x}")) for n in range(4)]
    assert [bool(g) for g in got] == [True, True, False, False]
    assert sent(device.receive(ack(PUBACK, 1))) == publish(5, 1, "t", b"\2", 3)


def test_at_most_16_are_in_flight(device: Device) -> None:
    device.connect(4, "outbox=1000")
    got = [sent(device.do("publish 1 0 t -")) for _ in range(17)]
    assert [bool(g) for g in got] == [True] * 16 + [False]


def test_larger_than_the_brokers_maximum_is_refused(device: Device) -> None:
    device.start(5)
    assert device.publish(1, b"x" * 12) == 1  # 1 + 1 + 3 + 2 + 1 + 12 = 20 bytes
    events = device.receive(connack(5, properties=bytes.fromhex("2700000013")))
    assert events == ["connected 0", "acknowledged 1 149"]  # 0x95
    assert device.publish(1, b"x" * 12) == -10
    assert device.publish(1, b"x" * 11) == 2


def test_maximum_qos_and_no_retain_are_kept(device: Device) -> None:
    device.connect(5, properties=bytes.fromhex("24012500"))
    events = device.do("publish 2 1 t 07")
    assert sent(events) == publish(5, 1, "t", b"\7", 1)
    device.do("stop")
    device.connect(5, properties=bytes.fromhex("2400"))
    events = device.do("publish 1 0 t 07")
    assert sent(events) == publish(5, 0, "t", b"\7")
    assert "acknowledged 1 0" in events


def test_the_servers_keep_alive_counts(device: Device) -> None:
    device.connect(5, "keep_alive=60", properties=bytes.fromhex("130014"))
    assert device.do("advance 14999") == []
    assert device.do("advance 1") == ["sent c000"]


# Time.


@BOTH
def test_pings_only_when_idle_and_gives_up_without_answer(device: Device, version: int) -> None:
    device.connect(version, "keep_alive=20")
    for _ in range(5):  # both directions busy
        device.do("advance 10000")
        device.publish(1)
        device.receive(ack(PUBACK, device.number("stats")[2]))
    assert device.do("advance 14999") == []
    assert device.do("advance 1") == ["sent c000"]
    assert device.receive(packet(0xD0)) == []
    assert device.do("advance 15000") == ["sent c000"]
    assert device.do("advance 9999") == []
    device.do("random 500")
    assert device.do("advance 1") == ["closed", "disconnected -3 0 500"]


def test_a_missing_connack_is_a_time_out(device: Device) -> None:
    device.start()
    assert device.do("advance 4999") == []
    device.do("random 500")
    assert device.do("advance 1") == ["closed", "disconnected -3 0 500"]


def test_back_off_doubles_to_64_s_and_a_stable_connection_resets_it(device: Device) -> None:
    device.do("random 4294967295")
    device.start(4)
    device.do("closed -8")
    bounds = [1001, 2001, 4001, 8001, 16001, 32001, 64001, 64001]
    device.do("stop")
    device.do("start version=4")
    for bound in bounds:  # full jitter: the random number modulo the bound, in ms
        retry = 4294967295 % bound
        assert device.do("closed -8") == [f"disconnected -8 0 {retry}"]
        assert device.do(f"advance {retry - 1}") == []
        assert device.do("advance 1") == ["opening broker 1883"]
    device.do("opened")
    device.receive(connack(4))
    device.do("advance 29999")
    assert device.do("closed -7") == [f"disconnected -7 0 {4294967295 % 64001}"]
    device.do("advance 64000")
    device.do("opened")
    device.receive(connack(4))
    device.do("advance 30000")
    assert device.do("closed -7") == [f"disconnected -7 0 {4294967295 % 1001}"]


# Versions.


@pytest.mark.parametrize("answer", ["20020001", "2003008400", "20020000"])
def test_a_refused_version_5_becomes_4_at_once(device: Device, answer: str) -> None:
    device.do("random 999")
    device.start(5)
    events = device.receive(bytes.fromhex(answer))
    assert others(events)[-1].endswith(" 0")
    assert device.do("advance 0") == ["opening broker 1883"]
    assert sent(device.do("opened"))[8] == 4
    assert device.receive(connack(4)) == ["connected 0"]


@pytest.mark.parametrize("status", [-7, -2, 0])  # 0: says nothing, as amqtt 0.12
def test_a_close_after_connect_tries_the_other_version(device: Device, status: int) -> None:
    device.start(5)
    for version in (4, 5, 4):
        device.do(f"closed {status}" if status else "advance 5000")
        device.do("advance 64000")
        assert sent(device.do("opened"))[8] == version


def test_version_4_by_choice_stays(device: Device) -> None:
    device.start(4)
    assert others(device.receive(bytes.fromhex("20020001"))) == ["closed", "disconnected -8 1 0"]
    device.do("advance 64000")
    assert sent(device.do("opened"))[8] == 4


@pytest.mark.parametrize(("version", "reason"), [(5, 0x86), (4, 5)])
def test_a_refusal_is_reported_and_tried_again(device: Device, version: int, reason: int) -> None:
    device.start(version)
    events = device.receive(connack(version, 0, reason))
    assert events == ["closed", f"disconnected -8 {reason} 0"]
    assert device.do("advance 1") == ["opening broker 1883"]
