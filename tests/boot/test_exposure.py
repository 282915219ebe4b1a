"""What a stranger on the same network sees of a gateway: nothing but answers to ARP and ping; and
what it can foresee of its packets: nothing. `Stranger` is a host on the tests' network that sends
whatever it likes and hears all that the gateway sends.
"""

import functools
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from boot_lan import ARP, BROADCAST, IPV4, UDP, Lan
from boot_rig import LIMIT_S, WAVE, Built, statistics_until

from edgeuk.build import build
from edgeuk.catalog import find_board
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve

ROOT = Path(__file__).parents[2]
GATEWAY, STRANGER = "10.0.2.15", "10.0.2.99"
STRANGER_MAC = bytes.fromhex("525500000099")
ICMP, TCP = 1, 6
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ASK_AGAIN_S, ASKED_MAX = 5.0, 10
BURST = 64  # QEMU's LAN9118 loses what its FIFO does not hold, and does not say so
EVERY_PORT = range(1, 65536)
# TCP ports; one of each network driver that QEMU has a device for, and of each architecture. For
# UDP all of them only on the first: above the drivers all are alike. PPP is slow.
SOME_PORTS = range(1, 4096)
SCANNED = {
    "x86-microvm": EVERY_PORT,
    "lm3s6965evb": EVERY_PORT,
    "mps2-an385": EVERY_PORT,
    "imx6ul-evk": EVERY_PORT,
    "x86-pc with e1000e": EVERY_PORT,
    "virt-aarch64": SOME_PORTS,
    "rpi4": range(1, 1024),
}
FIRST, FRAGMENT = 0x2000, 1  # more fragments follow; the fragment at offset 8


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(
    protocol: int, payload: bytes, *, to: str = GATEWAY, offset: int = 0, options: bytes = b""
) -> bytes:
    """An IP packet of the stranger's (RFC 791)."""
    words = 5 + len(options) // 4
    ends = socket.inet_aton(STRANGER) + socket.inet_aton(to)
    length = 4 * words + len(payload)
    head = struct.pack(">BBHHHBBH", 0x40 | words, 0, length, 1, offset, 64, protocol, 0)
    total = checksum(head + ends + options)
    return head[:10] + struct.pack(">H", total) + ends + options + payload


def tcp(port: int, flags: int) -> bytes:
    """A segment's header (RFC 9293, 3.1)."""
    head = struct.pack(">HHIIBBHHH", 40000, port, 1, 1, 0x50, flags, 1024, 0, 0)
    ends = socket.inet_aton(STRANGER) + socket.inet_aton(GATEWAY)
    total = checksum(ends + struct.pack(">HH", TCP, len(head)) + head)
    return head[:16] + struct.pack(">H", total) + head[18:]


def ping(number: int) -> bytes:
    head = struct.pack(">BBHHH", 8, 0, 0, number, 1)
    return head[:2] + struct.pack(">H", checksum(head)) + head[4:]


class Stranger(Lan):
    """A network with a stranger on it."""

    def __init__(self) -> None:
        super().__init__()
        self.address = GATEWAY
        self.sent: list[bytes] = []  # by the gateway, every frame
        self.heard: list[bytes] = []  # IP packets of the gateway for the stranger
        self.mac = b""
        self.pings = itertools.count(1000)
        self.news = threading.Condition()  # of `heard`

    def _frame(self, end: socket.socket, frame: bytes) -> None:
        if end is not self._gateway:
            super()._frame(end, frame)
            return
        self.mac = frame[6:12]
        self.sent.append(frame)
        if frame[12:14] == struct.pack(">H", ARP) and frame[38:42] == socket.inet_aton(STRANGER):
            reply = self.mac + STRANGER_MAC + frame[12:20] + b"\0\2" + STRANGER_MAC
            self._send(end, reply + frame[38:42] + frame[22:32])
        elif frame[12:14] == struct.pack(">H", IPV4) and frame[30:34] == socket.inet_aton(STRANGER):
            with self.news:  # over PPP they have the router's hardware address
                self.heard.append(frame[14:])
                self.news.notify_all()
        else:
            super()._frame(end, frame)

    def tell(self, packets: Iterable[bytes], *, mac: bytes = b"") -> int:
        """Send packets, none of which is lost on the way into the emulator; returns how many."""
        count = 0
        for packet in packets:
            frame = (mac or self.mac) + STRANGER_MAC + struct.pack(">H", IPV4) + packet
            frame += bytes(max(0, 60 - len(frame)))
            while True:
                try:
                    self._gateway.sendto(frame, self._peers[self._gateway])
                    break
                except BlockingIOError:
                    select.select([], [self._gateway], [], 0.01)
            count += 1
        return count

    def answers(self, packets: Iterable[bytes], *, mac: bytes = b"") -> list[bytes]:
        """What comes back. A ping goes behind every BURST: what comes before its echo is all there
        is, as the gateway takes one packet after the other and answers at once."""
        self.heard.clear()
        rest = iter(packets)
        while burst := list(itertools.islice(rest, BURST)):
            self.tell(burst, mac=mac)
            assert any(self._echoed(next(self.pings) & 0xFFFF) for _ in range(ASKED_MAX)), "no echo"
        return list(self.heard)

    def _echoed(self, number: int) -> bool:
        """Whether a ping is answered; its answer is not kept."""
        self.tell([ipv4(ICMP, ping(number))])
        with self.news:
            came = self.news.wait_for(
                lambda: any(is_echo(packet, number) for packet in self.heard), ASK_AGAIN_S
            )
            self.heard[:] = [packet for packet in self.heard if not is_echo(packet, number)]
        return came


@pytest.fixture
def stranger():
    with Stranger() as running:
        yield running


def is_echo(packet: bytes, number: int) -> bool:
    return packet[9] == ICMP and packet[20:22] == b"\0\0" and packet[24:26] == number.to_bytes(2)


def flags_of(packet: bytes) -> tuple[int, int, int]:
    """Protocol, source port and flags of a TCP answer."""
    return packet[9], struct.unpack_from(">H", packet, 20)[0], packet[33]


def with_card(built: Built, card: str) -> Built:
    """The same in a PC with another network card."""
    board = built.image.board
    args = tuple(arg.replace("virtio-net-pci", card) for arg in board.qemu.args)
    board = replace(board, qemu=replace(board.qemu, args=args))
    return replace(built, image=replace(built.image, board=board))


@functools.cache
def knocks(ports: range) -> list[bytes]:
    """A SYN for every port."""
    return [ipv4(TCP, tcp(port, SYN)) for port in ports]


@pytest.mark.parametrize("machine", SCANNED)
def test_an_image_that_opens_no_port_answers_on_none(
    gateways, boot, broker, monitor, stranger, machine
):
    board, _, card = machine.partition(" with ")
    built = gateways(board, WAVE)
    if card:
        built = with_card(built, card)
    boot(built, {"mqtt.port": str(broker.port)}, netdev=stranger.netdev, extra=stranger.extra)
    before = statistics_until(monitor, lambda found: found["connects"] == 1)
    ports = SCANNED[machine] if board == "x86-microvm" else SOME_PORTS
    datagrams = [ipv4(UDP, struct.pack(">HHHH", 53, port, 8, 0)) for port in ports]
    odd = [p for p in range(256) if p not in (ICMP, TCP, UDP)]
    unwanted = [
        *knocks(SCANNED[machine]),
        *(
            ipv4(TCP, tcp(port, flags))
            for port in (22, 1883)
            for flags in (0, FIN, FIN | PSH | URG)
        ),
        *(ipv4(protocol, bytes(32)) for protocol in odd),
        ipv4(ICMP, ping(1), options=bytes.fromhex("01010101")),
        ipv4(TCP, tcp(80, SYN), options=bytes.fromhex("83070400000000 00")),  # source route
        ipv4(ICMP, ping(1), offset=FIRST),
        ipv4(TCP, tcp(80, SYN), offset=FRAGMENT),
    ]
    assert stranger.answers([*unwanted, *datagrams]) == []
    assert stranger.answers([ipv4(ICMP, ping(1), to="255.255.255.255")], mac=BROADCAST) == []
    assert stranger.answers([ipv4(ICMP, ping(1), to="10.0.2.255")], mac=BROADCAST) == []
    after = statistics_until(monitor, lambda found: found["unwanted"] >= len(unwanted))
    assert after["unwanted"] == len(unwanted)
    assert after["connects"] == before["connects"]
    # What is answered: a ping, and a connection from before a reset.
    (echo,) = stranger.answers([ipv4(ICMP, ping(7))])
    assert is_echo(echo, 7)
    (reset,) = stranger.answers([ipv4(TCP, tcp(50000, ACK))])
    assert flags_of(reset) == (TCP, 50000, RST | ACK)


def test_a_service_answers_on_its_port_and_on_no_other(boot, stranger, catalog, tmp_path):
    gateway = load_gateway(ROOT / "examples/http-hello/gateway.toml", catalog)
    image = resolve(gateway, find_board(catalog, "x86-microvm"), catalog)
    built = Built(image, build(image, tmp_path / "build"))
    machine = boot(built, netdev=stranger.netdev, extra=stranger.extra)
    machine.wait_line(f"{GATEWAY}/24", LIMIT_S)
    ports = range(1, 10000)
    answers = stranger.answers(ipv4(TCP, tcp(port, SYN)) for port in ports)
    assert {flags_of(a) for a in answers} == {(TCP, 8080, SYN | ACK)}


SERVER_COUNT = 6
METERS = "[servers]\n" + "".join(f's{i} = "s{i}.example:502"\n' for i in range(SERVER_COUNT))
METERS += "".join(
    f"""
[[sensor]]
name = "m{i}"
driver = "modbus_tcp"
at = "s{i}/1"
register = "input:0"
every = "1s"
"""
    for i in range(SERVER_COUNT)
)
BOOTS = 6


def foreseeable(stranger: Stranger) -> dict[str, list[int]]:
    """The numbers of one boot that nobody may foresee, each kind in its order."""
    found: dict[str, list[int]] = {"xid": [], "dns id": [], "dns port": [], "isn": [], "port": []}
    for frame in list(stranger.sent):
        if frame[12:14] != struct.pack(">H", IPV4):
            continue
        source, target = struct.unpack_from(">HH", frame, 34)
        if frame[23] == TCP and frame[47] == SYN:
            numbers = {"isn": struct.unpack_from(">I", frame, 38)[0], "port": source}
        elif frame[23] == UDP and target == 53:
            numbers = {"dns id": struct.unpack_from(">H", frame, 42)[0], "dns port": source}
        elif frame[23] == UDP and target == 67:
            numbers = {"xid": struct.unpack_from(">I", frame, 46)[0]}
        else:
            continue
        for kind, number in numbers.items():
            if number not in found[kind]:  # else it was sent again
                found[kind].append(number)
    return found


@pytest.mark.parametrize("board", ["x86-microvm", "lm3s6965evb"])
def test_no_number_of_a_packet_can_be_foreseen(gateways, boot, board):
    """The same image and the same device configuration, booted several times. Were all bits random,
    one of the assertions would fail once in some hundred thousand runs."""
    built = gateways(board, METERS)
    boots = []
    for _ in range(BOOTS):
        with Stranger() as stranger:
            stranger.names = {f"s{i}.example": STRANGER for i in range(SERVER_COUNT)}
            machine = boot(built, {"mqtt.host": ""}, netdev=stranger.netdev, extra=stranger.extra)
            until = time.monotonic() + LIMIT_S
            while len((found := foreseeable(stranger))["isn"]) < SERVER_COUNT:
                assert time.monotonic() < until, f"only {found}"
                time.sleep(0.05)
            boots.append(found)
            machine.stop()
    for kind, bits in (("xid", 32), ("isn", 32), ("dns id", 16), ("dns port", 14), ("port", 14)):
        each = [found[kind] for found in boots]
        every = [number for numbers in each for number in numbers]
        assert len(each[0]) >= (1 if kind == "xid" else SERVER_COUNT), boots
        assert len({tuple(numbers) for numbers in each}) == BOOTS, f"{kind} repeats: {each}"
        # Neither up nor down in steps: hardly any lies near the one before.
        near = [b for n in each for a, b in itertools.pairwise(n) if abs(a - b) < 2 ** (bits - 12)]
        assert len(near) <= 2, f"{kind}: {each}"
        if kind != "xid":  # of which there are too few
            stuck = [bit for bit in range(bits) if len({n >> bit & 1 for n in every}) == 1]
            assert not stuck, f"{kind}: bits {stuck} never change: {each}"
