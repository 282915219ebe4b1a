"""edgeuk/pack/elf.py: ELF files put together here by hand, as the gABI has them, read and packed.

pyelftools, another implementation, reads what was packed.
"""

import io
import struct

import pytest
from elftools.elf.elffile import ELFFile

from edgeuk.errors import BuildError
from edgeuk.pack import elf

CODE, NOTE, DATA = b"\x90" * 37, struct.pack("<III4sI", 4, 4, 18, b"Xen\0", 0x100000), b"data!"


def linked() -> bytes:
    """64 bits: code with a PVH note inside, data with a bss, another segment that is empty."""
    header_size, program_size = 64, 56
    rows = [  # type, flags, vaddr, paddr, content, size in memory, align
        (1, 5, 0x100000, 0x100000, CODE + bytes(3) + NOTE, 60, 4096),
        (1, 6, 0x100040, 0x100040, DATA, 0x1000, 4096),
        (1, 6, 0x200000, 0x200000, b"", 0, 4096),
        (4, 4, 0x100028, 0x100028, NOTE, 20, 4),
    ]
    where = 0x1000
    headers, body = b"", b""
    for kind, flags, vaddr, paddr, content, memory, align in rows:
        offset = where + len(body)
        if kind == 4:
            offset = where + 40
        else:
            body += content
        fields = (kind, flags, offset, vaddr, paddr, len(content), memory, align)
        headers += struct.pack("<IIQQQQQQ", *fields)
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    head = ident + struct.pack(
        "<HHIQQQIHHHHHH", 2, 62, 1, 0x100000, header_size, 0, 0, 64, program_size, 4, 0, 0, 0
    )
    return (head + headers).ljust(where, b"\0") + body


def test_packed_file_keeps_what_is_loaded():
    packed = elf.pack(elf.read(linked()))
    file = ELFFile(io.BytesIO(packed))
    assert file["e_entry"] == 0x100000
    assert file.num_sections() == 0
    loads = [s for s in file.iter_segments() if s["p_type"] == "PT_LOAD"]
    assert [(s["p_paddr"], s["p_memsz"]) for s in loads] == [(0x100000, 60), (0x100040, 0x1000)]
    assert [s.data() for s in loads] == [CODE + bytes(3) + NOTE, DATA]
    assert all((s["p_vaddr"] - s["p_offset"]) % s["p_align"] == 0 for s in loads)


def test_note_is_found_without_being_stored_twice():
    packed = elf.pack(elf.read(linked()))
    (note,) = [s for s in ELFFile(io.BytesIO(packed)).iter_segments() if s["p_type"] == "PT_NOTE"]
    assert note.data() == NOTE
    assert packed.count(NOTE) == 1
    assert note["p_align"] == 4  # QEMU walks the notes by it


def test_packing_is_idempotent_and_small():
    once = elf.pack(elf.read(linked()))
    assert elf.pack(elf.read(once)) == once
    assert len(once) < 64 + 3 * 56 + 60 + 5 + 2 * 16


def test_flat_image_fills_gaps_as_erased_flash_is():
    image = elf.flat(elf.read(linked()))
    assert image[:37] == CODE
    assert image[60:64] == b"\xff" * 4
    assert image[64:] == DATA


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not a little-endian ELF file"),
        (b"#!/bin/sh", "not a little-endian ELF file"),
        (linked()[:5] + b"\x02" + linked()[6:], "not a little-endian ELF file"),
        (linked()[:60], "a damaged ELF file"),
        (linked()[:0x1010], "a damaged ELF file"),
    ],
)
def test_a_file_that_is_none_is_refused(data, what):
    with pytest.raises(BuildError, match=what):
        elf.read(data)
