"""Manifests: driver.toml, component.toml and arch.toml in, checked, immutable data out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeuk.document import read_document
from edgeuk.tables import Table, check_duration, word
from edgeuk.values import UNITS, is_number, nearest, unit_hint

# What drivers can be: firmware/include/ek/<class>.h says what each provides.
CLASSES = ("uart", "eth", "i2c", "entropy", "power", "sensor", "virtio", "soc", "intc")
BUDGET_ARCH = "armv7m"  # where a budget without an architecture was measured
DURATION_MAX_MS = 2**32 - 1

# Property types: for integers the range, for the others None.
PROP_TYPES: Mapping[str, tuple[int, int] | None] = {
    "address": (0, 2**64 - 1),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "bool": None,
    "string": None,
    "number": None,  # int, or Decimal if it has a fraction
    "duration": None,  # "500ms"; int milliseconds once checked
    "device": None,  # name of another device of the board
}


@dataclass(frozen=True, slots=True)
class Prop:
    """One property: what a board (or a sensor) must or may say."""

    type: str  # one of PROP_TYPES
    default: Any  # None: the property must be given
    min: Any  # int or Decimal; None: as the type allows
    max: Any
    choices: tuple[Any, ...]  # () for no restriction
    unit: str  # for people, "" for none
    cls: str = ""  # type `device`: the class that the device must be of


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
    at: str | None  # "i2c", "server" or None
    cpus: tuple[str, ...]  # architectures it can work on; () for all
    unit: str  # sensors: SenML unit of the channel, "" for none
    decimals: int
    has_host: bool  # there is a host.py
    fixed: bool = False  # a gateway cannot change decimals, nor the unit where there is one


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
    at = root.choice("at", ("i2c", "server"), "") or None
    channel = root.table("channel")
    driver = Driver(
        name=folder.name,
        folder=folder,
        cls=cls or "",
        summary=root.text("summary"),
        datasheet=root.text("datasheet", ""),
        sources=_sources(root, folder),
        needs=root.texts("needs"),
        budget=_budget(root.table("budget")),
        props=_props(root.table("props")),
        state=root.boolean("state", False),
        at=at,
        cpus=root.texts("cpus"),
        unit=_unit(channel),
        decimals=channel.integer("decimals", 0, high=9),
        has_host=(folder / "host.py").exists(),
        fixed="channel" in root,
    )
    channel.close()
    root.close()
    if not re.fullmatch("[a-z][a-z0-9_]*", driver.name):
        what = f"`{driver.name}` is not a driver name"
        hint = "small letters, digits and _, a letter first: the folder's name becomes a C name"
        root.fault("E0207", what, hint=hint)
    if at and cls and cls != "sensor":
        root.fault("E0410", "`at` is for sensors only", "at", hint="remove it")
    doc.check()
    return driver


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


def check_props(
    table: Table, props: Mapping[str, Prop], owner: str, *, fill: bool = True
) -> dict[str, Any]:
    """The values of `props` in a board's or a sensor's table, each checked.

    With `fill`, absent ones have their default; else they are left out. Durations become int
    milliseconds. `owner` is named in faults: "driver `tmp105`".
    """
    values = {}
    for name, prop in props.items():
        value = table.take(name)
        if value is not None:
            checked = _check_value(table, name, value, prop)
            values[name] = prop.default if checked is None else checked
        elif prop.default is not None:
            if fill:
                values[name] = prop.default
        elif table.doc.complete:
            what = f"missing key `{name}`: {owner} needs it"
            table.fault("E0202", what, of_key=True, hint=f"{name} = {_example(prop)}")
    return values


def _check_value(table: Table, name: str, value: Any, prop: Prop) -> Any:
    """The value as the property's type has it, or None after a fault."""
    bounds = PROP_TYPES[prop.type]
    after = f" {prop.unit}" if prop.unit else ""
    if prop.type == "duration":
        low = 0 if prop.min is None else prop.min
        high = DURATION_MAX_MS if prop.max is None else prop.max
        return check_duration(table, name, value, low, high)
    if prop.type == "bool":
        right, wanted = isinstance(value, bool), "true or false"
    elif prop.type in ("string", "device"):
        right, wanted = isinstance(value, str), "a text"
    elif prop.type == "number":
        right, wanted = is_number(value), "a number"
    else:
        right, wanted = type(value) is int, "a whole number"
    if not right:
        table.fault("E0203", f"`{name}` must be {wanted}, not {word(value)}", name)
        return None
    if prop.choices and value not in prop.choices:
        texts = [str(c) for c in prop.choices]
        shown = f"`{value}`" if isinstance(value, str) else f"{value}"
        near = nearest(value, texts) if isinstance(value, str) else "one of: " + ", ".join(texts)
        table.fault("E0205", f"`{name}` cannot be {shown}", name, hint=near)
        return None
    low = prop.min if prop.min is not None else bounds[0] if bounds else None
    high = prop.max if prop.max is not None else bounds[1] if bounds else None
    if prop.type in ("string", "device") or (low is None and high is None):
        return value
    if (low is not None and value < low) or (high is not None and value > high):
        form = "{:#x}" if prop.type == "address" else "{}"
        if low is None or high is None:
            side, bound = ("at least", low) if high is None else ("at most", high)
            limit = f"{side} {form.format(bound)}"
        else:
            limit = f"{form.format(low)} to {form.format(high)}"
        shown = form.format(value)
        table.fault("E0204", f"`{name}` must be {limit}{after}, not {shown}", name)
        return None
    return value


def _example(prop: Prop) -> str:
    if prop.choices:
        first = prop.choices[0]
        return f'"{first}"' if isinstance(first, str) else str(first)
    examples = {
        "address": "0x4000_0000",
        "bool": "true",
        "string": '"..."',
        "device": '"..."',
        "duration": '"1s"',
    }
    return examples.get(prop.type, str(prop.min if prop.min is not None else 1))


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


def _props(table: Table) -> dict[str, Prop]:
    props = {}
    for name, sub in table.entries():
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            what = f"`{name}` is not a property name"
            hint = "small letters, digits and _, a letter first: it is a field in C"
            table.fault("E0207", what, name, of_key=True, hint=hint)
        kind = sub.choice("type", tuple(PROP_TYPES))
        if not kind:
            sub.close(known=("type", "default", "min", "max", "choices", "unit"))
            continue
        low, high = _bound(sub, "min", kind), _bound(sub, "max", kind)
        choices = tuple(sub.typed("choices", list) or ())
        free = Prop(kind, None, low, high, choices, sub.text("unit", ""))
        default = sub.take("default")
        if default is not None:
            faults = len(sub.doc.faults)
            default = _check_value(sub, "default", default, free)
            if len(sub.doc.faults) > faults:
                default = None
        cls = sub.choice("class", CLASSES, "") if kind == "device" else ""
        sub.close()
        props[name] = Prop(kind, default, low, high, choices, free.unit, cls)
    return props


def _bound(table: Table, name: str, kind: str) -> Any:
    value = table.take(name)
    if value is None:
        return None
    if kind == "duration":
        return check_duration(table, name, value, 0, DURATION_MAX_MS)
    if kind in ("bool", "string", "device") or not is_number(value):
        table.fault("E0602", f"`{name}` makes no sense for type `{kind}`", name)
        return None
    return value


def _unit(channel: Table) -> str:
    unit = channel.text("unit", "")
    if unit and unit not in UNITS:
        channel.fault("E0308", f"unknown unit `{unit}`", "unit", hint=unit_hint(unit))
    return unit
