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
from edgeuk.sensors import I2C, At, Filter, Sensor, read_sensor
from edgeuk.settings import (
    MQTT_PORT,
    Settings,
    check_known_servers,
    read_name,
    read_settings,
)
from edgeuk.tables import Table
from edgeuk.values import DAY_MS, nearest

__all__ = [
    "At", "DeviceFile", "Filter", "Gateway", "Mqtt", "Network", "Pipeline", "Sensor", "Service",
    "check_on_board", "load_device", "load_gateway",
]  # fmt: skip

SCHEMA = 1
OVERFLOW = ("drop_oldest", "drop_newest", "block")
ENCODINGS = ("senml+cbor", "senml+json")


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
    ntp: str  # host, or host:port
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
class Service:
    """C sources of the user's own, which answer connections (firmware/include/ek/service.h)."""

    sources: tuple[str, ...]  # beside the gateway file
    listeners: int  # ports it listens on, at most
    connections: int  # at a time


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
    sensors: tuple[Sensor, ...]  # () only beside a service
    service: Service | None = None
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
        if (sensor := read_sensor(table, catalog, _names(root.data.get("servers")))) is not None
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
        service=_service(root.table("service"), path.parent) if "service" in root else None,
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
        match = I2C.fullmatch(str(table.get("at")))
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


def _service(table: Table, folder: Path) -> Service:
    sources = table.texts("sources", required=True)
    for index, source in enumerate(table.data.get("sources", ()) if sources else ()):
        if not isinstance(source, str):
            continue
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*\.c", source):
            what = f"`{source}` is not a C file beside the gateway file"
            table.fault("E0207", what, "sources", index)
        elif not (folder / source).is_file():
            near = nearest(source, (p.name for p in folder.glob("*.c")))
            what = f"no file `{source}` beside the gateway file"
            table.fault("E0601", what, "sources", index, hint=near)
    return Service(
        sources=tuple(dict.fromkeys(sources)),
        listeners=table.integer("listeners", 1, low=1, high=8),
        connections=table.integer("connections", 4, low=1, high=24),
    )


def _check_sensors(root: Table, pipeline: Pipeline) -> None:
    """What concerns several sensors: names and I2C addresses given twice, a queue too short."""
    doc = root.doc
    names: dict[str, Key] = {}
    places: dict[tuple[str, int], Key] = {}
    given = root.data.get("sensor", ())
    given = given if isinstance(given, list) else []
    sensors = [s for s in given if isinstance(s, dict)]
    others = {"sensor", "sensors", "service"}
    if not sensors and doc.complete and not others & {*root.bad, *root.data}:
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
        match = I2C.fullmatch(at) if isinstance(at, str) else None
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
