"""What the models of a chip's peripherals share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from edgeuk.emulation.clock import Clock
from edgeuk.emulation.memory import DeviceError


@dataclass(frozen=True, slots=True)
class Wiring:
    """What a peripheral is connected to."""

    clock: Clock
    line: Callable[[int, bool], None]  # interrupt lines of the NVIC
    muxed: Callable[[str, int, int], bool]  # port, pin, function: whether the pin has it
    core_hz: Callable[[], int]
    bus_hz: Callable[[], int]


class Bank:
    """A peripheral's registers: each has its width, as the manual has it, its reset value and the
    bits that can be written. Accesses beside them are answered with an error."""

    width = 4
    registers: ClassVar[dict[int, tuple[int, int]]] = {}  # offset -> reset value, writable bits

    def __init__(self) -> None:
        self.values = {offset: reset for offset, (reset, _) in self.registers.items()}

    def read(self, offset: int, size: int) -> int:
        at = offset - offset % self.width
        if at not in self.values:
            raise DeviceError
        value = self.get(at)
        if size > self.width:
            return value | self.read(offset + self.width, size - self.width) << 8 * self.width
        return value >> 8 * (offset % self.width) & (1 << 8 * size) - 1

    def write(self, offset: int, size: int, value: int) -> None:
        at = offset - offset % self.width
        if at not in self.values:
            raise DeviceError
        if size > self.width:
            self.put(at, value & (1 << 8 * self.width) - 1)
            self.write(at + self.width, size - self.width, value >> 8 * self.width)
            return
        if size < self.width:
            shift = 8 * (offset % self.width)
            mask = (1 << 8 * size) - 1 << shift
            value = self.values[at] & ~mask | value << shift & mask
        self.put(at, value)

    def get(self, offset: int) -> int:
        """What a read gives."""
        return self.values[offset]

    def put(self, offset: int, value: int) -> None:
        """What a write does."""
        mask = self.registers[offset][1]
        self.values[offset] = self.values[offset] & ~mask | value & mask
