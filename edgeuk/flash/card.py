"""A memory card for boards that boot from one: partition table, boot files, room for two slots.

Partitions (MBR): 1 FAT, which slot is booted; 2 FAT, slot A; 3 FAT, slot B, empty; 4 raw, for boot
records, staging and data. A boot loader may lie before the first. The first sector is written last,
after the loader's, so that a card whose writing was interrupted does not boot: it has no partition
table, and no beginning of a loader.
"""

import contextlib
import errno
import os
import stat
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeuk.errors import BuildError, DeviceError, VerificationError
from edgeuk.flash import fat
from edgeuk.flash.fat import Extent
from edgeuk.flash.plan import Piece

MB = 1 << 20
SECTOR = 512
FAT16_LBA, RAW = 0x0E, 0xDA
SELECT, SLOT, DATA = 16 * MB, 64 * MB, 32 * MB  # sizes
LAYOUT = ((FAT16_LBA, SELECT), (FAT16_LBA, SLOT), (FAT16_LBA, SLOT), (RAW, DATA))
START = 8 * MB  # of the first partition; U-Boot may keep its environment at 4 MB, NXP's at 7
SIZE = START + sum(size for _, size in LAYOUT)
KERNEL_ROOM = 2 * MB  # the file is this long, so that an update can replace it in place
CHUNK = MB
GPT = 33 * SECTOR  # header and entries (UEFI 2.10, 5.3): behind the first sector, and at the end

Progress = Callable[[int, int], None]  # bytes, of


@dataclass(frozen=True, slots=True)
class Boot:
    """What the boot files are made of."""

    image: bytes  # flat
    address: int  # where it is entered
    config: bytes  # the device configuration
    config_address: int
    lines: tuple[str, ...] = ()  # of the Pi's config.txt, the board's own
    firmware: Mapping[str, bytes] = field(default_factory=dict)  # the Pi's


def flatten(pieces: Sequence[Piece], room: int = KERNEL_ROOM) -> tuple[bytes, int]:
    """What is loaded, in one, and where to. Raises `BuildError` if it is larger than its room."""
    base = pieces[0].address
    size = max(piece.end for piece in pieces) - base
    _check_room(size, room)  # before memory is taken: pieces may lie far apart
    data = bytearray(size)
    for piece in pieces:
        data[piece.address - base : piece.end - base] = piece.data
    return bytes(data), base


def _check_room(size: int, room: int = KERNEL_ROOM) -> None:
    if size > room:
        what = f"the image has {size:,} bytes, its slot {room:,} [E0808]"
        raise BuildError(what, hint="`edgeuk size` shows what takes the room")


def padded(image: bytes) -> bytes:
    """As long as its room, in which an update replaces it. Raises `BuildError`."""
    _check_room(len(image))
    return image.ljust(KERNEL_ROOM, b"\0")


@dataclass(frozen=True, slots=True)
class Loader:
    """A boot loader that the processor's ROM looks for at a fixed place of the card."""

    name: str
    data: bytes  # none: what is there stays, be it on this card or in the board
    offset: int
    end: int  # where something else begins, such as its environment


def make(
    files: Mapping[str, bytes],
    select: Mapping[str, bytes],
    loader: Loader | None = None,
) -> tuple[Extent, ...]:
    """All that is written, the first sector first: slot A has `files`, partition 1 `select`. Raises
    `BuildError` for what does not fit."""
    extents = [Extent(0, _table(), head=True), *_gap(loader)]
    at = START
    contents: tuple[Mapping[str, bytes], ...] = (select, files, {})
    for content, (_, size), label in zip(
        contents, LAYOUT, ("SELECT", "SLOT-A", "SLOT-B"), strict=False
    ):
        made = fat.make(size, content, label=label, hidden_sectors=at // SECTOR)
        extents += [Extent(at + e.offset, e.data) for e in made]
        at += size
    extents.append(Extent(at, bytes(64 * 1024)))  # old boot records are none of ours
    return tuple(extents)


def _gap(loader: Loader | None) -> list[Extent]:
    """What is written before the first partition, besides the first sector."""
    if loader is None:
        return [Extent(SECTOR, bytes(GPT))]  # no other partition table contradicts ours
    if not loader.data:
        return [Extent(SECTOR, bytes(SECTOR))]  # of that table only the header, and no loader
    if loader.offset + len(loader.data) > loader.end:
        room = loader.end - loader.offset
        what = f"`{loader.name}` has {len(loader.data):,} bytes, its place {room:,} [E0808]"
        raise BuildError(what, hint="is it the boot loader of this board?")
    # Whole, so that neither another loader nor the environment that one has saved is left.
    gap = bytearray(START)
    gap[loader.offset : loader.offset + len(loader.data)] = loader.data
    head = slice(loader.offset, loader.offset + SECTOR)
    first = Extent(loader.offset, bytes(gap[head]), head=True)
    gap[head] = bytes(SECTOR)
    return [first, Extent(SECTOR, bytes(gap[SECTOR:]))]


def _table() -> bytes:
    entries, at = b"", START // SECTOR
    for number, (kind, size) in enumerate(LAYOUT):
        sectors = size // SECTOR
        active = 0x80 if number == 0 else 0
        # No geometry: 0xfeffff says that the block numbers count (UEFI 2.10, 5.2.1).
        entries += struct.pack(
            "<B3sB3sII", active, b"\xfe\xff\xff", kind, b"\xfe\xff\xff", at, sectors
        )
        at += sectors
    return bytes(440) + b"EKSD\0\0" + entries + b"\x55\xaa"


@dataclass(frozen=True, slots=True)
class Disk:
    """What a disk was when the user was asked about it; a card may be changed meanwhile."""

    number: int  # st_rdev
    size: int  # bytes


def identify(path: Path) -> Disk | None:
    """The disk at `path`; None if it is no disk. Raises `DeviceError`."""
    if not path.is_block_device():
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _identity(handle)
        finally:
            os.close(handle)
    except OSError as e:
        raise _failed(path, e) from None


def _identity(handle: int) -> Disk | None:
    found = os.fstat(handle)
    if not stat.S_ISBLK(found.st_mode):
        return None
    return Disk(found.st_rdev, os.lseek(handle, 0, os.SEEK_END))


def write(
    path: Path,
    extents: Sequence[Extent],
    progress: Progress,
    disk: Disk | None = None,
    *,
    verify: bool = True,
) -> None:
    """Write, flush, read back; the heads when all else is right, the first sector last of all.
    `disk` is what `identify` found before the user was asked; None for a file. Only a benchmark
    does not `verify`. Raises `DeviceError` when the card fails or is another one now,
    `VerificationError` when other bytes come back; the card does not boot then."""
    heads = [e for e in extents if e.head]
    others = [e for e in extents if not e.head]
    if disk and disk.size >= SIZE + GPT:  # the copy of an old table would be taken for a rescue
        others.append(Extent(disk.size - GPT, bytes(GPT)))
    total = (1 + verify) * sum(len(e.data) for e in (*heads, *others))
    handle = _open(path, disk)
    try:
        if disk is None:
            with contextlib.suppress(PermissionError):  # another's file stays as it is
                os.fchmod(handle, 0o600)  # one that was there before, too
            os.ftruncate(handle, 0)
            os.ftruncate(handle, SIZE)
        _behead(handle, heads)
        done = _each(handle, others, _put, lambda count: progress(count, total))
        _flush(handle)
        if verify:
            _each(handle, others, _check, lambda count: progress(done + count, total))
        try:
            for head in reversed(heads):
                _put(handle, head)
                _flush(handle)
                if verify:
                    _check(handle, head)
        except VerificationError:
            _behead(handle, heads)
            raise
        progress(total, total)
    except OSError as e:
        raise _failed(path, e) from None
    finally:
        with contextlib.suppress(OSError):  # it was flushed; a card that is gone cannot be closed
            os.close(handle)


def _behead(handle: int, heads: Sequence[Extent]) -> None:
    """What is there does not boot any more."""
    for head in heads:
        _put(handle, Extent(head.offset, bytes(len(head.data))))
    os.fsync(handle)


def _open(path: Path, disk: Disk | None) -> int:
    try:
        # Of a disk, O_EXCL refuses one that the system uses, whatever we were told before.
        how = os.O_EXCL if disk else os.O_CREAT
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | how, 0o600)  # a key may be in it
    except OSError as e:
        raise _failed(path, e) from None
    if _identity(handle) != disk:
        os.close(handle)
        raise DeviceError(
            f"`{path}` is no longer what it was when you were asked [E0810]",
            hint="nothing was written; was the card changed? Run the command again",
        )
    return handle


def _flush(handle: int) -> None:
    """Onto the card; and what is read back is to come from there, not from memory."""
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _each(
    handle: int,
    extents: Sequence[Extent],
    do: Callable[[int, Extent], None],
    told: Callable[[int], None],
) -> int:
    """`do` all in pieces; returns how many bytes they are."""
    done = 0
    for extent in extents:
        for piece in _pieces(extent):
            do(handle, piece)
            done += len(piece.data)
            told(done)
    return done


def _pieces(extent: Extent) -> list[Extent]:
    return [
        Extent(extent.offset + i, extent.data[i : i + CHUNK])
        for i in range(0, len(extent.data), CHUNK)
    ]


def _put(handle: int, extent: Extent) -> None:
    at = 0
    while at < len(extent.data):
        count = os.pwrite(handle, extent.data[at:], extent.offset + at)
        if count == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        at += count


def _check(handle: int, extent: Extent) -> None:
    found = os.pread(handle, len(extent.data), extent.offset)
    if found != extent.data:
        pairs = enumerate(zip(found, extent.data, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), len(found))
        what = f"other bytes came back at {extent.offset + at:#x} [E0809]"
        hint = "try again, then with another card; as it is, it does not boot"
        raise VerificationError(what, hint=hint)


def _failed(path: Path, e: OSError) -> DeviceError:
    hints = {
        errno.EBUSY: "the system uses it: unmount it first",
        errno.EACCES: "write as root, or as a member of the group `disk`",
        errno.EPERM: "write as root, or as a member of the group `disk`",
        errno.EROFS: "is the card's write protection on?",
        errno.ENOSPC: "the disk is full, or the card is smaller than it says",
    }
    hint = hints.get(e.errno or 0, "was the card pulled out? It does not boot now; write again")
    text = os.strerror(e.errno).lower() if e.errno else str(e)
    return DeviceError(f"writing failed: {text} [E0810]", where=str(path), hint=hint)
