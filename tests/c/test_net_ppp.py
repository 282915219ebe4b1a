"""PPP of net/ppp with a peer that the test plays: what the RFCs ask for, and lines and peers that
behave badly. Numbers in names of tests and comments are sections of RFC 1661 unless said otherwise.
"""

import os
import pty
import random
import select
import shutil
import socket
import struct
import subprocess
import time
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest
from net_peer import COMPILER, LWIP, checksum
from ppp_peer import (
    ACK,
    ALL,
    CODE_REJECT,
    DISCARD,
    DNS,
    ECHO,
    ECHO_REPLY,
    GUEST,
    IP,
    IPCP,
    LCP,
    MAGIC,
    NAK,
    OURS,
    PAP,
    PROTOCOL_REJECT,
    REJECT,
    REQUEST,
    TERMINATE,
    TERMINATED,
    Modem,
    Provider,
    build,
    fcs,
    framed,
    option,
    packet,
    stuffed,
)

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]
UP = f"log net: {GUEST}/32 gateway {OURS} (PPP)"
PAP_OPTION = b"\x03\x04\xc0\x23"
CHAP_OPTION = b"\x03\x05\xc2\x23\x05"


@pytest.fixture(scope="module")
def program(once) -> Path:
    return once("ppp", build)


@pytest.fixture
def modem(program: Path) -> Iterator[Modem]:
    running = Modem(program)
    yield running
    running.close()


@pytest.fixture
def up(modem: Modem) -> Modem:
    assert UP in modem.up()
    return modem


def again(lines: list[str]) -> bool:
    return any(line.startswith("log ppp: ") and "again in" in line for line in lines)


def test_the_examples_of_the_fcs_are_those_of_the_rfc() -> None:
    """RFC 1662, C.2: the sum over a frame and its FCS is 0xF0B8 before the complement."""
    assert fcs(b"123456789") == 0x906E  # CRC-16/X-25's check value
    assert fcs(b"123456789" + struct.pack("<H", 0x906E)) ^ 0xFFFF == 0xF0B8


def test_the_link_comes_up_with_address_and_name_server_from_the_peer(modem: Modem) -> None:
    assert modem.tell("init")[0].startswith("log net: no Ethernet")
    protocol, code, number, body = modem.one()
    assert (protocol, code) == (LCP, REQUEST)
    assert body[:6] == option(2, bytes(4))  # nothing needs to be escaped for us
    assert body[6:8] == b"\5\6"
    assert body[8:] != bytes(4)
    modem.hear(packet(LCP, ACK, number, body))
    assert modem.packets() == []
    modem.hear(packet(LCP, REQUEST, 7, MAGIC))
    assert modem.packets() == [
        (LCP, ACK, 7, MAGIC),
        (IPCP, REQUEST, 1, option(3, "0.0.0.0") + option(129, "0.0.0.0")),
    ]
    modem.hear(packet(IPCP, NAK, 1, option(3, GUEST) + option(129, DNS)))
    assert modem.one() == (IPCP, REQUEST, 2, option(3, GUEST) + option(129, DNS))
    assert modem.hear(packet(IPCP, ACK, 2, option(3, GUEST) + option(129, DNS))) == []
    assert modem.hear(packet(IPCP, REQUEST, 9, option(3, OURS))) == [UP]
    assert modem.one() == (IPCP, ACK, 9, option(3, OURS))


def test_the_peer_may_ask_first(modem: Modem) -> None:
    modem.tell("init")
    first = modem.one()
    modem.hear(packet(LCP, REQUEST, 7, MAGIC))
    assert modem.one() == (LCP, ACK, 7, MAGIC)
    modem.hear(packet(LCP, ACK, first[2], first[3]))
    assert modem.one()[:2] == (IPCP, REQUEST)


def test_lcp_is_sent_with_every_control_character_escaped(modem: Modem) -> None:
    """RFC 1662, 7.1: the default map."""
    modem.tell("init")
    assert min(modem.sent) >= 0x20


@pytest.mark.parametrize("accm", [0, 0x000A0000, ALL])
def test_just_what_the_peer_cannot_take_is_escaped(modem: Modem, accm: int) -> None:
    modem.tell("init")
    modem.lcp(MAGIC + option(2, struct.pack(">I", accm)))
    ipcp = modem.sent.split(b"\x7e")[-2]
    body = b"\xff\x03\x80\x21\x01\x01\x00\x10" + option(3, bytes(4)) + option(129, bytes(4))
    assert b"\x7e" + ipcp + b"\x7e" == stuffed(body + struct.pack("<H", fcs(body)), accm)


def test_lcp_is_escaped_even_to_a_peer_that_needs_it_not(modem: Modem) -> None:
    """RFC 1662, 7.1: it may have begun anew."""
    modem.up(MAGIC + option(2, bytes(4)))
    modem.sent = b""
    modem.hear(packet(LCP, ECHO, 5, bytes(8)))
    assert min(modem.sent) >= 0x20


def test_a_peer_that_begins_anew_without_a_map_has_the_default_one(modem: Modem) -> None:
    modem.up(MAGIC + option(2, bytes(4)))
    modem.hear(packet(LCP, REQUEST, 9, MAGIC))
    _, _, number, body = modem.packets()[0]
    modem.hear(packet(LCP, ACK, number, body))
    assert min(modem.sent) >= 0x20
    assert modem.one()[0] == IPCP


def test_a_peer_that_insists_on_chap_is_given_up(modem: Modem) -> None:
    modem.tell("init")
    modem.sent = b""
    lines: list[str] = []
    count = 0
    while not lines:
        lines = modem.hear(packet(LCP, REQUEST, count, CHAP_OPTION))
        count += 1
    assert count == 11
    assert again(lines)


@pytest.mark.parametrize("change", ["id", "value", "shorter", "longer"])
def test_an_ack_that_does_not_repeat_the_request_is_dropped(modem: Modem, change: str) -> None:
    """5.2."""
    modem.tell("init")
    _, _, number, body = modem.one()
    wrong = {
        "id": (number + 1, body),
        "value": (number, body[:-1] + bytes([body[-1] ^ 1])),
        "shorter": (number, body[:6]),
        "longer": (number, body + option(1, b"\5\xdc")),
    }
    modem.hear(packet(LCP, ACK, *wrong[change]))
    modem.hear(packet(LCP, REQUEST, 7, MAGIC))
    assert modem.packets() == [(LCP, ACK, 7, MAGIC)]  # no IPCP: not open
    modem.hear(packet(LCP, ACK, number, body))
    assert modem.one()[0] == IPCP


def test_a_silent_peer_is_asked_eleven_times_and_called_again_ever_later(modem: Modem) -> None:
    """4.6: 10 times more, 3 s apart."""
    modem.tell("init")
    for wait in (2, 4, 8):
        requests, lines = modem.packets(), []
        seconds = 0
        while not lines:
            lines = modem.tell("advance 1000")
            requests += modem.packets()
            seconds += 1
        assert 32 <= seconds <= 34
        assert len(requests) == 11
        assert len({number for _, _, number, _ in requests}) == 11
        assert lines == [f"log ppp: no answer, again in {wait} s"]
        modem.tell(f"advance {wait * 1000 - 1000}")
        assert modem.packets() == []
        while not modem.sent:
            modem.tell("advance 250")


def test_a_lost_ack_of_ours_is_given_again(modem: Modem) -> None:
    modem.tell("init")
    for _ in range(3):
        modem.hear(packet(LCP, REQUEST, 7, MAGIC))
        assert modem.packets()[-1] == (LCP, ACK, 7, MAGIC)


def test_a_request_is_sent_again_when_only_the_peer_s_is_missing(modem: Modem) -> None:
    """4.1: Ack-Rcvd, TO+."""
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, ACK, number, body))
    modem.tell("advance 3000")
    assert modem.one() == (LCP, REQUEST, number + 1, body)


def test_a_rejected_option_is_not_asked_for_again(modem: Modem) -> None:
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, REJECT, number, body[6:]))
    assert modem.one() == (LCP, REQUEST, number + 1, body[:6])
    modem.hear(packet(LCP, REJECT, number + 1, body[:6]))
    assert modem.one() == (LCP, REQUEST, number + 2, b"")


def test_a_peer_that_must_escape_for_us_is_believed(modem: Modem) -> None:
    """RFC 1662, 7.1: the map in a Nak is what the peer cannot do without."""
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, NAK, number, option(2, b"\0\x0a\0\0")))
    assert modem.one() == (LCP, REQUEST, number + 1, option(2, b"\0\x0a\0\0") + body[6:])


def test_a_naked_magic_number_is_replaced(modem: Modem) -> None:
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, NAK, number, body[6:]))
    _, _, _, other = modem.one()
    assert other[:8] == body[:8]
    assert other != body


@pytest.mark.parametrize("code", [NAK, REJECT])
def test_an_answer_to_another_request_changes_nothing(modem: Modem, code: int) -> None:
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, code, number + 1, body))
    assert modem.packets() == []


def test_an_address_that_was_refused_in_one_call_does_not_end_the_next(modem: Modem) -> None:
    modem.tell("init")
    modem.lcp()
    _, _, number, body = modem.packets()[-1]
    assert again(modem.hear(packet(IPCP, REJECT, number, body[:6])))
    modem.sent = b""
    while not modem.sent:
        modem.tell("advance 250")
    _, _, number, body = modem.one()
    assert not again(modem.hear(packet(LCP, REJECT, number, body[6:])))
    assert modem.one()[3] == body[:6]


def test_an_unknown_code_leaves_the_request_under_way_valid(modem: Modem) -> None:
    """5.6: a Code-Reject has a number of its own; 5.2: an Ack has the request's."""
    modem.tell("init")
    _, _, number, body = modem.one()
    modem.hear(packet(LCP, 12, 5, bytes(4)))  # Identification (RFC 1570)
    assert modem.one()[1] == CODE_REJECT
    modem.hear(packet(LCP, ACK, number, body))
    modem.hear(packet(LCP, REQUEST, 7, MAGIC))
    assert modem.packets()[-1][:2] == (IPCP, REQUEST)


@pytest.mark.parametrize("code", [NAK, REJECT])
def test_a_peer_that_only_refuses_is_given_up(modem: Modem, code: int) -> None:
    """4.6, Max-Failure."""
    modem.tell("init")
    lines: list[str] = []
    count = 0
    while requests := modem.packets():
        lines = modem.hear(packet(LCP, code, requests[0][2], option(1, b"\1\0")))
        count += 1
    assert count == 11
    assert again(lines)


def test_unknown_options_are_rejected_alone_and_in_order(modem: Modem) -> None:
    """5.4."""
    modem.tell("init")
    modem.sent = b""
    quality, callback, endpoint = option(4, b"\xc0\x25abcd"), option(13, b"\6"), option(19, b"\0")
    short_mru = option(1, b"\0\x40")
    asked = quality + MAGIC + short_mru + callback + option(7, b"") + endpoint
    modem.hear(packet(LCP, REQUEST, 7, asked))
    assert modem.one() == (LCP, REJECT, 7, quality + callback + endpoint)


def test_unwanted_values_are_answered_with_better_ones(modem: Modem) -> None:
    """5.3: only the options in question, in order."""
    modem.tell("init")
    modem.sent = b""
    modem.hear(packet(LCP, REQUEST, 7, MAGIC + CHAP_OPTION + option(8, b"") + option(1, b"\0\x7f")))
    assert modem.one() == (LCP, NAK, 7, PAP_OPTION + option(1, struct.pack(">H", 1500)))


@pytest.mark.parametrize(
    "good",
    [b"", option(1, b"\x05\xdc"), option(1, b"\0\x80"), option(1, b"\xff\xff"), PAP_OPTION,
     option(7, b"") + option(8, b""), option(2, b"\0\0\0\0") + MAGIC + option(5, bytes(4))],
)  # fmt: skip
def test_usual_requests_are_granted(modem: Modem, good: bytes) -> None:
    modem.tell("init")
    modem.sent = b""
    modem.hear(packet(LCP, REQUEST, 7, good))
    assert modem.one() == (LCP, ACK, 7, good)


@pytest.mark.parametrize("bad", [b"\1", b"\1\1", b"\1\0", b"\1\5\5\xdc", MAGIC + b"\2\7\0\0\0\0"])
def test_a_request_whose_options_do_not_fit_is_dropped(modem: Modem, bad: bytes) -> None:
    modem.tell("init")
    modem.sent = b""
    modem.hear(packet(LCP, REQUEST, 7, bad))
    assert modem.packets() == []


@pytest.mark.parametrize(
    "bad", [option(1, b"\5"), option(2, b"\0"), option(5, b""), option(7, b"a")]
)
def test_a_known_option_of_another_length_is_rejected(modem: Modem, bad: bytes) -> None:
    modem.tell("init")
    modem.sent = b""
    modem.hear(packet(LCP, REQUEST, 7, bad))
    assert modem.one() == (LCP, REJECT, 7, bad)


def test_padding_behind_a_packet_is_ignored(modem: Modem) -> None:
    """5: octets beyond the length."""
    modem.tell("init")
    modem.sent = b""
    modem.hear(framed(LCP, b"\1\7\0\x0a" + MAGIC + b"padding"))
    assert modem.one() == (LCP, ACK, 7, MAGIC)


@pytest.mark.parametrize("bad", [b"", b"\1", b"\1\7\0\3", b"\1\7\0\x40" + MAGIC])
def test_a_packet_shorter_than_it_says_is_dropped(modem: Modem, bad: bytes) -> None:
    modem.tell("init")
    modem.sent = b""
    modem.hear(framed(LCP, bad))
    assert modem.packets() == []


def test_our_own_magic_number_is_answered_with_another(modem: Modem) -> None:
    """6.4."""
    modem.tell("init")
    _, _, _, body = modem.one()
    modem.hear(packet(LCP, REQUEST, 7, body[6:]))
    _, code, number, answer = modem.one()
    assert (code, number, answer[:2]) == (NAK, 7, b"\5\6")
    assert answer != body[6:]


def test_a_line_that_is_a_loop_is_noticed(modem: Modem) -> None:
    modem.tell("init")
    lines: list[str] = []
    for _ in range(100):
        if again(lines):
            break
        back, modem.sent = modem.sent, b""
        lines = modem.hear(back)
    assert again(lines)


def test_a_line_that_becomes_a_loop_is_noticed(up: Modem) -> None:
    up.tell("advance 10000")
    assert any("loop" in line for line in up.hear(up.sent))


def test_the_password_is_sent_when_it_is_asked_for(modem: Modem) -> None:
    """RFC 1334, 2.2.1."""
    modem.tell("config modem.user=alice")
    modem.tell("config modem.password=secret")
    modem.tell("init")
    modem.lcp(MAGIC + PAP_OPTION)
    assert modem.packets()[-1] == (PAP, 1, 1, b"\5alice\6secret")
    modem.tell("advance 3000")
    assert modem.one() == (PAP, 1, 2, b"\5alice\6secret")
    modem.hear(packet(PAP, 2, 1, b"\0"))  # to the first one: too late
    assert modem.packets() == []
    modem.hear(packet(PAP, 2, 2, b"\0"))
    assert UP in modem.network()


def test_a_refused_password_is_said_and_tried_again_later(modem: Modem) -> None:
    modem.tell("init")
    modem.lcp(PAP_OPTION)
    assert modem.packets()[-1] == (PAP, 1, 1, b"\0\0")
    lines = modem.hear(packet(PAP, 3, 1, b"\2no"))
    assert lines == ["log ppp: the peer refuses modem.user and modem.password, again in 2 s"]
    assert modem.one()[:2] == (LCP, TERMINATE)


def test_silence_to_the_password_ends_the_link(modem: Modem) -> None:
    modem.tell("init")
    modem.lcp(PAP_OPTION)
    assert again(modem.tell("advance 33000"))
    assert [p[0] for p in modem.packets()].count(PAP) == 11


def test_a_password_that_nobody_asked_for_is_not_sent(up: Modem) -> None:
    up.hear(packet(PAP, 2, 0, b"\0"))
    up.hear(packet(PAP, 3, 0, b"\0"))
    assert up.packets() == []


def test_a_name_server_that_is_refused_is_done_without(modem: Modem) -> None:
    modem.tell("init")
    modem.lcp()
    number = modem.packets()[-1][2]
    modem.hear(packet(IPCP, REJECT, number, option(129, bytes(4))))
    assert modem.one()[3] == option(3, bytes(4))


def test_a_static_address_and_name_server_are_asked_for(modem: Modem) -> None:
    modem.tell("config net.address=10.9.8.7")
    modem.tell("config net.dns=10.9.8.1")
    modem.tell("init")
    modem.lcp()
    assert modem.packets()[-1][3] == option(3, "10.9.8.7")


@pytest.mark.parametrize("answer", ["refused", "zero"])
def test_without_an_address_the_link_is_ended(modem: Modem, answer: str) -> None:
    modem.tell("init")
    modem.lcp()
    _, _, number, body = modem.packets()[-1]
    if answer == "refused":
        lines = modem.hear(packet(IPCP, REJECT, number, body[:6]))
    else:
        modem.hear(packet(IPCP, ACK, number, body))
        lines = modem.hear(packet(IPCP, REQUEST, 9, option(3, OURS)))
    assert again(lines)


def test_header_compression_is_rejected_and_a_peer_without_an_address_gets_one(
    modem: Modem,
) -> None:
    """RFC 1332, 3.2 and 3.3."""
    modem.tell("init")
    modem.lcp()
    modem.sent = b""
    jacobson = option(2, b"\0\x2d\x0f\1")
    modem.hear(packet(IPCP, REQUEST, 9, jacobson + option(3, OURS)))
    assert modem.one() == (IPCP, REJECT, 9, jacobson)
    modem.hear(packet(IPCP, REQUEST, 10, option(3, bytes(4))))
    assert modem.one() == (IPCP, NAK, 10, option(3, "10.64.64.64"))
    modem.hear(packet(IPCP, REQUEST, 11, b""))
    assert modem.one() == (IPCP, ACK, 11, b"")


def test_the_peer_may_end_the_link(up: Modem) -> None:
    """5.5."""
    lines = up.hear(packet(LCP, TERMINATE, 9, b"bye"))
    assert "log net: address lost" in lines
    assert "log ppp: the peer ends the link, again in 2 s" in lines
    assert (LCP, TERMINATED, 9, b"") in up.packets()
    assert up.statistics()[4] == 1
    up.tell("advance 3000")
    up.lcp()
    assert UP in up.network()
    assert any("again in 2 s" in line for line in up.hear(packet(LCP, TERMINATE, 9)))


def test_a_peer_that_ends_ipcp_alone_ends_the_link(up: Modem) -> None:
    assert again(up.hear(packet(IPCP, TERMINATE, 9)))
    assert [p[:3] for p in up.packets()] == [(IPCP, TERMINATED, 9), (LCP, TERMINATE, 2)]


@pytest.mark.parametrize("how", ["request", "ack", "terminated"])
def test_a_peer_that_begins_anew_finds_us_willing(up: Modem, how: str) -> None:
    """4.1: Opened with RCR, RCA, RTA."""
    if how == "request":
        lines = up.hear(packet(LCP, REQUEST, 9, MAGIC))
        request, answer = up.packets()
        assert answer == (LCP, ACK, 9, MAGIC)
    else:
        again = packet(LCP, ACK, *up.request) if how == "ack" else packet(LCP, TERMINATED, 9)
        lines = up.hear(again)
        request = up.one()
    assert lines == ["log net: address lost"]
    assert request[:2] == (LCP, REQUEST)
    up.hear(packet(LCP, ACK, request[2], request[3]))
    if how != "request":
        assert up.packets() == []
        up.hear(packet(LCP, REQUEST, 10, MAGIC))
    assert UP in up.network()


def test_a_request_for_ipcp_anew_leaves_lcp_open(up: Modem) -> None:
    lines = up.hear(packet(IPCP, REQUEST, 9, option(3, OURS)))
    assert lines == ["log net: address lost"]
    request, answer = up.packets()
    assert answer == (IPCP, ACK, 9, option(3, OURS))
    assert up.hear(packet(IPCP, ACK, request[2], request[3])) == [UP]


def test_an_echo_is_answered_with_our_magic_number(modem: Modem) -> None:
    """5.8."""
    modem.tell("init")
    magic = modem.one()[3][8:]
    modem.hear(packet(LCP, ECHO, 5, b"abcdefgh"))
    assert modem.packets() == []  # not open
    modem.tell("advance 3000")
    modem.lcp()
    modem.network()
    modem.hear(packet(LCP, ECHO, 5, b"abcdefgh"))
    assert modem.one() == (LCP, ECHO_REPLY, 5, magic + b"efgh")
    modem.hear(packet(LCP, ECHO, 5, b"abc"))
    modem.hear(packet(LCP, DISCARD, 5, b"abcdefgh"))
    assert modem.packets() == []


def test_a_peer_that_is_gone_is_noticed(up: Modem) -> None:
    up.tell("advance 39000")
    assert [p[:2] for p in up.packets()] == [(LCP, ECHO)] * 3
    lines = up.tell("advance 1500")
    assert "log ppp: the peer is silent, again in 2 s" in lines
    assert up.one()[:2] == (LCP, TERMINATE)


def test_a_peer_that_answers_is_kept(up: Modem) -> None:
    for _ in range(30):
        up.tell("advance 10000")
        _, code, number, _ = up.one()
        assert code == ECHO
        assert up.hear(packet(LCP, ECHO_REPLY, number, MAGIC[2:])) == []


def test_an_unknown_code_is_rejected(up: Modem) -> None:
    """5.6, with another number each time."""
    numbers = set()
    for _ in range(2):
        up.hear(packet(LCP, 12, 5, b"what"))
        protocol, code, number, body = up.one()
        assert (protocol, code, body) == (LCP, CODE_REJECT, b"\x0c\5\0\x08what")
        numbers.add(number)
    assert len(numbers) == 2
    up.hear(packet(IPCP, ECHO, 5, b"what"))  # LCP's only
    protocol, code, _, body = up.one()
    assert (protocol, code, body) == (IPCP, CODE_REJECT, b"\x09\5\0\x08what")


def test_an_unknown_protocol_is_rejected(up: Modem) -> None:
    """5.7."""
    up.hear(packet(0x8057, REQUEST, 5, option(1, b"12345678")))
    protocol, code, _, body = up.one()
    assert (protocol, code) == (LCP, PROTOCOL_REJECT)
    assert body == b"\x80\x57\1\5\0\x0e" + option(1, b"12345678")


def test_what_is_rejected_is_cut_to_the_peer_s_mru(modem: Modem) -> None:
    modem.up(option(1, b"\0\x80"))
    modem.hear(framed(0x8057, bytes(300)))
    modem.hear(packet(LCP, 12, 5, bytes(300)))
    for protocol, data in modem.raw_frames():
        assert (protocol, len(data)) == (LCP, 128)


def test_early_packets_of_higher_layers_are_dropped(modem: Modem) -> None:
    """3.4, 5.7: nothing is said about them before LCP is open."""
    modem.tell("init")
    modem.sent = b""
    for protocol in (IPCP, IP, PAP, 0x8057):
        modem.hear(packet(protocol, REQUEST, 1, option(3, OURS)))
    assert modem.packets() == []


@pytest.mark.parametrize(
    ("code", "body"),
    [(CODE_REJECT, b"\1\1\0\4"), (PROTOCOL_REJECT, b"\x80\x21\1\1"), (PROTOCOL_REJECT, b"\0\x21")],
)
def test_a_peer_that_lacks_what_we_need_is_left(up: Modem, code: int, body: bytes) -> None:
    assert again(up.hear(packet(LCP, code, 5, body)))


@pytest.mark.parametrize(
    ("code", "body"), [(CODE_REJECT, b"\x09\1\0\4"), (PROTOCOL_REJECT, b"\x80\x57"), (7, b"")]
)
def test_a_peer_that_lacks_something_else_is_kept(up: Modem, code: int, body: bytes) -> None:
    assert up.hear(packet(LCP, code, 5, body)) == []


def test_damaged_frames_are_counted_and_change_nothing(modem: Modem) -> None:
    modem.tell("init")
    modem.sent = b""
    good = packet(LCP, REQUEST, 7, MAGIC)
    for place in range(1, len(good) - 1):
        if good[place] in (0x7D, 0x7E) or good[place] ^ 0x40 in (0x7D, 0x7E):
            continue
        modem.hear(good[:place] + bytes([good[place] ^ 0x40]) + good[place + 1 :])
    assert modem.packets() == []
    frames_in, _, drops_in, _, _ = modem.statistics()
    assert frames_in == 0
    assert drops_in > 10


@pytest.mark.parametrize("noise", [b"\x7e", b"\x7e\x7e\x7e", b"\x7eab\x7e", b"\x7eabcdef\x7d\x7e"])
def test_what_is_no_frame_is_not_counted(modem: Modem, noise: bytes) -> None:
    """RFC 1662, 4.3: too short, or abandoned."""
    modem.tell("init")
    modem.hear(noise)
    modem.hear(packet(LCP, REQUEST, 7, MAGIC))
    assert modem.packets()[-1] == (LCP, ACK, 7, MAGIC)
    assert modem.statistics()[2] == 0


def test_one_flag_between_frames_is_enough(modem: Modem) -> None:
    """RFC 1662, 3.1."""
    modem.tell("init")
    modem.sent = b""
    modem.hear(packet(LCP, REQUEST, 7, MAGIC)[:-1] + packet(LCP, REQUEST, 8, MAGIC))
    assert [p[2] for p in modem.packets()] == [7, 8]


def test_a_frame_may_come_byte_by_byte(modem: Modem) -> None:
    modem.tell("init")
    modem.sent = b""
    for byte in packet(LCP, REQUEST, 7, MAGIC):
        modem.hear(bytes([byte]))
    assert modem.one() == (LCP, ACK, 7, MAGIC)


def test_characters_that_the_line_puts_in_are_removed(modem: Modem) -> None:
    """RFC 1662, 4.2: those of the default map, until another is agreed on."""
    modem.tell("init")
    modem.sent = b""
    modem.hear(b"\x11\x13\r\n".join(bytes([b]) for b in packet(LCP, REQUEST, 7, MAGIC)))
    assert modem.one() == (LCP, ACK, 7, MAGIC)


def test_short_headers_are_understood(up: Modem) -> None:
    """6.5, 6.6."""
    data = struct.pack(">BBH", ECHO, 5, 8) + MAGIC[2:]
    body = b"\xc0\x21" + data  # no address and control
    up.hear(stuffed(body + struct.pack("<H", fcs(body))))
    assert up.one()[1] == ECHO_REPLY
    body = b"\x21" + echo_request(bytes(8))
    up.hear(stuffed(body + struct.pack("<H", fcs(body))))
    assert up.raw_frames()[0][0] == IP


def test_the_longest_frame_fits_and_a_longer_one_is_dropped(up: Modem) -> None:
    up.hear(framed(IP, echo_request(bytes(1472)), 0))
    ((protocol, answer),) = up.raw_frames()
    assert (protocol, len(answer)) == (IP, 1500)
    before = up.statistics()[2]
    up.hear(framed(IP, echo_request(bytes(1473)), 0))
    assert up.packets() == []
    assert up.statistics()[2] == before + 1
    up.hear(framed(IP, echo_request(b"x"), 0))
    assert len(up.raw_frames()) == 1


def ipv4(protocol: int, payload: bytes) -> bytes:
    ends = socket.inet_aton(OURS) + socket.inet_aton(GUEST)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    return head[:10] + struct.pack(">H", checksum(head + ends)) + ends + payload


def echo_request(data: bytes) -> bytes:
    """ICMP."""
    total = checksum(b"\x08\0\0\0\0\1\0\1" + data)
    return ipv4(1, b"\x08\0" + struct.pack(">H", total) + b"\0\1\0\1" + data)


def segment(port: int, seq: int, ack: int, flags: int, data: bytes = b"") -> bytes:
    tcp = struct.pack(">HHIIBBHHH", 1883, port, seq, ack, 0x50, flags, 8192, 0, 0) + data
    ends = socket.inet_aton(OURS) + socket.inet_aton(GUEST)
    total = checksum(ends + struct.pack(">HH", 6, len(tcp)) + tcp)
    return ipv4(6, tcp[:16] + struct.pack(">H", total) + tcp[18:])


@pytest.mark.parametrize("accm", [0, ALL])
def test_every_byte_gets_through(modem: Modem, accm: int) -> None:
    """RFC 1662, 4.2: both ways, whatever is escaped."""
    modem.up(MAGIC + option(2, struct.pack(">I", accm)))
    data = bytes(range(256)) * 2
    modem.hear(framed(IP, echo_request(data), accm))
    ((protocol, answer),) = modem.raw_frames()
    assert protocol == IP
    assert answer[28:] == data


@pytest.mark.parametrize("mru", [128, 576, 1500])
def test_a_stream_is_opened_and_written_in_pieces_that_the_peer_takes(
    modem: Modem, mru: int
) -> None:
    modem.up(option(1, struct.pack(">H", mru)))
    assert modem.tell(f"open {OURS} 1883") == ["0"]
    ((protocol, syn),) = modem.raw_frames()
    assert protocol == IP
    port, seq = struct.unpack(">H", syn[20:22])[0], struct.unpack(">I", syn[24:28])[0]
    assert syn[40:44] == b"\2\4" + struct.pack(">H", mru - 40)  # MSS
    answer = segment(port, 1000, seq + 1, 0x12)
    assert modem.hear(framed(IP, answer, 0)) == ["opened"]
    modem.raw_frames()
    modem.tell("write " + "x" * 1200)
    sizes = [len(data) for _, data in modem.raw_frames()]
    assert sizes
    assert max(sizes) <= mru
    got = segment(port, 1001, seq + 1, 0x18, b"hello")
    assert f"received {b'hello'.hex()}" in modem.hear(framed(IP, got, 0))


def test_the_peer_s_name_server_is_asked(up: Modem) -> None:
    up.tell("open broker.example 1883")
    ((_, query),) = up.raw_frames()
    assert query[16:20] == socket.inet_aton(DNS)
    assert struct.unpack(">H", query[22:24]) == (53,)


def test_a_line_that_takes_nothing_is_counted_and_survived(modem: Modem) -> None:
    modem.up()
    modem.tell("stuck 1")
    modem.tell("advance 41000")
    assert modem.statistics()[3] >= 4
    modem.tell("stuck 0")
    modem.peer = Provider()
    modem.tell("advance 20000")
    assert modem.log.count(UP) == 2


def test_without_the_uart_there_is_no_network(modem: Modem) -> None:
    modem.tell("absent 1")
    assert modem.tell("init")[-1].startswith("log net: no modem")
    modem.tell("advance 100000")
    assert modem.sent == b""


CHAT = [
    (b"+++", b""),
    (b"ATH\r", b"ATH\r\r\nERROR\r\n"),
    (b"AT\r", b"AT\r\r\nOK\r\n"),
    (b'AT+CGDCONT=1,"IP","iot.example"\r', b"\r\nOK\r\n"),
    (b"ATD*99#\r", b"\r\nCONNECT 115200\r\n"),
]


def dial(modem: Modem, chat: list[tuple[bytes, bytes]]) -> list[str]:
    """The modem's part of it; the log of the last step."""
    lines: list[str] = []
    for wanted, answer in chat:
        for _ in range(40):
            if modem.sent:
                break
            modem.tell("advance 250")
        assert modem.sent == wanted
        modem.sent = b""
        lines = modem.hear(answer) if answer else []
    return lines


def test_a_modem_is_dialled_when_there_is_an_access_point(modem: Modem) -> None:
    modem.tell("config modem.apn=iot.example")
    modem.tell("init")
    assert modem.sent == b""  # a second of silence around +++
    modem.tell("advance 1000")
    assert modem.sent == b""
    dial(modem, CHAT)
    modem.lcp()
    assert UP in modem.network()


def test_another_number_may_be_dialled(modem: Modem) -> None:
    modem.tell("config modem.apn=iot.example")
    modem.tell("config modem.number=*99***1#")
    modem.tell("init")
    dial(modem, [*CHAT[:-1], (b"ATD*99***1#\r", b"\r\nCONNECT\r\n")])
    assert modem.one()[:2] == (LCP, REQUEST)


@pytest.mark.parametrize("answer", [b"\r\nERROR\r\n", b"\r\nNO CARRIER\r\n", b"\nBUSY\r", b""])
def test_a_call_that_fails_is_made_again(modem: Modem, answer: bytes) -> None:
    modem.tell("config modem.apn=iot.example")
    modem.tell("init")
    lines = dial(modem, [*CHAT[:-1], (b"ATD*99#\r", answer)])
    if not answer:
        assert not again(modem.tell("advance 59000"))
        lines = modem.tell("advance 1000")
    assert lines == ["log ppp: modem: no CONNECT to ATD", "log ppp: not connected, again in 2 s"]
    dial(modem, CHAT)
    modem.lcp()
    assert UP in modem.network()


def test_a_modem_that_says_nothing_is_asked_again_for_ever(modem: Modem) -> None:
    modem.tell("config modem.apn=iot.example")
    modem.tell("init")
    for _ in range(6):
        modem.tell("advance 100000")
    assert modem.sent.count(b"AT\r") >= 5
    assert b"CGDCONT" not in modem.sent


def test_a_modem_that_hangs_up_is_dialled_again(modem: Modem) -> None:
    modem.tell("config modem.apn=iot.example")
    modem.tell("init")
    dial(modem, CHAT)
    modem.lcp()
    modem.network()
    modem.hear(b"\r\nNO CARRIER\r\n")
    assert again(modem.tell("advance 41000"))
    modem.sent = b""
    dial(modem, CHAT)


@pytest.mark.parametrize("seed", range(6))
def test_a_line_that_loses_frames_comes_up(program: Path, seed: int) -> None:
    chance = random.Random(seed)
    modem = Modem(program)
    modem.peer = Provider()
    modem.lost = lambda: chance.random() < 0.3
    modem.tell("init")
    for _ in range(120):
        if UP in modem.log:
            break
        modem.tell("advance 1000")
    assert UP in modem.log
    modem.close()


@pytest.mark.parametrize("seed", range(6))
def test_random_bytes_do_no_harm(program: Path, seed: int) -> None:
    """Noise, and frames that are almost right, in every phase; then a peer that works."""
    chance = random.Random(seed)
    modem = Modem(program)
    provider = Provider()
    modem.peer = lambda protocol, data: provider(protocol, data) if chance.random() < 0.5 else b""
    modem.tell("init")
    for _ in range(300):
        kind = chance.randrange(4)
        if kind == 0:
            modem.hear(chance.randbytes(chance.randrange(1, 300)))
        elif kind == 1:
            body = chance.randbytes(chance.randrange(40))
            protocol = chance.choice([LCP, IPCP, PAP, IP, 0x8057])
            modem.hear(packet(protocol, chance.randrange(14), chance.randrange(256), body))
        elif kind == 2:
            length = chance.choice([0, 4, chance.randrange(65536)])
            head = struct.pack(">BBH", chance.randrange(12), chance.randrange(256), length)
            modem.hear(framed(chance.choice([LCP, IPCP]), head + chance.randbytes(20), 0))
        else:
            modem.tell(f"advance {chance.randrange(4000)}")
    modem.peer = provider
    before = len(modem.log)
    for _ in range(50):
        modem.tell("advance 10000")
    ups = [line for line in modem.log[before:] if line == UP]
    assert ups or "address lost" not in "".join(modem.log[before:])
    modem.close()


def test_slirp_s_ppp_carries_a_stream(modem: Modem) -> None:
    """An implementation of others, of 1995, with user networking behind it."""
    slirp = shutil.which("slirp-fullbolt")
    if slirp is None:
        pytest.skip("slirp is not installed")
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = subprocess.Popen(
            [slirp, "ppp"], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL
        )
        try:
            assert any("(PPP)" in line for line in _carried(modem, ours, ["init"], "(PPP)"))
            port = server.getsockname()[1]
            _carried(modem, ours, [f"open 10.0.2.2 {port}"], "opened")
            connection, _ = server.accept()
            with connection:
                text = bytes(range(256)).hex()
                _carried(modem, ours, [f"write {text}"], "")
                connection.settimeout(10)
                assert connection.recv(4096)[:16] == text[:16].encode()
                connection.sendall(bytes(range(256)) * 4)
                got = ""
                while len(got) < 2048:
                    lines = _carried(modem, ours, [], "received ")
                    got += "".join(line[9:] for line in lines if line.startswith("received "))
                assert got == (bytes(range(256)) * 4).hex()
        finally:
            peer.kill()
            peer.wait()
            os.close(ours)
            os.close(theirs)


def _carried(modem: Modem, line: int, commands: list[str], wanted: str) -> list[str]:
    """What the program says while bytes go to and fro, until something of it has `wanted`."""
    lines = [text for command in commands for text in modem.tell(command)]
    end = time.monotonic() + 20
    while True:
        while modem.sent:
            chunk, modem.sent = modem.sent, b""
            os.write(line, chunk)
        if any(wanted in text for text in lines) or (not wanted and lines):
            return lines
        assert time.monotonic() < end, lines
        if select.select([line], [], [], 0.25)[0]:
            lines += modem.hear(os.read(line, 1024))
        else:
            lines += modem.tell("advance 250")
