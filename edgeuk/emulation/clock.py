"""Time of an emulated board: this machine's, and what is due when."""

import time
from collections.abc import Callable

NEVER = 1 << 63
Action = Callable[[], None]


class Clock:
    """Nanoseconds since the start, and a list of alarms by name. `speed` is for tests that would
    wait for long."""

    def __init__(self, source: Callable[[], int] = time.monotonic_ns) -> None:
        self._source = source
        self._start, self._before = source(), 0
        self._speed, self._held = 1, False
        self._alarms: dict[str, tuple[int, Action]] = {}

    def now(self) -> int:
        passed = 0 if self._held else self._source() - self._start
        return self._before + passed * self._speed

    def hold(self, held: bool) -> None:
        """It stands as long as a debugger has stopped the board."""
        self._before, self._start, self._held = self.now(), self._source(), held

    @property
    def speed(self) -> int:
        return self._speed

    @speed.setter
    def speed(self, value: int) -> None:
        """So many times this machine's, from now on."""
        self._before, self._start = self.now(), self._source()
        self._speed = value

    def alarm(self, name: str, at: int, action: Action) -> None:
        """Call `action` at that time, instead of what stood there under the name."""
        self._alarms[name] = (at, action)

    def cancel(self, name: str) -> None:
        self._alarms.pop(name, None)

    def cancel_all(self) -> None:
        self._alarms.clear()

    def wait_s(self) -> float:
        """How long it is until the first one is due."""
        return max(0, self.next() - self.now()) / 1e9 / self._speed

    def next(self) -> int:
        """When the first one is due; NEVER if there is none."""
        return min((at for at, _ in self._alarms.values()), default=NEVER)

    def run(self) -> None:
        """What is due by now."""
        now = self.now()
        for name, (at, action) in sorted(self._alarms.items(), key=lambda item: item[1][0]):
            if at <= now and self._alarms.get(name) == (at, action):
                del self._alarms[name]
                action()
