"""PPP of net/ppp on its line: frames, damaged or in pieces, what they carry, random bytes; and
slirp's PPP as a peer.
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
from pathlib import Path

import pytest
from net_peer import COMPILER, LWIP, checksum
from ppp_peer import (
    ACK,
    ALL,
    DNS,
    ECHO,
    ECHO_REPLY,
    GUEST,
    IP,
    IPCP,
    LCP,
    MAGIC,
    OURS,
    PAP,
    REQUEST,
    UP,
    Modem,
    Provider,
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


def test_the_examples_of_the_fcs_are_those_of_the_rfc() -> None:
    """RFC 1662, C.2: the sum over a frame and its FCS is 0xF0B8 before the complement."""
    assert fcs(b"123456789") == 0x906E  # CRC-16/X-25's check value
    assert fcs(b"123456789" + struct.pack("<H", 0x906E)) ^ 0xFFFF == 0xF0B8


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


@pytest.mark.parametrize("seed", range(6))
def test_a_line_that_loses_frames_comes_up(ppp_program: Path, seed: int) -> None:
    chance = random.Random(seed)
    modem = Modem(ppp_program)
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
def test_random_bytes_do_no_harm(ppp_program: Path, seed: int) -> None:
    """Noise, and frames that are almost right, in every phase; then a peer that works."""
    chance = random.Random(seed)
    modem = Modem(ppp_program)
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
