"""[[sensor]] tables of a gateway file: where each sensor is, its driver's keys, its filters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeuk.catalog import Catalog
from edgeuk.filters import FILTERS
from edgeuk.filters import check as check_filter
from edgeuk.manifest import Driver, check_props
from edgeuk.plan import SensorSpec
from edgeuk.plans import driver_check, host_props
from edgeuk.tables import Table, check_duration
from edgeuk.values import DAY_MS, NAME, UNITS, nearest, show_duration, unit_hint

EVERY_MIN_MS = 10
I2C_LOW, I2C_HIGH = 0x08, 0x77  # the others are reserved (UM10204, 3.1.12)


@dataclass(frozen=True, slots=True)
class Filter:
    """One step of a sensor's filter chain; `params` as edgeuk/filters.py describes them."""

    kind: str
    params: Mapping[str, Any]  # numbers with a decimal point are Decimal, durations int ms


@dataclass(frozen=True, slots=True)
class At:
    """Where a sensor is: `i2c0:0x48` (bus and address), `gpio0:5` (port and pin) or `main/1`
    (server and unit)."""

    text: str
    target: str  # device or server name
    number: int  # I2C address, pin or unit


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor; `props` checked against its driver, with the defaults filled in.

    For drivers with a host.py `props` has what the file says: no defaults, durations as texts,
    fractions as float (`plan.SensorSpec`).
    """

    name: str
    driver: str
    at: At | None
    every_ms: int
    unit: str  # "" for none
    decimals: int
    props: Mapping[str, Any]  # numbers with a decimal point are Decimal, durations int ms
    filters: tuple[Filter, ...]
    optional: bool = False  # left out on boards that cannot have it


def read_sensor(table: Table, catalog: Catalog, servers: set[str]) -> Sensor | None:
    """One [[sensor]]; None where its driver is unknown."""
    hint = "letters, digits and - : . / _, at most 63, a letter or digit first (RFC 8428, 4.5.1)"
    name = table.text("name", pattern=NAME.pattern, meaning="a SenML name", hint=hint)
    every_ms = table.duration_ms("every", low=EVERY_MIN_MS, high=DAY_MS)
    optional = table.boolean("optional", False)
    driver_name = table.text("driver", hint="`edgeuk drivers` lists them")
    driver = catalog.drivers.get(driver_name)
    sensors = [d.name for d in catalog.drivers.values() if d.cls == "sensor"]
    if not driver or driver.cls != "sensor":
        if driver:
            what = f"`{driver_name}` is not a sensor but of class {driver.cls}"
            table.fault("E0406", what, "driver", hint=nearest(driver_name, sensors))
        elif "driver" not in table.bad:
            what = f"unknown driver `{driver_name}`"
            table.fault("E0301", what, "driver", hint=nearest(driver_name, sensors))
        _filters(table, 9, every_ms)
        return None
    at = read_at(table, driver, servers)
    unit, decimals = _channel(table, driver)
    filters = _filters(table, decimals, every_ms)
    props = check_props(table, driver.props, f"driver `{driver.name}`", fill=not driver.has_host)
    if driver.has_host:
        props = host_props({k: table.data[k] for k in driver.props if k in table.data})
        spec = SensorSpec(name, at.text if at else "", every_ms, decimals, props)
        for problem in driver_check(driver, spec):
            if problem.key not in table.bad:
                table.fault("E0409", problem.message, problem.key, hint=problem.hint)
    table.close()
    return Sensor(name, driver.name, at, every_ms, unit, decimals, props, filters, optional)


I2C = re.compile(r"([a-z][a-z0-9_]*):(0[xX][0-9A-Fa-f]+|[0-9]+)")
PIN = re.compile(r"([a-z][a-z0-9_]*):([0-9]{1,3})")
_SERVER = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:/([0-9]{1,9}))?")


_PLACES = {  # `at` of a driver -> shape, what it is, example
    "i2c": (I2C, "bus and address", "i2c0:0x48"),
    "gpio": (PIN, "port and pin", "gpio0:5"),
    "server": (_SERVER, "server and unit", "main/1"),
}


def read_at(table: Table, driver: Driver, servers: set[str]) -> At | None:
    """Where a sensor or an actuator is; None where the driver needs no place, or after a fault."""
    if driver.at is None:
        if table.take("at") is not None:
            what = f"driver `{driver.name}` is not at any place"
            table.fault("E0404", what, "at", of_key=True, hint="remove `at`")
        return None
    shape, form, place = _PLACES[driver.at]
    example = f'at = "{place}"'
    text = table.text("at", hint=example)
    if "at" in table.bad or not text:
        return None
    match = shape.fullmatch(text)
    if not match:
        table.fault("E0404", f"`{text}` is not {form}", "at", hint=f"such as {example}")
        return None
    if driver.at == "i2c":
        number = int(match[2], 0 if match[2][:2].lower() == "0x" else 10)
        if not I2C_LOW <= number <= I2C_HIGH:
            what = f"an I2C address is 0x08 to 0x77, not 0x{number:02x}"
            half = number >> 1
            eight = I2C_LOW <= half <= I2C_HIGH and number <= 0xFF
            hint = f"0x{half:02x}, if this is the address with the read/write bit" if eight else ""
            table.fault("E0204", what, "at", hint=hint)
            return None
        if driver.addresses and not driver.addresses[0] <= number <= driver.addresses[1]:
            low, high = driver.addresses
            what = f"`{driver.name}` has an address of 0x{low:02x} to 0x{high:02x}"
            table.fault("E0204", f"{what}, not 0x{number:02x}", "at")
            return None
        return At(text, match[1], number)
    if driver.at == "gpio":
        return At(text, match[1], int(match[2]))
    number = int(match[2] or 255)
    if number > 255:
        table.fault("E0204", f"a unit is 0 to 255, not {number}", "at")
        return None
    if match[1] not in servers:
        hint = nearest(match[1], servers) or f'[servers] with {match[1]} = "host:502" is missing'
        table.fault("E0305", f"unknown server `{match[1]}`", "at", hint=hint)
    return At(text, match[1], number)


def _channel(table: Table, driver: Driver) -> tuple[str, int]:
    """Unit and decimals: the driver's where it says them, else the user's."""
    own_unit, own_decimals = driver.unit, driver.decimals
    what_of = table.data.get(driver.by, driver.props[driver.by].default) if driver.by else None
    if isinstance(what_of, str) and what_of in driver.channels:
        own_unit, own_decimals = driver.channels[what_of]
    unit = table.text("unit", own_unit)
    decimals = table.integer("decimals", own_decimals, high=9)
    if driver.fixed:
        for key, value, own in (("unit", unit, own_unit), ("decimals", decimals, own_decimals)):
            if value != own and own != "" and key not in table.bad:
                what = f"driver `{driver.name}` gives {key} {own}; it cannot be changed"
                hint = "remove it; filters `multiply` and `round` change values"
                table.fault("E0410", what, key, hint=hint)
        unit, decimals = own_unit or unit, own_decimals
    if unit and unit not in UNITS and not unit.startswith("x-") and "unit" not in table.bad:
        table.fault("E0308", f"unknown unit `{unit}`", "unit", hint=unit_hint(unit))
    return unit, decimals


def _filters(table: Table, decimals: int, every_ms: int) -> tuple[Filter, ...]:
    example = "filter = [{ median = 5 }, { delta = 0.25 }]"
    filters = []
    for index, item in enumerate(table.typed("filter", list, hint=example) or ()):
        if not isinstance(item, dict):
            table.fault("E0203", "each filter must be a table", "filter", index, hint=example)
            continue
        sub = Table(table.doc, (*table.key, "filter", index), item)
        kinds = [key for key in item if key in FILTERS]
        if len(kinds) == 1:
            filters.append(_filter(sub, kinds[0], decimals, every_ms))
        elif kinds:
            what = f"one filter has two kinds: `{kinds[0]}` and `{kinds[1]}`"
            hint = "each filter is a table of its own: [{ ... }, { ... }]"
            sub.fault("E0410", what, kinds[1], of_key=True, hint=hint)
        elif item:
            first = next(iter(item))
            owner = [f for f in FILTERS.values() if first in (p.name for p in f.params)]
            hint = f"such as {owner[0].example}" if owner else nearest(first, FILTERS)
            sub.fault("E0303", f"unknown filter `{first}`", first, of_key=True, hint=hint)
        else:
            sub.fault("E0202", "a filter without a kind", hint=example)
    return tuple(filters)


def _filter(table: Table, kind: str, decimals: int, every_ms: int) -> Filter:
    types = {param.name: param.type for param in FILTERS[kind].params}
    params = {}
    for name, value in table.data.items():
        if types.get(name) == "duration":
            ms = check_duration(table, name, value, 1, 2**32 - 1)
            params[name] = 1 if ms is None else ms
        else:
            params[name] = value
    for fault in check_filter(kind, params, decimals):
        if fault.key in table.bad:
            continue
        unknown = fault.key in table and fault.key not in types
        code = "E0201" if unknown else "E0411" if fault.key in table else "E0202"
        at = (fault.key,) if fault.key in table else ()
        table.fault(code, fault.what, *at, of_key=unknown, hint=fault.hint)
    for name in ("throttle", "heartbeat"):
        ms = params.get(name)
        if name not in table.bad and isinstance(ms, int) and every_ms and ms < every_ms:
            what = f"`{name}` of {show_duration(ms)} is shorter than the sensor's period"
            also = ("the period is given here", (*table.key[:2], "every"))
            table.fault("W0701", what, name, hint="every reading passes", also=also)
    return Filter(kind, params)
