"""What tests handle: the board, its sensors, pins and network, each on whatever target there is."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from edgeuk.actuators import Actuator
from edgeuk.board import Board
from edgeuk.build import BuildResult
from edgeuk.errors import DeviceError, UsageError
from edgeuk.hil.target import Target
from edgeuk.hil.wiring import WiredSensor, Wiring
from edgeuk.resolve import Image
from edgeuk.run.serial import is_serial
from edgeuk.sensors import At, Sensor

SLOW_MS = 30_000  # nobody waits for ten readings of a sensor that is slower
SUPPRESS = ("delta", "throttle")  # filters that let readings go when they please
COMMAND_S = 30.0
_T = TypeVar("_T", Sensor, Actuator)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for all tests of a run."""

    board: Board
    image: Image
    built: BuildResult
    target: str
    wiring: Wiring
    folder: Path
    seal: Callable[[bytes], bytes] | None = None  # of configurations, where the image wants that


class BoardBench:
    """The board under test."""

    def __init__(self, target: Target, plan: Plan, served: Collection[str] = ()) -> None:
        self._target, self.plan, self._served = target, plan, served
        self.name = plan.board.name

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Of the gateway file, without those that the board cannot have."""
        left_out = self.plan.image.left_out
        return tuple(s for s in self.plan.image.gateway.sensors if s.name not in left_out)

    def sensor(self, **wanted: str) -> Sensor:
        """The first one with these properties that works here; skips the test where there is
        none."""
        for s in self.working():
            if all(str(getattr(s, k, s.props.get(k))) == v for k, v in wanted.items()):
                return s
        words = ", ".join(f"{k} = {v}" for k, v in wanted.items())
        pytest.skip(f"no sensor with {words} gives readings here ({self.name})")

    def working(self) -> list[Sensor]:
        """Sensors that have something to measure, the quickest first. On a board they all do."""
        wired = {w.at for w in self.plan.wiring.sensors}

        def works(sensor: Sensor) -> bool:
            at = sensor.at
            if not self._target.emulated or sensor.driver == "sim":
                return True
            return at is not None and (
                at.target in self._served or at.text in wired or at.target in self.plan.wiring.ports
            )

        return sorted(filter(works, self.sensors), key=lambda s: s.every_ms)

    def beat(self) -> Sensor:
        """The sensor that shows best that the gateway lives: one that counts (`sim`, shape `ramp`,
        no filter) before others, then the quickest. Skips the test where there is none."""
        steady = [
            s
            for s in self.working()
            if s.every_ms <= SLOW_MS and not any(f.kind in SUPPRESS for f in s.filters)
        ]
        if not steady:
            what = "no sensor of the gateway gives readings here at least every 30 s"
            pytest.skip(f"{what} (see [[sensor]] and [[port]] of the wiring file)")
        return next((s for s in steady if is_ramp(s)), steady[0])

    def need_role(self, role: str) -> None:
        """Skip the test where the board lacks it, or the target does."""
        if role not in self.plan.board.roles:
            pytest.skip(f"board {self.name} has no {role}")
        self._target.need(role)

    def need_broker(self) -> None:
        """Skip the test where the board is no client of the broker itself."""
        if is_serial(self.plan.board):
            text = "has no network: its readings leave over the serial line"
            pytest.skip(f"board {self.name} {text}")

    def on(self) -> None:
        """Switch it on; nothing if it is."""
        if not self._target.on:
            self._target.power_on()

    def off(self) -> None:
        """Switch it off, without a word to the firmware."""
        self._target.power_off()

    def cycle(self) -> None:
        """Off and on."""
        self.off()
        self.on()

    def reset(self) -> None:
        """As its reset button does."""
        self._target.reset()

    def flash(self) -> None:
        """Write image and device configuration; the board is off after it."""
        self.off()
        self._target.flash()

    def hang(self) -> None:
        """Let the firmware hang."""
        self._target.hang()


class SensorsBench:
    """What the sensors measure."""

    def __init__(self, target: Target, plan: Plan, names: tuple[Sensor, ...]) -> None:
        self._target, self._plan, self._sensors = target, plan, names

    def wired(self) -> list[tuple[Sensor, WiredSensor]]:
        """Sensors of the gateway that the bench can change; skips the test if there is none."""
        by_place = {w.at: w for w in self._plan.wiring.sensors}
        found = [(s, by_place[s.at.text]) for s in self._sensors if s.at and s.at.text in by_place]
        found = [(s, w) for s, w in found if s.driver == w.driver and not s.filters]
        if not found:
            name = self._plan.board.name
            pytest.skip(f"no sensor of the gateway without filters is in hil/wiring/{name}.toml")
        self._target.need("sensors")
        return found

    def set(self, name: str, value: float) -> float:
        """Let a sensor measure this; returns how far its readings may be off."""
        for sensor, wired in self.wired():
            if sensor.name == name:
                self._target.set_sensor(wired, value)
                return wired.resolution if self._target.emulated else wired.accuracy
        raise UsageError(f"the bench cannot change `{name}`", hint="add it to the wiring file")


class NetworkBench:
    """The network cable."""

    def __init__(self, target: Target, board: BoardBench) -> None:
        self._target, self._board = target, board

    def need(self) -> None:
        """Skip the test where the board has no network."""
        self._board.need_broker()
        self._target.need("network")

    def pull(self) -> None:
        """Pull the cable."""
        self._target.set_cable(False)

    def plug(self) -> None:
        """Put it back."""
        self._target.set_cable(True)

    def spoil(self, *, delay_s: float = 0.0, loss: float = 0.0) -> None:
        """Each frame, either way, comes so much later, and the part `loss` of them never does."""
        self._target.set_network(delay_s, loss)

    def mend(self) -> None:
        """As it was."""
        self._target.set_network(0.0, 0.0)


class PinsBench:
    """What is wired to digital pins, by the names of sensors and actuators."""

    def __init__(self, target: Target, plan: Plan, board: BoardBench) -> None:
        self._target, self._plan, self._board = target, plan, board

    def inputs(self, driver: str = "gpio_in") -> list[Sensor]:
        """Sensors at pins that the bench can drive; skips the test where there is none."""
        ports = self._plan.wiring.ports
        found = [s for s in self._board.sensors if s.driver == driver and s.at]
        return self._some([s for s in found if s.at and s.at.target in ports], driver)

    def outputs(self) -> list[Actuator]:
        """Actuators at pins that the bench can read; skips the test where there is none."""
        image, ports = self._plan.image, self._plan.wiring.ports
        found = [a for a in image.gateway.actuators if a.name not in image.left_out]
        return self._some([a for a in found if a.at and a.at.target in ports], "gpio_out")

    def drive(self, name: str, high: bool) -> None:
        """Drive the input of this sensor."""
        at = self._place(name, self._board.sensors)
        self._target.set_pin(at.target, at.number, high)

    def is_high(self, name: str) -> bool:
        """The level at the output of this actuator."""
        at = self._place(name, self._plan.image.gateway.actuators)
        return self._target.get_pin(at.target, at.number)

    def wait(self, name: str, high: bool, limit_s: float = COMMAND_S) -> None:
        """Until an output has this level. Raises `DeviceError`."""
        end = time.monotonic() + limit_s
        while self.is_high(name) != high:
            if time.monotonic() > end:
                level = "high" if high else "low"
                raise DeviceError(f"`{name}` did not become {level} in {limit_s:g} s")
            time.sleep(0.02)  # a pin has no event

    def _some(self, found: list[_T], driver: str) -> list[_T]:
        if not found:
            name = self._plan.board.name
            pytest.skip(f"no {driver} of the gateway is at a [[port]] of hil/wiring/{name}.toml")
        self._target.need("pins")
        return found

    def _place(self, name: str, among: Iterable[Sensor | Actuator]) -> At:
        for thing in among:
            if thing.name == name and thing.at:
                return thing.at
        raise UsageError(f"the gateway has no `{name}` at a pin")


def is_ramp(sensor: Sensor) -> bool:
    """Whether its readings only rise, so that loss and disorder show."""
    return sensor.driver == "sim" and sensor.props.get("shape") == "ramp" and not sensor.filters
