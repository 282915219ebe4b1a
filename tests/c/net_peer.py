"""An Ethernet for net/lwip, played by the test: ARP, a DHCP server, any UDP a test answers, and
the program that holds the code under test, with sanitizers and lwIP's own assertions. Frames by
RFC 768, 791, 826, 2131, 9293.
"""

import shutil
import socket
import struct
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

from edgeuk.third_party import load, locate

ROOT = Path(__file__).parents[2]
NET = ROOT / "firmware/net/lwip"
LWIP = locate(load()["lwip"])
COMPILER = shutil.which("gcc") or shutil.which("cc")
# What nobody has set does not happen to be zero.
UNSET = "-ftrivial-auto-var-init=pattern"
FLAGS = ["-std=c11", "-O1", "-g", "-w", "-fsanitize=address,undefined", "-DEK_NET_ASSERT", UNSET]
MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("0200000000aa")
SERVER = "10.0.2.2"
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6
FIN, SYN, RST, PSH, ACKED = 1, 2, 4, 8, 16
EIO, ETIMEDOUT, ENOENT, ECLOSED, EREFUSED, ENOMEM = -2, -3, -5, -7, -8, -9

# What answers a datagram: source port, target port, data -> data of the answer, None for silence.
UdpPeer = Callable[[int, int, bytes], bytes | None]


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


def udp(source: int, target: int, data: bytes, address: str) -> bytes:
    """A datagram from the server to `address`, without a checksum (RFC 768: 0)."""
    return ipv4(17, SERVER, address, struct.pack(">HHHH", source, target, 8 + len(data), 0) + data)


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
        self.dhcp_options = b""  # more of them in every answer but NAK
        self.dhcp_fields: dict[str, bytes] = {}  # what `file` and `sname` begin with
        self.udp_peer: UdpPeer | None = None

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
        if frame[23] == 17 and self.udp_peer is not None:
            source, target = struct.unpack(">HH", frame[34:38])
            answer = self.udp_peer(source, target, frame[42:])
            return [] if answer is None else [udp(target, source, answer, self.ip)]
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
        sname, file = self.dhcp_fields.get("sname", b""), self.dhcp_fields.get("file", b"")
        body += message[28:44] + sname.ljust(64, b"\0") + file.ljust(128, b"\0")
        body += b"\x63\x82\x53\x63" + bytes([0x35, 1, reply]) + b"\x36\4" + server
        if reply != NAK:
            body += b"\1\4\xff\xff\xff\0" + b"\3\4" + server + b"\x33\4" + struct.pack(">I", 100)
            body += self.dhcp_options
        body += b"\xff"
        return [udp(67, 68, body, "255.255.255.255")]

    def segment(
        self, port: int, seq: int, ack: int, flags: int, data: bytes = b"", source: int = 1883
    ) -> list[str]:
        """A TCP segment from port `source` of the server."""
        tcp = struct.pack(">HHIIBBHHH", source, port, seq, ack, 0x50, flags, 8192, 0, 0) + data
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


def build(folder: Path, service_streams: int = 0) -> Path:
    """The program, with a service if that has streams; `folder` is empty."""
    assert LWIP is not None
    manifest = tomllib.loads((NET / "component.toml").read_text())
    sources = [NET / name for name in manifest["sources"]] + [ROOT / "tests/c/net/lwip.c"]
    config = "#define EK_SENSOR_TCP_STREAMS 1\n"
    if service_streams:
        config += f"#define EK_NET_LISTENERS 1\n#define EK_SERVICE_STREAMS {service_streams}\n"
        sources += [NET / name for name in manifest["features"]["listener"]["sources"]]
    (folder / "config.h").write_text(config)
    sources += [LWIP / name for name in manifest["third_party"]["lwip"]]
    includes = [folder, ROOT / "firmware/include", ROOT / "firmware", NET, LWIP / "src/include"]
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
