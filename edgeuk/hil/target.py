"""What a board under test can be; each target says what it lacks, and such tests are skipped."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edgeuk.board import Board
from edgeuk.build import BuildResult
from edgeuk.hil.console import Console
from edgeuk.hil.wiring import WiredSensor, Wiring


@dataclass(frozen=True, slots=True)
class Job:
    """What a target is to run; `values` are the device configuration, `localhost` in them is this
    machine."""

    board: Board
    image: BuildResult
    values: dict[str, str]
    wiring: Wiring
    folder: Path  # for logs and captures
    monitor_host: str = "127.0.0.1"


class Target:
    """The interface, and what is true of most: nothing can be changed from outside."""

    name = ""
    emulated = True  # a sensor is off by its resolution only
    packets: Path | None = None  # a capture of the network

    def __init__(self, job: Job, console: Console) -> None:
        self.job, self.console = job, console

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
        """At once, as if the plug was pulled."""
        self.lacks("power")

    def reset(self) -> None:
        """Keep the power, start anew."""
        self.lacks("reset")

    def flash(self) -> None:
        """Write the image; the board is off before and after."""
        self.lacks("flash", f"target {self.name} has no flash to write")

    def hang(self) -> None:
        """Let the processor run in a circle, as a firmware bug would."""
        self.lacks("hang", f"target {self.name} cannot make the firmware hang")

    def set_cable(self, plugged: bool) -> None:
        """Plug or pull the network cable."""
        self.lacks("cable")

    def set_sensor(self, sensor: WiredSensor, value: float) -> None:
        """Change what a sensor measures."""
        self.lacks("sensors", f"target {self.name} cannot change what a sensor measures")

    def close(self) -> None:
        """Leave nothing behind."""

    def facts(self) -> dict[str, Any]:
        """For reports."""
        return {}
