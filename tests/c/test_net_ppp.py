"""PPP of net/ppp with a peer that the test plays: what the two agree on, as the RFCs ask for, and
peers that behave badly. Numbers in comments are sections of RFC 1661 unless said otherwise.
"""

import struct

import pytest
from net_peer import COMPILER, LWIP
from ppp_peer import (
    ACK,
    ALL,
    CODE_REJECT,
    DNS,
    ECHO,
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
    UP,
    Modem,
    again,
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
PAP_OPTION = b"\x03\x04\xc0\x23"
CHAP_OPTION = b"\x03\x05\xc2\x23\x05"


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
