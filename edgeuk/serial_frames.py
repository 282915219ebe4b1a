"""Frames on a serial line that also carries text (docs/serial-frames.md): bytes in, in whatever
pieces they come; text and frames out. Knows nothing of ports and brokers.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

DATA, STATISTICS, STATUS, BOOT = 1, 2, 3, 4
FRAME_MAX = 66_000  # bytes between two zeros; nothing longer is a frame
TYPE_MAX = 8  # no type looks like text: the second byte of a frame tells them apart
HEAD, CRC = 3, 2
SEQUENCES = 1 << 16


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that arrived whole."""

    type: int  # DATA, STATISTICS, ...; others are of a later version
    sequence: int
    payload: bytes


class Decoder:
    """Takes a line apart; it may start anywhere in it."""

    def __init__(self) -> None:
        self.lost = 0  # frames, by their sequence numbers
        self.damaged = 0  # pieces between two zeros that were neither text nor a frame
        self._piece = bytearray()  # since the last zero
        self._inside = False  # a zero came before it
        self._expected: int | None = None

    def feed(self, data: bytes) -> Iterator[bytes | Frame]:
        """Text (without what may still become a frame) and frames, in their order."""
        parts = data.split(b"\0")
        for last, part in zip([*[False] * (len(parts) - 1), True], parts, strict=True):
            self._piece += part
            if not last:
                yield from self._end()
            elif not self._inside or not _may_be_frame(self._piece):
                self._inside = False
                yield from self._text()

    def _end(self) -> Iterator[bytes | Frame]:
        """A zero came: what stands before it is text, a frame, or what is left of one."""
        piece = bytes(self._piece)
        self._piece.clear()
        frame = decode(piece) if self._inside else None
        self._inside = frame is None  # the zero behind a frame begins none
        if frame is not None:
            self._count(frame.sequence)
            yield frame
        elif piece:
            yield from self._broken(piece)

    def _broken(self, piece: bytes) -> Iterator[bytes]:
        """Text between two frames is text; the rest of a frame is not shown."""
        if _is_text(piece):
            yield piece
        else:
            self.damaged += 1

    def _text(self) -> Iterator[bytes]:
        if self._piece:
            piece = bytes(self._piece)
            self._piece.clear()
            yield piece

    def _count(self, sequence: int) -> None:
        """A sequence that begins again with 0 is a boot, not a loss."""
        if self._expected is not None and sequence != 0:
            self.lost += (sequence - self._expected) % SEQUENCES
        self._expected = (sequence + 1) % SEQUENCES


def decode(piece: bytes) -> Frame | None:
    """The frame that `piece`, which stood between two zeros, is; None if it is none."""
    plain = unstuff(piece)
    if plain is None or len(plain) < HEAD + CRC:
        return None
    body, crc = plain[:-CRC], int.from_bytes(plain[-CRC:], "big")
    if binascii.crc_hqx(body, 0xFFFF) != crc:
        return None
    return Frame(body[0], int.from_bytes(body[1:HEAD], "big"), body[HEAD:])


def encode(frame: Frame) -> bytes:
    """The bytes of a frame on the line, as the firmware sends them."""
    body = bytes([frame.type]) + frame.sequence.to_bytes(2, "big") + frame.payload
    return b"\0" + stuff(body + binascii.crc_hqx(body, 0xFFFF).to_bytes(CRC, "big")) + b"\0"


def stuff(data: bytes) -> bytes:
    """COBS: the same without a zero in it."""
    out = bytearray()
    blocks = data.split(b"\0")
    for place, block in enumerate(blocks):
        while len(block) >= 254:
            out += b"\xff" + block[:254]
            block = block[254:]
            if not block and place == len(blocks) - 1:
                return bytes(out)  # a full block stands for no zero
        out += bytes([len(block) + 1]) + block
    return bytes(out)


def unstuff(piece: bytes) -> bytes | None:
    """The inverse of `stuff`; None for what it cannot have made."""
    out = bytearray()
    at = 0
    while at < len(piece):
        code = piece[at]
        block = piece[at + 1 : at + code]
        if code == 0 or len(block) != code - 1:
            return None
        out += block
        at += code
        if code < 255 and at < len(piece):
            out.append(0)
    return bytes(out)


def _is_text(piece: bytes) -> bool:
    return all(byte >= 0x20 or byte in b"\t\r\n\x1b" for byte in piece)


def _may_be_frame(piece: bytearray) -> bool:
    return len(piece) < 2 or (0 < piece[1] <= TYPE_MAX and len(piece) <= FRAME_MAX)
