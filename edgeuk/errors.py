"""What edgeuk raises on purpose. Only `cli` catches it and ends with its exit code.

Any other exception is a bug of ours and keeps its traceback. A fault is one thing wrong in a
configuration file, with its place; a `ConfigError` carries all of them.
Exit codes: 0 done, 1 the work failed, 2 usage or configuration, 3 device or connection,
4 verification or signature, 130 Ctrl-C.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

EXIT_DONE = 0
EXIT_INTERRUPTED = 130
WIDTH = 90  # characters of a source line that are shown


class EdgeukError(Exception):
    """A problem the user can fix: `what` is wrong, `where` (file and key), `hint` if known."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what, self.where, self.hint = what, where, hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n\nhint: {self.hint}" if self.hint else text


class BuildError(EdgeukError):
    """A step of the work failed: compiling, linking, writing files."""


class ToolError(EdgeukError):
    """Programs or sources that a step needs are missing; names all of them at once."""


class UsageError(EdgeukError):
    """A command was called in a way that makes no sense."""

    exit_code = 2


class ResolveError(EdgeukError):
    """The board lacks something that the gateway asks for."""

    exit_code = 2


class DeviceError(EdgeukError):
    """A board, QEMU, a broker or a connection does not answer as it must."""

    exit_code = 3


class VerificationError(EdgeukError):
    """A hash or a signature does not match."""

    exit_code = 4


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A run of characters in one line; lines and columns count from 1, line 0 is the file."""

    line: int
    column: int
    length: int

    def show(self, source: str) -> list[str]:
        """The source line and the carets under the place; nothing for an empty line."""
        if not source.strip():
            return []
        start = self.column - 1
        clean = "".join(c if c.isprintable() else " " for c in mask(source.rstrip()))
        left = max(0, start - WIDTH // 2) if len(clean) > WIDTH else 0
        right = left + WIDTH
        text = ("..." if left else "") + clean[left:right] + ("..." if len(clean) > right else "")
        indent = start - left + (3 if left else 0)
        carets = max(1, min(self.length, left + WIDTH - start))
        gutter = f"{self.line:>4} | "
        under = " " * (len(gutter) - 2) + "| " + " " * indent + "^" * carets
        return [f"{gutter}{text}".rstrip(), under]


@dataclass(frozen=True, slots=True)
class Note:
    """A second place that a fault speaks of."""

    path: Path
    place: Place
    what: str
    source: str


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a file; str() is what the user reads."""

    path: Path
    place: Place
    code: str  # E0123, W0123
    what: str
    hint: str
    source: str  # the line at fault
    note: Note | None = None

    @classmethod
    def of_file(cls, path: Path, code: str, what: str, hint: str = "") -> "Fault":
        """A fault of the file as a whole."""
        return cls(path, Place(0, 0, 0), code, what, hint, "")

    @property
    def is_error(self) -> bool:
        """Whether it stops the work; the others are warnings."""
        return self.code.startswith("E")

    def __str__(self) -> str:
        word = "error" if self.is_error else "warning"
        lines = [f"{_where(self.path, self.place)}: {word}[{self.code}]: {self.what}"]
        lines += self.place.show(self.source)
        if self.note:
            lines.append(f"note: {_where(self.note.path, self.note.place)}: {self.note.what}")
            lines += self.note.place.show(self.note.source)
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        out: dict[str, Any] = {
            "file": str(self.path),
            "line": self.place.line,
            "column": self.place.column,
            "length": self.place.length,
            "severity": "error" if self.is_error else "warning",
            "code": self.code,
            "what": self.what,
            "hint": self.hint,
        }
        if self.note:
            there = self.note.place
            out["note"] = {
                "file": str(self.note.path),
                "line": there.line,
                "column": there.column,
                "length": there.length,
                "what": self.note.what,
            }
        return out


class ConfigError(EdgeukError):
    """Every fault of one or more files, sorted by place within each; at least one is an error."""

    exit_code: ClassVar[int] = 2

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__(report(faults))
        self.faults = faults

    def __str__(self) -> str:
        return report(self.faults)

    def as_dicts(self) -> list[dict[str, Any]]:
        """For `--json`."""
        return [fault.as_dict() for fault in self.faults]


def report(faults: tuple[Fault, ...]) -> str:
    """All faults as text, and a last line that counts them."""
    errors = sum(f.is_error for f in faults)
    counts = [_count(errors, "error"), _count(len(faults) - errors, "warning")]
    total = ", ".join(c for c in counts if c)
    return "\n\n".join([*(str(f) for f in faults), total])


# Of a URL's user, of all behind `password`, of a token's PIN, of what may be a pasted key.
_SECRET = re.compile(
    r"""(?<=://)[^/@"'\s]+(?=@)|(?<=password).*$|(?<=pin-value=)[^"'&;\s]+"""
    r"""|(?=\S*[A-Z])(?=\S*[a-z])(?=\S*\d)[A-Za-z0-9+/\\]{60,}=*"""
)


def mask(source: str) -> str:
    """The text with what may be a password or key replaced by as many stars."""

    def stars(match: re.Match[str]) -> str:
        return re.sub(r"[^\s=\"':]", "*", match[0])

    return _SECRET.sub(stars, source)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}" if number else ""


def _where(path: Path, place: Place) -> str:
    return f"{path}:{place.line}:{place.column}" if place.line else f"{path}"
