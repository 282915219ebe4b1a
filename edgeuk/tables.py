"""Reads the tables of a document: each method takes one key, reports what is wrong with it, and
returns a usable value all the same, so that the rest of the file is checked too.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from typing import Any

from edgeuk.document import Document, Key
from edgeuk.values import nearest, parse_duration, show_duration

WORDS = (
    (bool, "true or false"),
    (str, "a text"),
    (int, "a whole number"),
    (Decimal, "a number with a fraction"),
    (dict, "a table"),
    (list, "an array"),
)


def word(value: object) -> str:
    """What kind of value it is, for people."""
    return next((w for kind, w in WORDS if isinstance(value, kind)), "a date or time")


class Table:
    """One table of a file. The keys asked for are the known ones; `close` reports the others."""

    def __init__(self, doc: Document, key: Key = (), data: Mapping[str, Any] | None = None) -> None:
        self.doc, self.key = doc, key
        self.data: Mapping[str, Any] = doc.data if data is None else data
        self.known: set[str] = set()
        self.bad: set[str] = set()  # keys that already have a fault

    def __contains__(self, name: str) -> bool:
        return name in self.data

    def fault(
        self,
        code: str,
        what: str,
        *names: str | int,
        hint: str = "",
        of_key: bool = False,
        also: tuple[str, Key] | None = None,
    ) -> None:
        """Report a fault at one of the keys, or at the table itself."""
        if names:
            self.bad.add(str(names[0]))
        self.doc.fault(code, what, (*self.key, *names), hint=hint, of_key=of_key, also=also)

    def take(self, name: str, *, required: bool = False, hint: str = "") -> Any:
        """The raw value, None where there is none; a fault if it is `required`."""
        self.known.add(name)
        if name not in self.data and required and self.doc.complete:
            self.fault("E0202", f"missing key `{name}`", of_key=True, hint=hint)
            self.bad.add(name)
        return self.data.get(name)

    def typed(self, name: str, kind: type, *, required: bool = False, hint: str = "") -> Any:
        """The value if it is exactly of that type, else None after a fault."""
        value = self.take(name, required=required, hint=hint)
        if value is None or type(value) is kind:
            return value
        wanted = dict(WORDS)[kind]
        self.fault("E0203", f"`{name}` must be {wanted}, not {word(value)}", name, hint=hint)
        return None

    def text(
        self,
        name: str,
        default: str | None = None,
        *,
        pattern: str = "",
        meaning: str = "",
        hint: str = "",
        max_length: int = 255,
    ) -> str:
        """A text; without a default it must be there. `meaning` names what `pattern` matches."""
        value = self.typed(name, str, required=default is None, hint=hint)
        if value is None:
            return default or ""
        if any(not c.isprintable() for c in value):
            self.fault("E0207", f"`{name}` has a control character in it", name)
        elif len(value.encode()) > max_length:
            self.fault("E0207", f"`{name}` is longer than {max_length} bytes", name)
        elif pattern and not re.fullmatch(pattern, value):
            self.fault("E0207", f"`{value}` is not {meaning}", name, hint=hint)
        else:
            return str(value)
        return default or ""

    def choice(
        self, name: str, choices: Collection[Any], default: Any = None, *, hint: str = ""
    ) -> Any:
        """One of several values."""
        kind = type(next(iter(choices)))
        value = self.typed(name, kind, required=default is None)
        if value is None:
            return default
        if value not in choices:
            shown = f"`{value}`" if isinstance(value, str) else str(value)
            hint = hint or (nearest(value, choices) if kind is str else _one_of(choices))
            self.fault("E0205", f"`{name}` cannot be {shown}", name, hint=hint)
            return default
        return value

    def integer(
        self, name: str, default: int | None = None, *, low: int = 0, high: int, unit: str = ""
    ) -> int:
        """A whole number between two bounds, both included."""
        value = self.typed(name, int, required=default is None)
        if value is None:
            return default or 0
        if not low <= value <= high:
            after = f" {unit}" if unit else ""
            self.fault("E0204", f"`{name}` must be {low} to {high}{after}, not {value}", name)
            return default or 0
        return int(value)

    def boolean(self, name: str, default: bool) -> bool:
        """true or false."""
        value = self.typed(name, bool)
        return default if value is None else bool(value)

    def duration_ms(
        self, name: str, default: int | None = None, *, low: int, high: int, whole_s: bool = False
    ) -> int:
        """A duration such as "500ms", "1s", "5m", "1h", in milliseconds, within bounds."""
        value = self.take(name, required=default is None, hint=f'{name} = "1s"')
        if value is None:
            return default or 0
        ms = check_duration(self, name, value, low, high, whole_s)
        return default or 0 if ms is None else ms

    def texts(self, name: str, *, required: bool = False) -> tuple[str, ...]:
        """An array of texts."""
        value = self.typed(name, list, required=required)
        for index, item in enumerate(value or ()):
            if not isinstance(item, str):
                what = f"`{name}` is an array of texts; this is {word(item)}"
                self.fault("E0203", what, name, index)
        return tuple(item for item in value or () if isinstance(item, str))

    def table(self, name: str, *, required: bool = False) -> "Table":
        """A table; an empty one where there is none."""
        value = self.typed(name, dict, required=required)
        return Table(self.doc, (*self.key, name), value or {})

    def tables(self, name: str) -> Iterator["Table"]:
        """An array of tables."""
        value = self.typed(name, list, hint=f"begin each one with [[{name}]]")
        for index, item in enumerate(value or ()):
            if isinstance(item, dict):
                yield Table(self.doc, (*self.key, name, index), item)
            else:
                self.fault("E0203", f"each `{name}` must be a table", name, index)

    def entries(self) -> Iterator[tuple[str, "Table"]]:
        """All tables in this one, by name; for tables whose keys are free names."""
        for name in self.data:
            sub = self.table(name)
            if name not in self.bad:
                yield name, sub

    def close(self, *, known: Collection[str] = (), hints: Mapping[str, str] | None = None) -> None:
        """Report keys that nobody asked for: a key nobody reads is a typing error."""
        names = self.known | set(known)
        for name in self.data:
            if name not in names:
                hint = (hints or {}).get(name) or nearest(name, names)
                self.fault("E0201", f"unknown key `{name}`", name, of_key=True, hint=hint)


def check_duration(
    table: Table, name: str, value: object, low: int, high: int, whole_s: bool = False
) -> int | None:
    """Milliseconds, or None after a fault."""
    if not isinstance(value, str):
        what = f"`{name}` must be a duration, not {word(value)}"
        hint = f'give a unit and quotes: {name} = "{value}s"' if type(value) is int else ""
        table.fault("E0203", what, name, hint=hint or f'such as {name} = "10s"')
        return None
    ms = parse_duration(value)
    if ms is None:
        hint = 'a number and one of ms, s, m, h: "500ms", "1s", "5m", "1h"'
        table.fault("E0206", f"`{value}` is not a duration", name, hint=hint)
        return None
    if not low <= ms <= high:
        what = f"`{name}` must be {show_duration(low)} to {show_duration(high)}, not {value}"
        table.fault("E0204", what, name)
        return None
    if whole_s and ms % 1000:
        what = f"`{name}` must be whole seconds, not {value}"
        table.fault("E0204", what, name)
        return None
    return ms


def _one_of(choices: Collection[Any]) -> str:
    return "one of: " + ", ".join(str(c) for c in choices)
