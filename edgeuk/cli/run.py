"""`edgeuk run`: build, boot and watch the readings arrive."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from edgeuk.build import BuildResult
from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    GatewayOption,
    JsonOption,
    build_image,
    load_image,
    need_tools,
    output_folder,
)
from edgeuk.cli.say import next_step, out, print_json_line, say
from edgeuk.device_config import device_values
from edgeuk.errors import DeviceError, UsageError
from edgeuk.gateway import load_device
from edgeuk.resolve import Image
from edgeuk.run.monitor import Message
from edgeuk.run.session import Session, session
from edgeuk.senml import Reading, SenmlError

app = typer.Typer()
POLL_S = 0.2  # how often the view looks for an end or a new second
CONSOLE_LINES = 6
FIRST_READING_S = 20.0  # after this without one, say what the console says


@dataclass(slots=True)
class Seen:
    """What arrived of one sensor."""

    last: Reading
    count: int = 0
    low: float = field(default=float("inf"))
    high: float = field(default=float("-inf"))

    def add(self, reading: Reading) -> None:
        self.last, self.count = reading, self.count + 1
        if isinstance(reading.value, float):
            self.low, self.high = min(self.low, reading.value), max(self.high, reading.value)


@app.command(
    epilog="Example:  edgeuk run --board virt-aarch64 --broker mqtt://localhost:1883 --for 30s"
)
def run(
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    broker: Annotated[
        str, typer.Option(help="A broker that is there; else one is started.", metavar="URL")
    ] = "",
    device: Annotated[
        Path | None, typer.Option(help="One device's own name, broker, keys.", metavar="FILE")
    ] = None,
    duration: Annotated[
        str, typer.Option("--for", help="End after this time, as 30s or 2m.", metavar="TIME")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Build, boot and watch the readings arrive. With --for, exit status 1 if none did."""
    limit_s = seconds(duration) if duration else float("inf")
    _, image = load_image(gateway, board)
    values = device_values(image.gateway, load_device(device) if device else None)
    need_tools(image, qemu=True)
    result = build_image(image)
    log = output_folder(image) / "console.log"
    readings = 0
    with session(image.board, result.image, values, broker_url=broker, log=log) as running:
        stream = messages(running, limit_s)
        try:
            if json:
                readings = show_json(stream)
            elif out.is_terminal:
                readings = show_live(stream, running, image, result)
            else:
                say(heading(running, image, result))
                readings = show_lines(stream, running)
        except KeyboardInterrupt:
            if not duration:
                say("stopped")
                raise typer.Exit(0) from None
            raise
    if readings == 0:
        say(f"no reading arrived; the console's last lines (all of them: {log}):")
        say(running.machine.tail())
        raise typer.Exit(1)
    say(f"{readings} readings; console: {log}")
    next_step("edgeuk size, or another --board; `edgeuk boards --for gateway.toml` lists them")


def seconds(text: str) -> float:
    """Of a duration as in gateway files. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise UsageError(f"`--for {text}` is no duration", hint="write 30s, 2m or 500ms")
    return float(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2] or "s"]


def messages(running: Session, limit_s: float) -> Iterator[Message | None]:
    """Messages until the limit; None about every POLL_S in between. Raises `DeviceError` when the
    machine ends by itself."""
    end = time.monotonic() + limit_s
    while (left := end - time.monotonic()) > 0:
        yield running.monitor.get(min(left, POLL_S))
        status = running.machine.poll()
        if status is not None:
            raise DeviceError(
                f"the machine ended by itself with status {status}:\n{running.machine.tail()}"
            )


def _readings(message: Message) -> list[Reading]:
    if message.kind != "data":
        return []
    try:
        return message.readings()
    except SenmlError as e:
        say(f"warning: a message on this topic is not ours: {e}")
        return []


def _short(reading: Reading) -> str:
    return reading.name.rsplit("/", 1)[-1]


def show_json(stream: Iterator[Message | None]) -> int:
    """A line per reading; returns their number."""
    count = 0
    for message in stream:
        for r in _readings(message) if message else []:
            count += 1
            print_json_line(
                {
                    "sensor": _short(r),
                    "name": r.name,
                    "value": r.value,
                    "unit": r.unit,
                    "time": r.time,
                    "quality": r.quality or "good",
                }
            )
    return count


def show_lines(stream: Iterator[Message | None], running: Session) -> int:
    """As `show_live` where there is no terminal: a line per reading, console lines as they come."""
    count = told = 0
    for message in stream:
        for line in running.machine.lines[told:]:
            say(f"  | {line}")
            told += 1
        for r in _readings(message) if message else []:
            count += 1
            clock = time.strftime("%H:%M:%S", time.localtime(r.time))
            out.print(f"{clock}  {_short(r):20} {r.value:>12} {r.unit:6} {r.quality}", markup=False)
    return count


def show_live(
    stream: Iterator[Message | None], running: Session, image: Image, result: BuildResult
) -> int:
    """A table that is kept up to date; returns the number of readings."""
    seen: dict[str, Seen] = {}
    statistics: dict[str, Reading] = {}
    title = heading(running, image, result)
    with Live(console=out, auto_refresh=False, transient=False) as live:
        for message in stream:
            for r in _readings(message) if message else []:
                seen.setdefault(_short(r), Seen(r)).add(r)
            if message and message.kind == "stats":
                statistics = {_short(r): r for r in message.readings()}
            live.update(
                Group(
                    Text(title, style="bold"),
                    table(seen),
                    Text(summary(statistics), style="dim"),
                    Text(running.machine.tail(CONSOLE_LINES), style="dim"),
                ),
                refresh=True,
            )
    return sum(s.count for s in seen.values())


def heading(running: Session, image: Image, result: BuildResult) -> str:
    """What runs where."""
    return (
        f"{image.gateway.name} on {image.board.name}: {result.flash_bytes:,} bytes, "
        f"broker {running.broker}; Ctrl-C ends"
    )


def table(seen: dict[str, Seen]) -> Table:
    """The readings so far."""
    grid = Table(box=None, pad_edge=False)
    for name in ("sensor", "value", "unit", "time", "age", "count", "lowest", "highest", "quality"):
        grid.add_column(name, justify="left" if name in ("sensor", "unit", "quality") else "right")
    now = time.time()
    for name, s in seen.items():
        grid.add_row(
            name,
            str(s.last.value),
            s.last.unit,
            time.strftime("%H:%M:%S", time.localtime(s.last.time)),
            f"{max(0.0, now - s.last.time):.0f} s",
            str(s.count),
            f"{s.low:g}" if s.low <= s.high else "",
            f"{s.high:g}" if s.low <= s.high else "",
            s.last.quality or "good",
        )
    if not seen:
        grid.add_row("waiting for the first reading ...")
    return grid


def summary(statistics: dict[str, Reading]) -> str:
    """The gateway's own counters, from its last statistics record."""
    if not statistics:
        return ""
    return "  ".join(
        f"{name} {r.value:g}" for name, r in statistics.items() if isinstance(r.value, float)
    )
