"""Digital pins of a Kinetis K64: PORT says what each is and keeps its edges, GPIO drives and reads.

Document: NXP K64P144M120SF5RM, chapters PORT and GPIO. Left out: the digital filter, DMA requests,
interrupts by level.
"""

from collections.abc import Callable
from typing import ClassVar

from edgeuk.emulation.device import Bank, Wiring
from edgeuk.emulation.memory import DeviceError

ALL = 0xFFFFFFFF


class Port(Bank):
    """PORTx: what each pin is, and its edges. `levels` is what the outside drives."""

    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{4 * pin: (0, 0x000F8777) for pin in range(32)},
        **{0x80: (0, ALL), 0x84: (0, ALL), 0xA0: (0, 0), 0xC0: (0, ALL), 0xC4: (0, 1)},
        **{0xC8: (0, 31)},
    }
    DEBUGGER: ClassVar = {
        0: 0x706,
        1: 0x707,
        2: 0x707,
        3: 0x707,
        4: 0x707,
    }  # of port A, out of reset

    def __init__(self, irq: int, wiring: Wiring, debugger: bool) -> None:
        super().__init__()
        self._irq, self._wiring = irq, wiring
        if debugger:
            self.values |= {4 * pin: value for pin, value in self.DEBUGGER.items()}
        self.levels = ALL
        self.edges = 0
        self.seen = ALL

    def function(self, pin: int) -> int:
        return self.values[4 * pin] >> 8 & 7

    def get(self, offset: int) -> int:
        if offset == 0xA0:
            return self.edges
        if offset < 0x80:
            return self.values[offset] | (self.edges >> offset // 4 & 1) << 24
        return 0 if offset in (0x80, 0x84) else self.values[offset]

    def put(self, offset: int, value: int) -> None:
        if offset in (0x80, 0x84):  # GPCLR, GPCHR
            first = 16 if offset == 0x84 else 0
            for pin in range(16):
                if value >> 16 + pin & 1:
                    at = 4 * (first + pin)
                    kept = self.values[at] & ~0x777
                    self.values[at] = kept | value & 0x777
        elif offset == 0xA0:
            self.edges &= ~value
        else:
            if offset < 0x80:
                self.edges &= ~(value >> 24 & 1) << offset // 4 | ~(1 << offset // 4)
            super().put(offset, value)
        self._interrupt()

    def look(self, levels: int) -> None:
        """The pins' levels, after which edges are known."""
        for pin in range(32):
            was, now = self.seen >> pin & 1, levels >> pin & 1
            how = self.values[4 * pin] >> 16 & 15
            rising = how in (9, 11) and not was and now
            falling = how in (10, 11) and was and not now
            if rising or falling:
                self.edges |= 1 << pin
        self.seen = levels
        self._interrupt()

    def _interrupt(self) -> None:
        enabled = sum(1 << pin for pin in range(32) if self.values[4 * pin] >> 16 & 15 >= 8)
        self._wiring.line(self._irq, bool(self.edges & enabled))


class Gpio:
    """Five ports, 0x40 bytes each; a port whose gate is closed shows no inputs."""

    def __init__(self, ports: list[Port], is_open: Callable[[int], bool]) -> None:
        self._ports, self._open = ports, is_open
        self._out = [0] * len(ports)
        self._direction = [0] * len(ports)

    def _levels(self, port: int) -> int:
        driven = self._direction[port] & sum(
            1 << pin for pin in range(32) if self._ports[port].function(pin) == 1
        )
        return self._out[port] & driven | self._ports[port].levels & ~driven

    def inputs(self, port: int) -> int:
        digital = sum(1 << pin for pin in range(32) if self._ports[port].function(pin))
        return self._levels(port) & digital if self._open(port) else 0

    def driven(self, port: int, pin: int) -> bool:
        """The level of a pin, whoever drives it."""
        return bool(self._levels(port) >> pin & 1)

    def drive(self, port: int, pin: int, level: bool) -> None:
        """From outside."""
        kept = self._ports[port].levels & ~(1 << pin)
        self._ports[port].levels = kept | level << pin
        self._ports[port].look(self._levels(port))

    def read(self, offset: int, size: int) -> int:
        port, register = offset >> 6, offset & 0x3C
        if port >= len(self._ports) or register > 0x14:
            raise DeviceError
        word = {0x00: self._out[port], 0x10: self.inputs(port), 0x14: self._direction[port]}
        return word.get(register, 0) >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        port, register = offset >> 6, offset & 0x3C
        if port >= len(self._ports) or register > 0x14 or size != 4:
            raise DeviceError
        if register == 0x14:
            self._direction[port] = value
        elif register != 0x10:
            now = self._out[port]
            self._out[port] = {0: value, 4: now | value, 8: now & ~value, 12: now ^ value}[register]
        self._ports[port].look(self._levels(port))
