"""A board of a lab (labgrid): whatever drivers its environment file gives it for power, reset,
console and flashing.

As labgrid has it: LG_ENV names the environment file, whose target `main` is the board; the place
was acquired before.
"""

import functools
import os
from typing import Any

# Before labgrid imports gRPC: its handlers of fork() break programs that start others.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from labgrid import Environment
from labgrid.exceptions import NoDriverFoundError
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from labgrid.remote.client import Error as ClientError
from pexpect import TIMEOUT

from edgeuk.board import Board
from edgeuk.errors import DeviceError, EdgeukError, UsageError
from edgeuk.hil.console import Console
from edgeuk.hil.serial import Reader
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import Wiring
from edgeuk.labgrid import EdgeukVirtualBoardDriver, FlashProtocol
from edgeuk.run.serial import is_serial

READ_S = 0.1  # how long one look at the console may take
READ_MAX = 1 << 16


class LabgridTarget(Target):
    """One place for a whole run; it is left switched off."""

    name = "labgrid"
    emulated = False  # unless it is a virtual board

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        self._lab = place()
        self._power = driver(PowerProtocol, "power")
        self._port = driver(ConsoleProtocol, "a console")
        self._flash = driver(FlashProtocol, "flashing")
        self.emulated = isinstance(self._flash, EdgeukVirtualBoardDriver)
        self._reader: Reader | None = None
        self._power.off()

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        if not is_serial(board):
            what = f"board `{board.name}` talks to a broker over its network"
            what = (
                f"{what}: target `labgrid` serves only boards whose readings leave over the console"
            )
            raise UsageError(
                what, hint="--target qemu" if board.qemu else "edgeuk flash, edgeuk run"
            )
        driver(PowerProtocol, "power")
        driver(ConsoleProtocol, "a console")
        driver(FlashProtocol, "flashing")

    @property
    def on(self) -> bool:
        return self._reader is not None

    def flash(self) -> None:
        self._power.on()
        # The broker is not in it, so that what is equal stays as it is: flash wears.
        values = {k: v for k, v in self.job.values.items() if k not in ("mqtt.host", "mqtt.port")}
        config = self.job.config(values)
        self._flash.flash(self.job.image.image, config)
        self._power.off()

    def power_on(self) -> None:
        self.console.start("power on")
        # Before the power: nothing of the start is missed.
        self._reader = Reader(self.job, self.console, self._read)
        self._power.on()

    def power_off(self) -> None:
        if self._reader:
            self._power.off()
            self._reader.close()
            self._reader = None

    def reset(self) -> None:
        self.need("reset")
        try:
            resetter = self._lab.get_driver(ResetProtocol)
        except NoDriverFoundError:
            self.lacks("reset", "the environment file has no driver for reset")
        self.console.start("reset")
        resetter.reset()

    def close(self) -> None:
        self.power_off()

    def _read(self) -> bytes:
        """For the reader's thread. Not `read`: labgrid's record of steps knows one thread only."""
        try:
            data: bytes = self._port._read(timeout=READ_S, max_size=READ_MAX)
        except TIMEOUT:
            return b""
        except EdgeukError:
            raise
        except Exception as e:  # whatever a lab's driver raises: the wait is told, and ends
            raise DeviceError(f"the lab's console broke off: {e}") from None
        return data


@functools.cache
def place() -> Any:
    """The board's labgrid target, once per process. Raises `UsageError`, `DeviceError`."""
    file = os.environ.get("LG_ENV")
    if not file:
        what = "target `labgrid` needs an environment file"
        hint = "LG_ENV names it; hil/labgrid/environment.yaml is an example"
        raise UsageError(what, hint=hint)
    try:
        found = Environment(file).get_target("main")
    except (ClientError, ConnectionError) as e:
        what = f"the lab gives us no board: {' '.join(str(e).split())}"
        hint = "labgrid-client -p PLACE acquire; is LG_COORDINATOR right?"
        raise DeviceError(what, hint=hint) from None
    except Exception as e:  # labgrid tells of a wrong file in many ways
        raise UsageError(f"not an environment file of labgrid: {e}", where=file) from None
    if found is None:
        raise UsageError("the environment file has no target `main`", where=file)
    return found


def driver(protocol: Any, what: str) -> Any:
    """The board's. Raises `UsageError`."""
    try:
        return place().get_driver(protocol)
    except NoDriverFoundError:
        text = f"the environment file has no driver for {what} ({protocol.__name__})"
        hint = "hil/labgrid/environment.yaml is an example"
        raise UsageError(text, where=os.environ.get("LG_ENV", ""), hint=hint) from None
