"""ELF files: reading what a linker wrote, and packing it into the small file that is booted.

The packed file has an ELF header, program headers and their bytes; no sections, symbols or debug
information. Follows the System V ABI's ELF chapter (gABI 4.3), 32 and 64 bit, little-endian only:
no board is big-endian.
"""

import struct
from dataclasses import dataclass

from edgeuk.errors import BuildError

PT_LOAD, PT_NOTE = 1, 4
SHT_NOBITS = 8
SHF_WRITE, SHF_ALLOC = 1, 2
CLASS_32, CLASS_64 = 1, 2
ALIGN = 16  # of segments in the file; no loader of ours maps pages from it

# Header, program header and section header of each class, in the order of the gABI's structures.
EHDR = {CLASS_32: "<16sHHIIIIIHHHHHH", CLASS_64: "<16sHHIQQQIHHHHHH"}
PHDR = {CLASS_32: "<IIIIIIII", CLASS_64: "<IIQQQQQQ"}
SHDR = {CLASS_32: "<IIIIIIIIII", CLASS_64: "<IIQQQQIIQQ"}


@dataclass(frozen=True, slots=True)
class Segment:
    """What is loaded; `data` is as long as p_filesz, the rest of `mem_size` is zeros."""

    type: int
    flags: int
    vaddr: int
    paddr: int
    mem_size: int
    align: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Section:
    """A section's header."""

    name: str
    type: int
    flags: int
    addr: int
    size: int

    @property
    def in_flash(self) -> bool:
        """Its bytes are part of the image."""
        return bool(self.flags & SHF_ALLOC) and self.type != SHT_NOBITS

    @property
    def in_ram(self) -> bool:
        """It takes memory that the program writes."""
        return bool(self.flags & SHF_ALLOC) and (
            bool(self.flags & SHF_WRITE) or self.type == SHT_NOBITS
        )


@dataclass(frozen=True, slots=True)
class Elf:
    """The parts of an ELF file that matter here."""

    elf_class: int
    machine: int
    flags: int
    entry: int
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]


def read(data: bytes, where: str = "") -> Elf:
    """Decode `data`. Raises `BuildError` where it is not a little-endian ELF file."""
    if data[:4] != b"\x7fELF" or data[4] not in EHDR or data[5] != 1:
        hint = "the file that `edgeuk build` ends with; without --image it is built"
        raise BuildError("not a little-endian ELF file", where=where, hint=hint)
    elf_class = data[4]
    try:
        header = struct.unpack_from(EHDR[elf_class], data)
        _, _, machine, _, entry, phoff, shoff, flags, _, phsize, phnum, shsize, shnum, names = (
            header
        )
        segments = [_segment(elf_class, data, phoff + i * phsize) for i in range(phnum)]
        sections = _sections(elf_class, data, shoff, shsize, shnum, names)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise BuildError("a damaged ELF file", where=where) from None
    return Elf(elf_class, machine, flags, entry, tuple(segments), tuple(sections))


def pack(elf: Elf) -> bytes:
    """The smallest ELF file with the same segments. The same input gives the same bytes."""
    loads = [s for s in elf.segments if s.type == PT_LOAD and s.mem_size]
    notes = [s for s in elf.segments if s.type == PT_NOTE and s.data]
    ehsize, phsize = struct.calcsize(EHDR[elf.elf_class]), struct.calcsize(PHDR[elf.elf_class])
    body = bytearray()
    start = ehsize + phsize * (len(loads) + len(notes))
    headers = []
    for segment in loads:
        # Offset and address must be equal modulo the alignment (gABI, Program Header).
        body += bytes((segment.vaddr - start - len(body)) % ALIGN)
        headers.append(_phdr(elf.elf_class, segment, start + len(body), ALIGN))
        body += segment.data
    for note in notes:
        inside = _offset_inside(note, loads, headers, elf.elf_class)
        if inside is None:
            body += bytes(-(start + len(body)) % max(note.align, 1))
            inside = start + len(body)
            body += note.data
        headers.append(_phdr(elf.elf_class, note, inside, note.align))
    ident = b"\x7fELF" + bytes([elf.elf_class, 1, 1]) + bytes(9)
    ehdr = struct.pack(
        EHDR[elf.elf_class],
        *(ident, 2, elf.machine, 1, elf.entry, ehsize, 0, elf.flags),
        *(ehsize, phsize, len(headers), 0, 0, 0),
    )
    return ehdr + b"".join(headers) + bytes(body)


def flat(elf: Elf) -> bytes:
    """What a programmer writes to flash, from the lowest load address on; gaps are 0xff, as erased
    flash is."""
    loads = [s for s in elf.segments if s.type == PT_LOAD and s.data]
    if not loads:
        return b""
    base = min(s.paddr for s in loads)
    image = bytearray(b"\xff" * (max(s.paddr + len(s.data) for s in loads) - base))
    for segment in loads:
        at = segment.paddr - base
        image[at : at + len(segment.data)] = segment.data
    return bytes(image)


def _segment(elf_class: int, data: bytes, at: int) -> Segment:
    fields = struct.unpack_from(PHDR[elf_class], data, at)
    if elf_class == CLASS_32:
        kind, offset, vaddr, paddr, file_size, mem_size, flags, align = fields
    else:
        kind, flags, offset, vaddr, paddr, file_size, mem_size, align = fields
    content = data[offset : offset + file_size]
    if len(content) != file_size:
        raise IndexError
    return Segment(kind, flags, vaddr, paddr, mem_size, align, content)


def _sections(
    elf_class: int, data: bytes, offset: int, size: int, count: int, names: int
) -> list[Section]:
    rows = [struct.unpack_from(SHDR[elf_class], data, offset + i * size) for i in range(count)]
    if not rows:
        return []
    text = rows[names][4]
    found = []
    for name, kind, flags, addr, _, length, *_ in rows:
        end = data.index(b"\0", text + name)
        found.append(Section(data[text + name : end].decode(), kind, flags, addr, length))
    return found


def _phdr(elf_class: int, s: Segment, offset: int, align: int) -> bytes:
    file_size = len(s.data)
    if elf_class == CLASS_32:
        fields = (s.type, offset, s.vaddr, s.paddr, file_size, s.mem_size, s.flags, align)
    else:
        fields = (s.type, s.flags, offset, s.vaddr, s.paddr, file_size, s.mem_size, align)
    return struct.pack(PHDR[elf_class], *fields)


def _offset_inside(
    note: Segment, loads: list[Segment], headers: list[bytes], elf_class: int
) -> int | None:
    """Where in the file the note already stands as part of a loaded segment."""
    for load, header in zip(loads, headers, strict=False):  # notes follow in `headers`
        skip = note.vaddr - load.vaddr
        if skip >= 0 and skip + len(note.data) <= len(load.data):
            offset: int = struct.unpack(PHDR[elf_class], header)[1 if elf_class == CLASS_32 else 2]
            return offset + skip
    return None
