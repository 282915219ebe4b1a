"""One run of a gateway on this machine: broker, image and monitor, started and ended together."""

import importlib
import ipaddress
import signal
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from edgeuk import device_config
from edgeuk.board import Board
from edgeuk.errors import DeviceError, UsageError, mask
from edgeuk.run import emulated, host, qemu
from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor
from edgeuk.run.process import Process
from edgeuk.run.serial import Bridge, is_serial

LOOPBACK = ("localhost", "127.0.0.1")
MQTT_PORT = 1883
MQTTS_PORT = 8883
Seal = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Session:
    """What runs, and where its readings are heard."""

    machine: Process
    monitor: Monitor
    broker: str  # "mosquitto at 127.0.0.1:43210"


@dataclass(frozen=True, slots=True)
class Peers:
    """What an image meets when it boots: its device configuration, its network, its broker."""

    blob: bytes
    netdev: str
    broker: str
    monitor: Monitor
    bridge: Bridge | None  # of a board that publishes over its serial line


@dataclass(frozen=True, slots=True)
class Uplink:
    """The network between this machine and the gateway."""

    host: str  # this machine's address as the gateway sees it
    netdev: str  # QEMU's -netdev, "" for boards without


def uplink(board: Board, values: Mapping[str, str]) -> Uplink:
    """QEMU's user network, laid around the gateway's static address where it has one; none for a
    board that has no use for it."""
    if board.qemu is None and board.unicorn is None:
        return Uplink(host.HOST_ADDRESS, "")
    if is_serial(board):
        return Uplink(qemu.HOST_ADDRESS, "")
    address = values.get("net.address")
    forward = ""
    if port := values.get("service.port"):  # from this machine only
        forward = f",hostfwd=tcp:127.0.0.1:{port}-{address or ''}:{port}"
    if not address:
        return Uplink(qemu.HOST_ADDRESS, f"user,id=net0{forward}")
    network = ipaddress.ip_network(f"{address}/{values.get('net.prefix', '24')}", strict=False)
    own = ipaddress.ip_address(address)
    others = (str(h) for h in network.hosts() if h != own)
    gateway = values.get("net.gateway") or next(others, "")
    dns = next((h for h in others if h != gateway), "")
    if not gateway or not dns:
        what = f"network {network} has no room for a router and a DNS server besides {own}"
        raise DeviceError(what, hint="QEMU's user networking needs both: use a /29 or larger")
    return Uplink(gateway, f"user,id=net0,net={network},host={gateway},dns={dns}{forward}")


def localised(values: Mapping[str, str], host_address: str) -> dict[str, str]:
    """`values` with every `localhost` replaced by this machine's address on that network."""
    result = {}
    for key, value in values.items():
        name, colon, port = value.partition(":")
        is_host = key in ("mqtt.host", "net.ntp") or key.startswith("server.")
        here = is_host and name in LOOPBACK
        result[key] = f"{host_address}{colon}{port}" if here else value
    return result


def broker_of(url: str, default_port: int = MQTT_PORT) -> tuple[str, int]:
    """Host and port of an `mqtt://host:port`. Raises `UsageError`."""
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port or default_port
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "mqtt" or not parts.hostname:
        raise UsageError(
            f"--broker `{mask(url)}` is no broker", hint="write --broker mqtt://HOST:PORT"
        )
    return parts.hostname, port


def check_broker(url: str, values: Mapping[str, str]) -> tuple[str, int]:
    """Host and port. Raises `UsageError`, also for a broker that the image cannot speak to: whether
    it encrypts is compiled in."""
    scheme, separator, _ = url.partition("://")
    wanted = "mqtts" if values.get("mqtt.tls") else "mqtt"
    if separator and scheme != wanted and scheme in ("mqtt", "mqtts"):
        what = f"the gateway file says {wanted}://, and so does the image [E0402]"
        raise UsageError(
            f"--broker `{mask(url)}`: {what}",
            hint=f"--broker {wanted}://HOST:PORT, or another url in the gateway file",
        )
    default = MQTTS_PORT if wanted == "mqtts" else MQTT_PORT
    return broker_of(url.replace("mqtts://", "mqtt://", 1), default)


@dataclass(frozen=True, slots=True)
class _Meeting:
    """The broker of a run, and how to speak to it."""

    what: str
    host: str
    port: int
    values: Mapping[str, str]  # of the image
    tls: ssl.SSLContext | None  # of the monitor


def _tls() -> Any:
    """The module that knows certificates, which takes a while to load."""
    return importlib.import_module("edgeuk.run.tls")


def _named_broker(url: str, values: Mapping[str, str]) -> _Meeting:
    """The one that is there. The monitor shows the device's certificate."""
    host, port = check_broker(url, values)
    context = _tls().context(values) if values.get("mqtt.tls") else None
    return _Meeting(f"{host}:{port}", host, port, values, context)


def _own_broker(stack: ExitStack, board: Board, values: Mapping[str, str], here: str) -> _Meeting:
    """One for this run. With mqtts it has a CA for this run, and the image an identity of that."""
    identity = None
    if values.get("mqtt.tls") and not is_serial(board):
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeuk-"))
        hosts = tuple(dict.fromkeys((*LOOPBACK, here)))
        identity = _tls().make(Path(folder), values["name"], hosts)
        values = {**_tls().without(values), **identity.values}
    broker = stack.enter_context(Broker(tls=(identity.ca, identity.server) if identity else None))
    what = f"{broker.kind} (embedded{', TLS' if identity else ''}) at 127.0.0.1:{broker.port}"
    if broker.kind == "amqtt":  # it never answers a CONNECT of MQTT 5
        values = {**values, "mqtt.version": "4"}
    context = identity.monitor if identity else None
    return _Meeting(what, "localhost", broker.port, values, context)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGHUP end the program as an exception would: with everything cleared
    away that was started, and exit status 128 + signal. Only where signals arrive: in the main
    thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def alone(
    board: Board,
    image: Path,
    values: Mapping[str, str],
    *,
    seal: Seal | None = None,
    finished: bytes = b"",
    storage: Path | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Iterator[Process]:
    """Run `image` without a broker. Raises `DeviceError`, `ToolError`."""
    net = uplink(board, values)
    here = localised(values, net.host)
    blob = finished or device_config.encode(here, board=board.name, seal=seal)
    machine = _machine(board, image, blob, net.netdev, None, storage, log, on_line)
    with ended_by_signals(), machine:
        yield machine


def _machine(
    board: Board,
    image: Path,
    blob: bytes,
    netdev: str,
    gdb: Path | None,
    storage: Path | None,
    log: Path | None,
    on_line: Callable[[str], None] | None,
) -> Process:
    if board.unicorn:
        return emulated.Emulated(
            board, image, blob, netdev=netdev, gdb=gdb, log=log, on_line=on_line
        )
    if board.qemu is None:
        return host.Host(image, blob, storage=storage, log=log, on_line=on_line)
    extra = qemu.disk_options(board, storage) if storage else []
    return qemu.Qemu(
        board, image, blob, netdev=netdev, extra=extra, gdb=gdb, log=log, on_line=on_line
    )


@contextmanager
def peers(
    board: Board,
    values: Mapping[str, str],
    *,
    broker_url: str = "",
    seal: Seal | None = None,
    finished: bytes = b"",
) -> Iterator[Peers]:
    """All but the machine. `seal`: of the project's CA, where the image wants that; `finished`: a
    configuration that is used as it is, with the broker in it. Raises `DeviceError`, `ToolError`,
    `UsageError`."""
    net = uplink(board, values)
    if finished:
        broker_url = f"{values.get('mqtt.host', '')}:{values.get('mqtt.port', '')}"
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        if broker_url:
            meeting = _named_broker(broker_url, values)
        else:
            meeting = _own_broker(stack, board, values, net.host)
        where = {"mqtt.host": meeting.host, "mqtt.port": str(meeting.port)}
        values = {**meeting.values, **where}
        topic = values.get("mqtt.topic") or values["name"]
        user, password = values.get("mqtt.username", ""), values.get("mqtt.password", "")
        seen_from_here = meeting.host
        if meeting.host in LOOPBACK and not (broker_url and meeting.tls):
            seen_from_here = "127.0.0.1"
        ours = (seen_from_here, meeting.port, topic, user, password)
        monitor = stack.enter_context(Monitor(*ours, tls=meeting.tls))
        here = localised(values, net.host)
        blob = finished or device_config.encode(here, board=board.name, seal=seal)
        bridge = None
        if is_serial(board):
            bridge = stack.enter_context(Bridge(*ours, tls=meeting.tls))
        yield Peers(blob, net.netdev, meeting.what, monitor, bridge)


@contextmanager
def session(
    board: Board,
    image: Path,
    values: Mapping[str, str],
    *,
    broker_url: str = "",
    seal: Seal | None = None,
    finished: bytes = b"",
    gdb: Path | None = None,
    storage: Path | None = None,
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Iterator[Session]:
    """Run `image` with the device configuration `values`. `gdb`: the name of a socket where a
    virtual machine waits for gdb before its first instruction; `storage`: the file behind the role
    of that name. Raises `DeviceError`, `ToolError`."""
    with peers(board, values, broker_url=broker_url, seal=seal, finished=finished) as meets:
        machine = _machine(board, image, meets.blob, meets.netdev, gdb, storage, log, on_line)
        if meets.bridge:
            machine.text_of = meets.bridge.feed
        with machine:
            yield Session(machine, meets.monitor, meets.broker)
