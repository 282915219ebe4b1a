"""One test's set-up: a broker, benches, and the board on its target."""

import importlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from edgeuk import device_config
from edgeuk.board import Board
from edgeuk.build import BuildResult, build
from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import DeviceError, UsageError
from edgeuk.gateway import load_gateway
from edgeuk.hil.console import Console
from edgeuk.hil.readings import BrokerBench, Readings
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import WiredSensor, Wiring, find_wiring
from edgeuk.paths import data_roots
from edgeuk.resolve import Image, resolve
from edgeuk.run import emulator
from edgeuk.run.serial import is_serial
from edgeuk.sensors import Sensor

TARGET_MODULES = {"qemu": "target_qemu", "virtual": "target_virtual"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for all tests of a run."""

    board: Board
    image: Image
    built: BuildResult
    target: str
    wiring: Wiring
    folder: Path


def scenarios() -> Path:
    """The folder hil/ of the repository or of the package."""
    return data_roots().boards.parent / "hil"


def make_plan(
    board_name: str, target: str, gateway: Path | None, wiring: Path | None, folder: Path
) -> Plan:
    """Check everything, then build. Raises `EdgeukError`."""
    catalog = load_catalog()
    board = find_board(catalog, board_name)
    path = gateway or scenarios() / "gateway.toml"
    if not path.is_file():
        raise UsageError(f"no `{path}` here", hint="--gateway FILE names the gateway under test")
    wired = find_wiring(wiring, scenarios() / "wiring", board, catalog)
    image = resolve(load_gateway(path, catalog, board.name), board, catalog)
    if target == "qemu" and board.qemu is not None:
        emulator.find_emulator(board)
    folder = folder.resolve()
    built = build(image, folder / "image")
    return Plan(board, image, built, target, wired, folder)


class BoardBench:
    """The board under test."""

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target, self.plan = target, plan
        self.name = plan.board.name

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Of the gateway file, without those that the board cannot have."""
        left_out = self.plan.image.left_out
        return tuple(s for s in self.plan.image.gateway.sensors if s.name not in left_out)

    def sensor(self, **wanted: str) -> Sensor:
        """The first one with these properties; skips the test where there is none."""
        for s in self.sensors:
            if all(str(getattr(s, k, s.props.get(k))) == v for k, v in wanted.items()):
                return s
        words = ", ".join(f"{k} = {v}" for k, v in wanted.items())
        pytest.skip(f"the gateway has no sensor with {words} on board {self.name}")

    def need_role(self, role: str) -> None:
        """Skip the test where the board lacks it, or the target does."""
        if role not in self.plan.board.roles:
            pytest.skip(f"board {self.name} has no {role}")
        self._target.need(role)

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
        if not found:
            name = self._plan.board.name
            pytest.skip(f"no sensor of the gateway is in hil/wiring/{name}.toml")
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

    def __init__(self, target: Target, plan: Plan) -> None:
        self._target, self._plan = target, plan

    def need(self) -> None:
        """Skip the test where the board has no network."""
        if is_serial(self._plan.board):
            name = self._plan.board.name
            pytest.skip(f"board {name} has no network: its readings leave over the serial line")
        self._target.need("network")

    def pull(self) -> None:
        """Pull the cable."""
        self._target.set_cable(False)

    def plug(self) -> None:
        """Put it back."""
        self._target.set_cable(True)


class Gear:
    """All of it; a context manager. The board is off at first."""

    def __init__(self, plan: Plan, folder: Path, seed: int) -> None:
        self.plan, self.folder, self.seed = plan, folder, seed
        self.console = Console(folder / "console.log")
        self.modbus: dict[str, Any] = {}
        self.no_modbus = "the gateway file has no [servers] on this machine"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            values = device_config.device_values(self.plan.image.gateway)
            self._serve(values, stack)
            probe = NetworkBench.need
            self.broker = BrokerBench(networked=lambda: probe(self.network))
            values |= {"mqtt.host": "localhost", "mqtt.port": str(self.broker.port)}
            values["mqtt.topic"] = values.get("mqtt.topic") or values["name"]
            values.pop("mqtt.username", None)
            self.readings = Readings(self.broker, values["mqtt.topic"], self.console.tail)
            stack.callback(self.broker.close)
            self.broker.start()
            job = Job(self.plan.board, self.plan.built, values, self.plan.wiring, self.folder)
            self.target = _target(self.plan.target, job, self.console)
            stack.callback(self.target.close)
            self.network = NetworkBench(self.target, self.plan)
            self.board = BoardBench(self.target, self.plan)
            self.sensors = SensorsBench(self.target, self.plan, self.board.sensors)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def facts(self) -> dict[str, Any]:
        """For reports: what ran, where its traces are, how to repeat it."""
        packets = sorted(self.folder.glob("*.pcap"))
        return {
            "board": f"{self.plan.board.name}, target {self.plan.target}",
            "image": str(self.plan.built.image),
            "image_sha256": self.plan.built.sha256,
            "console": str(self.console.log),
            "packets": ", ".join(map(str, packets)) or "none were captured",
            "seed": f"{self.seed} (--hil-seed repeats it)",
        }

    def _serve(self, values: dict[str, str], stack: ExitStack) -> None:
        """A Modbus bench for every server on `localhost`."""
        names = [k for k, v in values.items() if k.startswith("server.") and _is_here(v)]
        if not names or is_serial(self.plan.board):
            return
        try:
            bench = importlib.import_module("edgeuk.hil.modbus").ModbusBench
        except ModuleNotFoundError as e:
            self.no_modbus = f'the Python package `{e.name}` is missing: pip install "edgeuk[demo]"'
            return
        for key in names:
            server = stack.enter_context(bench())
            self.modbus[key.removeprefix("server.")] = server
            values[key] = f"localhost:{server.port}"


def _is_here(address: str) -> bool:
    return address.partition(":")[0] in ("localhost", "127.0.0.1")


def _target(name: str, job: Job, console: Console) -> Target:
    try:
        module = importlib.import_module(f"edgeuk.hil.{TARGET_MODULES[name]}")
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edgeuk"):
            raise
        what = f"target `{name}` needs the Python package `{e.name}`"
        raise DeviceError(what, hint='pip install "edgeuk[virtual]"') from None
    made: Target = getattr(module, f"{name.title()}Target")(job, console)
    return made
