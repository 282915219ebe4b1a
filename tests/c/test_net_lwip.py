"""net/lwip with sanitizers and lwIP's own assertions, on an Ethernet played by the test: DHCP, a
refused renewal, link loss, a TCP connection.
"""

import struct
from itertools import pairwise

import pytest
from net_peer import (
    ACK,
    ACKED,
    COMPILER,
    DISCOVER,
    ECLOSED,
    EIO,
    ENOMEM,
    EREFUSED,
    ETIMEDOUT,
    FIN,
    LWIP,
    NAK,
    PSH,
    REQUEST,
    RST,
    SERVER,
    SYN,
    Machine,
    build,
    ipv4,
)

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]


@pytest.fixture
def up(machine: Machine) -> Machine:
    assert machine.tell("init") == ["log net: 10.0.2.15/24 gateway 10.0.2.2 (DHCP)"]
    return machine


def test_dhcp_gives_an_address_at_once(up: Machine) -> None:
    assert up.dhcp_seen == [DISCOVER, REQUEST]


def test_a_lost_discover_is_repeated_within_a_second(machine: Machine) -> None:
    machine.dhcp_answer = None
    machine.tell("init")
    machine.tell("advance 999")
    assert machine.dhcp_seen == [DISCOVER, DISCOVER]
    assert machine.tell("advance 10000") == ["log net: no address from DHCP yet, asking on"]
    machine.dhcp_answer = ACK
    assert "log net: 10.0.2.15/24 gateway 10.0.2.2 (DHCP)" in machine.tell("advance 30000")


def test_a_static_address_asks_nobody(machine: Machine) -> None:
    machine.tell("config net.address=10.0.2.9")
    machine.tell("config net.prefix=16")
    machine.tell("config net.gateway=10.0.2.2")
    assert machine.tell("init") == ["log net: 10.0.2.9/16 gateway 10.0.2.2 (static)"]
    assert machine.dhcp_seen == []


def test_a_lease_is_renewed_without_a_word(up: Machine) -> None:
    for _ in range(60):  # in steps: its server's address has to be asked for first (ARP)
        assert up.tell("advance 1000") == []
    assert up.dhcp_seen == [DISCOVER, REQUEST, REQUEST]  # at half of 100 s


def test_a_refused_renewal_ends_streams_and_gets_another_address(up: Machine) -> None:
    up.connect()
    up.dhcp_answer = NAK
    up.dhcp_address = "10.0.2.16"
    lines = up.tell("advance 60000")  # half of 100 s has passed
    assert lines == [
        "log net: address lost",
        f"closed {EIO}",
        "log net: 10.0.2.16/24 gateway 10.0.2.2 (DHCP)",
    ]


def test_an_expired_lease_is_given_up(up: Machine) -> None:
    up.dhcp_answer = None
    assert "log net: address lost" in up.tell("advance 101000")


def test_a_short_link_loss_keeps_address_and_stream(up: Machine) -> None:
    up.connect()
    up.tell("link 0")
    assert up.tell("advance 2000") == ["log net: link down"]
    up.tell("link 1")
    assert up.tell("advance 500") == ["log net: link up"]
    assert up.dhcp_seen[2:] == [REQUEST]  # is it still ours?


STARTED = "log net: the device had stopped, started again: ok"


@pytest.mark.parametrize("how", ["send", "room", "receive"])
def test_a_device_that_stops_is_started_again_and_the_stream_lives(up: Machine, how: str) -> None:
    up.connect()
    up.tell(f"break {how}")
    up.tell("write abc")
    said = []
    for _ in range(40):
        said += up.tell("advance 250")
    assert said == ["init 0", STARTED]
    assert b"abc" in [s[4] for s in up.segments]  # sent again by TCP


def test_a_device_without_room_gets_two_seconds(up: Machine) -> None:
    up.tell("break room")
    assert up.tell("advance 1750") == []
    assert up.tell("advance 250") == ["init 0", STARTED]


def test_a_device_without_room_for_want_of_a_link_is_left_alone(up: Machine) -> None:
    up.tell("link 0")
    up.tell("break room")
    assert up.tell("advance 9000") == ["log net: link down"]


def test_a_device_that_lost_a_frame_and_then_its_link_is_started_again(up: Machine) -> None:
    up.connect()
    up.tell("break send")
    up.tell("write abc")
    up.tell("link 0")
    assert up.tell("advance 750") == ["log net: link down", "init 0", STARTED]
    assert up.tell("advance 8000") == []  # once


def test_one_lost_frame_and_some_damaged_ones_are_no_reason(up: Machine) -> None:
    up.connect()
    up.tell("break send")
    up.tell("write a")
    up.tell("break none")
    assert up.tell("advance 10000") == []


def test_a_device_that_does_not_come_back_is_tried_every_five_seconds(up: Machine) -> None:
    up.connect()
    up.tell("break dead")
    up.tell("write abc")
    lines: list[str] = []
    times = []
    for step in range(120):
        new = up.tell("advance 250")
        lines += new
        times += [step] * sum(line.startswith("init") for line in new)
    assert len(times) >= 4
    assert all(b - a == 20 for a, b in pairwise(times))
    assert lines.count(STARTED.replace("ok", "other")) == len(times)
    up.tell("break send")  # the next start is a good one
    assert up.tell("advance 10000")[-1] == STARTED
    assert up.tell("advance 10000") == []


def test_data_goes_both_ways_and_writes_share_a_packet(up: Machine) -> None:
    port, seq = up.connect()
    assert up.segment(port, 1001, seq, PSH | ACKED, b"hello") == ["received 68656c6c6f"]
    up.tell("write abc")
    assert up.segments[-1][4] == b"abc"
    assert up.segments[-1][2] == 1006


def test_a_close_by_the_peer_is_told_after_its_data(up: Machine) -> None:
    port, seq = up.connect()
    lines = up.segment(port, 1001, seq, FIN | PSH | ACKED, b"bye")
    assert lines == ["received 627965", f"closed {ECLOSED}"]
    assert up.segments[-1][3] & FIN


def test_what_was_written_before_a_close_still_leaves(up: Machine) -> None:
    up.connect()
    up.tell("write last")
    up.tell("close")
    assert b"last" in [segment[4] for segment in up.segments]
    assert up.segments[-1][3] & FIN


def test_a_dead_connection_gives_its_memory_to_the_next(up: Machine) -> None:
    dead, _ = up.connect()
    up.tell("write " + 2000 * "x")
    up.tell("advance 30000")  # nobody answers
    up.tell("close")
    up.tell("advance 1000")
    before = len(up.segments)
    up.tell(f"open {SERVER} 1883")
    up.tell("advance 300000")
    later = up.segments[before:]
    assert [segment[3] for segment in later if segment[0] == dead] == [RST | ACKED]
    assert later[1][3] == SYN


def test_a_connection_that_is_closing_in_peace_is_left_alone(up: Machine) -> None:
    closing, _ = up.connect()
    up.tell("write last")
    up.tell("close")
    up.tell(f"open {SERVER} 1883")
    assert RST not in [segment[3] & RST for segment in up.segments if segment[0] == closing]


def test_a_reset_is_an_error_and_a_refusal_is_told_apart(up: Machine) -> None:
    port, seq = up.connect()
    assert up.segment(port, 1001, seq, RST) == [f"closed {EIO}"]
    up.tell(f"open {SERVER} 1883")
    port, seq, _, _, _ = up.segments[-1]
    assert up.segment(port, 0, seq + 1, RST | ACKED) == [f"closed {EREFUSED}"]


def test_a_silent_host_times_out_after_ten_seconds(up: Machine) -> None:
    up.tell(f"open {SERVER} 1883")
    assert up.tell("advance 9900") == []
    assert up.tell("advance 500") == [f"closed {ETIMEDOUT}"]


def test_a_stream_waits_for_the_network(machine: Machine) -> None:
    machine.dhcp_answer = None
    machine.tell("init")
    assert machine.tell(f"open {SERVER} 1883") == ["0"]
    assert f"closed {EIO}" in machine.tell("advance 20500")
    machine.tell(f"open {SERVER} 1883")
    machine.dhcp_answer = ACK
    machine.tell("advance 19000")
    assert machine.segments[0][3] == SYN


def test_a_name_without_a_server_for_names_is_not_found(up: Machine) -> None:
    assert up.tell("open broker.example 1883") == ["0", "closed -5"]


def test_damaged_frames_do_no_harm(up: Machine) -> None:
    port, seq = up.connect()
    good = ipv4(6, SERVER, up.ip, struct.pack(">HHIIBBHHH", 1883, port, 1001, seq, 80, 16, 9, 0, 0))
    for length in range(14, len(good)):
        up.tell(f"rx {good[:length].hex()}")
    for place in range(14, len(good)):
        up.tell(f"rx {good[:place].hex()}{good[place] ^ 0xFF:02x}{good[place + 1 :].hex()}")
    assert up.segment(port, 1001, seq, PSH | ACKED, b"ok") == ["received 6f6b"]


def test_a_service_never_takes_the_last_stream_of_the_others(once) -> None:
    service = Machine(once("lwip-service", lambda folder: build(folder, service_streams=1)))
    service.tell("init")
    assert service.tell("listen 80") == ["0"]
    lines = []
    for source in (5001, 5002, 5003):
        service.segment(80, 1000, 0, SYN, source=source)
        ours = service.segments[-1][1]
        lines += service.segment(80, 1001, ours + 1, ACKED, source=source)
    assert lines == ["accept 0", "opened", f"accept {ENOMEM}", f"accept {ENOMEM}"]
    assert service.tell(f"open {SERVER} 1883") == ["0"]
    assert service.segments[-1][3] == SYN
    service.close()


def test_half_open_connections_do_not_keep_us_from_connecting(once) -> None:
    service = Machine(once("lwip-service", lambda folder: build(folder, service_streams=1)))
    service.tell("init")
    service.tell("listen 80")
    for source in range(5000, 5040):  # a flood of SYN without a word more
        service.segment(80, 1000, 0, SYN, source=source)
    assert service.tell(f"open {SERVER} 1883") == ["0"]
    assert service.segments[-1][3] == SYN
    service.close()
