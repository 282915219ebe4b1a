"""Where each address of a linked image comes from: the source file whose function or variable it
is, by the debug information (DWARF 4 and 5) that the image was linked with.

Link-time optimisation makes one object of most sources, so the linker's map no longer knows. Code
that was inlined counts for the function that it was inlined into; code that was outlined, merged
strings and jump tables have no origin.
"""

import io
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from elftools.dwarf.ranges import BaseAddressEntry
from elftools.elf.elffile import ELFFile

DW_OP_ADDR, DW_OP_PLUS_UCONST = 0x03, 0x23  # DWARF 5, 7.7.1


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """A stretch of addresses; a variable's goes up to the next variable, so its end is unknown."""

    start: int
    end: int | None
    source: str  # as the compiler was told: "firmware/mqtt/client.c"
    variable: str  # "" for code


class Origins:
    """All stretches of one image, to be asked by address."""

    def __init__(self, found: list[Origin]) -> None:
        self._code = sorted(o for o in found if o.end is not None)
        self._data = sorted((o for o in found if o.end is None), key=lambda o: o.start)
        self._code_starts = [o.start for o in self._code]
        self._data_starts = [o.start for o in self._data]

    def code(self, address: int) -> Origin | None:
        """Whose instruction is there."""
        i = bisect_right(self._code_starts, address) - 1
        if i < 0 or address >= (self._code[i].end or 0):
            return None
        return self._code[i]

    def data(self, start: int, end: int) -> Iterator[tuple[Origin | None, int]]:
        """The variables in a stretch, with their bytes; None for bytes before the first one."""
        first = bisect_right(self._data_starts, start - 1)
        last = bisect_right(self._data_starts, end - 1)
        inside = self._data[first:last]
        if not inside:
            yield None, end - start
            return
        if inside[0].start > start:
            yield None, inside[0].start - start
        ends = [o.start for o in inside[1:]] + [end]
        yield from ((o, stop - o.start) for o, stop in zip(inside, ends, strict=True))


def origins(data: bytes) -> Origins:
    """Read the debug information of an ELF file; nothing is found where there is none."""
    if not data:
        return Origins([])
    file = ELFFile(io.BytesIO(data))
    if not file.has_dwarf_info():
        return Origins([])
    info = file.get_dwarf_info()
    found: list[Origin] = []
    for unit in info.iter_CUs():
        top = unit.get_top_DIE()
        source = top.attributes["DW_AT_name"].value.decode()
        found += (Origin(a, b, source, "") for a, b in code_ranges(top, info, unit))
        for die in unit.iter_DIEs():
            address = _address(die) if die.tag == "DW_TAG_variable" else None
            if address is not None:
                found.append(Origin(address, None, source, _name(die)))
    return Origins(found)


def code_ranges(die: Any, info: Any, unit: Any) -> Iterator[tuple[int, int]]:
    """The address ranges of a compilation unit's code, or of a function's or block's in it."""
    ranges, low = die.attributes.get("DW_AT_ranges"), die.attributes.get("DW_AT_low_pc")
    if ranges is not None:
        start = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        base = start.value if start is not None else 0
        for entry in info.range_lists().get_range_list_at_offset(ranges.value, unit):
            if isinstance(entry, BaseAddressEntry):
                base = entry.base_address
            else:
                shift = 0 if getattr(entry, "is_absolute", False) else base
                yield entry.begin_offset + shift, entry.end_offset + shift
    elif low is not None and "DW_AT_high_pc" in die.attributes:
        yield low.value, low.value + die.attributes["DW_AT_high_pc"].value


def _address(variable: Any) -> int | None:
    """Of a variable with static storage, else None."""
    location = variable.attributes.get("DW_AT_location")
    if location is None or not isinstance(location.value, list) or not location.value:
        return None
    operation, *operand = location.value
    width = variable.cu["address_size"]
    address, rest = int.from_bytes(bytes(operand[:width]), "little"), operand[width:]
    if operation != DW_OP_ADDR or len(operand) < width:
        return None
    if not rest:
        return address
    # Link-time optimisation puts variables together: so far behind the first of them (LEB128).
    offset = sum((byte & 0x7F) << 7 * i for i, byte in enumerate(rest[1:]))
    return address + offset if rest[0] == DW_OP_PLUS_UCONST else None


def _name(die: Any) -> str:
    name = die.attributes.get("DW_AT_name")
    if name is None and "DW_AT_specification" in die.attributes:
        name = die.get_DIE_from_attribute("DW_AT_specification").attributes.get("DW_AT_name")
    return name.value.decode() if name is not None else ""
