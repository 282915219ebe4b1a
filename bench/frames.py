"""One end of an Ethernet cable to a gateway in QEMU: echo requests go in, replies are timed.

Frames travel over Unix datagram sockets, so that nothing but QEMU's card and the image is measured.
"""

import socket
import struct
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

OURS, THEIRS = "10.0.2.2", "10.0.2.15"
MAC = bytes.fromhex("525500000002")
LIMIT_S = 5.0
ARP, IPV4 = 0x0806, 0x0800
PAYLOAD = bytes(56)  # as ping(8) sends


class Cable:
    """A context manager; `netdev` is for QEMU's -netdev."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-cable-")
        ours, self._theirs = f"{self._folder.name}/a", f"{self._folder.name}/b"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(ours)
        self._socket.settimeout(LIMIT_S)
        local = f"local.type=unix,local.path={self._theirs}"
        self.netdev = f"dgram,id=net0,{local},remote.type=unix,remote.path={ours}"
        self._mac = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
        self._folder.cleanup()

    def find(self, limit_s: float) -> bool:
        """Whether the gateway answers an ARP request within that time."""
        own = MAC + socket.inet_aton(OURS)
        ask = b"\xff" * 6 + MAC + struct.pack(">HHHBBH", ARP, 1, IPV4, 6, 4, 1)
        ask += own + bytes(6) + socket.inet_aton(THEIRS)
        end = time.monotonic() + limit_s
        self._socket.settimeout(0.05)
        try:
            while time.monotonic() < end and not self._mac:
                if Path(self._theirs).exists():
                    self._send(ask.ljust(60, b"\0"))
                self._take()
        finally:
            self._socket.settimeout(LIMIT_S)
        return bool(self._mac)

    def ping(self, number: int) -> None:
        """Send an echo request (RFC 792)."""
        body = struct.pack(">HH", 1, number & 0xFFFF) + PAYLOAD
        echo = b"\x08\0" + struct.pack(">H", _checksum(b"\x08\0\0\0" + body)) + body
        head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(echo), 0, 0, 64, 1, 0)
        addresses = socket.inet_aton(OURS) + socket.inet_aton(THEIRS)
        head = head[:10] + struct.pack(">H", _checksum(head + addresses)) + addresses
        self._send(self._mac + MAC + struct.pack(">H", IPV4) + head + echo)

    def pong(self) -> int | None:
        """The number of the next echo reply; None when none comes within LIMIT_S."""
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            frame: bytes = self._take()
            if frame[12:14] == b"\x08\0" and frame[23:24] == b"\1" and frame[34:35] == b"\0":
                return int(struct.unpack_from(">H", frame, 40)[0])
        return None

    def _take(self) -> bytes:
        """One frame, b"" for none; ARP is answered and learned from on the way."""
        try:
            frame = self._socket.recv(2048)
        except (TimeoutError, BlockingIOError):
            return b""
        if frame[12:14] == b"\x08\x06" and frame[28:32] == socket.inet_aton(THEIRS):
            self._mac = frame[22:28]
            if frame[20:22] == b"\0\1" and frame[38:42] == socket.inet_aton(OURS):
                own = MAC + socket.inet_aton(OURS)
                reply = frame[6:12] + MAC + frame[12:20] + b"\0\2" + own + frame[22:32]
                self._send(reply.ljust(60, b"\0"))
            return b""
        return bytes(frame)

    def _send(self, frame: bytes) -> None:
        self._socket.sendto(frame, self._theirs)


def _checksum(data: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return int(~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
