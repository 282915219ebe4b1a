"""PPP of net/ppp: how a link ends and is noticed to be gone, and how a modem is dialled and dialled
again. Numbers in comments are sections of RFC 1661 unless said otherwise.
"""

import pytest
from net_peer import COMPILER, LWIP
from ppp_peer import (
    ACK,
    CODE_REJECT,
    DISCARD,
    ECHO,
    ECHO_REPLY,
    IPCP,
    LCP,
    MAGIC,
    OURS,
    PROTOCOL_REJECT,
    REQUEST,
    TERMINATE,
    TERMINATED,
    UP,
    Modem,
    again,
    option,
    packet,
)

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]


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
