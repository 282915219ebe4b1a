"""What the addresses on a console mean: functions, lines and calls that were inlined, from the
program that was linked with debug information (DWARF 4 and 5). `decoder` finds them in its lines.
"""

import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from elftools.common.exceptions import DWARFError, ELFError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgeuk.errors import UsageError
from edgeuk.origin import code_ranges


@dataclass(frozen=True, slots=True)
class Frame:
    """A place in the source; `inlined` into the frame that follows."""

    function: str
    file: str  # as the compiler was told: "firmware/mqtt/client.c"; "" if it is not known
    line: int
    inlined: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file  # 0: the compiler's own
        return f"{self.function} at {place}" if place else self.function


@dataclass(frozen=True, slots=True)
class _Unit:
    """One source file's debug information."""

    ranges: tuple[tuple[int, int], ...]
    handle: Any


class Program:
    """An ELF file with symbols, read as far as it is asked for."""

    def __init__(self, path: Path) -> None:
        """Raises `UsageError` for a file that cannot be read or is none."""
        self.path = path
        try:
            self._file = ELFFile(io.BytesIO(path.read_bytes()))
            self._symbols = list(_symbols(self._file))
            self.board = self._text("ek_board_name")
            self.build_id = self._text("ek_build_id")
        except OSError as e:
            raise UsageError(f"cannot be read: {e.strerror}", where=str(path)) from None
        except (ELFError, UnicodeDecodeError) as e:
            what = f"no ELF file with symbols: {e} [E0832]"
            raise UsageError(what, where=str(path), hint="it is gateway.debug.elf") from None
        self._thumb = self._file["e_machine"] == "EM_ARM"
        self._functions = self._found_functions()
        # What the linker dropped is still described, at address 0.
        self._first = self._functions[0][0] if self._functions else 0
        self._starts = [f[0] for f in self._functions]
        self._info = self._file.get_dwarf_info() if self._file.has_dwarf_info() else None
        self._units: list[_Unit] | None = None
        self._tables: dict[int, list[tuple[int, int, int, int]]] = {}

    def frames(self, address: int, *, returns: bool = True) -> tuple[Frame, ...]:
        """The function at an address, innermost first where calls were inlined. `returns`: a call
        returns to it, which may have been its function's last instruction."""
        at = (address & ~1 if self._thumb else address) - returns
        name = self._symbol(at)
        try:
            found = self._described(at)
        except (DWARFError, ELFError, KeyError, IndexError):
            found = ()  # damaged, or of a later version: the name is left
        if found:
            return found
        return (Frame(name, "", 0),) if name else ()

    def begins(self, address: int) -> bool:
        """Whether a function begins there."""
        return (address & ~1 if self._thumb else address) in self._starts

    # symbols
    def _found_functions(self) -> list[tuple[int, int, str]]:
        """First address, size, name, by address. A label of assembly goes up to the next symbol."""
        code = [
            (s["sh_addr"], s["sh_addr"] + s["sh_size"])
            for s in self._file.iter_sections()
            if s["sh_flags"] & SH_FLAGS.SHF_EXECINSTR
        ]
        found = {}
        labels = {}
        for name, start, size, kind in self._symbols:
            # Bit 0 of a Thumb function's address says that it is one.
            start = start & ~1 if self._thumb and kind == "STT_FUNC" else start
            # Link-time optimisation numbers static functions of one name: "poll.400".
            if kind == "STT_FUNC" and size:
                found[start] = (size, name.partition(".")[0])
            elif kind in ("STT_FUNC", "STT_NOTYPE") and re.match("_?[a-z]", name):
                labels[start] = name
        starts = sorted({*found, *labels})
        for start, following in pairwise(starts):
            inside = any(a <= start < following <= b for a, b in code)
            if start not in found and inside:
                found[start] = (following - start, labels[start])
        return sorted((start, *rest) for start, rest in found.items())

    def address_of(self, name: str) -> tuple[int, int]:
        """Address and size of a variable. Raises `UsageError`."""
        for found, at, size, _ in self._symbols:
            if found == name:
                return at, size
        what = f"no ELF file of an edgeuk image: it has no `{name}` [E0832]"
        raise UsageError(what, where=str(self.path))

    def _text(self, name: str) -> str:
        """The value of a `const char name[]`; "" where there is none."""
        with suppress(UsageError):
            at, size = self.address_of(name)
            for section in self._file.iter_sections():
                start = section["sh_addr"]
                if start <= at < start + section["sh_size"] and section["sh_type"] != "SHT_NOBITS":
                    data: bytes = section.data()[at - start : at - start + size]
                    return data.partition(b"\0")[0].decode()
        return ""

    def _symbol(self, at: int) -> str:
        i = bisect_right(self._starts, at) - 1
        if i < 0 or at >= self._functions[i][0] + self._functions[i][1]:
            return ""
        return self._functions[i][2]

    # debug information
    def _described(self, at: int) -> tuple[Frame, ...]:
        if self._info is None or at < self._first:
            return ()
        for unit in self._all_units():
            if any(a <= at < b for a, b in unit.ranges):
                top = unit.handle.get_top_DIE()
                chain = self._chain(top, unit.handle, at)
                if chain or self._row(unit.handle, at):
                    return self._frames(unit.handle, chain, at)
        return ()

    def _all_units(self) -> list[_Unit]:
        if self._units is None:
            assert self._info
            self._units = [
                _Unit(tuple(self._ranges(unit.get_top_DIE(), unit)), unit)
                for unit in self._info.iter_CUs()
            ]
        return self._units

    def _ranges(self, die: Any, unit: Any) -> Iterator[tuple[int, int]]:
        return ((a, b) for a, b in code_ranges(die, self._info, unit) if a >= self._first)

    def _chain(self, die: Any, unit: Any, at: int) -> list[Any]:
        """The function that has the address in it, and what was inlined there, outermost first."""
        for child in die.iter_children():
            block = child.tag == "DW_TAG_lexical_block"
            if not block and child.tag not in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine"):
                continue
            if any(a <= at < b for a, b in self._ranges(child, unit)):
                return [*(() if block else (child,)), *self._chain(child, unit, at)]
        return []

    def _frames(self, unit: Any, chain: list[Any], at: int) -> tuple[Frame, ...]:
        file, line = self._row(unit, at) or ("", 0)
        if not chain:  # assembly
            return (Frame(self._symbol(at) or "?", file, line),)
        found = []
        for die in reversed(chain):
            inlined = die.tag == "DW_TAG_inlined_subroutine"
            found.append(Frame(_name(die) or self._symbol(at) or "?", file, line, inlined))
            if inlined:
                file = self._file_name(unit, _value(die, "DW_AT_call_file"))
                line = _value(die, "DW_AT_call_line")
        return tuple(found)

    def _row(self, unit: Any, at: int) -> tuple[str, int] | None:
        """File and line of an instruction."""
        rows = self._tables.get(unit.cu_offset)
        if rows is None:
            rows = self._tables[unit.cu_offset] = sorted(self._rows(unit))
        i = bisect_right(rows, at, key=lambda row: row[0]) - 1
        if i < 0 or at >= rows[i][1]:
            return None
        return self._file_name(unit, rows[i][2]), rows[i][3]

    def _rows(self, unit: Any) -> Iterator[tuple[int, int, int, int]]:
        """First address, first address behind, file, line."""
        assert self._info
        program = self._info.line_program_for_CU(unit)
        rows: list[Any] = []  # of one stretch of code; the last one is where it ends
        for entry in program.get_entries() if program else ():
            if entry.state is None:
                continue
            rows.append(entry.state)
            if entry.state.end_sequence:
                if rows[0].address >= self._first:
                    for row, following in pairwise(rows):
                        if row.address < following.address:
                            yield row.address, following.address, row.file, row.line
                rows = []

    def _file_name(self, unit: Any, number: int) -> str:
        assert self._info
        program: Any = self._info.line_program_for_CU(unit)
        header = program.header
        five = header["version"] >= 5
        with suppress(IndexError, KeyError):
            entry = header["file_entry"][number if five else number - 1]
            name, folder = entry.name.decode(), entry.dir_index
            if folder == 0 or name.startswith("/"):  # 0: where the compiler ran
                return str(name)
            folders = header["include_directory"]
            return f"{folders[folder if five else folder - 1].decode()}/{name}"
        return ""


def _symbols(file: Any) -> Iterator[tuple[str, int, int, str]]:
    """Name, value, size, type."""
    table = file.get_section_by_name(".symtab")
    if isinstance(table, SymbolTableSection):
        for s in table.iter_symbols():
            yield s.name, s["st_value"], s["st_size"], s["st_info"]["type"]


def _value(die: Any, name: str) -> int:
    found = die.attributes.get(name)
    return int(found.value) if found is not None else 0


def _name(die: Any) -> str:
    """A function's name, which may stand where it was declared."""
    for _ in range(4):  # inlined -> abstract -> declaration
        if "DW_AT_name" in die.attributes:
            return str(die.attributes["DW_AT_name"].value.decode())
        for link in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if link in die.attributes:
                die = die.get_DIE_from_attribute(link)
                break
        else:
            break
    return ""


def with_build_id(paths: Sequence[Path], build_id: str) -> Program | None:
    """The one of these files that is that build."""
    for path in paths:
        with suppress(UsageError):
            program = Program(path)
            if program.build_id == build_id:
                return program
    return None
