"""The process behind a virtual board: `python -m edgeuk.probe.daemon NAME TARGET`.

One thread serves the board and everybody who talks to it over its socket, so nothing needs a lock.
A request is a line of JSON, `{"op": NAME, ...}`; the answer is a line too, `{"ok": VALUE}` or
`{"error": TEXT, "kind": "fault" | "dead" | "bad"}`. With `"post": true` there is no answer:
what goes wrong is said to the next request that has one, as on a real probe.
"""

import base64
import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from edgeuk.errors import EdgeukError
from edgeuk.probe import qemu, storage
from edgeuk.probe.engine import BusFault, EngineError
from edgeuk.probe.parts import find_part
from edgeuk.probe.vboard import VirtualBoard

IDLE_S = 0.25  # how often a board that has nothing to do is looked after
SAVE_S = 5.0  # what the firmware writes to its flash is on disk after this
REQUEST_MAX = 4 << 20  # bytes
SEND_S = 5.0  # a client that does not read for so long is dropped
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


class Client:
    """One connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(SEND_S)
        self.socket = connection
        self.buffer = bytearray()
        self.failed: dict[str, str] | None = None  # of a posted request


class Daemon:
    """Serves one board until it is told to stop."""

    def __init__(self, board: VirtualBoard, listener: socket.socket) -> None:
        self.board, self._listener = board, listener
        self._clients: dict[int, Client] = {}
        self._owner: Client | None = None  # of the probe
        self._stop = False
        self._saved = time.monotonic()
        self._ops: dict[str, Callable[[dict[str, Any]], Any]] = {
            "status": self._status,
            "stop": self._on_stop,
            "power": self._power,
            "reset": lambda r: self.board.reset(),
            "console": self._console,
            "type": lambda r: self.board.engine.type(base64.b64decode(r["data"])),
            "pin": self._pin,
            "property": self._property,
        }
        self._probe_ops: dict[str, Callable[[dict[str, Any]], Any]] = {
            "rdp": lambda r: self.board.swd.read_dp(r["a"]),
            "wdp": lambda r: self.board.swd.write_dp(r["a"], r["v"]),
            "rap": lambda r: [self.board.swd.read_ap(r["a"]) for _ in range(r["n"])],
            "wap": self._write_ap,
            "r": lambda r: self.board.swd.memory_read(r["a"], r["w"]),
            "w": lambda r: self.board.swd.memory_write(r["a"], r["v"], r["w"]),
            "rb": self._read_block,
            "wb": lambda r: self.board.swd.block_write(r["a"], base64.b64decode(r["d"])),
            "reset_pin": self._reset_pin,
        }

    def serve(self) -> None:
        """Until `stop` or SIGTERM."""
        while not self._stop:
            wait = 0.0 if self._busy() else IDLE_S
            sources: list[Any] = [self._listener, *self._clients, *self._inputs()]
            ready = select.select(sources, [], [], wait)[0]
            for source in ready:
                if source is self._listener:
                    connection, _ = self._listener.accept()
                    self._clients[connection.fileno()] = Client(connection)
                elif source in self._clients:
                    self._receive(self._clients[source])
            self.board.tick()
            self._save()
        self.board.power_off()

    def stop(self) -> None:
        """At the next turn."""
        self._stop = True

    def _busy(self) -> bool:
        """Whether the engine only goes on while it is polled, and somebody waits for it."""
        if self._owner is None or not self.board.on or self._inputs():
            return False
        return self.board.engine.running and not self.board.engine.asleep

    def _inputs(self) -> list[int]:
        return self.board.engine.filenos() if self.board.on and not self.board.trouble else []

    def _save(self) -> None:
        if time.monotonic() - self._saved > SAVE_S and self.board.on and not self.board.trouble:
            self._saved = time.monotonic()
            with contextlib.suppress(EngineError):
                self.board.save()

    def _receive(self, client: Client) -> None:
        try:
            data = client.socket.recv(1 << 18)
        except OSError:
            data = b""
        client.buffer += data
        answers = bytearray()
        while b"\n" in client.buffer:
            line, _, rest = bytes(client.buffer).partition(b"\n")
            client.buffer[:] = rest
            answers += self._line(client, line)
        try:
            client.socket.sendall(answers)
        except OSError:
            data = b""
        if not data or len(client.buffer) > REQUEST_MAX:
            self._drop(client)

    def _drop(self, client: Client) -> None:
        del self._clients[client.socket.fileno()]
        client.socket.close()
        if self._owner is client:
            self._owner = None
            self._saved = 0.0  # what was flashed is to last

    def _line(self, client: Client, line: bytes) -> bytes:
        """The answer to one request; nothing to a posted one."""
        posted = False
        try:
            request = json.loads(line)
            posted = bool(request.get("post"))
            answer: dict[str, Any] = {"ok": self._do(client, request)}
        except BusFault as e:
            answer = {"error": str(e), "kind": "fault"}
        except (EngineError, OSError) as e:
            answer = {"error": str(e), "kind": "dead"}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
            answer = {"error": f"not a request: {e!r}", "kind": "bad"}
        if posted:
            if "error" in answer:
                client.failed = client.failed or answer
            return b""
        if client.failed:
            answer, client.failed = client.failed, None
        return json.dumps(answer).encode() + b"\n"

    def _do(self, client: Client, request: dict[str, Any]) -> Any:
        name = request["op"]
        if name == "open":
            if self._owner not in (None, client):
                return False
            self._owner = client
            return True
        if name == "close":
            self._owner = None if self._owner is client else self._owner
            self.board.save()
            return None
        if name in self._probe_ops and self._owner is not client:
            raise ValueError("the probe was not opened")
        if name not in ("status", "stop", "power", "console"):
            if not self.board.on:
                raise EngineError("the board is switched off")
            if self.board.trouble and name != "reset":  # which starts it anew
                raise EngineError(self.board.trouble)
        do = self._probe_ops.get(name) or self._ops[name]
        try:
            return do(request)
        except EngineError:
            self.board.tick()  # a core that locked up is back after this
            if not self.board.on or not self.board.core.lockup or self.board.trouble:
                raise
            return do(request)

    # requests
    def _status(self, request: dict[str, Any]) -> dict[str, Any]:
        board = self.board
        state = "off"
        if board.trouble:
            state = "dead"
        elif board.on:
            halted = board.core.look()
            state = "lockup" if board.core.lockup else "halted" if halted else "running"
            state = "asleep" if board.engine.asleep else state
        return {"state": state, "trouble": board.trouble, "probe": self._owner is not None}

    def _on_stop(self, request: dict[str, Any]) -> None:
        self._stop = True

    def _power(self, request: dict[str, Any]) -> None:
        if request["on"]:
            self.board.power_on()
        else:
            self.board.power_off()

    def _console(self, request: dict[str, Any]) -> dict[str, Any]:
        since = request.get("since")  # left out: since the last reset
        following, data = self.board.console(self.board.booted if since is None else int(since))
        return {"next": following, "data": base64.b64encode(data).decode()}

    def _pin(self, request: dict[str, Any]) -> bool | None:
        """With a level, drive it from outside; without one, look at it."""
        if "level" not in request:
            return self.board.pin(int(request["pin"]))
        self.board.engine.set_pin(int(request["pin"]), bool(request["level"]))
        return None

    def _property(self, request: dict[str, Any]) -> Any:
        """Of a device of QEMU's, as what a sensor senses: set with a value, else read."""
        where = request["path"], request["name"]
        if "value" not in request:
            return self.board.engine.get_property(*where)
        self.board.engine.set_property(*where, request["value"])
        return None

    def _read_block(self, request: dict[str, Any]) -> str:
        return base64.b64encode(self.board.swd.block_read(request["a"], request["n"])).decode()

    def _write_ap(self, request: dict[str, Any]) -> None:
        for value in request["v"]:
            self.board.swd.write_ap(request["a"], value)

    def _reset_pin(self, request: dict[str, Any]) -> None:
        if request["asserted"]:
            self.board.engine.halt()
        else:
            self.board.reset()


def _end_with_us(parent: int) -> None:
    """In QEMU's process before QEMU: it ends when the daemon does, however that ends."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main(name: str, target: str) -> int:
    """Start the board, say `ready` on stdout, serve."""
    folder = storage.board_folder(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = find_part(target)
    if part is None:
        print(f"no virtual part `{target}`", flush=True)
        return 1
    board = VirtualBoard(
        part,
        storage.flash_file(name),
        folder,
        qemu=qemu.command,
        preexec=partial(_end_with_us, os.getpid()),
    )
    path = folder / storage.SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(16)
        try:
            board.power_on()
        except (EngineError, EdgeukError, OSError) as e:
            path.unlink(missing_ok=True)
            print(str(e).replace("\n", " "), flush=True)
            return 1
        daemon = Daemon(board, listener)
        signal.signal(signal.SIGTERM, lambda *_: daemon.stop())
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
        pid = os.getpid()
        storage.write_record(storage.Record(name, target, pid, storage.start_time(pid)))
        print("ready", flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the starter's pipe
        daemon.serve()
        path.unlink(missing_ok=True)
        (folder / storage.RECORD).unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
