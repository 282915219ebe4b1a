"""The other end of a modem's serial line in QEMU: a PPP peer with QEMU's user networking behind it.

QEMU lends a hub with its user network on it; its frames come here over a pair of sockets, are taken
out of Ethernet, and go to the guest's serial line in PPP's framing, and back. So a board whose only
uplink is a serial line reaches this machine and its brokers without root or a further program.
Follows RFC 1661, 1662, 1332, 1877. It waits for the guest to begin and has no timers: nothing
is lost between here and an emulated UART, and the guest asks again.
"""

import ipaddress
import re
import select
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass

IP, IPCP, LCP = 0x0021, 0x8021, 0xC021
REQUEST, ACK, NAK, REJECT, TERMINATE, TERMINATED, CODE_REJECT, PROTOCOL_REJECT = range(1, 9)
ECHO, ECHO_REPLY, DISCARD = 9, 10, 11
LCP_KNOWN = (1, 2, 5, 7, 8)  # MRU, ACCM, magic number, short headers
ADDRESS, DNS = 3, 129
FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
FCS_GOOD = 0xF0B8
FRAME_MAX = 1508  # header, default MRU, FCS
ARP, IPV4 = 0x0806, 0x0800
MAC = bytes.fromhex("525400123456")  # of the guest, for the user network
CHUNK = 65_536
BACKLOG = 4 * FRAME_MAX  # for a line that is slower than the network; then the network waits
COMMAND = re.compile(rb"(?:\+\+\+)?(AT[ -~]*)\r")  # of a modem; no frame begins so


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the guest is told: its address if it has none, ours, and the name server's."""

    guest: bytes
    host: bytes
    dns: bytes

    @staticmethod
    def of(netdev: str) -> "Addresses":
        """From the words of QEMU's `-netdev user,...`, where it names others than the defaults."""
        words = dict(word.partition("=")[::2] for word in netdev.split(","))
        network = ipaddress.ip_network(words.get("net", "10.0.2.0/24"), strict=False)
        base = network.network_address
        host, dns = words.get("host", str(base + 2)), words.get("dns", str(base + 3))
        return Addresses((base + 15).packed, socket.inet_aton(host), socket.inet_aton(dns))


def fcs(data: bytes | bytearray) -> int:
    """The 16-bit frame check sequence before its complement (RFC 1662, C.2)."""
    total = 0xFFFF
    for byte in data:
        x = (total ^ byte) & 0xFF
        x = (x ^ x << 4) & 0xFF
        total = (total >> 8) ^ (x << 8) ^ (x << 3) ^ (x >> 4)
    return total & 0xFFFF


def encode(protocol: int, information: bytes, *, accm: int = 0xFFFFFFFF) -> bytes:
    """One frame, flags around it."""
    body = struct.pack(">BBH", 0xFF, 3, protocol) + information
    body += struct.pack("<H", fcs(body) ^ 0xFFFF)
    out = bytearray([FLAG])
    for byte in body:
        if byte in (FLAG, ESCAPE) or (byte < 0x20 and accm >> byte & 1):
            out += bytes([ESCAPE, byte ^ FLIP])
        else:
            out.append(byte)
    return bytes(out) + bytes([FLAG])


def decode(raw: bytes) -> tuple[int, bytes] | None:
    """Protocol and information of what stood between two flags; None if it is damaged."""
    out, flip = bytearray(), 0
    for byte in raw:
        if byte == ESCAPE:
            flip = FLIP
        else:
            out.append(byte ^ flip)
            flip = 0
    if not 6 <= len(out) <= FRAME_MAX or flip or fcs(out) != FCS_GOOD or out[:2] != b"\xff\x03":
        return None
    return int.from_bytes(out[2:4], "big"), bytes(out[4:-2])


def packet(code: int, number: int, body: bytes = b"") -> bytes:
    """A packet of LCP or IPCP."""
    return struct.pack(">BBH", code, number, 4 + len(body)) + body


def options(body: bytes) -> list[tuple[int, bytes]]:
    """Type and value of each; ends where they make no sense."""
    found = []
    while len(body) >= 2 and 2 <= body[1] <= len(body):
        found.append((body[0], body[2 : body[1]]))
        body = body[body[1] :]
    return found


def joined(found: list[tuple[int, bytes]]) -> bytes:
    """The opposite of `options`."""
    return b"".join(bytes([kind, len(value) + 2]) + value for kind, value in found)


class Link:
    """One PPP conversation: packets of the guest's in, packets for it and IP packets out."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self.address = b""  # the guest's, as long as the link is open
        self.accm = 0xFFFFFFFF  # what the guest wants escaped

    def receive(self, protocol: int, data: bytes) -> list[tuple[int, bytes]]:
        """The answers. Those to requests come with a request of ours: so an end that begins anew
        finds the other one willing."""
        if protocol not in (LCP, IPCP):
            return [(LCP, packet(PROTOCOL_REJECT, 1, struct.pack(">H", protocol) + data))]
        if len(data) < 4 or not 4 <= int.from_bytes(data[2:4], "big") <= len(data):
            return []
        code, number, body = data[0], data[1], data[4 : int.from_bytes(data[2:4], "big")]
        if code == REQUEST:
            return self._requested(protocol, number, body)
        if code == TERMINATE:
            self.address = b""
            return [(protocol, packet(TERMINATED, number))]
        if code == ECHO:
            return [(LCP, packet(ECHO_REPLY, number, bytes(4) + body[4:]))]
        if code > DISCARD:
            return [(protocol, packet(CODE_REJECT, 1, data))]
        return []

    def _requested(self, protocol: int, number: int, body: bytes) -> list[tuple[int, bytes]]:
        asked = options(body)
        self.address = b""
        if protocol == LCP:
            unknown = [o for o in asked if o[0] not in LCP_KNOWN]
            better: list[tuple[int, bytes]] = []
            self.accm = next((int.from_bytes(v, "big") for k, v in asked if k == 2), 0xFFFFFFFF)
            ours = b""
        else:
            unknown = [o for o in asked if o[0] not in (ADDRESS, DNS) or len(o[1]) != 4]
            right = {ADDRESS: self.addresses.guest, DNS: self.addresses.dns}
            better = [(k, right[k]) for k, v in asked if k in right and v == bytes(4)]
            ours = joined([(ADDRESS, self.addresses.host)])
        if unknown:
            return [(protocol, packet(REJECT, number, joined(unknown)))]
        if better:
            return [(protocol, packet(NAK, number, joined(better)))]
        if protocol == IPCP:
            self.address = dict(asked).get(ADDRESS, b"")
        # In this order (RFC 1661, 4.1: scr, sca): the other way round, an end that is open by the
        # Ack takes the request for a new beginning, for ever.
        return [
            (protocol, packet(REQUEST, number, ours)),
            (protocol, packet(ACK, number, body)),
        ]


class Modem:
    """The guest's modem: the bridge, on a thread of its own, and what QEMU must know of it."""

    def __init__(self, netdev: str) -> None:
        """`netdev`: of QEMU's user network, whose id is `net0`."""
        self._link = Link(Addresses.of(netdev))
        # To the guest's UART, and to `-netdev socket`: frames, their length first.
        self._line, self._their_line = socket.socketpair()
        self._ether, self._their_ether = socket.socketpair()
        self._line.setblocking(False)
        self._from_line, self._from_ether, self._to_line = b"", b"", b""
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def descriptors(self) -> tuple[int, int]:
        """What QEMU inherits."""
        return self._their_line.fileno(), self._their_ether.fileno()

    def options(self, serial: int) -> list[str]:
        """QEMU's, behind the options of the console and of the user network."""
        line, ether = self.descriptors
        return [
            *(["-serial", "null"] * (serial - 1)),
            *("-chardev", f"socket,id=modem,fd={line}", "-serial", "chardev:modem"),
            *("-netdev", f"socket,id=modem,fd={ether}"),
            *("-netdev", "hubport,id=modem0,hubid=9,netdev=net0"),
            *("-netdev", "hubport,id=modem1,hubid=9,netdev=modem"),
        ]

    def start(self) -> None:
        """Once QEMU has been started."""
        self._their_line.close()
        self._their_ether.close()
        self._thread.start()

    def close(self) -> None:
        """Twice does no harm."""
        for end in (self._line, self._ether):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # wakes the thread
        if self._thread.is_alive():
            self._thread.join()
        for end in (self._line, self._ether, self._their_line, self._their_ether):
            end.close()

    def _run(self) -> None:
        with suppress(OSError):  # QEMU has ended, or close() was called
            while True:
                # An emulator that writes while we wait for it to read would wait for ever.
                room = [self._ether] if len(self._to_line) < BACKLOG else []
                full = [self._line] if self._to_line else []
                ready, writable, _ = select.select([self._line, *room], full, [])
                if writable:
                    self._to_line = self._to_line[self._line.send(self._to_line) :]
                for end in ready:
                    data = end.recv(CHUNK if end is self._line else FRAME_MAX)
                    if not data:
                        return
                    if end is self._line:
                        self._heard(data)
                    else:
                        self._captured(data)

    def _heard(self, data: bytes) -> None:
        *frames, self._from_line = (self._from_line + data).split(bytes([FLAG]))
        self._from_line = self._from_line[-2 * FRAME_MAX :]
        if command := COMMAND.fullmatch(self._from_line):
            self._from_line = b""
            dialled = command[1].startswith(b"ATD")
            self._to_line += b"\r\nCONNECT\r\n" if dialled else b"\r\nOK\r\n"
        for raw in frames:
            found = decode(raw)
            if found is None:
                continue
            protocol, information = found
            if protocol == IP:
                self._to_ether(IPV4, information)
                continue
            for answer in self._link.receive(protocol, information):
                self._to_line += encode(*answer)

    def _captured(self, data: bytes) -> None:
        self._from_ether += data
        while len(self._from_ether) >= 4:
            end = 4 + int.from_bytes(self._from_ether[:4], "big")
            if len(self._from_ether) < end:
                return
            frame, self._from_ether = self._from_ether[4:end], self._from_ether[end:]
            self._bridge(int.from_bytes(frame[12:14], "big"), frame[14:])

    def _bridge(self, kind: int, data: bytes) -> None:
        guest = self._link.address
        if not guest:
            return
        if kind == ARP and data[6:8] == b"\0\1" and data[24:28] == guest:
            reply = data[:6] + b"\0\2" + MAC + guest + data[8:18]
            self._to_ether(ARP, reply)
        elif kind == IPV4 and data[16:20] == guest:
            length = int.from_bytes(data[2:4], "big")  # a short frame is padded
            self._to_line += encode(IP, data[:length], accm=self._link.accm)

    def _to_ether(self, kind: int, data: bytes) -> None:
        """To the router of QEMU's user network, whose hardware address begins so (slirp.h)."""
        router = b"\x52\x55" + self._link.addresses.host
        frame = router + MAC + struct.pack(">H", kind) + data
        self._ether.sendall(struct.pack(">I", len(frame)) + frame)
