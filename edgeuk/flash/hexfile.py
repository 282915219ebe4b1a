"""Image and device configuration as Intel HEX (Hexadecimal Object File Format Specification, A,
1988), for programs that flash boards which no way of ours reaches."""

import struct
from collections.abc import Sequence

from edgeuk.flash.plan import Piece

DATA, END, UPPER = 0, 1, 4  # record types; `UPPER`: bits 16 to 31 of the addresses that follow
BYTES = 32  # of data, in a record


def make(pieces: Sequence[Piece]) -> bytes:
    """The whole file."""
    lines, upper = [], 0
    for piece in pieces:
        at = piece.address
        while at < piece.end:
            if at >> 16 != upper:
                upper = at >> 16
                lines.append(_record(UPPER, 0, struct.pack(">H", upper)))
            count = min(BYTES, piece.end - at, 0x1_0000 - (at & 0xFFFF))
            begin = at - piece.address
            lines.append(_record(DATA, at & 0xFFFF, piece.data[begin : begin + count]))
            at += count
    lines.append(_record(END, 0, b""))
    return "".join(f"{line}\n" for line in lines).encode()


def _record(kind: int, address: int, data: bytes) -> str:
    content = struct.pack(">BHB", len(data), address, kind) + data
    return f":{content.hex().upper()}{-sum(content) & 0xFF:02X}"
