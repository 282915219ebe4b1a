"""What the tests serve on this machine's loopback, served on a real board's network as well."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack

from edgeuk.errors import DeviceError
from edgeuk.run.forward import Forward
from edgeuk.run.session import LOOPBACK

CONNECT_S = 5.0
# Of this run, by what is served: they are in the device configuration, and flash wears.
PORTS: dict[str, int] = {}


def relay(values: Mapping[str, str], address: str, stack: ExitStack) -> dict[str, str]:
    """`values` of the device configuration as the board needs them: what is on `localhost` is at
    `address`, until `stack` ends. Raises `DeviceError`."""
    found = dict(values)
    if values["mqtt.host"] in LOOPBACK:
        port = _listen("mqtt", address, int(values["mqtt.port"]), stack)
        found |= {"mqtt.host": address, "mqtt.port": str(port)}
    for key, value in values.items():
        name, _, own = value.rpartition(":")
        if key.startswith("server.") and name in LOOPBACK:
            found[key] = f"{address}:{_listen(key, address, int(own), stack)}"
    return found


def _listen(key: str, address: str, port: int, stack: ExitStack) -> int:
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), CONNECT_S)

    try:
        listener = socket.create_server((address, PORTS.get(key, 0)))
    except OSError as e:
        what = f"the tests cannot listen at {address}: {(e.strerror or str(e)).lower()}"
        hint = "[probe] address is one of this machine, on the board's network; see `ip address`"
        raise DeviceError(what, hint=hint) from None
    PORTS[key] = listener.getsockname()[1]
    stack.callback(Forward(listener, connect).close)
    return PORTS[key]
