"""How `edgeuk run` shows what arrives: a table kept up to date, lines for a pipe, or JSON."""

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich import live
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from edgeuk.cli.say import out, print_json_line, say
from edgeuk.run.monitor import Message
from edgeuk.senml import Reading, SenmlError

CONSOLE_LINES = 6
ORDINARY = (b"power-on", b"reset", b"restart")  # reasons of a boot that nobody need look into


class View:
    """What every view has: a count of readings; a context manager."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held."""

    def show(self, message: Message | None) -> None:
        """Take the next message; None when there was none for a while."""
        for reading in _readings(message, "data"):
            self.count += 1
            self.reading(reading)
        if message is not None and message.kind == "boot" and message.payload not in ORDINARY:
            self.console(f"the gateway booted: {message.payload.decode(errors='replace')}")

    def reading(self, reading: Reading) -> None:
        """One that arrived."""

    def console(self, line: str) -> None:
        """A line of the machine's console."""

    def silent(self, tail: str, after_s: float) -> None:
        """No reading has come for so long; `tail` is the console's last lines."""
        say(f"no reading for {after_s:.0f} s; the console's last lines:\n{tail}")


class Json(View):
    """A line per reading on standard output, nothing else there."""

    def reading(self, reading: Reading) -> None:
        print_json_line(
            {
                "sensor": _short(reading),
                "name": reading.name,
                "value": reading.value,
                "unit": reading.unit,
                "time": round(reading.time, 6),
                "quality": reading.quality or "good",
            }
        )


class Lines(View):
    """Where there is no terminal: a line per reading, the console's lines as they come."""

    def __init__(self, heading: str) -> None:
        super().__init__()
        say(heading)

    def reading(self, reading: Reading) -> None:
        value = f"{reading.value!s:>12} {reading.unit:6} {reading.quality or 'good'}"
        out.print(f"{_clock(reading)}  {_short(reading):20} {value}", markup=False)

    def console(self, line: str) -> None:
        say(f"  | {line}")

    def silent(self, tail: str, after_s: float) -> None:
        say(f"no reading for {after_s:.0f} s")  # the console's lines are there already


@dataclass(slots=True)
class Seen:
    """What arrived of one sensor."""

    last: Reading
    count: int = 0
    low: float = field(default=float("inf"))
    high: float = field(default=float("-inf"))

    def add(self, reading: Reading) -> None:
        """One more."""
        self.last, self.count = reading, self.count + 1
        if isinstance(reading.value, float):
            self.low, self.high = min(self.low, reading.value), max(self.high, reading.value)


class Live(View):
    """A table on the terminal, kept up to date."""

    def __init__(self, heading: str) -> None:
        super().__init__()
        self.heading = heading
        self.seen: dict[str, Seen] = {}
        self.statistics: dict[str, Reading] = {}
        self.lines: list[str] = []
        screen = Console(highlight=False)  # unlike `out` it wraps long lines
        self._live = live.Live(console=screen, auto_refresh=False, vertical_overflow="visible")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def show(self, message: Message | None) -> None:
        super().show(message)
        self.statistics |= {_short(r): r for r in _readings(message, "stats")}
        self._live.update(self.render(time.time()), refresh=True)

    def reading(self, reading: Reading) -> None:
        self.seen.setdefault(_short(reading), Seen(reading)).add(reading)

    def console(self, line: str) -> None:
        self.lines = [*self.lines, line][-CONSOLE_LINES:]

    def silent(self, tail: str, after_s: float) -> None:
        """The console's lines are there already."""

    def render(self, now: float) -> Group:
        """All that is on the screen."""
        parts = [Text(self.heading, style="bold"), Text(), table(self.seen, now), Text()]
        if self.statistics:
            parts += [Text(summary(self.statistics), style="dim"), Text()]
        console = "\n".join(f"| {line}" for line in self.lines)
        return Group(*parts, Text(console, style="dim", no_wrap=True, overflow="ellipsis"))


def table(seen: dict[str, Seen], now: float) -> Table | Text:
    """The readings so far; `now` is seconds since 1970."""
    if not seen:
        return Text("waiting for the first reading ...")
    grid = Table(box=None, pad_edge=False)
    for name in ("sensor", "value", "unit", "time", "age", "count", "lowest", "highest", "quality"):
        left = name in ("sensor", "unit", "quality")
        grid.add_column(name, justify="left" if left else "right", no_wrap=True)
    for name, s in seen.items():
        grid.add_row(
            name,
            str(s.last.value),
            s.last.unit,
            _clock(s.last),
            f"{max(0.0, now - s.last.time):.0f} s",
            str(s.count),
            str(s.low) if s.low <= s.high else "",
            str(s.high) if s.low <= s.high else "",
            s.last.quality or "good",
        )
    return grid


def summary(statistics: dict[str, Reading]) -> str:
    """The gateway's own counters that are not 0, from its last statistics record."""
    numbers = ((n, r.value) for n, r in statistics.items() if isinstance(r.value, float))
    kept = [f"{name}\N{NO-BREAK SPACE}{value:.10g}" for name, value in numbers if value]
    return "  ".join(kept)


def _readings(message: Message | None, kind: str) -> list[Reading]:
    if message is None or message.kind != kind:
        return []
    try:
        return message.readings()
    except SenmlError as e:
        say(f"warning: a message on `{kind}` is not a gateway's: {e}")
        return []


def _short(reading: Reading) -> str:
    return reading.name.rsplit("/", 1)[-1]


def _clock(reading: Reading) -> str:
    return time.strftime("%H:%M:%S", time.localtime(reading.time))
