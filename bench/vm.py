"""A virtual machine whose first byte and first message are timed from the exec of QEMU."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from itertools import dropwhile
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.tap import Tap
from edgeuk.run.ppp import Modem

STOP_S = 5.0
BYTE, MESSAGE, EXIT = "byte", "message", "exit"


def _is_assignment(word: str) -> bool:
    return "=" in word and not word.startswith(("-", "/"))


class Vm:
    """A running QEMU; a context manager. Times are milliseconds since just before its exec.

    As in a shell, words NAME=VALUE before the program are added to its environment.
    """

    def __init__(
        self, argv: Sequence[str], tap: Tap | None = None, modem: Modem | None = None
    ) -> None:
        self.tap = tap
        self.modem = modem  # closed at the end
        self.argv = list(dropwhile(_is_assignment, argv))
        set_before = argv[: len(argv) - len(self.argv)]
        self.environment = os.environ | dict(word.split("=", 1) for word in set_before)
        self.console = b""
        self._came: list[tuple[float, int]] = []  # time, length of `console` by then
        self.byte_ms: float | None = None  # first byte on the console
        self.message_ms: float | None = None  # first message at `tap`
        self.exit_ms: float | None = None  # end of the console

    def __enter__(self) -> Self:
        self._selector = selectors.DefaultSelector()
        self._started = time.perf_counter()
        self._child = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=self.environment,
            pass_fds=self.modem.descriptors if self.modem else (),
        )
        if self.modem:
            self.modem.start()
        assert self._child.stdout
        self._selector.register(self._child.stdout, selectors.EVENT_READ, self._read_console)
        if self.tap:
            self._selector.register(self.tap, selectors.EVENT_READ, self._read_tap)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.send_signal(signal.SIGKILL)
        assert self._child.stdout
        self.console += self._child.stdout.read()
        self._child.stdout.close()
        self._child.wait(STOP_S)
        self._selector.close()
        if self.modem:
            self.modem.close()

    def wait(self, event: str, limit_s: float) -> bool:
        """Until BYTE, MESSAGE or EXIT has happened. False when the limit or the end comes first."""
        end = time.perf_counter() + limit_s
        while getattr(self, f"{event}_ms") is None:
            left = end - time.perf_counter()
            if left <= 0 or (self.exit_ms is not None and event != EXIT):
                return False
            for key, _ in self._selector.select(left):
                handle: Callable[[], None] = key.data
                handle()
        return True

    def line(self, part: str) -> str:
        """The first console line with `part` in it, "" for none."""
        lines = self.console.decode(errors="replace").splitlines()
        return next((line for line in lines if part in line), "")

    def line_ms(self, part: str) -> float | None:
        """When the first `part` came on the console."""
        at = self.console.find(part.encode())
        return next((ms for ms, length in self._came if 0 <= at < length), None)

    def cpu_s(self) -> float:
        """Processor time of QEMU so far, all threads (proc(5): utime and stime)."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_kib(self) -> int:
        """Memory of QEMU now, everything in it (proc(5): VmRSS)."""
        status = Path(f"/proc/{self._child.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    def _now_ms(self) -> float:
        return 1000 * (time.perf_counter() - self._started)

    def _read_console(self) -> None:
        now = self._now_ms()
        assert self._child.stdout
        data = self._child.stdout.read(65536)
        if not data:
            self._selector.unregister(self._child.stdout)
            self.exit_ms = now
            return
        self.byte_ms = self.byte_ms or now
        self.console += data
        self._came.append((now, len(self.console)))

    def _read_tap(self) -> None:
        now = self._now_ms()
        assert self.tap
        if not self.tap.read():
            self._selector.unregister(self.tap)
            return
        self.message_ms = self.message_ms or now
