"""A child process with a console: started in its own session, its lines kept and waited for, always
ended with its parent. QEMU, the host build and the broker are run through it.
"""

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from edgeuk.errors import DeviceError

CHUNK = 65_536
LINES_MAX = 20_000  # kept per process; older ones are in the log file
STOP_S = 5.0  # from SIGTERM to SIGKILL
PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


def die_with(parent: int, number: int = signal.SIGKILL) -> None:
    """In the child: end when the thread that started it ends, and so with the process `parent`."""
    _LIBC.prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it ended before it could be asked for
        os._exit(1)


class Process:
    """One running program; a context manager that leaves nothing behind."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`log` receives all output; `on_line` each line as it comes, on a thread; `pass_fds` stay
        open in the child."""
        self.argv = list(argv)
        self.lines: list[str] = []
        self._env, self._cwd, self._on_line = env, cwd, on_line
        self._log, self._pass_fds = log, pass_fds
        # What takes the output first, and returns the text in it; b"" at its end. Set before entry.
        self.text_of: Callable[[bytes], bytes] | None = None
        self._changed = threading.Condition()
        self._closed = False

    def __enter__(self) -> Self:
        try:
            self._child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),
                pass_fds=self._pass_fds,
                env={**os.environ, **(self._env or {})},
                cwd=self._cwd,
            )
        except OSError as e:
            raise DeviceError(f"cannot start {self.argv[0]}: {e.strerror}") from None
        self.started = time.monotonic()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._child.pid

    def poll(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._child.poll()

    def wait(self, limit_s: float) -> int:
        """The exit status. Raises `DeviceError` when it still runs after `limit_s` seconds."""
        try:
            status = self._child.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise DeviceError(f"{self.argv[0]} still runs after {limit_s:g} s") from None
        self._reader.join(STOP_S)
        return status

    def wait_line(self, part: str, limit_s: float) -> str:
        """The first line, past or future, that has `part` in it. Raises `DeviceError` when the
        process ends or `limit_s` passes first; the message has the last lines."""
        end, seen = time.monotonic() + limit_s, 0
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    if part in line:
                        return line
                seen = len(self.lines)
                left = end - time.monotonic()
                if self._closed or left <= 0:
                    why = "ended" if self._closed else f"{limit_s:g} s passed"
                    raise DeviceError(f"no line with `{part}` before {why}:\n{self.tail()}")
                self._changed.wait(left)

    def tail(self, count: int = 12) -> str:
        """The last lines, for messages."""
        return "\n".join(f"  | {line}" for line in self.lines[-count:]) or "  | (no output)"

    def stop(self) -> None:
        """End it: SIGTERM, after STOP_S seconds SIGKILL. Once ended, this does nothing."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        # The reader ends with the pipe, which a grandchild may still hold; it is left to it then.
        self._reader.join(STOP_S)
        if self._child.stdout and not self._reader.is_alive():
            self._child.stdout.close()

    def _raw_lines(self, output: IO[bytes]) -> Iterator[bytes]:
        if self.text_of is None:
            yield from output
            return
        line = b""
        while data := os.read(output.fileno(), CHUNK):
            *lines, line = (line + self.text_of(data)).split(b"\n")
            yield from (whole + b"\n" for whole in lines)
        line += self.text_of(b"")
        if line:
            yield line

    def _read(self) -> None:
        assert self._child.stdout
        sink = self._log.open("wb") if self._log else None
        try:
            for raw in self._raw_lines(self._child.stdout):
                if sink:
                    sink.write(raw)
                    sink.flush()
                line = raw.decode(errors="replace").rstrip("\r\n")
                with self._changed:
                    self.lines.append(line)
                    del self.lines[:-LINES_MAX]
                    self._changed.notify_all()
                if self._on_line:
                    self._on_line(line)
        finally:
            if sink:
                sink.close()
            with self._changed:
                self._closed = True
                self._changed.notify_all()
