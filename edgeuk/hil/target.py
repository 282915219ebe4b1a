"""What a board under test can be; each target says what it lacks, and such tests are skipped.

A new target is a module `target_<name>.py` with a class `<Name>Target`, its name in TARGETS and its
keys of the wiring file in TARGET_KEYS of `wiring`.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edgeuk import device_config
from edgeuk.board import Board
from edgeuk.build import BuildResult
from edgeuk.errors import ToolError, UsageError
from edgeuk.hil.console import Console
from edgeuk.hil.wiring import TARGETS, WiredSensor, Wiring
from edgeuk.values import nearest

EXTRA = {"virtual": "virtual", "probe": "flash"}  # target -> the extra of the package that it needs


@dataclass(frozen=True, slots=True)
class Job:
    """What a target is to run; `values` are the device configuration, `localhost` in them is this
    machine."""

    board: Board
    image: BuildResult
    values: dict[str, str]
    wiring: Wiring
    folder: Path  # for logs and captures
    seed: int = 0
    seal: Callable[[bytes], bytes] | None = None

    def config(self, values: Mapping[str, str]) -> bytes:
        """A device configuration that the image takes."""
        return device_config.encode(values, board=self.board.name, seal=self.seal)


class Target:
    """The interface, and what is true of most: nothing can be changed from outside.

    A function that a target lacks calls `lacks`, which skips the test. The console is the target's
    to fill: `console.feed(line)`, `console.start(why)` at power on and reset, and `console.ended`,
    which says why nothing more can come.
    """

    name = ""
    emulated = True  # a sensor is off by its resolution only; only what the bench has can be read
    no_packets = ""  # why its network is not recorded; "": it is, or it has none

    def __init__(self, job: Job, console: Console) -> None:
        """Off. Raises `EdgeukError`."""
        self.job, self.console = job, console

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        """Before anything is built: raises `EdgeukError` where this target cannot be that board."""

    def lacks(self, part: str, reason: str = "") -> NoReturn:
        """Skip the test: this target has no such thing."""
        told = self.job.wiring.lacks.get(self.name, {}).get(part, "")
        pytest.skip(told or reason or f"target {self.name} has no {part}")

    def need(self, part: str) -> None:
        """Skip the test if the wiring file says that the target lacks it."""
        if part in self.job.wiring.lacks.get(self.name, {}):
            self.lacks(part)

    @property
    def on(self) -> bool:
        """Whether it has power."""
        raise NotImplementedError

    def power_on(self) -> None:
        """Raises `DeviceError`."""
        self.lacks("power")

    def power_off(self) -> None:
        """At once, as if the plug was pulled; nothing if it is off."""
        self.lacks("power")

    def reset(self) -> None:
        """Keep the power, start anew."""
        self.lacks("reset")

    def flash(self) -> None:
        """Write image and device configuration; the board is off before and after."""
        self.lacks("flash", f"target {self.name} has no flash to write")

    def hang(self) -> None:
        """Let the processor run in a circle, as a firmware bug would."""
        self.lacks("hang", f"target {self.name} cannot make the firmware hang")

    def set_cable(self, plugged: bool) -> None:
        """Plug or pull the network cable."""
        self.lacks("cable")

    def set_network(self, delay_s: float, loss: float) -> None:
        """From now on each frame comes so much later, and this part of them never does."""
        self.lacks("network", f"target {self.name} cannot slow its network down")

    def set_sensor(self, sensor: WiredSensor, value: float) -> None:
        """Change what a sensor measures."""
        self.lacks("sensors", f"target {self.name} cannot change what a sensor measures")

    def set_pin(self, device: str, pin: int, high: bool) -> None:
        """Drive an input of the port `device`."""
        self.lacks("pins", f"target {self.name} cannot drive pins")

    def get_pin(self, device: str, pin: int) -> bool:
        """Whether an output of the port `device` is high."""
        self.lacks("pins", f"target {self.name} cannot read pins")

    def close(self) -> None:
        """Leave nothing behind."""

    def facts(self) -> dict[str, Any]:
        """More for reports: what it is, where its traces are."""
        return {}


def find_target(name: str) -> type[Target]:
    """Raises `UsageError` for one that there is not, `ToolError` for one whose packages are
    missing."""
    if name not in TARGETS:
        hint = nearest(name, TARGETS) or f"one of {', '.join(TARGETS)}"
        raise UsageError(f"there is no target `{name}`", hint=hint)
    path = f"edgeuk.hil.target_{name}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as e:
        if e.name == path:
            what = f"target `{name}` is not there yet"
            raise UsageError(what, hint="--target qemu, or virtual for a board with a probe") from e
        if (e.name or "").startswith("edgeuk"):
            raise
        extra = EXTRA.get(name, name)
        what = f"target `{name}` needs the Python package `{e.name}`"
        raise ToolError(what, hint=f'pip install "edgeuk[{extra}]"') from None
    found: type[Target] = getattr(module, f"{name.title()}Target")
    return found
