"""What the tests serve on this machine's loopback, served on a real board's network as well: at one
address of this machine, while a test runs.
"""

import ipaddress
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from edgeuk.board import Board
from edgeuk.errors import DeviceError, UsageError
from edgeuk.hil.capture import record
from edgeuk.hil.target import Job
from edgeuk.hil.wiring import Wiring
from edgeuk.run.forward import Forward
from edgeuk.run.serial import is_serial
from edgeuk.run.session import LOOPBACK

CONNECT_S = 5.0
# Of this run, by what is served: they are in the device configuration, and flash wears.
PORTS: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Lan:
    """The network of a real board."""

    values: dict[str, str] | None  # of its device configuration; None: it has no network
    no_packets: str  # why they are not recorded; "" if they are


def check_address(board: Board, wiring: Wiring, target: str) -> None:
    """Raises `UsageError` where a board with a network would not find this machine."""
    address = wiring.targets.get(target, {}).get("address", "")
    if is_serial(board) or (address and not _is_everywhere(address)):
        return
    what = f"target `{target}` needs this machine's address on the board's network"
    raise UsageError(
        f"no board finds this machine at {address}" if address else what,
        where=str(wiring.path or f"hil/wiring/{board.name}.toml"),
        hint=f'[{target}] address = "192.168.1.10", as `ip address` shows it',
    )


def _is_everywhere(address: str) -> bool:
    """It is every machine's own, or all addresses of this one: also of networks that are not the
    board's."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return found.is_unspecified or found.is_loopback


def serve(job: Job, target: str, stack: ExitStack) -> Lan:
    """Broker and servers are there for the board until `stack` ends, and what it says to them is
    recorded if this machine may. Raises `DeviceError`."""
    if is_serial(job.board):
        return Lan(None, "")
    address = job.wiring.targets[target]["address"]
    with ExitStack() as own:
        values, ports = _relay(job.values, address, target, own)
        why = "nothing of the tests is on the board's network"
        if ports:
            why = record(job.folder / "packets.pcap", address, ports, own)
        stack.push(own.pop_all())
    return Lan(values, why)


def _relay(
    values: Mapping[str, str], address: str, target: str, stack: ExitStack
) -> tuple[dict[str, str], set[int]]:
    """`values` as the board needs them, what is on `localhost` at `address`; and the ports there"""
    found, ports = dict(values), set()
    if values["mqtt.host"] in LOOPBACK:
        port = _listen("mqtt", address, int(values["mqtt.port"]), target, stack)
        found |= {"mqtt.host": address, "mqtt.port": str(port)}
        ports.add(port)
    for key, value in values.items():
        name, _, own = value.rpartition(":")
        if key.startswith("server.") and name in LOOPBACK:
            port = _listen(key, address, int(own), target, stack)
            found[key] = f"{address}:{port}"
            ports.add(port)
    return found, ports


def _listen(key: str, address: str, port: int, target: str, stack: ExitStack) -> int:
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), CONNECT_S)

    try:
        listener = socket.create_server((address, PORTS.get(key, 0)))
    except OSError as e:
        what = f"the tests cannot listen at {address}: {(e.strerror or str(e)).lower()}"
        hint = f"[{target}] address is one of this machine, on the board's network; `ip address`"
        raise DeviceError(what, hint=hint) from None
    PORTS[key] = listener.getsockname()[1]
    stack.callback(Forward(listener, connect).close)
    return PORTS[key]
