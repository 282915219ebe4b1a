"""What arrives at the broker, as tests ask for it."""

import time
from collections.abc import Callable

from edgeuk.errors import DeviceError
from edgeuk.run.broker import Broker, free_port
from edgeuk.run.monitor import Message, Monitor
from edgeuk.senml import Reading

LIMIT_S = 60.0  # time-outs and back-off of the image add up; a loaded machine doubles them
RESTART_S = 3.0  # long enough for the gateway to notice


class BrokerBench:
    """The broker under the tests' control; `readings` listens to it from its first moment on."""

    def __init__(self, port: int = 0, networked: Callable[[], None] = lambda: None) -> None:
        self.port = port or free_port()
        self._networked = networked  # skips where the board itself is no client of it
        self._broker: Broker | None = None
        self.listeners: list[Callable[[bool], None]] = []  # told of starts and stops

    def start(self) -> None:
        """Raises `DeviceError`."""
        if self._broker is None:
            self._broker = Broker(self.port).__enter__()
            for tell in self.listeners:
                tell(True)

    def stop(self) -> None:
        """Every connection breaks off."""
        self._networked()
        self.close()

    def restart(self, down_s: float = RESTART_S) -> None:
        """Stop, stay away for a while, start."""
        self.stop()
        time.sleep(down_s)
        self.start()

    def close(self) -> None:
        """The end of the test."""
        if self._broker is not None:
            self._broker.__exit__(None, None, None)
            self._broker = None
            for tell in self.listeners:
                tell(False)


class Readings:
    """Everything published under the gateway's topic, kept in order of arrival."""

    def __init__(self, broker: BrokerBench, topic: str, explain: Callable[[], str]) -> None:
        self.topic = topic
        self.messages: list[Message] = []
        self._port, self._explain = broker.port, explain
        self._monitor: Monitor | None = None
        broker.listeners.append(self._told)

    def _told(self, started: bool) -> None:
        if started:
            self._monitor = Monitor("127.0.0.1", self._port, self.topic).__enter__()
        elif self._monitor is not None:
            self.drain(0.2)  # what was on its way
            self._monitor.__exit__(None, None, None)
            self._monitor = None

    def of(self, sensor: str, since: int = 0) -> list[Reading]:
        """What has arrived of one sensor, from message number `since` on."""
        name = f"{self.topic}/{sensor}"
        data = (m for m in self.messages[since:] if m.kind == "data")
        return [r for m in data for r in m.readings() if r.name == name]

    def drain(self, quiet_s: float = 0.3) -> None:
        """Take in what has arrived, until nothing comes for `quiet_s`, ten times that at most."""
        end = time.monotonic() + 10 * quiet_s
        while time.monotonic() < end and self._take(quiet_s):
            pass

    def wait(self, sensor: str, count: int = 1, limit_s: float = LIMIT_S) -> list[Reading]:
        """The next `count` readings of a sensor, or some more. Raises `DeviceError`."""
        return self.until(sensor, lambda found: len(found) >= count, limit_s, f"{count} readings")

    def until(
        self,
        sensor: str,
        good: Callable[[list[Reading]], bool],
        limit_s: float = LIMIT_S,
        what: str = "the readings waited for",
    ) -> list[Reading]:
        """New readings of a sensor until they are `good`. Raises `DeviceError`."""
        since, end = len(self.messages), time.monotonic() + limit_s
        while not good(found := self.of(sensor, since)):
            if not self._take(end - time.monotonic()):
                last = f", the last {found[-1].value:g}" if found else ""
                text = f"{what} of {sensor} did not come in {limit_s:g} s: {len(found)} did{last}"
                raise DeviceError(f"{text}\n{self._explain()}")
        return found

    def statistics(self, limit_s: float = LIMIT_S) -> dict[str, float]:
        """The gateway's counters, from its next record. Raises `DeviceError`."""
        end = time.monotonic() + limit_s
        while self._take(end - time.monotonic()):
            message = self.messages[-1]
            if message.kind == "stats" and not message.retained:
                return {r.name.rsplit("/", 1)[-1]: float(r.value or 0) for r in message.readings()}
        raise DeviceError(f"no statistics in {limit_s:g} s\n{self._explain()}")

    def _take(self, limit_s: float) -> bool:
        if self._monitor is None or limit_s <= 0:
            return False
        message = self._monitor.get(limit_s)
        if message is None:
            return False
        self.messages.append(message)
        return True
