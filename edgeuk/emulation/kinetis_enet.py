"""The Ethernet controller of a Kinetis K64 (ENET) with legacy descriptors, and a KSZ8081 behind it.

Documents: NXP K64P144M120SF5RM, chapter ENET; IEEE 802.3, 22; Microchip KSZ8081RNA. A frame takes
no time. Left out: IEEE 1588 and enhanced descriptors, checksums by the device, multicast by hash,
half duplex, pause frames, statistics.
"""

import zlib
from collections.abc import Callable
from typing import Protocol

from edgeuk.emulation.device import Wiring
from edgeuk.emulation.memory import DeviceError

EIR, EIMR, RDAR, TDAR, ECR, MMFR, MSCR = 0x004, 0x008, 0x010, 0x014, 0x024, 0x040, 0x044
RCR, TCR, PALR, PAUR, RDSR, TDSR, MRBR = 0x084, 0x0C4, 0x0E4, 0x0E8, 0x180, 0x184, 0x188
REGISTERS = (
    *(EIR, EIMR, RDAR, TDAR, ECR, MMFR, MSCR, 0x064, RCR, TCR, PALR, PAUR, 0x0EC, 0x118, 0x11C),
    *(0x120, 0x124, 0x144, RDSR, TDSR, MRBR, 0x190, 0x194, 0x198, 0x19C, 0x1A0, 0x1A4, 0x1A8),
    *(0x1AC, 0x1B0, 0x1C0, 0x1C4),
)
RESET = {ECR: 0xF0000000, 0x064: 0xC0000000, RCR: 0x05EE0001, PAUR: 0x8808, 0x0EC: 0x00010000}
RESET |= {0x190: 0, 0x198: 4, 0x19C: 4, 0x1A0: 8, 0x1A8: 4, 0x1AC: 12, 0x1B0: 0x7FF}
TXF, RXF, RXB, MII, EBERR = 1 << 27, 1 << 25, 1 << 24, 1 << 23, 1 << 22
ECR_RESET, ETHEREN, EN1588, DBSWP = 1, 2, 1 << 4, 1 << 8
ACTIVE = 1 << 24
RCR_LOOP, RCR_MII, PROM, BC_REJ, RMII, RMII_10T, CRCFWD = 1, 4, 8, 16, 1 << 8, 1 << 9, 1 << 14
TCR_FDEN = 1 << 2
# Descriptors: control bits, alike in both rings where they have one name.
OWNED, WRAP, LAST, CRC = 1 << 15, 1 << 13, 1 << 11, 1 << 10
RX_MULTICAST, RX_BROADCAST, RX_LONG = 1 << 6, 1 << 7, 1 << 5
MDC_MAX_HZ = 2_500_000
LINES = ((83, 0x0C000000), (84, 0x03000000), (85, 0x70F80000))  # transmit, receive, others
# RMII and management: port, pin, function.
MII_PINS = (("B", 0, 4), ("B", 1, 4))
RMII_PINS = tuple(("A", pin, 4) for pin in (12, 13, 14, 15, 16, 17))
WAITING_MAX = 64  # frames that the network has sent meanwhile


class Bus(Protocol):
    """Memory as the device reaches it; a refused access raises `DeviceError`."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...


class Phy:
    """Registers of every PHY; its negotiation with a 100 Mbit/s full-duplex partner is quick."""

    NEGOTIATION_NS = 50_000_000
    PARTNER = 0x45E1

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.plugged = True
        self.reset()

    def reset(self) -> None:
        self._control, self._advertised = 0x3100, 0x01E1
        self._linked_at = self._now() + self.NEGOTIATION_NS

    def linked(self) -> bool:
        return self.plugged and self._now() >= self._linked_at

    def read(self, register: int) -> int:
        linked = self.linked()
        status = 0x7849 | (0x24 if linked else 0)
        values = {0: self._control, 1: status, 2: 0x0022, 3: 0x1561, 4: self._advertised}
        return (values | {5: self.PARTNER if linked else 1}).get(register, 0)

    def write(self, register: int, value: int) -> None:
        if register == 0 and value & 0x8000:
            self.reset()
        elif register == 0:
            self._control = value & 0x7D80
            if value & 0x1200 == 0x1200:
                self._linked_at = self._now() + self.NEGOTIATION_NS
        elif register == 4:
            self._advertised = value


class Enet:
    """`send` takes a frame to the network, without check sequence; `receive` brings one."""

    def __init__(self, wiring: Wiring, bus: Bus, phy: Phy, send: Callable[[bytes], None]) -> None:
        self._wiring, self._bus, self._phy, self._send = wiring, bus, phy, send
        self._waiting: list[bytes] = []
        self._reset()

    def _reset(self) -> None:
        self._values = dict.fromkeys(REGISTERS, 0) | RESET
        self._rx = self._tx = 0
        self._interrupt()

    # Registers.

    def read(self, offset: int, size: int) -> int:
        if 0x200 <= offset < 0x2E4:
            return 0  # counters of events
        if offset not in self._values or size != 4:
            raise DeviceError
        return self._values[offset]

    def write(self, offset: int, size: int, value: int) -> None:
        if offset not in self._values or size != 4:
            raise DeviceError
        if offset == EIR:
            self._values[EIR] &= ~value
        elif offset == ECR:
            self._control(value)
        elif offset in (RDAR, TDAR):
            if self._values[ECR] & ETHEREN:
                self._values[offset] = ACTIVE
                self._transmit() if offset == TDAR else self._deliver()
        elif offset == MMFR:
            self._management(value)
        else:
            self._values[offset] = value
            if offset in (RDSR, TDSR):
                self._rx, self._tx = self._values[RDSR], self._values[TDSR]
        self._interrupt()

    def _control(self, value: int) -> None:
        if value & ECR_RESET:
            self._reset()
            return
        was = self._values[ECR] & ETHEREN
        self._values[ECR] = 0xF0000000 | value & 0x1FE
        if not value & ETHEREN:
            self._values[RDAR] = self._values[TDAR] = 0
            self._waiting.clear()
        elif not was:
            self._rx, self._tx = self._values[RDSR], self._values[TDSR]

    def _interrupt(self) -> None:
        up = self._values[EIR] & self._values[EIMR]
        for irq, mask in LINES:
            self._wiring.line(irq, bool(up & mask))

    def _management(self, value: int) -> None:
        """MDC is the module's clock / (2 * (MII_SPEED + 1))."""
        speed = self._values[MSCR] >> 1 & 63
        if not speed:
            return  # no clock, no end
        mdc = self._wiring.core_hz() / (2 * (speed + 1))
        heard = mdc <= MDC_MAX_HZ * 1.001 and all(self._wiring.muxed(*p) for p in MII_PINS)
        mine = heard and value >> 30 == 1 and value >> 23 & 31 == 0
        register, operation = value >> 18 & 31, value >> 28 & 3
        if operation == 2:
            value = value & 0xFFFF0000 | (self._phy.read(register) if mine else 0xFFFF)
        elif mine:
            self._phy.write(register, value & 0xFFFF)
        self._values[MMFR] = value
        self._values[EIR] |= MII

    # Frames.

    def _wired(self) -> bool:
        """Whether what leaves the MAC arrives at the partner: 100 Mbit/s, full duplex, RMII."""
        rcr, tcr = self._values[RCR], self._values[TCR]
        right = rcr & RMII and rcr & RCR_MII and not rcr & (RCR_LOOP | RMII_10T) and tcr & TCR_FDEN
        pins = all(self._wiring.muxed(*p) for p in RMII_PINS)
        return bool(right) and pins and self._phy.linked()

    def _descriptor(self, at: int) -> tuple[int, int, int]:
        """Length, control, buffer."""
        order: list[tuple[int, int]] = [(0, 2), (2, 4), (4, 8)]
        data = self._bus.read(at, 8)
        if self._values[ECR] & DBSWP:
            length, control, buffer = (int.from_bytes(data[a:b], "little") for a, b in order)
        else:
            control, length, buffer = (int.from_bytes(data[a:b], "big") for a, b in order)
        return length, control, buffer

    def _finish(self, at: int, length: int, control: int) -> None:
        if self._values[ECR] & DBSWP:
            data = length.to_bytes(2, "little") + control.to_bytes(2, "little")
        else:
            data = control.to_bytes(2, "big") + length.to_bytes(2, "big")
        self._bus.write(at, data)

    def _failed(self) -> None:
        """A refused access stops it (EIR, EBERR)."""
        self._values[EIR] |= EBERR
        self._values[ECR] &= ~ETHEREN
        self._values[RDAR] = self._values[TDAR] = 0

    def _transmit(self) -> None:
        frame = b""
        try:
            while True:
                length, control, buffer = self._descriptor(self._tx)
                if not control & OWNED:
                    break
                frame += self._bus.read(buffer, length)
                self._finish(self._tx, length, control & ~OWNED)
                self._tx = self._values[TDSR] if control & WRAP else self._tx + 8
                if control & LAST:
                    if self._wired() and control & CRC:  # else nobody would take it
                        self._send(frame)
                    self._values[EIR] |= TXF
                    frame = b""
        except DeviceError:
            self._failed()
        self._values[TDAR] = 0

    def receive(self, frame: bytes) -> None:
        hears = self._values[ECR] & ETHEREN and self._wired() and self._wanted(frame)
        if hears and len(self._waiting) < WAITING_MAX:
            self._waiting.append(frame)
            self._deliver()
            self._interrupt()

    def _wanted(self, frame: bytes) -> bool:
        to = frame[:6]
        own = self._values[PALR].to_bytes(4, "big") + self._values[PAUR].to_bytes(4, "big")[:2]
        if self._values[RCR] & PROM or to == own:
            return True
        return to == b"\xff" * 6 and not self._values[RCR] & BC_REJ

    def _deliver(self) -> None:
        try:
            while self._waiting and self._values[RDAR]:
                if not self._room(len(self._waiting[0])):
                    self._values[RDAR] = 0
                    break
                self._put(self._waiting.pop(0))
        except DeviceError:
            self._failed()

    def _room(self, length: int) -> bool:
        """Whether the descriptors that are the device's take a whole frame. The chip's FIFO would
        hold the frame meanwhile, and lose it when it is full; here it waits."""
        at, left = self._rx, max(length, 60) + 4
        first = True
        while left > 0:
            _, control, _ = self._descriptor(at)
            if not control & OWNED or (at == self._rx and not first):
                return False
            left -= self._values[MRBR] & 0x3FF0
            at = self._values[RDSR] if control & WRAP else at + 8
            first = False
        return True

    def _put(self, frame: bytes) -> None:
        to = frame[:6]
        data = frame + bytes(max(0, 60 - len(frame)))
        data += zlib.crc32(data).to_bytes(4, "little")
        flags = RX_BROADCAST if to == b"\xff" * 6 else RX_MULTICAST if to[0] & 1 else 0
        if len(data) > self._values[RCR] >> 16 & 0x3FFF:
            flags |= RX_LONG
        if self._values[RCR] & CRCFWD:
            data = data[:-4]
        size = self._values[MRBR] & 0x3FF0
        for start in range(0, len(data), size):
            _, control, buffer = self._descriptor(self._rx)
            self._bus.write(buffer, data[start : start + size])
            kept = control & 0x7000  # WRAP and what is the program's
            last = start + size >= len(data)
            length = len(data) if last else size
            self._finish(self._rx, length, kept | (LAST | flags if last else 0))
            self._rx = self._values[RDSR] if control & WRAP else self._rx + 8
        self._values[EIR] |= RXF | RXB
