"""DHCP, names and time of net/lwip, on an Ethernet played by the test: what servers say, and what
nobody should. Packets by RFC 1035, 2131, 4330.
"""

import random
import re
import socket
import struct
from pathlib import Path

import pytest
from net_peer import COMPILER, DISCOVER, LWIP, REQUEST, SERVER, SYN, Machine, udp

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]


@pytest.fixture
def up(machine: Machine) -> Machine:
    machine.dhcp_options = b"\6\4" + socket.inet_aton(SERVER)
    machine.tell("init")
    return machine


def answer(query: bytes, *records: bytes, flags: int = 0x8180) -> bytes:
    head = struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
    return query[:2] + head + query[12:] + b"".join(records)


def record(kind: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 60, len(data)) + data


ADDRESS = record(1, socket.inet_aton("10.0.2.2"))
ALIAS = record(5, b"\1x\7example\0")


def test_a_name_is_asked_for_and_connected_to(up: Machine) -> None:
    asked = []

    def server(source: int, target: int, query: bytes) -> bytes:
        asked.append((target, query[2:]))
        return answer(query, ALIAS, ADDRESS)

    up.udp_peer = server
    assert up.tell("open broker.example 1883") == ["0"]
    question = b"\6broker\7example\0\0\1\0\1"
    assert asked == [(53, b"\1\0\0\1\0\0\0\0\0\0" + question)]
    assert up.segments[0][3] == SYN


def test_ids_and_ports_of_queries_differ(up: Machine) -> None:
    asked = []
    up.udp_peer = lambda source, target, query: asked.append((source, query[:2]))
    up.tell("open broker.example 1883")
    up.tell("advance 5000")
    assert len(asked) == len(set(asked)) == 4  # after 0, 1, 3, 5 s
    assert len({source for source, _ in asked}) > 1


@pytest.mark.parametrize(
    ("records", "flags"),
    [((), 0x8183), ((), 0x8180), ((ALIAS,), 0x8180), ((ADDRESS[:-1],), 0x8180), ((b"",), 0x8180)],
)
def test_a_name_without_an_address_is_not_found(
    up: Machine, records: tuple[bytes, ...], flags: int
) -> None:
    up.udp_peer = lambda source, target, query: answer(query, *records, flags=flags)
    assert up.tell("open broker.example 1883") == ["0", "closed -5"]


@pytest.mark.parametrize("place", [0, 1, 2, 12, 13, 20, 30])
def test_an_answer_to_another_question_is_not_believed(up: Machine, place: int) -> None:
    def forger(source: int, target: int, query: bytes) -> bytes:
        good = answer(query, ADDRESS)
        return good[:place] + bytes([good[place] ^ 0x81]) + good[place + 1 :]

    up.udp_peer = forger
    assert up.tell("open broker.example 1883") == ["0"]
    assert up.segments == []


def test_a_silent_name_server_is_asked_four_times(up: Machine) -> None:
    asked = []
    up.udp_peer = lambda source, target, query: asked.append(query)
    up.tell("open broker.example 1883")
    assert up.tell("advance 8900") == []
    assert up.tell("advance 500") == ["closed -5"]
    assert len(asked) == 4


def test_a_name_server_far_away_is_waited_for(up: Machine) -> None:
    """Every answer takes 1.5 s: over a satellite, or a modem."""
    asked: list[tuple[int, bytes]] = []
    up.udp_peer = lambda source, target, query: asked.append((source, query))
    up.tell("open broker.example 1883")
    later: list[list[tuple[int, bytes]]] = [[], []]
    while not up.segments and len(later) < 20:
        later.append(asked.copy())
        asked.clear()
        up.tell("advance 500")
        for source, query in later[-3]:
            up.tell(f"rx {udp(53, source, answer(query, ADDRESS), up.ip).hex()}")
    assert up.segments[0][3] == SYN


@pytest.mark.parametrize("name", ["a..b", ".", "x" * 64, "a." * 62, "1.2.3.256", "1.2.3"])
def test_strange_names_do_no_harm(up: Machine, name: str) -> None:
    up.udp_peer = lambda source, target, query: answer(query, flags=0x8183)
    assert up.tell(f"open {name} 1883") == ["0", "closed -5"]


def time_server(second: int = 3_976_214_400, **change: int) -> bytes:
    """An answer for 2026-01-01 (seconds since 1900) and a half; `change`: another first byte or
    stratum."""
    first, stratum = change.get("first", 0x24), change.get("stratum", 2)
    return (
        struct.pack(">BBBb", first, stratum, 6, -20)
        + bytes(20)
        + bytes(8)
        + bytes(8)
        + (struct.pack(">II", second, 1 << 31))
    )


def with_originate(message: bytes, query: bytes) -> bytes:
    return message[:24] + query[40:48] + message[32:]


def test_the_time_is_asked_of_the_server_and_port_in_the_configuration(machine: Machine) -> None:
    asked = []

    def server(source: int, target: int, query: bytes) -> bytes:
        asked.append((target, query[0], len(query)))
        return with_originate(time_server(), query)

    machine.udp_peer = server
    machine.ip = "10.0.2.15"
    machine.tell("config net.address=10.0.2.15")
    machine.tell("config net.gateway=10.0.2.2")
    machine.tell("config net.ntp=10.0.2.2:1123")
    assert machine.tell("init")[-1] == "time 1767225600500 sntp"
    assert asked == [(1123, 0x23, 48)]
    assert machine.tell("advance 3599000") == []
    assert machine.tell("advance 2000") == ["time 1767225600500 sntp"]


def test_the_time_server_from_dhcp_is_used(machine: Machine) -> None:
    machine.dhcp_options = b"\x2a\4" + socket.inet_aton(SERVER)
    machine.udp_peer = lambda source, target, query: with_originate(time_server(), query)
    assert machine.tell("init")[-1] == "time 1767225600500 sntp"


def test_the_time_after_2036_is_understood(machine: Machine) -> None:
    machine.udp_peer = lambda source, target, query: with_originate(time_server(60), query)
    machine.tell("config net.ntp=10.0.2.2")
    assert machine.tell("init")[-1] == "time 2085978556500 sntp"  # 2036-02-07T06:29:16.5Z


@pytest.mark.parametrize(
    "change",
    [{"first": 0xE4}, {"first": 0x23}, {"stratum": 0}, {"stratum": 16}, {"second": 3 << 30}],
)
def test_a_server_without_the_time_is_not_believed(
    machine: Machine, change: dict[str, int]
) -> None:
    asked = []

    def server(source: int, target: int, query: bytes) -> bytes:
        asked.append(query)
        return with_originate(time_server(**change), query)

    machine.udp_peer = server
    machine.tell("config net.ntp=10.0.2.2")
    lines = machine.tell("init") + [line for _ in range(8) for line in machine.tell("advance 1000")]
    assert not [line for line in lines if line.startswith("time")]
    assert len(asked) == 4  # after 0, 1, 3, 7 s


@pytest.mark.parametrize("code", [b"DENY", b"RSTR", b"RATE"])
def test_a_time_server_that_sends_us_away_is_left_alone_for_an_hour(
    machine: Machine, code: bytes
) -> None:
    asked = []

    def server(source: int, target: int, query: bytes) -> bytes:
        asked.append(query)
        message = time_server(stratum=0)  # a kiss of death (RFC 5905, 7.4)
        return with_originate(message[:12] + code + message[16:], query)

    machine.udp_peer = server
    machine.tell("config net.ntp=10.0.2.2")
    machine.tell("init")
    machine.tell("advance 3590000")
    assert len(asked) == 1
    machine.tell("advance 20000")
    assert len(asked) == 2


def test_an_answer_to_somebody_else_sets_no_time(machine: Machine) -> None:
    machine.udp_peer = lambda source, target, query: time_server()
    machine.tell("config net.ntp=10.0.2.2")
    assert not [line for line in machine.tell("init") if line.startswith("time")]


def test_the_times_of_a_lease_come_from_the_server(machine: Machine) -> None:
    machine.dhcp_options = b"\x3a\4" + struct.pack(">I", 20) + b"\x3b\4" + struct.pack(">I", 90)
    machine.tell("init")
    for _ in range(19):
        machine.tell("advance 1000")
    assert machine.dhcp_seen == [DISCOVER, REQUEST]
    for _ in range(3):
        machine.tell("advance 1000")
    assert machine.dhcp_seen == [DISCOVER, REQUEST, REQUEST]


@pytest.mark.parametrize("field", ["file", "sname"])
def test_options_are_read_where_the_server_had_room(machine: Machine, field: str) -> None:
    """Option overload (RFC 2132, 9.3): the server for names stands in another field."""
    dns = b"\6\4" + socket.inet_aton(SERVER) + b"\xff"
    machine.dhcp_options = b"\x34\1" + (b"\1" if field == "file" else b"\2")
    machine.dhcp_fields[field] = dns
    asked = []
    machine.udp_peer = lambda source, target, query: asked.append(target)
    machine.tell("init")
    machine.tell("open broker.example 1883")
    assert asked == [53]


@pytest.mark.parametrize("seed", range(4))
def test_random_options_do_no_harm(lwip_program: Path, seed: int) -> None:
    chance = random.Random(seed)
    running = Machine(lwip_program)
    for _ in range(60):
        running.dhcp_options = chance.choice([b"", b"\x34\1\3"])
        running.dhcp_options += chance.randbytes(chance.randrange(200))
        running.dhcp_fields = {"file": chance.randbytes(128), "sname": chance.randbytes(64)}
        for line in running.tell("init" if not running.dhcp_seen else "advance 40000"):
            assert re.match(r"log net: ", line)
    running.close()


@pytest.mark.parametrize("seed", range(4))
def test_random_datagrams_do_no_harm(up: Machine, seed: int) -> None:
    chance = random.Random(seed)

    def noise(source: int, target: int, query: bytes) -> bytes:
        good = answer(query, ALIAS, ADDRESS) if target == 53 else time_server()
        keep = chance.randrange(len(good))
        return good[:keep] + chance.randbytes(chance.randrange(80))

    up.udp_peer = noise
    for _ in range(40):
        up.tell("open broker.example 1883")
        up.tell("advance 7000")
        up.tell("close")
        port, target = chance.randrange(1 << 16), chance.choice([67, 68, 53, 123])
        up.tell(f"rx {udp(target, port, chance.randbytes(chance.randrange(400)), up.ip).hex()}")
