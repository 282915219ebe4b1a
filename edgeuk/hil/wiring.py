"""hil/wiring/<board>.toml: what is connected to a board under test, and what each target lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from edgeuk.board import Board
from edgeuk.catalog import Catalog
from edgeuk.document import read_document
from edgeuk.errors import UsageError
from edgeuk.tables import Table, word
from edgeuk.values import nearest

TARGETS = ("qemu", "virtual", "probe", "labgrid")
PARTS = ("sensors", "cable", "network", "watchdog", "reset")  # what a target may lack


@dataclass(frozen=True, slots=True)
class WiredSensor:
    """A sensor whose surroundings the bench can change."""

    at: str  # as in gateway files: i2c0:0x48
    driver: str
    qom: str  # QEMU's path of its model
    prop: str
    scale: int  # the model's units per unit of the reading
    low: int  # what the bench may set, in the reading's unit
    high: int
    accuracy: float  # of the real sensor, its datasheet's largest error between low and high
    resolution: float  # the step of its readings: all that an emulated one may be off


@dataclass(frozen=True, slots=True)
class Wiring:
    """A bench as its file describes it."""

    path: Path | None = None
    cable: str = "net0"  # QEMU's name of the network card's other end
    sensors: tuple[WiredSensor, ...] = ()
    lacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # target -> part -> reason


def find_wiring(named: Path | None, folder: Path, board: Board, catalog: Catalog) -> Wiring:
    """The file that was named, else the board's in `folder`, else an empty bench. Raises
    `UsageError`, `ConfigError`."""
    path = named or folder / f"{board.name}.toml"
    if path.is_file():
        return load_wiring(path, board, catalog)
    if named is None:
        return Wiring()
    there = ", ".join(sorted(p.name for p in folder.glob("*.toml")))
    hint = f"in {folder} there are {there}" if there else "docs/hil.md describes it"
    raise UsageError(f"no wiring file `{named}`", hint=hint)


def load_wiring(path: Path, board: Board, catalog: Catalog) -> Wiring:
    """Read and check against the board. Raises `ConfigError` with every fault."""
    doc = read_document(path)
    root = Table(doc)
    root.integer("schema", low=1, high=1)
    named = root.text("board")
    if named and named != board.name:
        what = f"this is the wiring of board {named}, not of {board.name}"
        root.fault("E0205", what, "board", hint=f"--wiring FILE names the one of {board.name}")
    cable = root.table("cable")
    sensors = tuple(_sensor(t, board, catalog) for t in root.tables("sensor"))
    lacks = {}
    for target, table in root.table("lacks").entries():
        if target not in TARGETS:
            what = f"there is no target `{target}`"
            table.fault("E0205", what, of_key=True, hint=nearest(target, TARGETS))
        lacks[target] = {part: table.text(part, "") for part in PARTS if part in table}
        table.close(known=PARTS)
    name = cable.text("qemu", "net0")
    cable.close()
    root.close()
    doc.check()
    return Wiring(path, name, sensors, lacks)


def _sensor(table: Table, board: Board, catalog: Catalog) -> WiredSensor:
    at = table.text("at", pattern=r"\w+:\w+", meaning="a place such as i2c0:0x48")
    device = at.partition(":")[0]
    if at and device not in board.devices:
        what = f"board {board.name} has no device `{device}`"
        table.fault("E0205", what, "at", hint=nearest(device, board.devices))
    driver = table.text("driver")
    if driver and driver not in catalog.drivers:
        what = f"there is no driver `{driver}`"
        table.fault("E0205", what, "driver", hint=nearest(driver, catalog.drivers))
    low = table.integer("low", low=-1_000_000, high=1_000_000)
    high = table.integer("high", low=-1_000_000, high=1_000_000)
    if low >= high and {"low", "high"} <= set(table.data):
        table.fault("E0204", f"`high` must be above `low`, {low}", "high")
    found = WiredSensor(
        at,
        driver,
        table.text("qemu", ""),
        table.text("property", ""),
        table.integer("scale", 1, low=1, high=1_000_000_000),
        low,
        high,
        _number(table, "accuracy"),
        _number(table, "resolution"),
    )
    table.close()
    return found


def _number(table: Table, name: str) -> float:
    value = table.take(name, required=True)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        table.fault("E0203", f"`{name}` must be a number, not {word(value)}", name)
        return 0.0
    if value <= 0:
        table.fault("E0204", f"`{name}` must be above 0, not {value}", name)
    return float(value)
