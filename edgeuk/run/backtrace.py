"""Names for the addresses of a panic's backtrace, from the program that was linked with debug
information: the console prints "  at 0x1234", a person reads "  at 0x1234 mqtt_receive"."""

import re
from bisect import bisect_left
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

ADDRESS = re.compile(r"^(.* at 0x([0-9a-f]+))$", re.MULTILINE)
Function = tuple[int, int, str]  # first address, first address behind, name


def functions(program: Path) -> list[Function]:
    """The functions of an ELF file by address; none where it cannot be read or has no symbols."""
    try:
        with program.open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            found = [
                # Bit 0 of a Thumb function's address says that it is one.
                # Link-time optimisation numbers static functions of one name: "poll.400".
                (s["st_value"] & ~1, (s["st_value"] & ~1) + s["st_size"], s.name.partition(".")[0])
                for s in (table.iter_symbols() if isinstance(table, SymbolTableSection) else ())
                if s["st_info"]["type"] == "STT_FUNC"
            ]
    except (OSError, ELFError):
        return []
    return sorted(found)


def named(text: str, known: list[Function]) -> str:
    """`text` with the function behind each address of a backtrace, where it is known."""

    def name(match: re.Match[str]) -> str:
        # A return address is behind the call, which may be a function's last instruction.
        address = int(match[2], 16)
        i = bisect_left(known, (address, 0, "")) - 1
        inside = i >= 0 and address <= known[i][1]
        return f"{match[1]} {known[i][2]}" if inside else match[1]

    return ADDRESS.sub(name, text)
