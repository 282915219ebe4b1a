"""Small peripherals of a Kinetis K64: UART, PIT, watchdog, RTC, RNGA.

Document: NXP K64P144M120SF5RM, the chapters of these names; offsets as in the drivers' own tests.
Left out: what a program could do with them that no driver here does (DMA, LIN, windows ...).
"""

import os
import time
from collections.abc import Callable
from typing import ClassVar

from edgeuk.emulation.clock import NEVER
from edgeuk.emulation.device import Bank, Wiring
from edgeuk.emulation.memory import DeviceError

ALL = 0xFFFFFFFF
SECOND = 1_000_000_000


class Uart(Bank):
    """UART0. A character leaves at once, if the pin is the UART's and the receiver's speed is met:
    at another one it is not what was sent."""

    width = 1
    BAUD, TX, IRQ = 115_200, ("B", 17, 3), 31
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{0: (0, 0xBF), 1: (4, 0xFF), 2: (0, 0xFF), 3: (0, 0xFF), 4: (0xC0, 0), 5: (0, 0xC0)},
        **{6: (0, 0x5F), 7: (0, 0xFF), 8: (0, 0xFF), 9: (0, 0xFF), 10: (0, 0xFF), 11: (0, 0xA0)},
        **{13: (0, 15), 14: (0, 15), 16: (0x22, 0x88), 17: (0, 7), 18: (0xC0, 0), 19: (0, 0xFF)},
        **{20: (0, 0), 21: (1, 0xFF), 22: (0, 0)},
    }
    C2, S1, D, PFIFO, CFIFO, SFIFO = 3, 4, 7, 16, 17, 18
    DEPTH = 8

    def __init__(self, wiring: Wiring, send: Callable[[int], None]) -> None:
        super().__init__()
        self._wiring, self._send = wiring, send
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """From the other end of the line."""
        room = (self.DEPTH if self.values[self.PFIFO] & 8 else 1) - len(self._received)
        if self.values[self.C2] & 4:
            self._received += data[: max(0, room)]
        self._interrupt()

    def baud(self) -> float:
        divisor = (self.values[0] & 31) << 8 | self.values[1]
        fine = (self.values[10] & 31) / 32
        return self._wiring.core_hz() / (16 * (divisor + fine)) if divisor else 0.0

    def get(self, offset: int) -> int:
        if offset == self.S1:  # TDRE, TC; RDRF
            return 0xC0 | (0x20 if self._received else 0)
        if offset == 22:  # RCFIFO
            return len(self._received)
        if offset == self.SFIFO:
            return 0x40 * (not self._received) | 0x80 | self.values[offset] & 7
        if offset == self.D:
            return self._take()
        return self.values[offset]

    def _take(self) -> int:
        if not self._received:
            if self.values[self.PFIFO] & 8:
                self.values[self.SFIFO] |= 1  # RXUF
            return 0
        byte = self._received.pop(0)
        self._interrupt()
        return byte

    def put(self, offset: int, value: int) -> None:
        if offset == self.D:
            self._transmit(value)
        elif offset == self.PFIFO and self.values[self.C2] & 12:
            pass  # changes only while both halves are off
        elif offset == self.SFIFO:
            self.values[offset] &= ~(value & 7)
        else:
            super().put(offset, value)
        if offset == self.CFIFO and value & 0x40:
            self._received.clear()
        self._interrupt()

    def _transmit(self, byte: int) -> None:
        if self.values[self.C2] & 8 and self._wiring.muxed(*self.TX):
            right = abs(self.baud() / self.BAUD - 1) < 0.03
            self._send(byte if right else byte ^ 0xFF | 0x80)

    def _interrupt(self) -> None:
        full = len(self._received) >= max(1, self.values[21])
        self._wiring.line(self.IRQ, bool(self.values[self.C2] & 0x20 and full))


class Pit:
    """Four channels on the bus clock: LDVAL, CVAL, TCTRL, TFLG from 0x100 on, 16 bytes each."""

    IRQ = 48
    MCR = 0x000

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._mcr = 2
        self._load = [0] * 4
        self._control = [0] * 4
        self._flag = [0] * 4
        self._end = [NEVER] * 4
        for channel in range(4):
            wiring.clock.cancel(f"pit{channel}")
            wiring.line(self.IRQ + channel, False)

    def read(self, offset: int, size: int) -> int:
        if size != 4:
            raise DeviceError
        if offset == self.MCR:
            return self._mcr
        channel, register = offset - 0x100 >> 4, offset & 15
        if not 0 <= channel < 4:
            raise DeviceError
        if register == 4:
            if self._end[channel] == NEVER:
                return 0
            left = max(0, self._end[channel] - self._wiring.clock.now())
            return left * self._wiring.bus_hz() // SECOND
        return (self._load, self._load, self._control, self._flag)[register >> 2][channel]

    def write(self, offset: int, size: int, value: int) -> None:
        if size != 4:
            raise DeviceError
        if offset == self.MCR:
            self._mcr = value & 3
            for channel in range(4):
                self._start(channel)
            return
        channel, register = offset - 0x100 >> 4, offset & 15
        if not 0 <= channel < 4:
            raise DeviceError
        if register == 0:
            self._load[channel] = value  # of the next period
        elif register == 8:
            before, self._control[channel] = self._control[channel], value & 7
            if (before ^ value) & 1:
                self._start(channel)
        elif register == 12:
            self._flag[channel] &= ~value
        self._interrupt(channel)

    def _start(self, channel: int) -> None:
        name = f"pit{channel}"
        self._end[channel] = NEVER
        self._wiring.clock.cancel(name)
        if self._control[channel] & 1 and not self._mcr & 2:
            ns = (self._load[channel] + 1) * SECOND // self._wiring.bus_hz() + 1
            self._end[channel] = self._wiring.clock.now() + ns
            self._wiring.clock.alarm(name, self._end[channel], lambda: self._ended(channel))

    def _ended(self, channel: int) -> None:
        self._flag[channel] = 1
        self._start(channel)
        self._interrupt(channel)

    def _interrupt(self, channel: int) -> None:
        up = bool(self._flag[channel] and self._control[channel] & 2)
        self._wiring.line(self.IRQ + channel, up)


class Watchdog(Bank):
    """WDOG: runs out of reset. Registers take one value each, and only once they are unlocked;
    words that are not the right ones reset the chip."""

    width = 2
    STCTRLH, TOVALH, TOVALL, REFRESH, UNLOCK, PRESC = 0x00, 0x04, 0x06, 0x0C, 0x0E, 0x16
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{0x00: (0x01D3, 0x7FFF), 0x02: (1, 0x8000), 0x04: (0x004C, 0xFFFF)},
        **{0x06: (0x4B4C, 0xFFFF), 0x08: (0, 0xFFFF), 0x0A: (0x10, 0xFFFF), 0x0C: (0xB480, 0)},
        **{0x0E: (0xD928, 0), 0x10: (0, 0), 0x12: (0, 0), 0x14: (0, 0xFFFF), 0x16: (0x400, 0x700)},
    }
    WDOGEN, CLKSRC, ALLOWUPDATE = 1, 2, 0x10
    CONFIGURING = 256  # bus clocks, in which it can be set up after it was unlocked
    SLACK_NS = 200_000_000  # this machine's: a model cannot count clocks

    def __init__(self, wiring: Wiring, reset: Callable[[], None]) -> None:
        super().__init__()
        self._wiring, self._reset = wiring, reset
        self._word = 0  # the first of a pair, while the second is awaited
        self._open_until = 0
        self._taken: set[int] = set()
        self.touched = False

    def put(self, offset: int, value: int) -> None:
        if offset in (self.REFRESH, self.UNLOCK):
            self._sequence(offset, value)
        elif self._wiring.clock.now() < self._open_until and offset not in self._taken:
            super().put(offset, value)
            self._taken.add(offset)
            self.touched = True
            self._start()

    def _sequence(self, offset: int, value: int) -> None:
        first, second = (0xA602, 0xB480) if offset == self.REFRESH else (0xC520, 0xD928)
        if value == first and self._word == 0:
            self._word = first
        elif value == second and self._word == first:
            self._word = 0
            if offset == self.REFRESH:
                self._start()
            elif self.values[self.STCTRLH] & self.ALLOWUPDATE:
                ns = self.CONFIGURING * SECOND // self._wiring.bus_hz()
                self._open_until = self._wiring.clock.now() + ns + self.SLACK_NS
                self._taken.clear()
        else:
            self._reset()

    def _start(self) -> None:
        control = self.values[self.STCTRLH]
        self._wiring.clock.cancel("wdog")
        if control & self.WDOGEN:
            hz = self._wiring.bus_hz() if control & self.CLKSRC else 1000
            ticks = self.values[self.TOVALH] << 16 | self.values[self.TOVALL]
            ns = ticks * ((self.values[self.PRESC] >> 8 & 7) + 1) * SECOND // hz
            self._wiring.clock.alarm("wdog", self._wiring.clock.now() + ns, self._reset)


class Rtc(Bank):
    """Seconds, as long as the battery is there: here, as long as the emulator runs."""

    TSR, TPR, CR, SR = 0x00, 0x04, 0x10, 0x14
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{0: (0, ALL), 4: (0, 0xFFFF), 8: (0, ALL), 12: (0, 0xFFFF), 16: (0, 0x3F1F)},
        **{20: (1, 0x10), 24: (0xFF, 0xFF), 28: (7, 0x1F)},
    }

    def __init__(self) -> None:
        super().__init__()
        self._since = 0.0

    def _counts(self) -> bool:
        return bool(self.values[self.SR] & 0x10 and self.values[self.CR] & 0x100)

    def get(self, offset: int) -> int:
        if offset == self.TSR and self._counts() and not self.values[self.SR] & 1:
            return (self.values[offset] + int(time.monotonic() - self._since)) & ALL
        return self.values[offset]

    def put(self, offset: int, value: int) -> None:
        if offset in (self.TSR, self.TPR) and self.values[self.SR] & 0x10:
            return  # only while it stands
        seconds = self.get(self.TSR)
        super().put(offset, value)
        if offset == self.TSR:
            self.values[self.SR] &= ~3  # TIF, TOF
        else:
            self.values[self.TSR] = seconds
        self._since = time.monotonic()


class Rnga(Bank):
    """A word of this machine's randomness whenever it is read and runs."""

    CR, SR, OR = 0, 4, 12
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        0: (0, 0x17),
        4: (0x10000, 0),
        8: (0, ALL),
        12: (0, 0),
    }

    def get(self, offset: int) -> int:
        going = self.values[self.CR] & 1 and not self.values[self.CR] & 0x10
        if offset == self.SR:
            return self.values[offset] | (0x100 if going else 0)
        if offset == self.OR:
            return int.from_bytes(os.urandom(4), "little") if going else 0
        return self.values[offset] if offset == self.CR else 0
