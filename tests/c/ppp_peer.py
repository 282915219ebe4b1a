"""The other end of a serial line for net/ppp, played by the test: framing by RFC 1662, packets by
RFC 1661, 1332 and 1334, written from these; and the program under test, with sanitizers.
"""

import socket
import struct
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

from net_peer import COMPILER, FLAGS, LWIP, NET, ROOT

PPP = ROOT / "firmware/net/ppp"
IP, IPCP, LCP, PAP = 0x0021, 0x8021, 0xC021, 0xC023
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATED, CODE_REJECT, PROTOCOL_REJECT = range(1, 9)
ECHO, ECHO_REPLY, DISCARD = 9, 10, 11
ALL = 0xFFFFFFFF
MAGIC = b"\x05\x06\xca\xfe\xf0\x0d"
OURS, GUEST, DNS = "10.64.64.64", "10.64.0.2", "10.64.0.53"
UP = f"log net: {GUEST}/32 gateway {OURS} (PPP)"

Packet = tuple[int, int, int, bytes]  # protocol, code, id, body


def again(lines: list[str]) -> bool:
    """Whether it says that it will try again."""
    return any(line.startswith("log ppp: ") and "again in" in line for line in lines)


def fcs(data: bytes) -> int:
    """Bit by bit: x^16 + x^12 + x^5 + 1, least significant bit first (RFC 1662, C)."""
    total = 0xFFFF
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x8408 if total & 1 else 0)
    return total ^ 0xFFFF


def stuffed(body: bytes, accm: int = ALL) -> bytes:
    out = b"\x7e"
    for byte in body:
        special = byte in (0x7D, 0x7E) or (byte < 32 and accm >> byte & 1)
        out += bytes([0x7D, byte ^ 0x20]) if special else bytes([byte])
    return out + b"\x7e"


def framed(protocol: int, information: bytes, accm: int = ALL, head: bytes = b"\xff\x03") -> bytes:
    body = head + struct.pack(">H", protocol) + information
    return stuffed(body + struct.pack("<H", fcs(body)), accm)


def packet(protocol: int, code: int, number: int, body: bytes = b"", accm: int = ALL) -> bytes:
    return framed(protocol, struct.pack(">BBH", code, number, 4 + len(body)) + body, accm)


def option(kind: int, value: bytes | str) -> bytes:
    value = socket.inet_aton(value) if isinstance(value, str) else value
    return bytes([kind, 2 + len(value)]) + value


class Modem:
    """The program under test, and what it sent."""

    def __init__(self, program: Path) -> None:
        self._process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.sent = b""  # since it was last looked at
        self.log: list[str] = []
        self.request = (0, b"")  # LCP's that opened it: id and options
        self.peer: Callable[[int, bytes], bytes] | None = None
        self.lost: Callable[[], bool] = lambda: False

    def tell(self, line: str) -> list[str]:
        """What it says to `line`; a peer has answered everything that it sent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        seen = []
        while (text := self._process.stdout.readline().rstrip("\n")) != ".":
            assert text or self._process.poll() is None, "the program died"
            if text.startswith("sent "):
                self.sent += bytes.fromhex(text[5:])
            else:
                seen.append(text)
        self.log += seen
        if self.peer is not None:
            for protocol, information in self.raw_frames():
                answer = b"" if self.lost() else self.peer(protocol, information)
                if answer and not self.lost():
                    seen += self.hear(answer)
        return seen

    def hear(self, data: bytes) -> list[str]:
        """`data` arrives on the line."""
        return self.tell(f"serial {data.hex()}")

    def raw_frames(self) -> list[tuple[int, bytes]]:
        """Every frame since the last call: protocol and information. All must be sound."""
        raw, self.sent = self.sent, b""
        found = []
        for piece in raw.split(b"\x7e"):
            if not piece:
                continue
            body, flip = b"", 0
            for byte in piece:
                if byte == 0x7D:
                    flip = 0x20
                else:
                    body, flip = body + bytes([byte ^ flip]), 0
            assert struct.pack("<H", fcs(body[:-2])) == body[-2:]
            assert body[:2] == b"\xff\x03"
            found.append((int.from_bytes(body[2:4], "big"), body[4:-2]))
        return found

    def packets(self) -> list[Packet]:
        """The same as control packets, whose length must be right."""
        found = []
        for protocol, data in self.raw_frames():
            assert int.from_bytes(data[2:4], "big") == len(data)
            found.append((protocol, data[0], data[1], data[4:]))
        return found

    def one(self) -> Packet:
        """The only packet since the last call."""
        (only,) = self.packets()
        return only

    def statistics(self) -> list[int]:
        """Frames in, frames out, drops in, drops out, link losses."""
        (line,) = self.tell("stats")
        return [int(word) for word in line.split()[1:]]

    # The usual way up, step by step.

    def lcp(self, options: bytes = MAGIC) -> None:
        """LCP opens; the peer asks for `options`."""
        protocol, code, number, body = self.one()
        assert (protocol, code) == (LCP, REQUEST)
        self.request = number, body
        self.hear(packet(LCP, ACK, number, body))
        self.sent = b""
        self.hear(packet(LCP, REQUEST, 77, options))

    def network(self, dns: str = DNS) -> list[str]:
        """IPCP opens. The answer to LCP's or PAP's last packet may still be there."""
        protocol, code, number, _ = self.packets()[-1]
        assert (protocol, code) == (IPCP, REQUEST)
        wanted = option(3, GUEST) + option(129, dns)
        self.hear(packet(IPCP, NAK, number, wanted))
        assert self.one()[2:] == (number + 1, wanted)
        self.hear(packet(IPCP, ACK, number + 1, wanted))
        lines = self.hear(packet(IPCP, REQUEST, 78, option(3, OURS)))
        assert self.one() == (IPCP, ACK, 78, option(3, OURS))
        return lines

    def up(self, options: bytes = MAGIC) -> list[str]:
        self.tell("init")
        self.lcp(options)
        return self.network()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(timeout=10) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()


class Provider:
    """A peer that works: answers requests, and makes its own when it sees one."""

    def __init__(self) -> None:
        self.mine = {LCP: MAGIC, IPCP: option(3, OURS)}
        self.number = 100

    def __call__(self, protocol: int, data: bytes) -> bytes:
        if protocol not in self.mine or len(data) < 4:
            return b""
        code, number, body = data[0], data[1], data[4:]
        if code == ECHO:
            return packet(LCP, ECHO_REPLY, number, MAGIC[2:] + body[4:])
        if code != REQUEST:
            return b""
        right = option(3, GUEST) + option(129, DNS)
        if protocol == IPCP and body != right:
            return packet(IPCP, NAK, number, right)
        self.number = self.number % 200 + 1
        ask = packet(protocol, REQUEST, self.number, self.mine[protocol])
        return ask + packet(protocol, ACK, number, body)  # in this order (RFC 1661, 4.1: scr, sca)


def build(folder: Path) -> Path:
    """The program; `folder` is empty."""
    assert LWIP is not None
    manifest = tomllib.loads((NET / "component.toml").read_text())
    sources = [NET / name for name in manifest["sources"]] + [ROOT / "tests/c/net/ppp.c"]
    sources += [LWIP / name for name in manifest["third_party"]["lwip"]]
    manifest = tomllib.loads((PPP / "component.toml").read_text())
    sources += [PPP / name for name in manifest["sources"]]
    (folder / "config.h").write_text("#define EK_NET_PPP 1\n")
    includes = [folder, ROOT / "firmware/include", ROOT / "firmware", NET, LWIP / "src/include"]
    command = [str(COMPILER), *FLAGS, *(f"-I{path}" for path in includes), *map(str, sources)]
    subprocess.run([*command, "-o", str(folder / "program")], check=True, timeout=120)
    return folder / "program"
