"""Commands to a running board, in the form of QEMU's control channel (docs/interop/qmp-spec.txt): a
line of JSON each way. Those that tests need: `set-action`, `qom-set`, `qom-get`, `system_reset`.
"""

import json
import socket
from collections.abc import Callable
from typing import Any, Protocol

CHUNK = 65_536


class Properties(Protocol):
    """A board, as far as it can be told something."""

    reboots: bool

    def set_property(self, path: str, name: str, value: Any) -> None: ...

    def get_property(self, path: str, name: str) -> Any: ...

    def reset_from_outside(self) -> None: ...


class Control:
    """The board's end of the channel."""

    def __init__(self, board: Properties, connection: socket.socket) -> None:
        self.board, self.socket = board, connection
        self._line = b""
        self._say({"QMP": {"version": {}, "capabilities": []}})

    def _say(self, message: dict[str, Any]) -> None:
        self.socket.send(json.dumps(message).encode() + b"\n")

    def serve(self) -> bool:
        """Do what was asked meanwhile. False: the other end is gone."""
        try:
            data = self.socket.recv(CHUNK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._say(self._answer(json.loads(line)))
        return bool(data)

    def _answer(self, message: dict[str, Any]) -> dict[str, Any]:
        commands: dict[str, Callable[..., Any]] = {
            "qmp_capabilities": lambda: {},
            "set-action": self._set_action,
            "system_reset": self.board.reset_from_outside,
            "qom-set": lambda path, property, value: self.board.set_property(path, property, value),
            "qom-get": lambda path, property: self.board.get_property(path, property),
        }
        name = message.get("execute", "")
        try:
            found = commands[name](**message.get("arguments", {}))
        except KeyError as e:
            return {"error": {"class": "GenericError", "desc": f"there is no {e}"}}
        except (TypeError, ValueError) as e:
            return {"error": {"class": "GenericError", "desc": f"{name}: {e}"}}
        return {"return": {} if found is None else found}

    def _set_action(self, reboot: str) -> None:
        self.board.reboots = reboot == "reset"
