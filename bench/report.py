"""A row of results, and all rows as a table and as JSON."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """One measured number. The spread is that of the rounds: first and third quartile."""

    section: str
    what: str
    unit: str  # "B", "KiB", "ms", "s", "us", "msg/s", "%"
    value: float | None  # the median; None: not measured, `note` says why
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    goal: float | None = None
    more_is_better: bool = False
    peer: str = ""  # what `peer_value` is of, measured in the same run
    peer_value: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None where there is none. What was not measured is not met."""
        if self.goal is None:
            return None
        if self.value is None:
            return False
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    def to_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self) | {"met": self.met}


def row(section: str, what: str, unit: str, values: Sequence[float], **more: Any) -> Row:
    """The row of some rounds; without any, one that says that nothing was measured."""
    if not values:
        return Row(section, what, unit, None, **{"note": "no round succeeded", **more})
    low, middle, high = quartiles(values)
    return Row(section, what, unit, middle, low, high, len(values), **more)


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def failed(what: str, error: Exception) -> str:
    """A note of one line on why something was not measured."""
    return f"{what}: {' '.join(str(error).split())[:160]}"


def beside(ours: Row, peer: Row, name: str) -> Row:
    """`ours` with the median of `peer` to be compared with."""
    return replace(ours, peer=name, peer_value=peer.value)


def number(value: float | None) -> str:
    """With three or so significant digits; whole numbers with thousands."""
    if value is None:
        return "-"
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.1f}"


def table(rows: Sequence[Row]) -> str:
    """All rows, aligned; notes are numbered and stand below."""
    head = ("", "measured", "unit", "quartiles", "n", "goal", "met", "beside", "ratio", "")
    notes = notes_of(rows)
    lines: list[tuple[str, ...]] = [head]
    section = ""
    for r in rows:
        if r.section != section:
            section = r.section
            lines.append((section.upper(), *[""] * (len(head) - 1)))
        what, *rest = cells(r, notes)
        lines.append((f"  {what}", *rest))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    left = {0, 2, 7}
    text = "\n".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
    return "\n".join([text, "", *(f"[{i}] {note}" for i, note in enumerate(notes, 1))])


def notes_of(rows: Iterable[Row]) -> list[str]:
    """Every note once."""
    return list(dict.fromkeys(r.note for r in rows if r.note))


def cells(r: Row, notes: Sequence[str]) -> tuple[str, ...]:
    """One line of a table."""
    spread = f"{number(r.low)} .. {number(r.high)}" if r.rounds > 1 else ""
    goal = "" if r.goal is None else ("at least " * r.more_is_better) + number(r.goal)
    met = {None: "", True: "yes", False: "NO"}[r.met]
    peer = f"{r.peer} {number(r.peer_value)}" if r.peer else ""
    ratio = f"{r.value / r.peer_value:.3g}" if r.value is not None and r.peer_value else ""
    mark = f"[{notes.index(r.note) + 1}]" if r.note else ""
    count = str(r.rounds) if r.value is not None else ""
    return (r.what, number(r.value), r.unit, spread, count, goal, met, peer, ratio, mark)
