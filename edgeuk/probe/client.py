"""Virtual boards from outside: start, find, stop, and a connection to talk to one."""

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeuk.errors import DeviceError, ToolError, UsageError
from edgeuk.probe import storage
from edgeuk.probe.parts import PARTS, find_part

START_S = 20.0  # of a daemon on a loaded machine
ANSWER_S = 15.0  # longer than the daemon waits for QEMU
STOP_S = 8.0
POSTED_MAX = 1 << 16  # bytes that are kept back


class Fault(DeviceError):
    """The board answers an access with an error, as silicon does."""


@dataclass(frozen=True, slots=True)
class Status:
    """A board that was started."""

    name: str
    target: str
    state: str  # running, halted, asleep, lockup, off, dead
    detail: str  # why it is dead


class Connection:
    """To a board's daemon; a context manager. Requests that need no answer are kept back and sent
    with the next one that does."""

    def __init__(self, name: str) -> None:
        """Raises `DeviceError` if the board does not run."""
        self.name = name
        self._posted = bytearray()
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        try:
            self._socket.connect(str(storage.board_folder(name) / storage.SOCKET))
        except OSError:
            self._socket.close()
            raise self._gone() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """What was posted is sent; a board that is gone does not matter any more."""
        with contextlib.suppress(OSError):
            self._socket.sendall(self._posted)
        self._posted.clear()
        self._socket.close()

    def post(self, op: str, **arguments: Any) -> None:
        """A request whose failure is told by a later one."""
        request = {"op": op, "post": True, **arguments}
        self._posted += json.dumps(request, separators=(",", ":")).encode() + b"\n"
        if len(self._posted) > POSTED_MAX:
            self._send(b"")

    def ask(self, op: str, **arguments: Any) -> Any:
        """The answer. Raises `Fault` for a bus error, `DeviceError` for a dead board."""
        request = {"op": op, **arguments}
        self._send(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        while b"\n" not in self._buffer:
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                what = f"virtual board `{self.name}` does not answer within {ANSWER_S:g} s [E0818]"
                hint = f"edgeuk board stop {self.name}, then try again"
                raise DeviceError(what, hint=hint) from None
            except OSError:
                data = b""
            if not data:
                raise self._gone()
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        answer = json.loads(line)
        if "ok" in answer:
            return answer["ok"]
        text = f"virtual board `{self.name}`: {answer['error']}"
        raise Fault(text) if answer["kind"] == "fault" else DeviceError(text)

    def console(self, since: int | None = None) -> tuple[int, bytes]:
        """What the firmware printed from byte `since` on, else since its last reset; and where that
        ends."""
        answer = self.ask("console", since=since)
        return answer["next"], base64.b64decode(answer["data"])

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(bytes(self._posted) + data)
        except OSError:
            raise self._gone() from None
        self._posted.clear()

    def _gone(self) -> DeviceError:
        record = storage.read_record(self.name)
        hint = f"edgeuk board start {self.name}"
        if record is None:
            return DeviceError(f"virtual board `{self.name}` does not run [E0817]", hint=hint)
        _clear(record)
        what = f"the daemon of virtual board `{self.name}` (process {record.pid}) has ended [E0818]"
        words = _last_words(self.name)
        return DeviceError(f"{what}{f': {words}' if words else ''}", hint=f"{hint} starts it again")


def check_part(target: str) -> None:
    """Raises `UsageError` for a chip that no virtual board has."""
    if find_part(target) is None:
        what = f"there is no virtual `{target}` [E0816]"
        raise UsageError(what, hint=f"there are {', '.join(PARTS)}")


def start(name: str, target: str) -> bool:
    """Start a board; whether it had to be. Raises `UsageError`, `ToolError`, `DeviceError`."""
    check_part(target)
    folder = storage.board_folder(name)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / ".lock").open("w") as lock:  # who else starts it holds this for START_S at most
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _start(name, target, folder)


def _start(name: str, target: str, folder: Path) -> bool:
    record = storage.read_record(name)
    if record and storage.is_alive(record):
        if find_part(record.target) is not find_part(target):
            what = f"virtual board `{name}` runs already, as a {record.target} [E0816]"
            raise UsageError(what, hint=f"edgeuk board stop {name}")
        return False
    with (folder / storage.LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "edgeuk.probe.daemon", name, target],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    said = _first_line(child)
    if said == "ready":
        child.returncode = 0  # it outlives us; nobody waits for it
        return True
    child.kill()
    child.wait()
    if "unicorn" in _last_words(name):
        hint = f'{sys.executable} -m pip install "edgeuk[virtual]"'
        raise ToolError("the Python package `unicorn` is missing [E0803]", hint=hint)
    why = said or _last_words(name) or f"nothing was heard within {START_S:g} s"
    raise DeviceError(f"virtual board `{name}` does not start [E0818]: {why}")


def is_running(name: str) -> bool:
    """Whether a board of this name runs, whatever its chip."""
    record = storage.read_record(name)
    return record is not None and storage.is_alive(record)


def stop(name: str) -> bool:
    """Stop a board, keeping its flash; whether it ran."""
    record = storage.read_record(name)
    if record is None:
        return False
    if storage.is_alive(record):
        try:
            with Connection(name) as connection:
                connection.ask("stop")
        except DeviceError:
            _signal(record, signal.SIGTERM)
        if not _ended(record, STOP_S):
            _signal(record, signal.SIGKILL)
            _ended(record, STOP_S)
    for file in (storage.RECORD, storage.SOCKET):
        (storage.board_folder(name) / file).unlink(missing_ok=True)
    return True


def forget(name: str) -> None:
    """Stop a board, and its flash with it."""
    stop(name)
    for folder in (storage.flash_file(name).parent, storage.board_folder(name)):
        shutil.rmtree(folder, ignore_errors=True)


def boards() -> list[Status]:
    """Every board that was started and not stopped. One whose daemon has ended is told of once."""
    return [status(record) for record in storage.known()]


def _clear(record: storage.Record) -> None:
    """What a daemon has left that ended without being told to; its flash stays."""
    folder = storage.board_folder(record.name)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # somebody starts it
            return
        if storage.read_record(record.name) == record and not storage.is_alive(record):
            for file in (storage.RECORD, storage.SOCKET):
                (folder / file).unlink(missing_ok=True)


def status(record: storage.Record) -> Status:
    """How one of them is."""
    if not storage.is_alive(record):
        why = _last_words(record.name) or "its daemon has ended"
        _clear(record)
        return Status(record.name, record.target, "dead", why)
    try:
        with Connection(record.name) as connection:
            found = connection.ask("status")
    except DeviceError as e:
        return Status(record.name, record.target, "dead", e.what)
    return Status(record.name, record.target, found["state"], found["trouble"])


def _first_line(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout
    end, data = time.monotonic() + START_S, b""
    os.set_blocking(child.stdout.fileno(), False)
    while b"\n" not in data and time.monotonic() < end:
        piece = os.read(child.stdout.fileno(), 4096) if _readable(child, end) else b""
        if not piece:
            break
        data += piece
    child.stdout.close()
    return data.decode(errors="replace").strip()


def _readable(child: subprocess.Popen[bytes], end: float) -> bool:
    assert child.stdout
    return bool(select.select([child.stdout], [], [], max(0.0, end - time.monotonic()))[0])


def _last_words(name: str) -> str:
    try:
        lines = (storage.board_folder(name) / storage.LOG).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1][:200] if lines else ""


def _signal(record: storage.Record, number: int) -> None:
    if storage.is_alive(record):
        os.kill(record.pid, number)


def _ended(record: storage.Record, limit_s: float) -> bool:
    end = time.monotonic() + limit_s
    while storage.is_alive(record):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # another process's end has no event without being its parent
    return True
