"""A console with names in it: finds the addresses in its lines and says what they mean.

A panic prints "  at 0x1234", the next boot publishes "panic: ... at 0x1234 0x5678" or "last ran:
0x1234"; a person reads "mqtt_receive at firmware/mqtt/client.c:120".
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edgeuk.errors import UsageError
from edgeuk.symbols import Frame, Program

BANNER = re.compile(r"\bedgeuk (\S+) ([0-9a-f]{16}): ")  # firmware/kernel/init.c
# Of a call: where it returns to. Of the rest: the instruction itself, or a function's first.
RETURNS = re.compile(r"(?:\bat|\blr) (0x[0-9a-f]+(?: 0x[0-9a-f]+)*)")
EXACT = re.compile(r"(?:\b(?:pc|rip)|\b(?:last ran|running):) (0x[0-9a-f]+)")
ALONE = re.compile(r"^(?:.*  )?at 0x[0-9a-f]+$")  # a line of a backtrace
BARE = re.compile(r"0x[0-9a-f]+(?: 0x[0-9a-f]+)*")
# What a boot message ends with: the image that its addresses are of (firmware/kernel/crash.c).
BUILD = re.compile(r"; build ([0-9a-f]{16})\b")
BOOT_TEXT_MAX = 135  # characters before that


@dataclass(frozen=True, slots=True)
class Call:
    """An address on a console, and what it means; no frames: nothing that is known."""

    address: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a console with addresses in it."""

    text: str
    calls: tuple[Call, ...]
    build_id: str  # of the image that printed it; "" if nothing said so


class Decoder:
    """Reads a console line by line; each boot's first line says which image it is."""

    def __init__(self, program: Program, *, force: bool = False) -> None:
        """`force`: whatever image the console says it is."""
        self._program, self._force = program, force
        self._board = self._build_id = ""  # as the console says
        self._faulted: set[int] = set()  # instructions that the last panic was in
        self._frames = cache(program.frames)
        self.foreign: dict[str, str] = {}  # build id -> board, of lines that were left alone

    def feed(self, text: str) -> Line | None:
        """None for a line without an address."""
        if banner := BANNER.search(text):
            self._board, self._build_id = banner.groups()
            self._faulted.clear()
        found = self._addresses(text)
        if not found:
            return None
        said = BUILD.search(text)  # of the boot before, whatever image runs now
        build_id = said[1] if said else self._build_id
        if build_id not in ("", self._program.build_id) and not self._force:
            self.foreign[build_id] = self._board
            return Line(text, tuple(Call(at, ()) for at, _ in found), build_id)
        calls = tuple(Call(at, self._frames(at, returns=returns)) for at, returns in found)
        return Line(text, calls, build_id)

    def _addresses(self, text: str) -> list[tuple[int, bool]]:
        """In their order; whether they are where a call returns to."""
        if BARE.fullmatch(text.strip()):
            every = [int(at, 16) for at in text.split()]
            return [(at, not self._program.begins(at)) for at in every]
        exact = [(m.start(1), int(m[1], 16)) for m in EXACT.finditer(text)]
        if "panic: " in text:
            self._faulted = {at for _, at in exact}
        found = [(place, at, False) for place, at in exact]
        for match in RETURNS.finditer(text):
            words = match[1].split(" ")
            length = len(text.partition("; build ")[0])
            if match.end() >= length >= BOOT_TEXT_MAX and text.startswith("panic: "):
                words.pop()  # the message has no room for all of it
            every = [int(word, 16) for word in words]
            found += [(match.start(1), at, at not in self._faulted) for at in every]
        return [(at, returns) for _, at, returns in sorted(found, key=lambda f: f[0])]


def shown(line: Line) -> list[str]:
    """For a person: a line of a backtrace with its function behind it, all else below."""
    if len(line.calls) == 1 and line.calls[0].frames and ALONE.match(line.text):
        first, *others = line.calls[0].frames
        return [f"{line.text} {first}", *(f"     inlined into {frame}" for frame in others)]
    result = [line.text]
    for call in line.calls:
        if call.frames:
            first, *others = call.frames
            result.append(f"    {call.address:#x} {first}")
            result += [f"        inlined into {frame}" for frame in others]
    return result


def named(text: str, path: Path) -> str:
    """`text` with what its addresses mean, where that can be known; never raises."""
    try:
        program = Program(path)
    except UsageError:
        return text
    decoder = Decoder(program)
    result: list[str] = []
    for line in text.split("\n"):
        found = decoder.feed(line)
        result += shown(found) if found else [line]
    return "\n".join(result)
