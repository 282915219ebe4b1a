"""NXP's memory protection unit of a Kinetis K64 (SYSMPU): which bus master may do what where.

Document: NXP K64P144M120SF5RM, chapter MPU; offsets and fields were checked against MK64F12.h. It
stands before flash, RAM and FlexBus, not before peripherals. Of regions that overlap, one that
allows is enough; where no region is, nothing is allowed.
"""

from collections.abc import Callable

from edgeuk.emulation.memory import DeviceError

CORE, DEBUGGER, DMA, ENET = range(4)
REGIONS, PORTS = 12, 5
CESR_RESET = 0x00815101
VLD = 1
# The descriptor of the whole memory: core, debugger and DMA may do all.
RGD0 = [0, 0xFFFFFFFF, 0x0061F7DF, 1]
DEBUGGERS = 0x00000FC0  # the debugger's rights, which nobody else changes in RGD0
SUPERVISOR = ("rwx", "rx", "rw")  # MnSM; 3: as in user mode


class Sysmpu:
    """`changed` after every write that may have changed a right."""

    def __init__(self) -> None:
        self.changed: Callable[[], None] = lambda: None
        self._enabled = True
        self._regions = [list(RGD0), *([0, 31, 0, 0] for _ in range(REGIONS - 1))]

    def read(self, offset: int, size: int) -> int:
        return self._read(offset & ~3) >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _read(self, offset: int) -> int:
        if offset == 0:
            return CESR_RESET & ~VLD | self._enabled
        if 0x10 <= offset < 0x10 + 8 * PORTS:
            return 0  # what was refused is told by the core alone
        if 0x400 <= offset < 0x400 + 16 * REGIONS:
            return self._regions[offset - 0x400 >> 4][offset >> 2 & 3]
        if 0x800 <= offset < 0x800 + 4 * REGIONS:
            return self._regions[offset - 0x800 >> 2][2]
        raise DeviceError

    def write(self, offset: int, size: int, value: int) -> None:
        if size != 4:
            raise DeviceError  # words only
        if offset == 0:
            self._enabled = bool(value & VLD)
        elif 0x400 <= offset < 0x400 + 16 * REGIONS:
            self._write_word(offset - 0x400 >> 4, offset >> 2 & 3, value)
        elif 0x800 <= offset < 0x800 + 4 * REGIONS:
            self._rights(offset - 0x800 >> 2, value)
        else:
            raise DeviceError
        self.changed()

    def _write_word(self, number: int, word: int, value: int) -> None:
        """Writes to the first three make the region invalid until the last is written. Of the
        first region the processor changes only rights."""
        region = self._regions[number]
        if number == 0 and word != 2:
            return
        if word == 2:
            self._rights(number, value)
        else:
            region[word] = (value & ~31, value | 31, 0, value & (0xFFFF0000 | VLD))[word]
        if word < 3 and number != 0:
            region[3] &= ~VLD

    def _rights(self, number: int, value: int) -> None:
        kept = DEBUGGERS if number == 0 else 0
        self._regions[number][2] = self._regions[number][2] & kept | value & ~kept

    def edges(self) -> list[int]:
        """Where rights may change."""
        found = {e for start, end, _, valid in self._regions if valid for e in (start, end + 1)}
        return sorted(found)

    def allows(self, address: int, size: int, how: str, master: int = CORE) -> bool:
        """Of an access within 32 bytes, or one whose both ends tell. The core is privileged."""
        if not self._enabled:
            return True
        last = address + size - 1
        return all(
            any(
                start <= at <= end and how in _rights_of(rights, master)
                for start, end, rights, valid in self._regions
                if valid & VLD
            )
            for at in (address, last)
        )


def _rights_of(rights: int, master: int) -> str:
    if master > ENET:
        return ""
    field = rights >> 6 * master & 63
    mode = field >> 3 & 3
    if mode < 3:
        return SUPERVISOR[mode]
    return "".join(letter for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if field & bit)
