"""Manifests: driver.toml, component.toml and arch.toml in, checked, immutable data out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeuk.document import read_document
from edgeuk.props import CLASSES, Prop, check_props, read_props
from edgeuk.tables import Table
from edgeuk.values import UNITS, nearest, unit_hint

__all__ = [
    "Arch", "Component", "Cpu", "Driver", "Feature", "Prop", "check_props",
    "load_arch", "load_component", "load_driver",
]  # fmt: skip

BUDGET_ARCH = "armv7m"  # where a budget without an architecture was measured


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock that a soc driver starts; a device says what it gets in its property `clock_hz`."""

    name: str
    of: str  # the property of the soc's that it is made from
    most: int  # Hz, to which it is divided; 0: it is not
    at: tuple[int, ...]  # addresses of the devices that get it; (): all that no other one has

    def rate(self, source: int) -> int:
        """In Hz, by the least divisor."""
        return source // -(-source // self.most) if self.most else source


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver's manifest; what its C source provides is `struct <name>` and `<name>_ops`."""

    name: str
    folder: Path
    cls: str  # uart eth i2c entropy power sensor
    summary: str
    datasheet: str
    sources: tuple[str, ...]  # relative to folder
    needs: tuple[str, ...]  # device classes and capabilities
    budget: Mapping[str, Mapping[str, int]]  # arch -> {"text": bytes, "ram": bytes}
    props: Mapping[str, Prop]
    state: bool  # there is a `struct <name>_state`
    at: str | None  # "i2c", "gpio", "server" or None
    cpus: tuple[str, ...]  # architectures it can work on; () for all
    unit: str  # sensors: SenML unit of the channel, "" for none
    decimals: int
    has_host: bool  # there is a host.py
    fixed: bool = False  # a gateway cannot change decimals, nor the unit where there is one
    by: str = ""  # the property that says what is measured, and with it unit and decimals
    channels: Mapping[str, tuple[str, int]] = field(default_factory=dict)  # its choices -> those
    # Least and greatest I2C address that the chip can have; () for any.
    addresses: tuple[int, ...] = ()
    weak: bool = False  # entropy: what it gives may be guessed (firmware/include/ek/entropy.h)
    clocks: tuple[Clock, ...] = ()  # of a soc


@dataclass(frozen=True, slots=True)
class Feature:
    """An optional part of a component, linked only when it is asked for."""

    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Component:
    """A part of the library OS."""

    name: str  # the folder below firmware/: "net/lwip"
    folder: Path
    summary: str
    sources: tuple[str, ...]
    provides: tuple[str, ...]  # capabilities
    needs: tuple[str, ...]  # capabilities and device classes
    include: tuple[str, ...]  # relative to folder; third-party ones as "lwip:src/include"
    third_party: Mapping[str, tuple[str, ...]]  # name -> sources below its root
    budget: Mapping[str, Mapping[str, int]]  # arch -> {"text": bytes, "ram": bytes}
    features: Mapping[str, Feature]
    # Sources left out of link-time optimisation, because the compiler itself calls them.
    plain: tuple[str, ...] = field(default=(), kw_only=True)
    only: tuple[str, ...] = field(default=(), kw_only=True)  # architectures it is for; () for all


@dataclass(frozen=True, slots=True)
class Cpu:
    """One processor of an architecture: what the compiler has to know."""

    name: str  # "cortex-m3", as board files say it
    target: str  # -target of zig cc
    mcpu: str  # -mcpu of zig cc
    flags: tuple[str, ...]
    linker: tuple[str, ...] = ()  # options of ld.lld besides the architecture's own


@dataclass(frozen=True, slots=True)
class Arch(Component):
    """An architecture: a component (named "arch/<name>") that every image has one of."""

    cpus: Mapping[str, Cpu]
    linker: tuple[str, ...]  # options of ld.lld


def load_driver(path: Path) -> Driver:
    """Read and check one driver.toml. Raises `ConfigError` with every fault in it."""
    doc = read_document(path)
    root = Table(doc)
    folder = path.resolve().parent
    cls = root.choice("class", CLASSES, "uart" if not doc.complete else None)
    at = root.choice("at", ("i2c", "gpio", "server"), "") or None
    channel = root.table("channel")
    props = read_props(root.table("props"))
    choosing = ["", *(n for n, p in props.items() if p.choices)]
    by = channel.choice("by", choosing, "") or ""
    driver = Driver(
        name=folder.name,
        folder=folder,
        cls=cls or "",
        summary=root.text("summary"),
        datasheet=root.text("datasheet", ""),
        sources=_sources(root, folder),
        needs=root.texts("needs"),
        budget=_budget(root.table("budget")),
        props=props,
        state=root.boolean("state", False),
        at=at,
        cpus=root.texts("cpus"),
        unit=_unit(channel),
        decimals=channel.integer("decimals", 0, high=9),
        has_host=(folder / "host.py").exists(),
        fixed="channel" in root,
        by=by,
        channels=_channels(channel, props[by].choices) if by else {},
        weak=root.boolean("weak", False),
    )
    channel.close()
    clocks = _clocks(root.table("clocks"), props)
    driver = replace(driver, addresses=_addresses(root, at), clocks=clocks)
    root.close()
    if not re.fullmatch("[a-z][a-z0-9_]*", driver.name):
        what = f"`{driver.name}` is not a driver name"
        hint = "small letters, digits and _, a letter first: the folder's name becomes a C name"
        root.fault("E0207", what, hint=hint)
    if at and cls and cls not in ("sensor", "actuator"):
        root.fault("E0410", "`at` is for sensors and actuators only", "at", hint="remove it")
    doc.check()
    return driver


def _addresses(root: Table, at: str | None) -> tuple[int, ...]:
    """`addresses = [0x18, 0x1F]`."""
    given = root.typed("addresses", list)
    if given is None:
        return ()
    right = len(given) == 2 and all(type(a) is int and 0 <= a <= 0x7F for a in given)
    if at != "i2c" or not right or given[0] > given[1]:
        what = "`addresses` are the least and the greatest of a chip on I2C"
        root.fault("E0602", what, "addresses", hint='at = "i2c", addresses = [0x18, 0x1F]')
        return ()
    return given[0], given[1]


def _clocks(clocks: Table, props: Mapping[str, Prop]) -> tuple[Clock, ...]:
    """`[clocks] bus = { of = "clock_hz", most = 60_000_000 }`."""
    found = []
    for name, table in clocks.entries():
        of = table.text("of")
        if of and of not in props:
            table.fault("E0602", f"no property `{of}` to make a clock of", "of")
        at = table.typed("at", list) or []
        if not all(type(a) is int for a in at):
            table.fault("E0203", "`at` is a list of addresses", "at", hint="at = [0x4006_A000]")
        found.append(Clock(name, of, table.integer("most", 0, high=2**32 - 1), tuple(at)))
        table.close()
    return tuple(found)


def load_component(path: Path, name: str) -> Component:
    """Read and check one component.toml. Raises `ConfigError` with every fault in it."""
    doc = read_document(path)
    root = Table(doc)
    component = replace(_component(root, path.parent, name), only=root.texts("cpus"))
    root.close()
    doc.check()
    return component


def load_arch(path: Path, name: str) -> Arch:
    """Read and check one arch.toml. Raises `ConfigError` with every fault in it."""
    doc = read_document(path)
    root = Table(doc)
    base = _component(root, path.parent, name)
    cpus = {}
    for cpu, table in root.table("cpus", required=True).entries():
        mcpu = table.text("mcpu", "")
        flags, options = table.texts("flags"), table.texts("linker")
        cpus[cpu] = Cpu(cpu, table.text("target"), mcpu, flags, options)
        table.close()
    linker = root.texts("linker")
    root.close()
    doc.check()
    fields = {f: getattr(base, f) for f in Component.__dataclass_fields__}
    return Arch(**fields, cpus=cpus, linker=linker)


def _component(root: Table, folder: Path, name: str) -> Component:
    third_party = root.table("third_party")
    features = {}
    for feature, table in root.table("features").entries():
        features[feature] = Feature(_sources(table, folder))
        table.close()
    return Component(
        name=name,
        folder=folder,
        summary=root.text("summary"),
        sources=_sources(root, folder),
        provides=root.texts("provides"),
        needs=root.texts("needs"),
        include=root.texts("include"),
        third_party={source: third_party.texts(source) for source in third_party.data},
        budget=_budget(root.table("budget")),
        features=features,
        plain=root.texts("plain"),
        only=(),
    )


def _sources(table: Table, folder: Path) -> tuple[str, ...]:
    sources = table.texts("sources", required=True)
    for index, source in enumerate(table.data.get("sources", ()) if sources else ()):
        if not isinstance(source, str):
            continue
        parts = Path(source).parts
        if not re.fullmatch(r"[\w./-]+\.[cS]", source) or ".." in parts or source[0] == "/":
            what = f"`{source}` is not a C or assembler file of this folder"
            table.fault("E0207", what, "sources", index)
        elif not (folder / source).is_file():
            near = nearest(source, (p.name for p in folder.glob("*.[cS]")))
            table.fault("E0601", f"no file `{source}` in this folder", "sources", index, hint=near)
    return sources


def _budget(table: Table) -> dict[str, dict[str, int]]:
    budget: dict[str, dict[str, int]] = {}
    plain = {n: table.integer(n, high=2**31) for n in ("text", "ram") if n in table}
    table.known |= {"text", "ram"}
    if plain:
        budget[BUDGET_ARCH] = plain
    for arch, value in table.data.items():
        if isinstance(value, dict) and arch not in table.known:
            sub = table.table(arch)
            budget[arch] = {n: sub.integer(n, high=2**31) for n in ("text", "ram") if n in sub}
            sub.close(known=("text", "ram"))
    table.close()
    return budget


def _channels(channel: Table, choices: tuple[str, ...]) -> dict[str, tuple[str, int]]:
    channels = {}
    for choice in choices:
        table = channel.table(choice, required=True)
        channels[choice] = (_unit(table), table.integer("decimals", 0, high=9))
        table.close()
    return channels


def _unit(channel: Table) -> str:
    unit = channel.text("unit", "")
    if unit and unit not in UNITS:
        channel.fault("E0308", f"unknown unit `{unit}`", "unit", hint=unit_hint(unit))
    return unit
