"""The catalog: every driver, component, architecture and board that edgeuk has."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgeuk.board import ROLES, Board, Device, read_board
from edgeuk.document import Document
from edgeuk.errors import ConfigError, Fault, UsageError
from edgeuk.manifest import (
    Arch,
    Component,
    Driver,
    check_props,
    load_arch,
    load_component,
    load_driver,
)
from edgeuk.paths import Roots, data_roots
from edgeuk.tables import Table
from edgeuk.values import nearest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Catalog:
    """All there is to choose from, by name."""

    drivers: Mapping[str, Driver]
    components: Mapping[str, Component]  # "net/lwip", ...; without architectures
    archs: Mapping[str, Arch]  # "armv7m", ...
    boards: Mapping[str, Path]  # name -> file, not loaded yet

    def arch_of(self, cpu: str) -> str | None:
        """The name of the architecture that has this processor."""
        return next((name for name, arch in self.archs.items() if cpu in arch.cpus), None)

    def cpus(self) -> tuple[str, ...]:
        """All processors."""
        return tuple(cpu for arch in self.archs.values() for cpu in arch.cpus)


def load_catalog(roots: Roots | None = None) -> Catalog:
    """Read all manifests. Raises `ConfigError` with the faults of all of them."""
    roots = roots or data_roots()
    faults: list[Fault] = []

    def load(pattern: str, root: Path, loader: Callable[[Path], T]) -> dict[str, T]:
        found = {}
        for path in sorted(root.glob(pattern)):
            try:
                found[path.parent.relative_to(root).as_posix()] = loader(path)
            except ConfigError as e:
                faults.extend(e.faults)
        return found

    firmware = roots.firmware

    def component(path: Path) -> Component:
        return load_component(path, path.parent.relative_to(firmware).as_posix())

    def arch(path: Path) -> Arch:
        return load_arch(path, path.parent.relative_to(firmware).as_posix())

    catalog = Catalog(
        drivers=load("*/driver.toml", roots.drivers, load_driver),
        components=load("**/component.toml", firmware, component),
        archs=load("*/arch.toml", firmware / "arch", arch),
        boards={path.stem: path for path in sorted(roots.boards.glob("*.toml"))},
    )
    if faults:
        raise ConfigError(tuple(faults))
    return catalog


def find_board(catalog: Catalog, name: str) -> Board:
    """The board of that name, or of that file if `name` ends in .toml, checked against the drivers.

    Raises `UsageError` with the nearest name, or `ConfigError` with every fault of its file.
    """
    if name in catalog.boards:
        return check_board(catalog.boards[name], catalog)
    if name.endswith(".toml") and Path(name).exists():
        return check_board(Path(name), catalog)
    near = nearest(name, catalog.boards)
    raise UsageError(f"no board `{name}`", hint=near or "`edgeuk boards` lists them")


def check_board(path: Path, catalog: Catalog) -> Board:
    """Read a board file and check it whole. Raises `ConfigError` with every fault in it."""
    doc, board = read_board(path)
    arch = catalog.arch_of(board.cpu)
    if board.cpu and not arch:
        hint = nearest(board.cpu, catalog.cpus())
        doc.fault("E0309", f"unknown cpu `{board.cpu}`", ("cpu",), hint=hint)
    devices: dict[str, Device] = {}
    for name, device in board.devices.items():
        driver = catalog.drivers.get(device.driver)
        key = ("devices", name, "driver")
        if not driver:
            hint = nearest(device.driver, _device_drivers(catalog))
            if device.driver:
                doc.fault("E0301", f"unknown driver `{device.driver}`", key, hint=hint)
            devices[name] = device
            continue
        if driver.cls in ("sensor", "actuator"):
            what = f"`{driver.name}` is {_article(driver.cls)}; boards have devices"
            hint = f"{driver.cls}s are in the gateway file: [[{driver.cls}]]"
            doc.fault("E0406", what, key, hint=hint)
        if arch and driver.cpus and arch not in driver.cpus:
            what = f"driver `{driver.name}` does not work on {arch}"
            doc.fault("E0505", what, key, hint=f"it works on {', '.join(driver.cpus)}")
        table = Table(doc, ("devices", name), doc.data["devices"][name])
        props = check_props(table, driver.props, f"driver `{driver.name}`")
        table.close(known=("driver", "irq"))
        _check_links(table, driver, props, board, catalog)
        _check_rates(table, driver, props)
        devices[name] = replace(device, props=props)
    native = arch and catalog.archs[arch].cpus[board.cpu].target == "native"
    memory = doc.data.get("memory")
    if not native and isinstance(memory, dict) and "ram" not in memory and doc.complete:
        hint = "ram = { base = 0x2000_0000, size = 0x1_0000 }"
        doc.fault("E0202", "missing key `ram`", ("memory",), of_key=True, hint=hint)
    _check_roles(doc, board, catalog)
    _check_addresses(doc, devices, catalog)
    _check_clocks(doc, devices, board.roles.get("soc", ""), catalog)
    _check_pins(doc, devices, catalog)
    return replace(board, devices=devices, warnings=doc.check())


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _device_drivers(catalog: Catalog) -> list[str]:
    return [
        name for name, driver in catalog.drivers.items() if driver.cls not in ("sensor", "actuator")
    ]


def _check_roles(doc: Document, board: Board, catalog: Catalog) -> None:
    for role, name in board.roles.items():
        driver = catalog.drivers.get(board.devices[name].driver)
        wanted = ROLES[role]
        if driver and driver.cls != wanted:
            what = f"role `{role}` needs a device of class {wanted}; `{name}` is of {driver.cls}"
            fit = [d.name for d in board.devices.values() if _class(d.driver, catalog) == wanted]
            hint = f"such as `{fit[0]}`" if fit else ""
            also = (f"`{name}` is here", ("devices", name))
            doc.fault("E0406", what, ("roles", role), hint=hint, also=also)


def _class(driver: str, catalog: Catalog) -> str:
    return catalog.drivers[driver].cls if driver in catalog.drivers else ""


def _check_links(
    table: Table, driver: Driver, props: Mapping[str, Any], board: Board, catalog: Catalog
) -> None:
    """Properties that name another device: it exists and is of the right class."""
    for name, prop in driver.props.items():
        if prop.type != "device" or name not in props:
            continue
        there = board.devices.get(props[name])
        if not there:
            hint = nearest(props[name], board.devices)
            table.fault("E0304", f"no device `{props[name]}`", name, hint=hint)
        elif prop.cls and (cls := _class(there.driver, catalog)) not in ("", prop.cls):
            what = f"`{name}` needs a device of class {prop.cls}; `{there.name}` is of {cls}"
            table.fault("E0406", what, name)


def _check_rates(table: Table, driver: Driver, props: Mapping[str, Any]) -> None:
    """Baud rates and the like can be made from the clock that the device gets."""
    for name, prop in driver.props.items():
        rate, clock = props.get(name), props.get(prop.clock) if prop.clock else None
        if not rate or not clock:
            continue
        least, most = prop.divide
        if not least * rate <= clock <= most * rate:
            what = f"`{name}` of {rate:,} cannot be made from `{prop.clock}` of {clock:,}"
            hint = f"driver `{driver.name}` divides by {least:,} to {most:,}"
            given, other = (name, prop.clock) if name in table else (prop.clock, "")
            also = ("the clock is given here", (*table.key, other)) if other else None
            table.fault("E0506", what, given, hint=hint, also=also)


def _check_clocks(doc: Document, devices: Mapping[str, Device], soc: str, catalog: Catalog) -> None:
    """Where the soc's driver knows which device gets which clock: `clock_hz` is that."""
    giver = catalog.drivers.get(devices[soc].driver) if soc in devices else None
    for name, device in devices.items():
        rate = device.props.get("clock_hz")
        if not giver or not giver.clocks or name == soc or not rate:
            continue
        addresses = {device.props.get("base")}
        fit = [c for c in giver.clocks if addresses & {*c.at}]
        fit += [c for c in giver.clocks if not c.at]
        source = devices[soc].props.get(fit[0].of) if fit else None
        if not source or (given := fit[0].rate(source)) == rate:
            continue
        what = f"`{name}` gets {given:,} Hz (the clock `{fit[0].name}` of `{soc}`), not {rate:,}"
        also = ("it is made from this", ("devices", soc, fit[0].of))
        at = ("devices", name, *(["clock_hz"] if "clock_hz" in doc.data["devices"][name] else []))
        doc.fault("E0509", what, at, hint=f"clock_hz = {given:_}", also=also)


def _check_pins(doc: Document, devices: Mapping[str, Device], catalog: Catalog) -> None:
    """No two devices use one pin: properties of type `pin`, each of the port that `gpio` names."""
    seen: dict[tuple[Any, int], tuple[str, str]] = {}
    for name, device in devices.items():
        driver = catalog.drivers.get(device.driver)
        given = doc.data["devices"][name]
        for prop, kind in driver.props.items() if driver else ():
            value = given.get(prop)
            if kind.type != "pin" or type(value) is not int:
                continue
            pin = (device.props.get("gpio"), value)
            here = ("devices", name, prop)
            if pin in seen:
                first, first_prop = seen[pin]
                what = f"pin {value} has two users: `{name}` and `{first}`"
                also = ("first given here", ("devices", first, first_prop))
                doc.fault("E0507", what, here, also=also)
            seen.setdefault(pin, (name, prop))


def _check_addresses(doc: Document, devices: Mapping[str, object], catalog: Catalog) -> None:
    """No two devices at one address: all properties of type `address` are compared."""
    seen: dict[int, tuple[str, str]] = {}
    for name in devices:
        table = doc.data["devices"][name]
        driver = catalog.drivers.get(str(table.get("driver")))
        for prop, value in table.items() if driver else ():
            known = driver.props.get(prop) if driver else None
            if not known or known.type != "address" or type(value) is not int:
                continue
            if value in seen:
                first, first_prop = seen[value]
                what = f"`{name}` and `{first}` are both at 0x{value:x}"
                also = (f"`{first}` is here", ("devices", first, first_prop))
                if name != first:
                    doc.fault("E0503", what, ("devices", name, prop), also=also)
            seen.setdefault(value, (name, prop))
