"""The I2C controller of a Kinetis K64 as a bus master, and NXP's FXOS8700CQ at its other end.

Documents: NXP K64P144M120SF5RM, chapter I2C; FXOS8700CQ data sheet. A byte takes no time. Left out:
the slave half, other masters, the sensor's events, FIFO, offsets and larger ranges.
"""

from collections.abc import Callable
from typing import ClassVar, Protocol

from edgeuk.emulation.device import Bank, Wiring

MILLISECOND = 1_000_000


class Target(Protocol):
    """A device on the bus."""

    def start(self) -> None: ...

    def take(self, byte: int) -> bool:
        """Whether it acknowledges."""
        ...

    def give(self) -> int: ...


class I2c(Bank):
    """One register per byte: A1, F, C1, S, D, C2, FLT, RA, SMB, A2, SLTH, SLTL."""

    width = 1
    C1, S, D = 2, 3, 4
    IICEN, IICIE, MST, TX, RSTA = 0x80, 0x40, 0x20, 0x10, 0x04
    TCF, BUSY, ARBL, IICIF, RXAK = 0x80, 0x20, 0x10, 0x02, 0x01
    PINS = (("E", 24, 5), ("E", 25, 5))
    IRQ = 24
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{0: (0, 0xFE), 1: (0, 0xFF), 2: (0, 0xFB), 3: (0x80, 0), 4: (0, 0xFF), 5: (0, 0xFF)},
        **{6: (0, 0xFF), 7: (0, 0xFE), 8: (0, 0xFF), 9: (0xC2, 0xFE), 10: (0, 0xFF), 11: (0, 0xFF)},
    }

    def __init__(self, wiring: Wiring, targets: dict[int, Target]) -> None:
        super().__init__()
        self._wiring, self._targets = wiring, targets
        self._addressed: Target | None = None
        self._first = False  # the next byte is an address

    def get(self, offset: int) -> int:
        if offset == self.D:
            return self._read_data()
        return self.values[offset] & ~self.RSTA if offset == self.C1 else self.values[offset]

    def put(self, offset: int, value: int) -> None:
        if offset == self.S:
            self.values[self.S] &= ~(value & (self.ARBL | self.IICIF))
        elif offset == self.C1:
            self._control(value)
        elif offset == self.D:
            self._write_data(value)
        else:
            super().put(offset, value)
        status, control = self.values[self.S], self.values[self.C1]
        self._wiring.line(self.IRQ, bool(status & self.IICIF and control & self.IICIE))

    def _control(self, value: int) -> None:
        before = self.values[self.C1]
        super().put(self.C1, value)
        on = value & self.IICEN
        began = on and value & self.MST and not before & self.MST
        if not on or (before & self.MST and not value & self.MST):
            self.values[self.S] &= ~self.BUSY  # STOP
            self._addressed = None
        elif began or value & self.RSTA:
            self.values[self.S] |= self.BUSY
            self._addressed, self._first = None, True

    def _wired(self) -> bool:
        return all(self._wiring.muxed(*pin) for pin in self.PINS)

    def _write_data(self, value: int) -> None:
        self.values[self.D] = value
        if not self.values[self.C1] & self.MST or not self.values[self.C1] & self.TX:
            return
        if self._first:
            found = self._targets.get(value >> 1) if self._wired() else None
            self._first, self._addressed = False, found
            acknowledged = found is not None
            if found and not value & 1:
                found.start()
        else:
            acknowledged = self._addressed is not None and self._addressed.take(value)
        self._done(acknowledged)

    def _read_data(self) -> int:
        """What was received; as a receiver, the next byte begins."""
        value = self.values[self.D]
        control = self.values[self.C1]
        if control & self.MST and not control & self.TX:
            self.values[self.D] = self._addressed.give() if self._addressed else 0xFF
            self._done(True)
        return value

    def _done(self, acknowledged: bool) -> None:
        self.values[self.S] |= self.IICIF | self.TCF
        self.values[self.S] &= ~self.RXAK
        self.values[self.S] |= 0 if acknowledged else self.RXAK


class Fxos8700:
    """`acceleration` in counts of 1/4096 g, `field` in 0.1 uT, each x, y, z."""

    STATUS, SYSMOD, WHO_AM_I, DATA_CFG, CTRL1 = 0x00, 0x0B, 0x0D, 0x0E, 0x2A
    M_STATUS, M_DATA, M_CTRL1 = 0x32, 0x33, 0x5B
    HZ = (800.0, 400.0, 200.0, 100.0, 50.0, 12.5, 6.25, 1.5625)  # CTRL_REG1, dr
    FREE = (CTRL1,)  # may be written while it is active

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.acceleration = [0, 0, 4096]
        self.field = [200, -50, 430]
        self._registers = {self.WHO_AM_I: 0xC7}
        self._pointer, self._pointed = 0, False
        self._next = 0  # when new data is there
        self._ready = [0, 0]

    def start(self) -> None:
        self._pointed = False

    def take(self, byte: int) -> bool:
        if not self._pointed:
            self._pointer, self._pointed = byte, True
            return True
        active = self._registers.get(self.CTRL1, 0) & 1
        if self._pointer == self.CTRL1 or not active:
            self._registers[self._pointer] = byte
        if self._pointer == self.CTRL1 and byte & 1 and not active:
            self._ready = [0, 0]
            self._next = self._now() + 2 * self._period() + MILLISECOND
        self._pointer = self._pointer + 1 & 0x7F
        return True

    def _mode(self) -> int:
        """0: acceleration; 1: magnetic field; 3: both."""
        return self._registers.get(self.M_CTRL1, 0) & 3

    def _period(self) -> int:
        hz = self.HZ[self._registers.get(self.CTRL1, 0) >> 3 & 7]
        return int(1e9 / hz) * (2 if self._mode() == 3 else 1)

    def give(self) -> int:
        self._measure()
        at, self._pointer = self._pointer, self._pointer + 1 & 0x7F
        if at in (self.STATUS, self.M_STATUS):
            return self._ready[at == self.M_STATUS]
        if at == self.SYSMOD:
            return self._registers.get(self.CTRL1, 0) & 1
        for which, first in enumerate((1, self.M_DATA)):
            if first <= at < first + 6:
                return self._data(which, at - first)
        return self._registers.get(at, 0)

    def _data(self, which: int, offset: int) -> int:
        axis, low = divmod(offset, 2)
        value = self.field[axis] if which else self.acceleration[axis] * 4
        if not low:
            self._ready[which] &= ~(1 << axis)
            if not self._ready[which] & 7:
                self._ready[which] = 0
        return value >> (0 if low else 8) & 0xFF

    def _measure(self) -> None:
        if self._registers.get(self.CTRL1, 0) & 1 and self._now() >= self._next:
            missed = (self._now() - self._next) // self._period()
            self._next += (1 + missed) * self._period()
            mode = self._mode()
            self._ready = [0 if mode == 1 else 15, 15 if mode in (1, 3) else 0]
