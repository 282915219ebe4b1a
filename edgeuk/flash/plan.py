"""What is going to be written where, known before anything is touched."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeuk.board import Board
from edgeuk.errors import BuildError
from edgeuk.pack import elf

ERASED = 0xFF
IMAGE, CONFIGURATION = "image", "device configuration"  # what a piece is
BANNER = b"edgeuk %s %s: entropy "  # firmware/kernel/init.c prints the board's name so


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes and where they go."""

    address: int
    data: bytes
    what: str

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class Sector:
    """What the chip can erase at once."""

    address: int
    size: int


@dataclass(frozen=True, slots=True)
class FlashRegion:
    """Flash of the chip, in sectors of one size."""

    start: int
    size: int
    sector: int


@dataclass(frozen=True, slots=True)
class Plan:
    """One flashing through a probe."""

    board: str
    target: str
    cpu: str
    probe: str  # its identity
    probe_is: str  # its description
    pieces: tuple[Piece, ...]
    sectors: tuple[Sector, ...]

    @property
    def size(self) -> int:
        """Bytes to write."""
        return sum(len(p.data) for p in self.pieces)

    def steps(self) -> list[list[Piece]]:
        """What is erased and written together, in this order: the image, then each copy of the
        device configuration by itself, from the last on. Whenever the power fails, one copy is
        whole, if no two of them are in one sector."""
        found: list[tuple[list[Piece], set[int]]] = []
        order = [p for p in self.pieces if p.what != CONFIGURATION]
        order += sorted(
            (p for p in self.pieces if p.what == CONFIGURATION), key=lambda p: -p.address
        )
        for piece in order:
            own = {
                s.address
                for s in self.sectors
                if s.address < piece.end and piece.address < s.address + s.size
            }
            last = found[-1] if found else None
            if last and (piece.what == IMAGE or last[1] & own):
                last[0].append(piece)
                last[1].update(own)
            else:
                found.append(([piece], own))
        return [pieces for pieces, _ in found]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "board": self.board,
            "target": self.target,
            "probe": self.probe,
            "bytes": self.size,
            "pieces": [
                {"address": p.address, "bytes": len(p.data), "what": p.what} for p in self.pieces
            ],
            "sectors": [{"address": s.address, "bytes": s.size} for s in self.sectors],
        }


def pieces_of(path: Path) -> tuple[Piece, ...]:
    """The loaded bytes of an ELF file, at their load addresses. Raises `BuildError`."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise BuildError(f"cannot be read: {e.strerror}", where=str(path)) from None
    segments = [s for s in elf.read(data, str(path)).segments if s.type == elf.PT_LOAD and s.data]
    if not segments:
        raise BuildError("nothing in it is loaded", where=str(path))
    found: list[Piece] = []
    for segment in sorted(segments, key=lambda s: s.paddr):
        if found and found[-1].end == segment.paddr:
            found[-1] = replace(found[-1], data=found[-1].data + segment.data)
        else:
            found.append(Piece(segment.paddr, segment.data, IMAGE))
    return tuple(found)


def sectors_of(pieces: Iterable[Piece], regions: Sequence[FlashRegion]) -> tuple[Sector, ...]:
    """Every sector that has a byte of a piece in it. Raises `BuildError` for a byte that is in
    none."""
    found: set[tuple[int, int]] = set()
    for piece in pieces:
        at = piece.address
        while at < piece.end:
            region = next((r for r in regions if r.start <= at < r.start + r.size), None)
            if region is None:
                raise _outside(piece, at, regions)
            start = at - (at - region.start) % region.sector
            found.add((start, region.sector))
            at = start + region.sector
    return tuple(Sector(*s) for s in sorted(found))


def check_image(path: Path, board: Board, boards: Iterable[str]) -> None:
    """Raises `BuildError` for an image of ours that was built for another of `boards`, by the name
    that it prints first. What is not ours is not judged."""
    data = path.read_bytes() if path.is_file() else b""
    if BANNER not in data or _c_string(board.name) in data:
        return
    whose = [f"`{name}`" for name in boards if _c_string(name) in data]
    what = f"it is an image of {'board ' + whose[0] if whose else 'another board'} [E0808]"
    hint = f"edgeuk build --board {board.name}, or without --image: it is built then"
    raise BuildError(what, where=str(path), hint=hint)


def _c_string(text: str) -> bytes:
    return text.encode() + b"\0"


def check_place(pieces: Iterable[Piece], board: Board) -> None:
    """Raises `BuildError` for an image of another board, where no chip would refuse it."""
    bounds = [(r.base, r.base + r.size) for r in board.memory.values()]
    for piece in pieces:
        if not any(start <= piece.address and piece.end <= end for start, end in bounds):
            place = f"goes to {piece.address:#x}, where board `{board.name}` has no memory for it"
            what = f"the {piece.what} {place} [E0808]"
            raise BuildError(
                what, hint="is it an image of this board? `edgeuk size` shows how large"
            )


def _outside(piece: Piece, address: int, regions: Sequence[FlashRegion]) -> BuildError:
    """Larger than the flash, or linked for another chip."""
    shown = ", ".join(f"{r.start:#x} to {r.start + r.size - 1:#x}" for r in regions)
    if address > piece.address:
        over = piece.end - address
        what = f"the {piece.what} is {over:,} bytes larger than the chip's flash [E0808]"
    else:
        what = f"the {piece.what} goes to {address:#x}, which is not in the chip's flash [E0808]"
    return BuildError(what, hint=f"its flash is {shown}; `edgeuk size` shows what takes the room")
