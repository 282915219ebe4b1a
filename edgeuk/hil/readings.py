"""What arrives at the broker, as tests ask for it."""

import ssl
import time
from collections.abc import Callable
from typing import Any, NoReturn

import paho.mqtt.publish

from edgeuk.errors import DeviceError
from edgeuk.run.broker import Broker, free_port
from edgeuk.run.monitor import Message, Monitor
from edgeuk.senml import Reading

LIMIT_S = 60.0  # time-outs and back-off of the image add up; a loaded machine doubles them
RESTART_S = 1.0  # the gateway notices at once; its back-off begins within a second
LOOK_S = 0.5  # how often a wait looks whether the board still runs


class BrokerBench:
    """The broker under the tests' control; `readings` listens to it from its first moment on."""

    def __init__(
        self, port: int = 0, networked: Callable[[], None] = lambda: None, tls: Any = None
    ) -> None:
        """`tls`: what `edgeuk.run.tls.make` has issued; None for mqtt://."""
        self.port = port or free_port()
        self._tls = (tls.ca, tls.server) if tls else None
        self.context: ssl.SSLContext | None = tls.monitor if tls else None
        self._networked = networked  # skips where the board itself is no client of it
        self._broker: Broker | None = None
        self.listeners: list[Callable[[bool], None]] = []  # told of starts and stops

    def start(self) -> None:
        """Raises `DeviceError`."""
        if self._broker is None:
            self._broker = Broker(self.port, tls=self._tls).__enter__()
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

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        """As anybody else: a command, say, to `<topic>/set/<actuator>`."""
        tls: Any = self.context  # which paho takes, though its types do not say so
        paho.mqtt.publish.single(topic, payload, 1, retain, "127.0.0.1", self.port, tls=tls)

    def close(self) -> None:
        """The end of the test."""
        if self._broker is not None:
            self._broker.__exit__(None, None, None)
            self._broker = None
            for tell in self.listeners:
                tell(False)


class Readings:
    """Everything published under the gateway's topic, kept in order of arrival."""

    def __init__(
        self,
        broker: BrokerBench,
        topic: str,
        explain: Callable[[], str] = lambda: "",
        ended: Callable[[], str] = lambda: "",
    ) -> None:
        """`explain` gives more for messages; `ended` says why nothing more can come."""
        self.topic = topic
        self.messages: list[Message] = []
        self._broker, self._explain, self._ended = broker, explain, ended
        self._monitor: Monitor | None = None
        broker.listeners.append(self._told)

    def _told(self, started: bool) -> None:
        if started:
            bench = self._broker
            monitor = Monitor("127.0.0.1", bench.port, self.topic, tls=bench.context)
            self._monitor = monitor.__enter__()
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
        __tracebackhide__ = True
        return self.until(sensor, lambda found: len(found) >= count, limit_s, f"{count} readings")

    def until(
        self,
        sensor: str,
        good: Callable[[list[Reading]], bool],
        limit_s: float = LIMIT_S,
        what: str = "the readings waited for",
    ) -> list[Reading]:
        """New readings of a sensor until they are `good`. Raises `DeviceError`."""
        __tracebackhide__ = True
        since, end = len(self.messages), time.monotonic() + limit_s
        while not good(found := self.of(sensor, since)):
            if not self._take_by(end):
                last = f", the last {found[-1].value}" if found else ""
                self._give_up(f"{what} of {sensor}", limit_s, f": {len(found)} did{last}")
        return found

    def statistics(self, limit_s: float = LIMIT_S) -> dict[str, float]:
        """The gateway's counters, from its next record. Raises `DeviceError`."""
        end = time.monotonic() + limit_s
        while self._take_by(end):
            message = self.messages[-1]
            if message.kind == "stats" and not message.retained:
                return _counters(message)
        self._give_up("statistics", limit_s)

    def records(self, since: int = 0) -> list[dict[str, float]]:
        """The gateway's counters in every record that has arrived from message number `since` on;
        also those that the broker retained."""
        return [_counters(m) for m in self.messages[since:] if m.kind == "stats"]

    def _give_up(self, what: str, limit_s: float, more: str = "") -> NoReturn:
        __tracebackhide__ = True
        why = self._ended() or f"in {limit_s:g} s"
        raise DeviceError(f"{what} did not come {why}{more}\n{self._explain()}")

    def _take_by(self, end: float) -> bool:
        """The next message; False when none comes until `end`, or none can come any more."""
        while (left := end - time.monotonic()) > 0:
            if self._take(min(left, LOOK_S)):
                return True
            if self._ended():
                return self._take(0.01)
        return False

    def _take(self, limit_s: float) -> bool:
        if self._monitor is None or limit_s <= 0:
            return False
        message = self._monitor.get(limit_s)
        if message is None:
            return False
        self.messages.append(message)
        return True


def _counters(message: Message) -> dict[str, float]:
    return {r.name.rsplit("/", 1)[-1]: float(r.value or 0) for r in message.readings()}
