"""Clocks of a Kinetis K64: MCG, OSC and SIM with its gates; reset causes (RCM).

Document: NXP K64P144M120SF5RM, chapters MCG, OSC, SIM, RCM; gates were checked against NXP's
fsl_clock.h. Every change takes effect at once. Left out: trims, loss of clock, low
power, FLL numbers other than those of reset.
"""

from collections.abc import Callable
from typing import ClassVar

from edgeuk.emulation.device import Bank

ALL = 0xFFFFFFFF
FLL_HZ = 20_971_520  # out of reset: 640 times the internal 32.768 kHz
C1, C2, C5, C6, S = 0, 1, 4, 5, 6
CLKDIV1 = 0x1044
# Registers of the SIM at their reset value, and what of a gate register can be written.
GATES_RESET = {
    0x1028: (0x00000000, 0x00000C40),
    0x102C: (0x00000000, 0x00003001),
    0x1030: (0x00000000, 0x0A021000),
    0x1034: (0xF0100030, 0x001C3CC6),
    0x1038: (0x00040182, 0x00003E01),
    0x103C: (0x40000001, 0x2FE4B213),
    0x1040: (0x00000006, 0x00000007),
}


class Mcg(Bank):
    """From the internal oscillator by FEI, FBE, PBE and PEE to the PLL, and back."""

    width = 1
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{C1: (0x04, 0xFF), C2: (0x80, 0xFF), 2: (0, 0xFF), 3: (0, 0xFF), C5: (0, 0x7F)},
        **{C6: (0, 0xFF), S: (0x10, 0), 8: (2, 0x3F), 10: (0, 0xFF), 11: (0, 0xFF)},
        **{12: (0, 3), 13: (0x80, 0)},
    }

    def __init__(self, external_hz: int) -> None:
        super().__init__()
        self._external_hz = external_hz
        self.changed: Callable[[], None] = lambda: None

    def get(self, offset: int) -> int:
        return self._status() if offset == S else super().get(offset)

    def put(self, offset: int, value: int) -> None:
        super().put(offset, value)
        self.changed()

    def _pll_selected(self) -> bool:
        return bool(self.values[C6] & 0x40)

    def _locked(self) -> bool:
        """The PLL takes references of 2 to 4 MHz, and makes 48 to 120 MHz."""
        reference = self._external_hz // ((self.values[C5] & 31) + 1)
        return self._pll_selected() and 2_000_000 <= reference <= 4_000_000

    def _status(self) -> int:
        c1 = self.values[C1]
        status = 0x10 if c1 & 4 else 0  # IREFST
        status |= (0x20 if self._pll_selected() else 0) | (0x40 if self._locked() else 0)
        chosen = c1 >> 6
        engaged = 3 if chosen == 0 and self._pll_selected() else chosen
        return status | engaged << 2

    def out_hz(self) -> int:
        """MCGOUTCLK."""
        engaged = self._status() >> 2 & 3
        if engaged == 3 and self._locked():
            by = (self.values[C5] & 31) + 1
            return self._external_hz * ((self.values[C6] & 31) + 24) // by
        return {1: 32_768, 2: self._external_hz}.get(engaged, FLL_HZ)


class Osc(Bank):
    """CR at offset 0; its ERCLKEN lets the reference through to peripherals."""

    width = 1
    registers: ClassVar[dict[int, tuple[int, int]]] = {0: (0, 0xAF)}


class Sim(Bank):
    """At 0x40047000, two pages. `gates_changed` after a write to a gate."""

    registers: ClassVar[dict[int, tuple[int, int]]] = {
        **{0x0000: (0x80000000, ALL), 0x0004: (0, ALL), 0x1004: (0x1000, ALL), 0x100C: (0, ALL)},
        **{0x1010: (0, ALL), 0x1018: (0, ALL), 0x1024: (0x0000A180, 0), **GATES_RESET},
        **{CLKDIV1: (0x00010000, 0xFFFF0000), 0x1048: (0, 15), 0x104C: (0xFF0F0F00, 3)},
        **{0x1050: (0x7FFF0000, 0), 0x1054: (0x00123456, 0), 0x1058: (0x789ABCDE, 0)},
        **{0x105C: (0x4E453460, 0), 0x1060: (0x002E5A17, 0)},
    }

    def __init__(self) -> None:
        super().__init__()
        self.gates_changed: Callable[[], None] = lambda: None
        self.changed: Callable[[], None] = lambda: None

    def open(self, register: int, bit: int) -> bool:
        return bool(self.values[register] >> bit & 1)

    def put(self, offset: int, value: int) -> None:
        super().put(offset, value)
        if offset in GATES_RESET:
            self.gates_changed()
        elif offset == CLKDIV1:
            self.changed()

    def divider(self, shift: int) -> int:
        """OUTDIV1 is at 28, the bus's at 24."""
        return (self.values[CLKDIV1] >> shift & 15) + 1


class Rcm(Bank):
    """Why the last reset was: SRS0, SRS1."""

    width = 1
    POWER_ON, WATCHDOG, PIN = (0x82, 0), (0x20, 0), (0x40, 0)
    SOFTWARE, LOCKUP = (0, 0x04), (0, 0x02)
    registers: ClassVar[dict[int, tuple[int, int]]] = {
        0: (0x82, 0),
        1: (0, 0),
        4: (0, 7),
        5: (0, 31),
        7: (0, 0),
    }

    def because(self, cause: tuple[int, int]) -> None:
        self.values[0], self.values[1] = cause
