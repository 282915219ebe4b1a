"""net/lwip with sanitizers and lwIP's own assertions, on an Ethernet played by the test: DHCP, a
refused renewal, link loss, a TCP connection. Frames by RFC 826, 791, 2131, 9293.
"""

import shutil
import socket
import struct
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeuk.third_party import load, locate

ROOT = Path(__file__).parents[2]
NET = ROOT / "firmware/net/lwip"
LWIP = locate(load()["lwip"])
COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=c11", "-O1", "-g", "-w", "-fsanitize=address,undefined", "-DEK_NET_ASSERT"]
MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("0200000000aa")
SERVER = "10.0.2.2"
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
FIN, SYN, RST, PSH, ACKED = 1, 2, 4, 8, 16
EIO, ETIMEDOUT, ECLOSED, EREFUSED = -2, -3, -7, -8

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ipv4(protocol: int, source: str, target: str, payload: bytes) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    head = head[:10] + struct.pack(">H", checksum(head + ends)) + ends
    return MAC + PEER + b"\x08\x00" + head + payload


class Machine:
    """The program under test, and its peers on the wire."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.dhcp_address = "10.0.2.15"
        self.dhcp_answer: int | None = ACK  # to a request; None: the server is silent
        self.dhcp_seen: list[int] = []
        self.segments: list[tuple[int, int, int, int, bytes]] = []  # port, seq, ack, flags, data
        self.ip = ""

    def tell(self, line: str) -> list[str]:
        """Events and log lines in answer to `line`; the peers have answered every frame."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        seen: list[str] = []
        frames: list[str] = []
        while (text := self._process.stdout.readline().rstrip("\n")) != ".":
            assert text or self._process.poll() is None, "the program died"
            (frames if text.startswith("tx ") else seen).append(text)
        for frame in frames:
            for answer in self._answer(bytes.fromhex(frame[3:])):
                seen += self.tell(f"rx {answer.hex()}")
        return seen

    def _answer(self, frame: bytes) -> list[bytes]:
        kind = frame[12:14]
        if kind == b"\x08\x06" and frame[20:22] == b"\0\1" and frame[38:42] != frame[28:32]:
            reply = b"\0\1\x08\0\6\4\0\2" + PEER + frame[38:42] + MAC + frame[28:32]
            return [MAC + PEER + kind + reply]
        if kind != b"\x08\x00":
            return []
        assert checksum(frame[14:34]) == 0
        if frame[23] == 17 and frame[36:38] == b"\0\x43":
            return self._dhcp(frame[42:])
        if frame[23] == 6:
            port, _, seq, ack, offset, flags = struct.unpack(">HHIIBB", frame[34:48])
            length = struct.unpack(">H", frame[16:18])[0]
            data = frame[34 + (offset >> 4) * 4 : 14 + length]
            self.segments.append((port, seq, ack, flags, data))
        return []

    def _dhcp(self, message: bytes) -> list[bytes]:
        kind = message[message.index(b"\x35\x01", 240) + 2]
        self.dhcp_seen.append(kind)
        reply = OFFER if kind == DISCOVER else self.dhcp_answer if kind == REQUEST else None
        if reply is None or self.dhcp_answer is None:
            return []
        if reply == NAK:
            self.dhcp_answer = ACK  # the next one is granted
        server = socket.inet_aton(SERVER)
        address = bytes(4) if reply == NAK else socket.inet_aton(self.dhcp_address)
        if reply != NAK:
            self.ip = self.dhcp_address
        body = b"\2\1\6\0" + message[4:8] + bytes(8) + address + server + bytes(4)
        body += message[28:236] + b"\x63\x82\x53\x63" + bytes([0x35, 1, reply]) + b"\x36\4" + server
        if reply != NAK:
            body += b"\1\4\xff\xff\xff\0" + b"\3\4" + server + b"\x33\4" + struct.pack(">I", 100)
        body += b"\xff"
        udp = struct.pack(">HHHH", 67, 68, 8 + len(body), 0) + body
        return [ipv4(17, SERVER, "255.255.255.255", udp)]

    def segment(self, port: int, seq: int, ack: int, flags: int, data: bytes = b"") -> list[str]:
        """A TCP segment from port 1883 of the server."""
        tcp = struct.pack(">HHIIBBHHH", 1883, port, seq, ack, 0x50, flags, 8192, 0, 0) + data
        ends = socket.inet_aton(SERVER) + socket.inet_aton(self.ip)
        total = checksum(ends + struct.pack(">HH", 6, len(tcp)) + tcp)
        tcp = tcp[:16] + struct.pack(">H", total) + tcp[18:]
        return self.tell(f"rx {ipv4(6, SERVER, self.ip, tcp).hex()}")

    def connect(self) -> tuple[int, int]:
        """An open stream: its port, and the next sequence number that it will send."""
        assert self.tell(f"open {SERVER} 1883") == ["0"]
        port, seq, _, flags, _ = self.segments[-1]
        assert flags == SYN
        assert self.segment(port, 1000, seq + 1, SYN | ACKED) == ["opened"]
        return port, seq + 1

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert LWIP is not None
    folder = tmp_path_factory.mktemp("lwip")
    (folder / "config.h").write_text("#define EK_SENSOR_TCP_STREAMS 1\n")
    names = tomllib.loads((NET / "component.toml").read_text())["third_party"]["lwip"]
    sources = [NET / "net.c", NET / "stream.c", ROOT / "tests/c/net/lwip.c"]
    sources += [LWIP / name for name in names]
    includes = [folder, ROOT / "firmware/include", ROOT / "firmware", NET, LWIP / "src/include"]
    [f"-I{path}" for path in includes]
    subprocess.run(
        [
            str(COMPILER),
            *FLAGS,
            *(f"-I{path}" for path in includes),
            *map(str, sources),
            "-o",
            str(folder / "program"),
        ],
        check=True,
        timeout=120,
    )
    return folder / "program"


@pytest.fixture
def machine(program: Path) -> Iterator[Machine]:
    running = Machine(program)
    yield running
    running.close()


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
