"""hil/wiring/<board>.toml: what is connected to a board under test, and what each target lacks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from edgeuk.board import Board
from edgeuk.catalog import Catalog
from edgeuk.document import read_document
from edgeuk.errors import UsageError
from edgeuk.tables import Table, word
from edgeuk.values import nearest

TARGETS = ("qemu", "virtual", "probe", "labgrid")
# What a target may lack.
PARTS = ("sensors", "cable", "network", "watchdog", "reset", "power", "pins")
# Tables named like targets: their keys, which are texts.
TARGET_KEYS = {"probe": ("id", "serial", "address"), "labgrid": ("address",)}


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
class WiredPort:
    """A port of digital pins that the bench drives and reads."""

    device: str  # as in board files: gpio0
    qom: str  # QEMU's path of its model, or the model's type
    index: int  # which one of that type


@dataclass(frozen=True, slots=True)
class Wiring:
    """A bench as its file describes it."""

    path: Path | None = None
    cable: str = "net0"  # QEMU's name of the network card's other end
    qemu_args: tuple[str, ...] = ()  # what the bench adds to the machine
    sensors: tuple[WiredSensor, ...] = ()
    ports: Mapping[str, WiredPort] = field(default_factory=dict)
    lacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # target -> part -> reason
    targets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # of TARGET_KEYS


def find_wiring(
    named: Path | None, folders: tuple[Path, ...], board: Board, catalog: Catalog
) -> Wiring:
    """The file that was named, else the board's in the first of `folders` that has one, else an
    empty bench. Raises `UsageError`, `ConfigError`."""
    usual = [folder / f"{board.name}.toml" for folder in folders]
    for path in [named] if named else usual:
        if path.is_file():
            return load_wiring(path, board, catalog)
    if named is None:
        return Wiring()
    there = sorted(p.name for folder in folders for p in folder.glob("*.toml"))
    hint = f"beside the scenarios there are {', '.join(there)}" if there else "docs/hil.md"
    raise UsageError(f"no wiring file `{named}`", hint=hint)


def load_wiring(path: Path, board: Board, catalog: Catalog) -> Wiring:
    """Read and check against the board. Raises `ConfigError` with every fault."""
    doc = read_document(path, empty_hint="docs/hil.md shows one")
    root = Table(doc)
    root.integer("schema", low=1, high=1)
    named = root.text("board")
    if named and named != board.name:
        what = f"this is the wiring of board {named}, not of {board.name}"
        root.fault("E0205", what, "board", hint=f"--wiring FILE names the one of {board.name}")
    cable, qemu = root.table("cable"), root.table("qemu")
    sensors = [_sensor(t, board, catalog) for t in root.tables("sensor")]
    ports = [_port(t, board, catalog) for t in root.tables("port")]
    plurals = {f"{noun}s": f"each {noun} begins with [[{noun}]]" for noun in ("sensor", "port")}
    found = Wiring(
        path,
        cable.text("qemu", "net0"),
        qemu.texts("args"),
        tuple(sensors),
        {port.device: port for port in ports},
        _lacks(root.table("lacks")),
        {name: _texts(root.table(name), keys) for name, keys in TARGET_KEYS.items()},
    )
    cable.close()
    qemu.close()
    root.close(hints=plurals)
    doc.check()
    return found


def _lacks(table: Table) -> dict[str, dict[str, str]]:
    lacks = {}
    for target, parts in table.entries():
        if target not in TARGETS:
            what = f"there is no target `{target}`"
            hint = nearest(target, TARGETS) or f"one of {', '.join(TARGETS)}"
            table.fault("E0205", what, target, of_key=True, hint=hint)
        lacks[target] = {part: parts.text(part, "") for part in PARTS if part in parts}
        parts.close(known=PARTS)
    table.close()
    return lacks


def _texts(table: Table, keys: tuple[str, ...]) -> dict[str, str]:
    found = {key: table.text(key, "") for key in keys if key in table}
    table.close(known=keys)
    return found


def _sensor(table: Table, board: Board, catalog: Catalog) -> WiredSensor:
    at = table.text("at", pattern=r"\w+:\w+", meaning="a place such as i2c0:0x48")
    _check_device(table, "at", at.partition(":")[0], board)
    driver = table.text("driver")
    if driver and driver not in catalog.drivers:
        what = f"there is no driver `{driver}`"
        table.fault("E0301", what, "driver", hint=nearest(driver, catalog.drivers))
    low = table.integer("low", low=-1_000_000, high=1_000_000)
    high = table.integer("high", low=-1_000_000, high=1_000_000)
    if low >= high and {"low", "high"} <= set(table.data) and not {"low", "high"} & table.bad:
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
    if found.qom and not found.prop:
        hint = 'such as property = "temperature"'
        table.fault("E0202", "missing key `property`, of the model in QEMU", hint=hint)
    table.close()
    return found


def _port(table: Table, board: Board, catalog: Catalog) -> WiredPort:
    name = table.text("device")
    if name and _check_device(table, "device", name, board):
        driver = catalog.drivers.get(board.devices[name].driver)
        if driver is not None and driver.cls != "gpio":
            what = f"`{name}` of board {board.name} is no port of digital pins"
            table.fault("E0406", what, "device")
    port = WiredPort(name, table.text("qemu"), table.integer("index", 0, low=0, high=99))
    table.close()
    return port


def _check_device(table: Table, key: str, name: str, board: Board) -> bool:
    if not name or name in board.devices:
        return bool(name)
    what = f"board {board.name} has no device `{name}`"
    table.fault("E0304", what, key, hint=nearest(name, board.devices))
    return False


def _number(table: Table, name: str) -> float:
    value: Any = table.take(name, required=True)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        table.fault("E0203", f"`{name}` must be a number, not {word(value)}", name)
        return 0.0
    if value <= 0:
        table.fault("E0204", f"`{name}` must be above 0, not {value}", name)
    return float(value)
