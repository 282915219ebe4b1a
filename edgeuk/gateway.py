"""The user's files: gateway.toml (what the image is) and device.toml (one device's own values)."""

import importlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgeuk.actuators import NAMES_MAX, Actuator, read_actuator
from edgeuk.board import Board, Device
from edgeuk.catalog import Catalog, check_board
from edgeuk.document import Document, Key, read_document
from edgeuk.errors import Fault, Note
from edgeuk.sensors import I2C, PIN, At, Filter, Sensor, read_sensor
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
    "Actuator", "At", "DeviceFile", "Filter", "Gateway", "Mqtt", "Network", "Pipeline", "Sensor",
    "Service", "check_on_board", "lack", "load_device", "load_gateway", "pin_lack", "random_lack",
]  # fmt: skip

SCHEMA = 1
OVERFLOW = ("drop_oldest", "drop_newest", "block")
PROFILES = ("production", "development")
TLS_PROFILES = ("default", "compatible")
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
    tls: bool = False  # compiled in: no device file can choose less


@dataclass(frozen=True, slots=True)
class Tls:
    """How the connection to the broker is encrypted; all of it is compiled in."""

    compatible: bool = False  # TLS 1.2, RSA and X25519 too
    minimum_12: bool = False  # TLS 1.2 will do
    verify: bool = True  # not in a production image


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
    actuators: tuple[Actuator, ...] = ()
    development: bool = False  # allows what a production image refuses, and says so
    tls: Tls = Tls()
    identity_ca: Path | None = None  # the project's CA
    rotate: bool = False  # its certificates can be replaced over MQTT
    seal_key: bytes = b""  # its public key, 65 bytes: only what it has sealed is accepted
    # Keys of the device configuration that the file gives:
    settings: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Fault, ...] = field(default=(), compare=False)
    source: Document | None = field(default=None, compare=False, repr=False)  # for later faults


@dataclass(frozen=True, slots=True)
class DeviceFile:
    """A device file: only what it says."""

    path: Path
    values: Mapping[str, str]  # keys of the device configuration
    blob: bytes = b""  # of a file that is a finished one
    warnings: tuple[Fault, ...] = field(default=(), compare=False)


def load_gateway(path: Path, catalog: Catalog, board_name: str = "") -> Gateway:
    """Read and check a gateway file. Raises `ConfigError` with every fault in it.

    Where a board is named, by `board_name` or by the file, what depends on it is checked too.
    """
    doc = read_document(path, empty_hint="`edgeuk new NAME` writes one to start from")
    root = Table(doc)
    _check_schema(root)
    name = read_name(root, required=True)
    board = _check_board_name(root, catalog)
    development = root.choice("profile", PROFILES, "production") == "development"
    settings = read_settings(root, secrets=False)
    pipeline = _pipeline(root.table("pipeline"))
    servers = {k.removeprefix("server."): v for k, v in settings.items() if k[:7] == "server."}
    sensors = tuple(
        sensor
        for table in root.tables("sensor")
        if (sensor := read_sensor(table, catalog, _names(root.data.get("servers")))) is not None
    )
    actuators = tuple(
        actuator
        for table in root.tables("actuator")
        if (actuator := read_actuator(table, catalog)) is not None
    )
    identity_ca, seal_key, rotate = _identity(root)
    unread = "url" in root.table("mqtt").data and "mqtt.host" not in settings  # is reported
    if identity_ca and "mqtt.tls" not in settings and not unread:
        what = "[identity] needs a broker at mqtts://: without TLS, an image has no cryptography"
        root.table("identity").fault("E0431", what, "ca", hint='[mqtt] url = "mqtts://..."')
    plurals = {f"{noun}s": f"each {noun} begins with [[{noun}]]" for noun in ("sensor", "actuator")}
    root.close(hints=plurals)
    _check_sensors(root, pipeline, catalog)
    gateway = Gateway(
        path=path,
        name=name,
        board=board,
        mqtt=_mqtt(settings, root.table("mqtt").integer("qos", 1, high=2)),
        network=_network(settings),
        servers=servers,
        pipeline=pipeline,
        sensors=sensors,
        actuators=actuators,
        development=development,
        tls=_tls(root.table("tls"), development),
        identity_ca=identity_ca,
        seal_key=seal_key,
        rotate=rotate,
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
        _check_tls(root, values, gateway)
    only = "this is the same for all devices: it belongs into the gateway file"
    root.close(
        hints=dict.fromkeys(("schema", "board", "profile", "pipeline", "sensor", "actuator"), only)
    )
    if "tls" in root:
        whose = name or (gateway.name if gateway else "")
        _checks().check_device(doc, gateway.source if gateway else None, whose)
    warnings = doc.check()
    return DeviceFile(path, {"name": name} | values if name else values, warnings=warnings)


def _identity(root: Table) -> tuple[Path | None, bytes, bool]:
    """[identity]: the project's CA and its key, and whether devices take new certificates. Checks
    the files of [tls] as well."""
    table = root.table("identity")
    ca = table.text("ca", "")
    rotate = table.boolean("rotate", False)
    if rotate and not ca:
        what = "`rotate` needs `ca`: only what that CA has signed is taken"
        table.fault("E0202", what, "rotate", hint='ca = "ca.crt"')
    table.close()
    if not ca and "tls" not in root:
        return None, b"", rotate
    return root.doc.path.parent / ca if ca else None, _checks().check_gateway(root.doc), rotate


def _checks() -> Any:
    """The module that knows certificates. It is loaded only where there are some: the library takes
    a tenth of a second."""
    return importlib.import_module("edgeuk.identity.check")


def _check_tls(root: Table, values: Settings, gateway: Gateway) -> None:
    """Whether the connection is encrypted is compiled in; whom it trusts is not."""
    if "mqtt.host" in values and ("mqtt.tls" in values) != gateway.mqtt.tls:
        scheme = "mqtts" if gateway.mqtt.tls else "mqtt"
        what = f"{gateway.path.name} is built for {scheme}://"
        root.table("mqtt").fault("E0402", what, "url", hint=f'url = "{scheme}://..."')
    named = _names(root.data.get("tls")) | {key.removeprefix("tls.") for key in gateway.settings}
    if gateway.mqtt.tls and "ca" not in named:
        what = f"{gateway.path.name} has a broker at mqtts://, but no file names the CA to trust"
        root.fault("E0402", what, hint='[tls] ca = "ca.crt", here or there')


def check_on_board(doc: Document, board: Board, catalog: Catalog) -> None:
    """Add to a gateway's document the faults that come from the board: devices that it lacks.
    What is optional is left out on such a board instead: `lack` says why."""
    for key, table in _placed(doc):
        driver = catalog.drivers.get(str(table.get("driver")))
        shape = {"i2c": I2C, "gpio": PIN}.get(driver.at or "") if driver else None
        match = shape.fullmatch(str(table.get("at"))) if shape else None
        if not driver or not match or table.get("optional") is True:
            continue
        if fault := lack(str(driver.at), match[1], board, catalog):
            code, what, hint = fault
            hint = hint or f"`edgeuk boards --for {doc.path.name}` lists those that fit"
            doc.fault(code, what, key, hint=hint)
        elif driver.at == "gpio":
            _check_pin(doc, key, board, board.devices[match[1]], int(match[2]))
    _check_random(doc, board, catalog)


def _check_random(doc: Document, board: Board, catalog: Catalog) -> None:
    """What firmware/tls/stream.c would refuse at every attempt: TLS without good random numbers, in
    a production image."""
    mqtt = doc.data.get("mqtt")
    url = mqtt.get("url") if isinstance(mqtt, dict) else None
    if doc.data.get("profile") == "development" or not str(url).startswith("mqtts://"):
        return
    if why := random_lack(board, catalog):
        what = f"{why}: a production image refuses TLS there, so that it would never connect"
        doc.fault("E0434", what, ("mqtt", "url"), hint=_RANDOM_HINT.format(doc.path.name))


_RANDOM_HINT = (
    'profile = "development" at the top of this file (every status message says so), or another '
    "board: `edgeuk boards --for {}`"
)


def random_lack(board: Board, catalog: Catalog) -> str:
    """Why a board has no random numbers for keys; "" where it has."""
    arch = catalog.archs.get(catalog.arch_of(board.cpu) or "")
    if arch is None or "random" in arch.provides:
        return ""
    name = board.roles.get("entropy", "")
    if name not in board.devices:
        return f"board `{board.name}` has no source of random numbers"
    driver = catalog.drivers.get(board.devices[name].driver)
    if driver and driver.weak:
        return f"random numbers of board `{board.name}` (`{name}`, {driver.name}) can be guessed"
    return ""


def lack(cls: str, target: str, board: Board, catalog: Catalog) -> tuple[str, str, str] | None:
    """Why nothing can be at the device `target` of a board, which should be of class `cls`: code,
    sentence and hint; None where it can."""
    device = board.devices.get(target)
    fit = [d.name for d in board.devices.values() if _class(d.driver, catalog) == cls]
    if not fit:
        return "E0304", f"board `{board.name}` has no {_PLACES[cls]}", ""
    if not device:
        what = f"board `{board.name}` has no device `{target}`"
        return "E0304", what, nearest(target, fit)
    if device.name not in fit:
        what = f"`{target}` of board `{board.name}` is no {_PLACES[cls]}"
        return "E0406", what, nearest(target, fit)
    return None


def pin_lack(at: At, board: Board) -> str:
    """Why nothing more can be at that pin of a board's port; "" where it can."""
    props = board.devices[at.target].props
    taken = int(props.get("reserved", 0)) >> at.number & 1
    if taken or at.number >= int(props.get("pins", PINS_MAX)):
        return f"pin {at.number} of `{at.target}` of board `{board.name}` is not free"
    return ""


_PLACES = {"i2c": "I2C bus", "gpio": "port of digital pins"}  # class -> words
PINS_MAX = 32  # of a port (firmware/include/ek/gpio.h)


def _check_pin(doc: Document, key: Key, board: Board, device: Device, pin: int) -> None:
    """The port has the pin, and nothing else of the board uses it. Drivers say both by the props
    `pins` (how many) and `reserved` (a bit for each)."""
    pins = int(device.props.get("pins", PINS_MAX))
    if pin >= pins:
        what = f"`{device.name}` of board `{board.name}` has pins 0 to {pins - 1}, not {pin}"
        doc.fault("E0204", what, key)
        _also_on_board(doc, board, ("devices", device.name, "pins"), f"`{device.name}` is here")
    elif int(device.props.get("reserved", 0)) >> pin & 1:
        what = f"pin {pin} of `{device.name}` is used by another device of board `{board.name}`"
        free = [n for n in range(pins) if not int(device.props["reserved"]) >> n & 1]
        hint = "free: " + _ranges(free) if free else ""
        doc.fault("E0413", what, key, hint=hint)
        _also_on_board(
            doc, board, ("devices", device.name, "reserved"), "its reserved pins, a bit each"
        )


def _ranges(numbers: Sequence[int]) -> str:
    """`0, 2 to 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"{a} to {b}" if b > a + 1 else f"{a}, {b}" if b > a else f"{a}" for a, b in runs]
    return ", ".join(texts)


def _also_on_board(doc: Document, board: Board, key: Key, what: str) -> None:
    """Give the last fault a second place, in the board's file."""
    there = read_document(board.path)
    place = there.place(key)
    near = Path(os.path.relpath(board.path))
    path = min(near, board.path, key=lambda p: len(str(p)))
    note = Note(path, place, what, there.lines[place.line - 1])
    doc.faults[-1] = replace(doc.faults[-1], note=note)


def _placed(doc: Document) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Every sensor's and actuator's table, with the key of its `at`."""
    for kind in ("sensor", "actuator"):
        tables = doc.data.get(kind, ())
        for index, table in enumerate(tables if isinstance(tables, list) else ()):
            if isinstance(table, dict):
                yield (kind, index, "at"), table


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
        tls=bool(get("tls")),
    )


def _tls(table: Table, development: bool) -> Tls:
    compatible = table.choice("profile", TLS_PROFILES, "default") == "compatible"
    versions = ("1.2", "1.3")
    minimum = table.choice("minimum_version", versions, "1.2" if compatible else "1.3")
    if minimum == "1.2" and not compatible and "minimum_version" not in table.bad:
        what = "the default profile has no TLS 1.2"
        hint = '[tls] profile = "compatible", or leave out `minimum_version`'
        table.fault("E0414", what, "minimum_version", hint=hint)
    verify = table.boolean("verify", True)
    if not verify and not development:
        what = "a production image always verifies the broker"
        table.fault("E0414", what, "verify", hint='profile = "development" at the top of the file')
    return Tls(compatible, minimum == "1.2", verify)


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


def _check_sensors(root: Table, pipeline: Pipeline, catalog: Catalog) -> None:
    """What concerns several of them: names and places given twice, a queue too short."""
    doc = root.doc
    names: dict[str, Key] = {}
    places: dict[tuple[str, int], list[Key]] = {}
    given = root.data.get("sensor", ())
    sensors = [s for s in given if isinstance(s, dict)] if isinstance(given, list) else []
    others = {"sensor", "sensors", "actuator", "actuators", "service"}
    if not sensors and doc.complete and not others & {*root.bad, *root.data}:
        doc.fault("E0202", "no sensor: there is nothing to measure", (), hint=_SENSOR)
    for key, table in _placed(doc):
        name = table.get("name")
        if isinstance(name, str):
            here: Key = (*key[:2], "name")
            if name in names:
                also = ("first given here", names[name])
                nouns = dict.fromkeys((names[name][0], key[0]))
                what = f"two {' or '.join(f'{noun}s' for noun in nouns)} have the name `{name}`"
                doc.fault("E0307", what, here, hint="each needs a name of its own", also=also)
            names.setdefault(name, here)
        place = _place(table, catalog)
        first = _first_there(doc, table, places.get(place, []) if place else [], catalog)
        if place and first:
            also = ("first given here", first)
            if _is_at(table, catalog) == "i2c":
                what = f"two sensors are at address 0x{place[1]:02x} of `{place[0]}`"
                doc.fault("E0405", what, key, also=also)
            else:
                what = f"pin {place[1]} of `{place[0]}` is used twice"
                doc.fault("E0412", what, key, also=also)
        if place:
            places.setdefault(place, []).append(key)
    if len(sensors) > pipeline.queue:
        what = f"the queue of {pipeline.queue} is shorter than one round of {len(sensors)} sensors"
        where: Key = ("sensor",)
        if "queue" in _names(root.data.get("pipeline")):
            where = ("pipeline", "queue")
        doc.fault("W0702", what, where, hint=f"[pipeline] queue = {2 * len(sensors)}")
    actuators = root.data.get("actuator", ())
    if isinstance(actuators, list) and len(actuators) > NAMES_MAX:
        doc.fault("E0204", f"at most {NAMES_MAX} actuators", ("actuator",))


def _is_at(table: Mapping[str, Any], catalog: Catalog) -> str:
    driver = catalog.drivers.get(str(table.get("driver")))
    return (driver.at or "") if driver else ""


def _first_there(
    doc: Document, table: Mapping[str, Any], earlier: Sequence[Key], catalog: Catalog
) -> Key | None:
    """Whose place a sensor takes. Those of a driver that measures several quantities of one chip
    share it, each with a quantity of its own."""
    driver = catalog.drivers.get(str(table.get("driver")))
    for key in earlier:
        other = doc.data[str(key[0])][key[1]]
        same = driver and driver.by and other.get("driver") == table["driver"]
        if not driver or not same or other.get(driver.by) == table.get(driver.by):
            return key
    return None


def _place(table: Mapping[str, Any], catalog: Catalog) -> tuple[str, int] | None:
    """Bus and address, or port and pin; None for those that are nowhere that two cannot be."""
    text = table.get("at")
    kind = _is_at(table, catalog)
    shape = {"gpio": PIN, "server": None}.get(kind, I2C)  # of an unknown driver: I2C
    match = shape.fullmatch(text) if shape and isinstance(text, str) else None
    return (match[1], int(match[2], 0 if match[2][:2].lower() == "0x" else 10)) if match else None


_SENSOR = "add [[sensor]] with name, driver and every; `edgeuk drivers` lists drivers"
