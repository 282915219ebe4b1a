"""The PPP peer that QEMU's boards with a modem talk to: framing, the negotiation, and the bridge to
Ethernet. The vectors are RFC 1662's, and frames that slirp's PPP (1995) sent.
"""

import contextlib
import select
import socket
import struct

import pytest

from edgeuk.run.ppp import ACK, FLAG, IP, IPCP, LCP, Addresses, Link, Modem, decode, encode, fcs

# Asynchronous maps, magic numbers and addresses as slirp-fullbolt sent them on a line.
SLIRP = bytes.fromhex("ff03c02102010012010405dc05066fd5ece207020802611e")
GUEST = bytes([10, 0, 2, 15])
HOST = bytes([10, 0, 2, 2])


def test_the_check_sequence_is_that_of_the_rfc():
    assert fcs(b"123456789") ^ 0xFFFF == 0x906E  # CRC-16/X-25's check value
    assert fcs(SLIRP) == 0xF0B8  # RFC 1662, C.2: good


def test_a_frame_of_others_is_decoded():
    assert decode(SLIRP) == (LCP, SLIRP[4:-2])
    assert decode(SLIRP[:-1] + b"\0") is None
    assert decode(b"") is None


@pytest.mark.parametrize("accm", [0, 0xFFFFFFFF])
def test_every_byte_gets_through(accm):
    data = bytes(range(256))
    raw = encode(IP, data, accm=accm)
    assert raw[0] == raw[-1] == FLAG
    assert FLAG not in raw[1:-1]
    assert not accm or min(raw) >= 0x20
    assert decode(raw[1:-1]) == (IP, data)


def control(code, number, body):
    return struct.pack(">BBH", code, number, 4 + len(body)) + body


def test_the_guest_gets_address_and_name_server():
    link = Link(Addresses.of("user,id=net0"))
    lcp = bytes.fromhex("0206000000000506deadbeef")
    request, ack = link.receive(LCP, control(1, 7, lcp))
    assert request[1][0] == 1
    assert ack == (LCP, control(ACK, 7, lcp))
    ((protocol, nak),) = link.receive(IPCP, control(1, 8, b"\3\6\0\0\0\0\x81\6\0\0\0\0"))
    assert protocol == IPCP
    assert nak == control(3, 8, b"\3\6" + GUEST + b"\x81\6\x0a\0\2\3")
    _, ack = link.receive(IPCP, control(1, 9, nak[4:]))
    assert ack[1] == control(ACK, 9, nak[4:])
    assert link.address == GUEST


def test_a_guest_with_an_address_of_its_own_keeps_it():
    netdev = "user,id=net0,net=192.168.7.0/24,host=192.168.7.1,dns=192.168.7.3"
    link = Link(Addresses.of(netdev))
    asked = b"\3\6" + bytes([192, 168, 7, 20])
    request, ack = link.receive(IPCP, control(1, 1, asked))
    assert request[1][4:] == b"\3\6" + bytes([192, 168, 7, 1])
    assert ack[1] == control(ACK, 1, asked)


def test_what_is_unknown_is_rejected():
    link = Link(Addresses.of("user,id=net0"))
    assert link.receive(LCP, control(1, 1, b"\x0d\3\6")) == [(LCP, control(4, 1, b"\x0d\3\6"))]
    assert link.receive(0x8057, b"abcd")[0][1][0] == 8
    assert link.receive(LCP, control(99, 1, b""))[0][1][0] == 7
    assert link.receive(LCP, b"\1\1\0\x63") == []  # shorter than it says
    assert link.receive(LCP, control(9, 5, b"abcdef")) == [(LCP, control(10, 5, b"\0\0\0\0ef"))]


@pytest.fixture
def modem():
    """A modem whose other ends are the test's."""
    made = Modem("user,id=net0")
    line, ether = (socket.socket(fileno=socket.dup(fd)) for fd in made.descriptors)
    line.settimeout(10)
    ether.settimeout(10)
    made.start()
    yield made, line, ether
    made.close()
    line.close()
    ether.close()


def frame(connection):
    """The next one between flags."""
    raw = b""
    while not raw.endswith(b"\x7e") or len(raw) < 2:
        raw += connection.recv(1)
        raw = raw.replace(b"\x7e\x7e", b"\x7e")
    return decode(raw.strip(b"\x7e"))


def test_packets_cross_to_ethernet_and_back(modem):
    _, line, ether = modem
    line.sendall(encode(IPCP, control(1, 9, b"\3\6" + GUEST)))
    assert frame(line)[1][0] == 1
    assert frame(line)[1][0] == ACK
    packet = b"\x45\0\0\x18" + bytes(12) + HOST + b"ping"
    line.sendall(encode(IP, packet, accm=0))
    sent = ether.recv(100)
    assert sent == struct.pack(">I", 14 + len(packet)) + sent[4:16] + b"\x08\0" + packet
    ours = sent[10:16]  # the hardware address that stands for the guest
    question = b"\0\1\x08\0\6\4\0\1" + b"router" + HOST + bytes(6) + GUEST
    whole = b"\xff" * 6 + b"router" + b"\x08\x06" + question
    ether.sendall(struct.pack(">I", len(whole)) + whole)
    assert ether.recv(100)[18:] == b"\0\1\x08\0\6\4\0\2" + ours + GUEST + b"router" + HOST
    answer = b"\x45\0\0\x18" + bytes(12) + GUEST + b"pong"
    whole = ours + b"router" + b"\x08\0" + answer + bytes(22)  # padded
    ether.sendall((struct.pack(">I", len(whole)) + whole) * 2)
    assert frame(line) == (IP, answer)


def test_commands_of_a_modem_are_answered(modem):
    _, line, _ = modem
    for command, answer in ((b"+++", b""), (b"ATH\r", b"OK"), (b"ATD*99#\r", b"CONNECT")):
        line.sendall(command)
        assert not answer or answer in line.recv(100)


def test_an_end_that_writes_and_does_not_read_is_heard(modem):
    """As QEMU does, which reads nothing while the guest writes a byte to its UART."""
    _, line, ether = modem
    line.sendall(encode(IPCP, control(1, 1, b"\3\6" + GUEST)))
    assert line.recv(4096)  # the link is open
    packet = struct.pack(">BBH", 0x45, 0, 1400) + bytes(8) + HOST + GUEST + bytes(1380)
    whole = struct.pack(">I", 14 + len(packet)) + bytes(12) + b"\x08\0" + packet
    ether.setblocking(False)
    while select.select([], [ether], [], 0.3)[1]:  # until nobody takes any more
        with contextlib.suppress(BlockingIOError):
            ether.send(whole)
    line.sendall(encode(IP, bytes(12) + GUEST + HOST))
    ether.settimeout(10)
    assert ether.recv(100)[4 + 12 : 4 + 14] == b"\x08\0"
