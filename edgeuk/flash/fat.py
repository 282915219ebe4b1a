"""A FAT16 file system made whole: every file contiguous, the same input gives the same bytes.

Follows Microsoft's "FAT: General Overview of On-Disk Format" 1.03. It only makes new ones, so that
a slot can be rewritten in place later; libraries that change existing ones promise no contiguity.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgeuk.errors import BuildError

SECTOR, PER_CLUSTER, FATS, ROOT_ENTRIES = 512, 4, 2, 512
CLUSTER = SECTOR * PER_CLUSTER
ENTRY = 32
ROOT_SECTORS = ROOT_ENTRIES * ENTRY // SECTOR
CLUSTERS_MIN, CLUSTERS_MAX = 4085, 65_524  # what makes it FAT16
END_OF_CHAIN = 0xFFFF
DIRECTORY, VOLUME, ARCHIVE, LONG_NAME = 0x10, 0x08, 0x20, 0x0F
DATE = 1 << 5 | 1  # 1980-01-01: images are to be reproducible


@dataclass(frozen=True, slots=True)
class Extent:
    """Bytes at an offset."""

    offset: int
    data: bytes
    head: bool = False  # what a boot begins with: written when all else is there


def make(
    size: int, files: Mapping[str, bytes], *, label: str, hidden_sectors: int
) -> tuple[Extent, ...]:
    """What to write into a partition of `size` bytes. Raises `BuildError` if files do not fit.

    `files` are paths with at most one folder; `hidden_sectors` is where the partition begins.
    """
    sectors = size // SECTOR
    fat_sectors = _fat_sectors(sectors)
    data_start = 1 + FATS * fat_sectors + ROOT_SECTORS
    clusters = (sectors - data_start) // PER_CLUSTER
    assert CLUSTERS_MIN <= clusters <= CLUSTERS_MAX, "a partition of 9 to 128 MB"

    fat = [0xFFF8, END_OF_CHAIN]
    extents: list[Extent] = []

    def place(content: bytes) -> int:
        """The first cluster of the content."""
        count = -(-len(content) // CLUSTER)
        if not count:
            return 0
        first = len(fat)
        if first + count > clusters + 2:
            raise BuildError(
                f"the files do not fit into a partition of {size >> 20} MB [E0808]",
                hint="leave some of the boot firmware's files out",
            )
        fat.extend(range(first + 1, first + count))
        fat.append(END_OF_CHAIN)
        extents.append(Extent((data_start + (first - 2) * PER_CLUSTER) * SECTOR, content))
        return first

    root = _entry(label.ljust(11).encode(), VOLUME, 0, 0)
    folders = sorted({str(PurePosixPath(p).parent) for p in files} - {"."})
    taken: set[bytes] = set()
    for folder in folders:
        inside = {PurePosixPath(p).name: d for p, d in files.items() if p.startswith(f"{folder}/")}
        entries = b"".join(_file(n, place(d), len(d), set()) for n, d in sorted(inside.items()))
        own = len(fat)  # the cluster that the folder gets
        dots = _entry(b".          ", DIRECTORY, own, 0) + _entry(b"..         ", DIRECTORY, 0, 0)
        content = dots + entries
        content += bytes(-len(content) % CLUSTER)
        root += _named(folder, taken, DIRECTORY, place(content), 0)
    for name, data in sorted(files.items()):
        if "/" not in name:
            root += _file(name, place(data), len(data), taken)
    table = struct.pack(f"<{len(fat)}H", *fat).ljust(fat_sectors * SECTOR, b"\0")
    boot = _boot_sector(sectors, fat_sectors, label, hidden_sectors)
    root = root.ljust(ROOT_SECTORS * SECTOR, b"\0")
    return (Extent(0, boot + table * FATS + root), *extents)


def _fat_sectors(sectors: int) -> int:
    """The least that has an entry for every cluster."""
    count = 1
    while True:
        clusters = (sectors - 1 - FATS * count - ROOT_SECTORS) // PER_CLUSTER
        if (clusters + 2) * 2 <= count * SECTOR:
            return count
        count += 1


def _boot_sector(sectors: int, fat_sectors: int, label: str, hidden: int) -> bytes:
    small = sectors if sectors < 1 << 16 else 0
    block = struct.pack(
        "<3s8sHBHBHHBHHHII",
        *(b"\xeb\x3c\x90", b"EDGEUK  ", SECTOR, PER_CLUSTER, 1, FATS, ROOT_ENTRIES),
        *(small, 0xF8, fat_sectors, 63, 255, hidden, 0 if small else sectors),
    )
    tail = struct.pack(
        "<BBBI11s8s", 0x80, 0, 0x29, 0xED6E0001, label.ljust(11).encode(), b"FAT16   "
    )
    return (block + tail).ljust(510, b"\0") + b"\x55\xaa"


def _file(name: str, cluster: int, size: int, taken: set[bytes]) -> bytes:
    return _named(name, taken, ARCHIVE, cluster, size)


def _named(name: str, taken: set[bytes], kind: int, cluster: int, size: int) -> bytes:
    """Directory entries of one name: long ones where it is no 8.3 name in capitals."""
    stem, _, ending = name.upper().partition(".")
    plain = len(stem) <= 8 and len(ending) <= 3 and "." not in ending
    short = (stem.ljust(8) + ending.ljust(3)).encode()
    if plain and name == name.upper():
        return _entry(short, kind, cluster, size)
    if not plain:
        stem, _, ending = name.upper().rpartition(".")
        base = "".join(c for c in stem if c.isalnum() or c in "-_")
        numbered = (f"{base[:6]}~{n}".ljust(8) + ending[:3].ljust(3) for n in range(1, 10))
        short = next(s.encode() for s in numbered if s.encode() not in taken)
    taken.add(short)
    return _long(name, short) + _entry(short, kind, cluster, size)


def _long(name: str, short: bytes) -> bytes:
    checksum = 0
    for byte in short:
        checksum = ((checksum >> 1 | checksum << 7) + byte) & 0xFF
    text = name.encode("utf-16-le")
    if len(text) % 26:
        text = (text + b"\0\0").ljust(-(-len(text) // 26) * 26, b"\xff")
    pieces = [text[i : i + 26] for i in range(0, len(text), 26)]
    entries = []
    for number, piece in enumerate(pieces, 1):
        order = number | 0x40 * (number == len(pieces))
        head = struct.pack("<B10sBBB", order, piece[:10], LONG_NAME, 0, checksum)
        entries.append(head + piece[10:22] + b"\0\0" + piece[22:])
    return b"".join(reversed(entries))


def _entry(short: bytes, kind: int, cluster: int, size: int) -> bytes:
    return struct.pack(
        "<11sBBBHHHHHHHI", *(short, kind, 0, 0, 0, DATE, DATE, 0, 0, DATE, cluster, size)
    )
