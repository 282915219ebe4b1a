"""One run of a gateway on this machine: broker, image and monitor, started and ended together."""

import ipaddress
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from edgeuk import device_config
from edgeuk.board import Board
from edgeuk.errors import DeviceError, UsageError
from edgeuk.run import host, qemu
from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor
from edgeuk.run.process import Process
from edgeuk.run.serial import Bridge, is_serial

LOOPBACK = ("localhost", "127.0.0.1")
MQTT_PORT = 1883


@dataclass(frozen=True, slots=True)
class Session:
    """What runs, and where its readings are heard."""

    machine: Process
    monitor: Monitor
    broker: str  # "mosquitto at 127.0.0.1:43210"


@dataclass(frozen=True, slots=True)
class Uplink:
    """The network between this machine and the gateway."""

    host: str  # this machine's address as the gateway sees it
    netdev: str  # QEMU's -netdev, "" for boards without


def uplink(board: Board, values: Mapping[str, str]) -> Uplink:
    """QEMU's user network, laid around the gateway's static address where it has one; none for a
    board that has no use for it."""
    if board.qemu is None:
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


def broker_of(url: str) -> tuple[str, int]:
    """Host and port of an `mqtt://host:port`. Raises `UsageError`."""
    try:
        parts = urlsplit(url if "://" in url else f"mqtt://{url}")
        port = parts.port or MQTT_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "mqtt" or not parts.hostname:
        raise UsageError(f"--broker `{url}` is no broker", hint="write --broker mqtt://HOST:PORT")
    return parts.hostname, port


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
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Iterator[Process]:
    """Run `image` without a broker. Raises `DeviceError`, `ToolError`."""
    net = uplink(board, values)
    blob = device_config.encode(localised(values, net.host))
    machine: Process
    if board.qemu is None:
        machine = host.Host(image, blob, log=log, on_line=on_line)
    else:
        machine = qemu.Qemu(board, image, blob, netdev=net.netdev, log=log, on_line=on_line)
    with ended_by_signals(), machine:
        yield machine


@contextmanager
def session(
    board: Board,
    image: Path,
    values: Mapping[str, str],
    *,
    broker_url: str = "",
    log: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Iterator[Session]:
    """Run `image` with the device configuration `values`. Raises `DeviceError`, `ToolError`."""
    net = uplink(board, values)
    with ExitStack() as stack:
        stack.enter_context(ended_by_signals())
        if broker_url:
            broker_host, port = broker_of(broker_url)
            what = f"{broker_host}:{port}"
        else:
            broker = stack.enter_context(Broker())
            broker_host, port = "localhost", broker.port
            what = f"{broker.kind} (embedded) at 127.0.0.1:{port}"
            if broker.kind == "amqtt":  # it never answers a CONNECT of MQTT 5
                values = {**values, "mqtt.version": "4"}
        values = {**values, "mqtt.host": broker_host, "mqtt.port": str(port)}
        topic = values.get("mqtt.topic") or values["name"]
        user, password = values.get("mqtt.username", ""), values.get("mqtt.password", "")
        seen_from_here = "127.0.0.1" if broker_host in LOOPBACK else broker_host
        monitor = stack.enter_context(Monitor(seen_from_here, port, topic, user, password))
        blob = device_config.encode(localised(values, net.host))
        machine: Process
        if board.qemu is None:
            machine = host.Host(image, blob, log=log, on_line=on_line)
        else:
            machine = qemu.Qemu(board, image, blob, netdev=net.netdev, log=log, on_line=on_line)
        if is_serial(board):
            bridge = Bridge(seen_from_here, port, topic, user, password)
            machine.text_of = stack.enter_context(bridge).feed
        stack.enter_context(machine)
        yield Session(machine, monitor, what)
