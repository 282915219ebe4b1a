"""What a board says on its console, over resets and power cycles."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

from edgeuk.errors import DeviceError

LINES_MAX = 20_000
LOOK_S = 0.5  # how often a wait looks whether the board still runs


class Console:
    """Lines as they come, on any thread; also written to a log file."""

    def __init__(self, log: Path) -> None:
        self.lines: list[str] = []
        self.log = log
        self.ended: Callable[[], str] = lambda: ""  # why nothing more can come, "" if it can
        self._boot = 0  # the first line since the last start
        self._changed = threading.Condition()
        log.write_bytes(b"")

    def feed(self, line: str) -> None:
        """One line, without its end."""
        with self._changed:
            self.lines.append(line)
            if len(self.lines) > LINES_MAX:
                del self.lines[0]
                self._boot = max(0, self._boot - 1)
            with self.log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            self._changed.notify_all()

    def start(self, why: str) -> None:
        """From here on, `wait` sees only newer lines."""
        self.feed(f"--- {why} ---")
        with self._changed:
            self._boot = len(self.lines)

    def wait(self, part: str, limit_s: float = 60.0) -> str:
        """The first line since the last power-on or reset that has `part` in it, past or future.
        Raises `DeviceError` when the board ends or `limit_s` passes first."""
        __tracebackhide__ = True
        end = time.monotonic() + limit_s
        with self._changed:
            while True:
                for line in self.lines[self._boot :]:
                    if part in line:
                        return line
                left = end - time.monotonic()
                why = self.ended() or ("" if left > 0 else f"{limit_s:g} s passed")
                if why:
                    raise DeviceError(f"no line with `{part}` before {why}:\n{self.tail()}")
                self._changed.wait(min(left, LOOK_S))

    def tail(self, count: int = 40) -> str:
        """The last lines, for messages."""
        return "\n".join(f"  | {line}" for line in self.lines[-count:]) or "  | (no output)"
