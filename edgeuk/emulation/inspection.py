"""A Cortex-M4 as a debugger sees it: its registers by gdb's numbers, and memory.

Memory is what the processor's bus reaches, whatever a protection unit forbids the program. Reading
or writing a register of a device is an access like the program's, with all that it does: so it is
with the chip's own debug port.
"""

from unicorn import arm_const as arm

from edgeuk.emulation.core import Core
from edgeuk.emulation.exceptions import XPSR_NUMBER
from edgeuk.emulation.memory import DeviceError

FEATURES = {  # of gdb's target descriptions: register -> its number
    "m-profile": {
        **{f"r{i}": i for i in range(13)},
        **{"sp": 13, "lr": 14, "pc": 15, "xpsr": 25},
    },
    "m-system": {
        **{"msp": 26, "psp": 27, "primask": 28, "basepri": 29, "faultmask": 30, "control": 31},
    },
}
NAMES = {number: name for registers in FEATURES.values() for name, number in registers.items()}
TYPES = {"sp": "data_ptr", "pc": "code_ptr", "msp": "data_ptr", "psp": "data_ptr"}


def description() -> str:
    """GDB manual, appendix "Target Descriptions", Arm features."""
    parts = [
        f'<feature name="org.gnu.gdb.arm.{feature}">'
        + "".join(
            f'<reg name="{name}" bitsize="32" regnum="{number}" type="{TYPES.get(name, "int")}"/>'
            for name, number in registers.items()
        )
        + "</feature>"
        for feature, registers in FEATURES.items()
    ]
    return f'<?xml version="1.0"?><target><architecture>arm</architecture>{"".join(parts)}</target>'


class Inspection:
    """Between two instructions."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def get(self, number: int) -> int:
        """Raises KeyError."""
        if NAMES[number] == "pc":
            return self._core.pc
        return self._core.get(_constant(number))

    def set(self, number: int, value: int) -> None:
        """The number of the exception in xPSR stays: the interrupt controller knows it too. Raises
        KeyError."""
        name = NAMES[number]
        if name == "pc":
            self._core.pc = value
            return
        if name == "xpsr":
            value = value & ~XPSR_NUMBER | self.get(number) & XPSR_NUMBER
        self._core.set(_constant(number), value & 0xFFFFFFFF)

    def read(self, address: int, size: int) -> bytes:
        """As much of it as there is."""
        data = b""
        while len(data) < size:
            piece = self._read(address + len(data), size - len(data))
            if not piece:
                break
            data += piece
        return data

    def _read(self, address: int, size: int) -> bytes:
        found = self._core.area(address)
        if found:
            return self._core.read(address, min(size, found.base + found.size - address))
        block = self._core.block(address)
        if block is None:
            return b""
        base, registers = block
        width = _width(address, size)
        try:
            return registers.read(address - base, width).to_bytes(width, "little")
        except DeviceError:
            return b""

    def write(self, address: int, data: bytes) -> bool:
        """Whether all of it could be. Flash is none that a bus writes."""
        while data:
            found = self._core.area(address)
            size = _width(address, len(data))
            if found:
                size = min(len(data), found.base + found.size - address)
            if not self._write(address, data[:size]):
                return False
            address, data = address + size, data[size:]
        return True

    def _write(self, address: int, data: bytes) -> bool:
        if self._core.has(address, len(data), write=True):
            self._core.write(address, data)
            self._core.forget(address, len(data))
            return True
        block = self._core.block(address)
        if block is None:
            return False
        base, registers = block
        try:
            registers.write(address - base, len(data), int.from_bytes(data, "little"))
        except DeviceError:
            return False
        return True


def _width(address: int, size: int) -> int:
    """Of an access to a register."""
    return next(w for w in (4, 2, 1) if w <= size and address % w == 0)


def _constant(number: int) -> int:
    return int(getattr(arm, f"UC_ARM_REG_{NAMES[number].upper()}"))
