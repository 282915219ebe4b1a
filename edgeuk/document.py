"""TOML files with the place of every key and value, so that each fault can be shown where it is.

Values come from tomllib (fractions as `Decimal`), places from tree-sitter's TOML grammar. A
statement that is not TOML is reported and blanked out, and the rest of the file is still checked.
"""

import re
import tomllib
from copy import copy
from decimal import Decimal
from pathlib import Path
from typing import Any

from edgeuk.errors import ConfigError, Fault, Note, Place
from edgeuk.places import Key, Span, find_spans

__all__ = ["Document", "Key", "read_document"]

SIZE_MAX = 256 * 1024  # bytes; a gateway with 500 sensors has about 60 KB
SYNTAX_FAULTS_MAX = 20
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_HEADER = r"""\[\[?[A-Za-z_][\w."' -]*(?:\]\]?[ \t]*(?:\#.*)?)?$"""
_PAIR = r"""(?:[\w-]+|"[^"]*")(?:\.[\w-]+)*[ \t]*="""
_PEM = "-----BEGIN "
_PEM_HINT = "a device file ends in .toml, and names keys and certificates in [tls]"
_NAMELESS = "~"  # begins the name of a table whose header is not TOML
_TABLE = re.compile(rf"^[ \t]*{_HEADER}")
_STATEMENT = re.compile(rf"^[ \t]*(?:{_HEADER}|{_PAIR})")


class Document:
    """One file under check: its data, its places, and the faults found so far."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.split("\n")
        self.faults: list[Fault] = []
        self.data, sound = self._parse(text)
        # With statements blanked out, what is missing may be in them: such faults would be noise.
        self.complete = not self.faults
        self.spans: dict[Key, Span] = {}
        for key, span in find_spans(sound) if self.data else ():
            self.spans.setdefault(key, span)

    def _parse(self, text: str) -> tuple[dict[str, Any], str]:
        """The data, and the text that it was read from: bad statements replaced by spaces."""
        lines = text.split("\n")
        for _ in range(SYNTAX_FAULTS_MAX):
            sound = "\n".join(lines)
            try:
                data = tomllib.loads(sound, parse_float=Decimal)
                return {k: v for k, v in data.items() if k[:1] != _NAMELESS}, sound
            except RecursionError:
                self._add(Place(1, 1, 1), "E0104", "nested too deeply", "")
                break
            except ValueError as e:  # TOMLDecodeError, or an integer of over 4300 digits
                first, end = self._syntax_fault(lines, str(e))
            header = lines[first].lstrip().startswith("[")
            lines[first:end] = [""] * (end - first)
            if header:  # what follows it must not get into the table above
                lines[first] = f'["{_NAMELESS}{first}"]'
        return {}, ""

    def _syntax_fault(self, lines: list[str], message: str) -> tuple[int, int]:
        """Report one; the half-open range of line indices of the statement it spoils."""
        match = _POSITION.search(message)
        what = message[: match.start()] if match else message
        if match and match[1]:
            line, column = min(int(match[1]), len(lines)) - 1, int(match[2]) - 1
        else:
            line = _last_statement(lines)
            column = _value_column(lines[line])
        first = line
        if _belongs_before(lines[line], column, what):
            first = max(0, line - 1)
        while first > 0 and not _STATEMENT.match(lines[first]):
            first -= 1
        code, words, hint = _explain(what)
        length = 1
        if code == "E0105" and "inline" not in what:
            name = re.match(r"[ \t]*\[*([^=\]]*[^=\]\s])", lines[first])
            line, column = first, name.start(1) if name else 0
            length = len(name[1]) if name else 1
        elif first < line and _STATEMENT.match(lines[line]):
            line, column = first, _value_column(lines[first])
        self._add(Place(line + 1, column + 1, length), code, words, hint)
        end = max(first, line) + 1
        if _goes_on(lines[first]):
            while end < len(lines) and not _STATEMENT.match(lines[end]):
                end += 1
        return first, end

    def _add(self, place: Place, code: str, what: str, hint: str) -> None:
        self.faults.append(Fault(self.path, place, code, what, hint, self._line(place)))

    def _line(self, place: Place) -> str:
        return self.lines[place.line - 1] if place.line <= len(self.lines) else ""

    def place(self, key: Key, *, of_key: bool = False) -> Place:
        """Where a value (or its key) stands; of the nearest table around it, if it is not there."""
        while key:
            if span := self.spans.get(key):
                return span.key if of_key else span.value
            key, of_key = key[:-1], True
        return Place(1, 1, 1)

    def fault(
        self,
        code: str,
        what: str,
        key: Key,
        *,
        of_key: bool = False,
        hint: str = "",
        also: tuple[str, Key] | None = None,
    ) -> None:
        """Report a fault at a key or value; `also`: words and key of a second place to show.

        Codes that begin with W are warnings.
        """
        place = self.place(key, of_key=of_key)
        note = None
        if also:
            there = self.place(also[1])
            note = Note(self.path, there, also[0], self._line(there))
        self.faults.append(Fault(self.path, place, code, what, hint, self._line(place), note))

    def fork(self) -> "Document":
        """The same file without the faults found so far."""
        other = copy(self)
        other.faults = []
        return other

    def check(self) -> tuple[Fault, ...]:
        """The warnings. Raises `ConfigError` with every fault if one of them is an error."""
        faults = tuple(sorted(set(self.faults), key=lambda f: (f.place, f.code, f.what)))
        if any(f.is_error for f in faults):
            raise ConfigError(faults)
        return faults


def read_document(path: Path, *, empty_hint: str | None = "") -> Document:
    """Read a file. Raises `ConfigError` if it cannot be read at all, or is empty.

    `empty_hint` is what to do about an empty file; None where it may be.
    """
    doc = Document(path, _read_text(path))
    if not doc.data and doc.complete and empty_hint is not None:
        doc.fault("E0106", "the file has nothing in it", (), hint=empty_hint)
        doc.check()
    return doc


def _read_text(path: Path) -> str:
    hint = ""
    try:
        if path.stat().st_size > SIZE_MAX:
            what = f"the file is larger than {SIZE_MAX // 1024} KiB"
            raise ConfigError((Fault.of_file(path, "E0103", what),))
        text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        code, what = "E0101", "no such file"
        hint = f"`edgeuk new NAME` makes a folder with a {path.name}"
        hint = hint if path.name == "gateway.toml" else ""
    except IsADirectoryError:
        code, what, hint = "E0101", "this is a folder", f"name a file: `{path / 'gateway.toml'}`"
    except UnicodeDecodeError as e:
        raw = path.read_bytes()[: e.start]
        line, column = raw.count(b"\n") + 1, e.start - (raw.rfind(b"\n") + 1) + 1
        what = f"byte 0x{e.object[e.start]:02x} is not UTF-8"
        place = Place(line, column, 1)
        fault = Fault(path, place, "E0102", what, "save the file as UTF-8", "")
        raise ConfigError((fault,)) from None
    except (OSError, ValueError) as e:  # ValueError: a null byte in the name
        code, what = "E0101", f"cannot be read: {getattr(e, 'strerror', None) or e}"
    else:
        if not text.startswith(_PEM):
            return text
        # None of its lines may be shown: they may be a private key.
        code, what, hint = "E0101", "this is a key or certificate, not TOML", _PEM_HINT
    raise ConfigError((Fault.of_file(path, code, what, hint),)) from None


def _goes_on(line: str) -> bool:
    """Whether a statement's first line opens something that later lines close."""
    value = line.partition("=")[2]
    if value.count('"""') % 2 or value.count("'''") % 2:
        return True
    return any(value.count(a) > value.count(b) for a, b in ("[]", "{}"))


def _belongs_before(line: str, column: int, what: str) -> bool:
    """Whether a fault was only noticed here: something before this statement is not closed."""
    if not what.startswith(("Unclosed", "Invalid value")) or not _STATEMENT.match(line):
        return False
    return column <= _indent(line) or _TABLE.match(line) is not None


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _last_statement(lines: list[str]) -> int:
    """The statement that never ended: the one that opened a multi-line string, else the last."""
    for number, line in enumerate(lines):
        if line.count('"""') == 1 or line.count("'''") == 1:
            return number
    return max((n for n, line in enumerate(lines) if _STATEMENT.match(line)), default=0)


def _value_column(line: str) -> int:
    """The column of the value, or of the statement where there is none."""
    match = re.match(r"[^=]*=[ \t]*", line)
    return match.end() if match and match.end() < len(line) else _indent(line)


def _explain(what: str) -> tuple[str, str, str]:
    """tomllib's words into ours: code, what, hint."""
    overwritten = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate inline")
    if what.startswith(overwritten):
        return "E0105", "this was given before", "keep one of the two"
    for start, words, hint in _SYNTAX:
        if what.startswith(start):
            return "E0104", words, hint
    return "E0104", what[:1].lower() + what[1:], ""


_SYNTAX = (
    ("Invalid value", "this is not a value", 'text needs quotes: key = "text"'),
    ("Expected '=' after a key", "`=` is missing after the key", "write `key = value`"),
    (
        "Expected newline or end of document",
        "something follows where the line should end",
        "one `key = value` per line; a number has no unit, a text needs quotes",
    ),
    ("Invalid statement", "this is neither `key = value` nor `[table]`", ""),
    ("Illegal character", "the quotes are not closed on this line", ""),
    ("Unterminated string", "the quotes are never closed", ""),
    ("Unclosed array", "the array is not closed", "`]` or a comma is missing"),
    ("Unclosed inline table", "the inline table is not closed", "`}` or a comma is missing"),
    ("Expected ']'", "the table's name is not closed", "`]` is missing"),
    ("Expected ']]'", "the table's name is not closed", "`]]` is missing"),
    ("Exceeds the limit", "the number has too many digits", ""),
)
