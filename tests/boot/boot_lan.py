"""A network for one gateway in QEMU: an Ethernet switch in Python between the gateway and QEMU's
user network, with a DHCP, a DNS and an SNTP server at 10.0.2.53 that do as the test says.

Needs no root and no port of this machine: frames travel over two Unix datagram sockets. Left out:
IP options and fragments, which neither side sends.
"""

import random
import select
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

HOST = "10.0.2.2"  # this machine, in QEMU's user network, which is also the router
SERVERS = "10.0.2.53"
SERVERS_MAC = bytes.fromhex("525500000053")
BROADCAST = b"\xff" * 6
FRAME_MAX = 65536
STOP_S = 10.0
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970 (RFC 868)
ARP, IPV4, UDP = 0x0806, 0x0800, 17
DISCOVER, OFFER, REQUEST, ACK, NAK = 1, 2, 3, 5, 6  # RFC 2132, 9.6


class Lan:
    """A context manager; `netdev` and `extra` are for the `boot` fixture."""

    def __init__(self) -> None:
        self.address = ""  # what DHCP gives out; silent while ""
        self.lease_s = 3600
        self.unanswered = 0  # so many of DHCP's messages, from now on
        self.names: dict[str, str] = {}  # what DNS knows; SERVFAIL for all others
        self.now: Callable[[], float] = time.time  # what SNTP says
        self.loss = 0.0  # share of the frames, either way, that is lost
        self.requests: list[tuple[int, str]] = []  # DHCP: message type, address asked for
        self.asked: list[str] = []  # DNS: names
        self._random = random.Random(1)
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-lan-")
        self._gateway, self.netdev = self._port("net0")
        self._outside, outside = self._port("switch")
        self.extra = [
            *("-netdev", "user,id=outside,ipv6=off", "-netdev", outside),
            *("-netdev", "hubport,id=hub1,hubid=0,netdev=outside"),
            *("-netdev", "hubport,id=hub2,hubid=0,netdev=switch"),
        ]

    def _port(self, name: str) -> tuple[socket.socket, str]:
        """Our end of a cable, and QEMU's option for the other end."""
        folder = Path(self._folder.name)
        ours, theirs = f"{folder}/{name}-a", f"{folder}/{name}-b"
        end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        end.bind(ours)
        end.setblocking(False)
        self._peers = {**getattr(self, "_peers", {}), end: theirs}
        local, remote = (
            f"local.type=unix,local.path={theirs}",
            f"remote.type=unix,remote.path={ours}",
        )
        return end, f"dgram,id={name},{local},{remote}"

    def __enter__(self) -> Self:
        self._stop, self._stopped = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.close()
        self._thread.join(STOP_S)
        for end in (self._stopped, *self._peers):
            end.close()
        self._folder.cleanup()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._stopped, self._gateway, self._outside], [], [])
            if self._stopped in ready:
                return
            for end in ready:
                with suppress(BlockingIOError):
                    self._frame(end, end.recv(FRAME_MAX))

    def _frame(self, end: socket.socket, frame: bytes) -> None:
        if self._random.random() < self.loss:
            return
        if end is self._outside:
            self._send(self._gateway, frame)
        elif not self._answer(frame):
            self._send(self._outside, frame)

    def _send(self, end: socket.socket, frame: bytes) -> None:
        with suppress(OSError):  # QEMU is not there yet, or not any more, or its queue is full
            end.sendto(frame, self._peers[end])

    def _answer(self, frame: bytes) -> bool:
        """Whether the frame was for the servers here."""
        (kind,) = struct.unpack_from(">H", frame, 12)
        if kind == ARP and frame[38:42] == socket.inet_aton(SERVERS):
            head = frame[6:12] + SERVERS_MAC + frame[12:20] + b"\0\2"
            own = SERVERS_MAC + socket.inet_aton(SERVERS)
            self._send(self._gateway, head + own + frame[22:32])
            return True
        if kind != IPV4 or frame[14 + 9] != UDP:
            return False
        source, port = struct.unpack_from(">HH", frame, 34)
        message = frame[42 : 34 + struct.unpack_from(">H", frame, 38)[0]]
        if port == 67:
            self._udp(frame, 67, source, self._dhcp(message), broadcast=True)
        elif frame[30:34] == socket.inet_aton(SERVERS) and port in (53, 123):
            reply = self._dns(message) if port == 53 else self._sntp(message)
            self._udp(frame, port, source, reply)
        return port == 67 or frame[30:34] == socket.inet_aton(SERVERS)

    def _udp(
        self, frame: bytes, source: int, port: int, message: bytes, *, broadcast: bool = False
    ) -> None:
        if not message:
            return
        to = b"\xff" * 4 if broadcast else frame[26:30]
        udp = struct.pack(">HHHH", source, port, 8 + len(message), 0) + message  # 0: no checksum
        length = 20 + len(udp)
        head = struct.pack(">BBHHHBBH", 0x45, 0, length, 0, 0, 64, UDP, 0)
        head += socket.inet_aton(SERVERS) + to
        total = sum(struct.unpack(">10H", head))
        total = (total & 0xFFFF) + (total >> 16)
        total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        head = head[:10] + struct.pack(">H", total) + head[12:]
        ethernet = frame[6:12] + SERVERS_MAC + struct.pack(">H", IPV4)
        self._send(self._gateway, ethernet + head + udp)

    def _dhcp(self, message: bytes) -> bytes:
        """The answer to one message of a client (RFC 2131, RFC 2132), b"" for none."""
        options = dict(_options(message[240:]))
        kind = options.get(53, b"\0")[0]
        asked = options.get(50) or message[12:16]  # requested address, else the client's own
        self.requests.append((kind, socket.inet_ntoa(asked)))
        if not self.address or kind not in (DISCOVER, REQUEST):
            return b""
        if self.unanswered > 0:
            self.unanswered -= 1
            return b""
        given = socket.inet_aton(self.address)
        answer = OFFER if kind == DISCOVER else ACK if asked == given else NAK
        head = b"\2" + message[1:12] + message[12:16] + (given if answer != NAK else bytes(4))
        head += socket.inet_aton(SERVERS) + message[24:44] + bytes(192) + message[236:240]
        reply = [(53, bytes([answer])), (54, socket.inet_aton(SERVERS))]
        if answer != NAK:
            reply += [
                (51, struct.pack(">I", self.lease_s)),
                (1, socket.inet_aton("255.255.255.0")),
                (3, socket.inet_aton(HOST)),
                (6, socket.inet_aton(SERVERS)),
                (42, socket.inet_aton(SERVERS)),
            ]
        return head + b"".join(bytes([k, len(v)]) + v for k, v in reply) + b"\xff"

    def _dns(self, request: bytes) -> bytes:
        """The answer to a question for one name (RFC 1035)."""
        end = request.index(b"\0", 12)
        question = request[12 : end + 5]
        labels, at = [], 12
        while at < end:
            labels.append(request[at + 1 : at + 1 + request[at]].decode())
            at += 1 + request[at]
        name = ".".join(labels)
        self.asked.append(name)
        if name not in self.names:
            return request[:2] + bytes.fromhex("8182 0001 0000 0000 0000") + question
        answer = bytes.fromhex("c00c 0001 0001 0000003c 0004") + socket.inet_aton(self.names[name])
        return request[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + question + answer

    def _sntp(self, request: bytes) -> bytes:
        """The answer of a stratum 2 server (RFC 4330, 4); root fields and reference stay 0."""
        now = self.now() + NTP_EPOCH
        stamp = struct.pack(">II", int(now), int(now % 1 * 2**32))
        return struct.pack(">BBbb", 0x24, 2, 6, -20) + bytes(20) + request[40:48] + stamp + stamp


def _options(data: bytes) -> list[tuple[int, bytes]]:
    """Code and value of each (RFC 2132, 2); 0 pads, 255 ends."""
    found, at = [], 0
    while at < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        found.append((data[at], data[at + 2 : at + 2 + data[at + 1]]))
        at += 2 + data[at + 1]
    return found
