"""The user's files: gateway.toml (what the image is) and device.toml (one device's own values)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeuk.board import Board
from edgeuk.catalog import Catalog, check_board
from edgeuk.document import Document, Key, read_document
from edgeuk.errors import Fault
from edgeuk.filters import FILTERS
from edgeuk.filters import check as check_filter
from edgeuk.manifest import Driver, check_props
from edgeuk.plan import SensorSpec
from edgeuk.plans import driver_check, host_props
from edgeuk.settings import (
    MQTT_PORT,
    Settings,
    check_known_servers,
    read_name,
    read_settings,
)
from edgeuk.tables import Table, check_duration
from edgeuk.values import (
    DAY_MS,
    NAME,
    UNITS,
    nearest,
    show_duration,
    unit_hint,
)

SCHEMA = 1
OVERFLOW = ("drop_oldest", "drop_newest", "block")
ENCODINGS = ("senml+cbor", "senml+json")
EVERY_MIN_MS = 10
I2C_LOW, I2C_HIGH = 0x08, 0x77  # the others are reserved (UM10204, 3.1.12)


@dataclass(frozen=True, slots=True)
class Mqtt:
    """The broker and how to talk to it."""

    host: str  # "" for none: readings go to the console
    port: int
    topic: str  # "" for the device's name
    username: str
    password: str  # only from a device file
    client_id: str  # "" for the device's name
    qos: int  # compiled in, the rest is device configuration
    version: int  # 4 is MQTT 3.1.1, 5 is MQTT 5.0
    keep_alive_s: int
    session_expiry_s: int


@dataclass(frozen=True, slots=True)
class Network:
    """IPv4 settings; "" where DHCP decides."""

    address: str
    prefix: int  # 0 with DHCP
    gateway: str
    dns: str
    ntp: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Queue and encoder."""

    queue: int  # readings
    overflow: str  # drop_oldest, drop_newest, block
    encoding: str  # senml+cbor, senml+json
    batch_ms: int
    statistics_s: int


@dataclass(frozen=True, slots=True)
class Filter:
    """One step of a sensor's filter chain; `params` as edgeuk/filters.py describes them."""

    kind: str
    params: Mapping[str, Any]  # numbers with a decimal point are Decimal, durations int ms


@dataclass(frozen=True, slots=True)
class At:
    """Where a sensor is: `i2c0:0x48` (bus and address) or `main/1` (server and unit)."""

    text: str
    target: str  # device or server name
    number: int  # I2C address or unit


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


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway file, checked."""

    path: Path
    name: str
    board: str  # "" where the command line must say it
    mqtt: Mqtt
    network: Network
    servers: Mapping[str, str]  # name -> "host:port"
    pipeline: Pipeline
    sensors: tuple[Sensor, ...]
    # Keys of the device configuration that the file gives:
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = field(default=(), compare=False)
    source: Document | None = field(default=None, compare=False, repr=False)  # for later faults


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A device file: only what it says."""

    path: Path
    values: Mapping[str, str]  # keys of the device configuration


def load_gateway(path: Path, catalog: Catalog, board_name: str = "") -> Gateway:
    """Read and check a gateway file. Raises `ConfigError` with every fault in it.

    Where a board is named, by `board_name` or by the file, what depends on it is checked too.
    """
    doc = read_document(path, empty_hint="`edgeuk new NAME` writes one to start from")
    root = Table(doc)
    _check_schema(root)
    name = read_name(root, required=True)
    board = _check_board_name(root, catalog)
    settings = read_settings(root, secrets=False)
    pipeline = _pipeline(root.table("pipeline"))
    servers = {k.removeprefix("server."): v for k, v in settings.items() if k[:7] == "server."}
    sensors = tuple(
        sensor
        for table in root.tables("sensor")
        if (sensor := _sensor(table, catalog, _names(root.data.get("servers")))) is not None
    )
    root.close(hints={"sensors": "each sensor begins with [[sensor]]"})
    _check_sensors(root, pipeline)
    gateway = Gateway(
        path=path,
        name=name,
        board=board,
        mqtt=_mqtt(settings, root.table("mqtt").integer("qos", 1, high=2)),
        network=_network(settings),
        servers=servers,
        pipeline=pipeline,
        sensors=sensors,
        settings={"name": name} | settings,
        source=doc,
    )
    known = catalog.boards.get(board_name or board)
    if known:
        check_on_board(doc, check_board(known, catalog), catalog)
    return replace(gateway, warnings=doc.check())


def load_device(path: Path, gateway: Gateway | None = None) -> DeviceFile:
    """Read and check a device file. Raises `ConfigError` with every fault in it."""
    doc = read_document(path, empty_hint=None)
    root = Table(doc)
    name = read_name(root, required=False)
    values = read_settings(root, secrets=True)
    if gateway:
        check_known_servers(root, set(gateway.servers), gateway.path.name)
    only = "this is the same for all devices: it belongs into the gateway file"
    root.close(hints=dict.fromkeys(("schema", "board", "pipeline", "sensor"), only))
    doc.check()
    return DeviceFile(path, {"name": name} | values if name else values)


def check_on_board(doc: Document, board: Board, catalog: Catalog) -> None:
    """Add to a gateway's document the faults that come from the board: devices that it lacks."""
    sensors = doc.data.get("sensor", ())
    for index, table in enumerate(sensors if isinstance(sensors, list) else ()):
        if not isinstance(table, dict):
            continue
        driver = catalog.drivers.get(str(table.get("driver")))
        match = _I2C.fullmatch(str(table.get("at")))
        if not driver or driver.at != "i2c" or not match:
            continue
        key: Key = ("sensor", index, "at")
        device = board.devices.get(match[1])
        buses = [d.name for d in board.devices.values() if _class(d.driver, catalog) == "i2c"]
        if not buses:
            what = f"board `{board.name}` has no I2C bus"
            doc.fault(
                "E0304",
                what,
                key,
                hint=f"`edgeuk boards --for {doc.path.name}` lists those that fit",
            )
        elif not device:
            what = f"board `{board.name}` has no device `{match[1]}`"
            doc.fault("E0304", what, key, hint=nearest(match[1], buses))
        elif device.name not in buses:
            what = f"`{match[1]}` of board `{board.name}` is no I2C bus"
            doc.fault("E0406", what, key, hint=nearest(match[1], buses))


def _class(driver: str, catalog: Catalog) -> str:
    return catalog.drivers[driver].cls if driver in catalog.drivers else ""


def _names(table: Any) -> set[str]:
    return set(table) if isinstance(table, dict) else set()


def _check_schema(root: Table) -> None:
    hint = "`schema = 1` says which rules the file follows"
    value = root.typed("schema", int, required=True, hint=hint)
    if value is not None and value != SCHEMA:
        root.fault("E0208", f"schema {value} is not known here", "schema", hint="schema = 1")


def _check_board_name(root: Table, catalog: Catalog) -> str:
    name = root.text("board", "")
    if name and name not in catalog.boards:
        hint = nearest(name, catalog.boards)
        root.fault("E0302", f"unknown board `{name}`", "board", hint=hint)
        return ""
    return name


def _mqtt(settings: Settings, qos: int) -> Mqtt:
    def get(key: str) -> str:
        return settings.get(f"mqtt.{key}", "")

    return Mqtt(
        host=get("host"),
        port=int(get("port") or MQTT_PORT),
        topic=get("topic"),
        username=get("username"),
        password="",
        client_id=get("client_id"),
        qos=qos,
        version=int(get("version") or 5),
        keep_alive_s=int(get("keep_alive_s") or 60),
        session_expiry_s=int(get("session_expiry_s") or 3600),
    )


def _network(settings: Settings) -> Network:
    def get(key: str) -> str:
        return settings.get(f"net.{key}", "")

    prefix = int(get("prefix") or 0)
    return Network(get("address"), prefix, get("gateway"), get("dns"), get("ntp"), get("hostname"))


def _pipeline(table: Table) -> Pipeline:
    pipeline = Pipeline(
        queue=table.integer("queue", 64, low=4, high=4096, unit="readings"),
        overflow=table.choice("overflow", OVERFLOW, "drop_oldest"),
        encoding=table.choice("encoding", ENCODINGS, "senml+cbor"),
        batch_ms=table.duration_ms("batch", 100, low=0, high=60_000),
        statistics_s=table.duration_ms("statistics", 60_000, low=1000, high=DAY_MS, whole_s=True)
        // 1000,
    )
    table.close()
    return pipeline


def _sensor(table: Table, catalog: Catalog, servers: set[str]) -> Sensor | None:
    """One [[sensor]]; None where its driver is unknown."""
    hint = "letters, digits and - : . / _, at most 63, a letter or digit first (RFC 8428, 4.5.1)"
    name = table.text("name", pattern=NAME.pattern, meaning="a SenML name", hint=hint)
    every_ms = table.duration_ms("every", low=EVERY_MIN_MS, high=DAY_MS)
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
    at = _at(table, driver, servers)
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
    return Sensor(name, driver.name, at, every_ms, unit, decimals, props, filters)


_I2C = re.compile(r"([a-z][a-z0-9_]*):(0[xX][0-9A-Fa-f]+|[0-9]+)")
_SERVER = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:/([0-9]{1,9}))?")


def _at(table: Table, driver: Driver, servers: set[str]) -> At | None:
    if driver.at is None:
        if table.take("at") is not None:
            what = f"driver `{driver.name}` is not at any place"
            table.fault("E0404", what, "at", of_key=True, hint="remove `at`")
        return None
    example = 'at = "i2c0:0x48"' if driver.at == "i2c" else 'at = "main/1"'
    text = table.text("at", hint=example)
    if "at" in table.bad or not text:
        return None
    match = (_I2C if driver.at == "i2c" else _SERVER).fullmatch(text)
    if not match:
        form = "bus and address" if driver.at == "i2c" else "server and unit"
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
        return At(text, match[1], number)
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
    unit = table.text("unit", driver.unit)
    decimals = table.integer("decimals", driver.decimals, high=9)
    if driver.fixed:
        for key, value, own in (
            ("unit", unit, driver.unit),
            ("decimals", decimals, driver.decimals),
        ):
            if value != own and own != "" and key not in table.bad:
                what = f"driver `{driver.name}` gives {key} {own}; it cannot be changed"
                hint = "remove it; filters `multiply` and `round` change values"
                table.fault("E0410", what, key, hint=hint)
        unit, decimals = driver.unit or unit, driver.decimals
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


def _check_sensors(root: Table, pipeline: Pipeline) -> None:
    """What concerns several sensors: names and I2C addresses given twice, a queue too short."""
    doc = root.doc
    names: dict[str, Key] = {}
    places: dict[tuple[str, int], Key] = {}
    given = root.data.get("sensor", ())
    given = given if isinstance(given, list) else []
    sensors = [s for s in given if isinstance(s, dict)]
    if not sensors and doc.complete and not {"sensor", "sensors"} & {*root.bad, *root.data}:
        doc.fault("E0202", "no sensor: there is nothing to measure", (), hint=_SENSOR)
    for index, sensor in enumerate(given):
        if not isinstance(sensor, dict):
            continue
        name, at = sensor.get("name"), sensor.get("at")
        if isinstance(name, str):
            key: Key = ("sensor", index, "name")
            if name in names:
                also = ("first given here", names[name])
                what = f"two sensors have the name `{name}`"
                doc.fault("E0307", what, key, hint="each needs a name of its own", also=also)
            names.setdefault(name, key)
        match = _I2C.fullmatch(at) if isinstance(at, str) else None
        if match:
            place = (match[1], int(match[2], 0 if match[2][:2].lower() == "0x" else 10))
            key = ("sensor", index, "at")
            if place in places:
                what = f"two sensors are at address 0x{place[1]:02x} of `{place[0]}`"
                doc.fault("E0405", what, key, also=("first given here", places[place]))
            places.setdefault(place, key)
    if len(sensors) > pipeline.queue:
        what = f"the queue of {pipeline.queue} is shorter than one round of {len(sensors)} sensors"
        key = ("pipeline", "queue") if "queue" in _names(root.data.get("pipeline")) else ("sensor",)
        doc.fault("W0702", what, key, hint=f"[pipeline] queue = {2 * len(sensors)}")


_SENSOR = "add [[sensor]] with name, driver and every; `edgeuk drivers` lists drivers"
