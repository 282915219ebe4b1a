"""A board of a lab (labgrid): whatever drivers its environment file gives it for power, reset,
console and flashing, and for its network cable: a digital output named `cable`, on while it is
plugged in.

As labgrid has it: LG_ENV names the environment file, whose target `main` is the board; the place
was acquired before. A board with a network finds the tests' broker and servers at the address that
the wiring file names (`relay`).
"""

import functools
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

# Before labgrid imports gRPC: its handlers of fork() break programs that start others.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

from labgrid import Environment
from labgrid.exceptions import NoDriverFoundError
from labgrid.protocol import (
    ConsoleProtocol,
    DigitalOutputProtocol,
    PowerProtocol,
    ResetProtocol,
)
from labgrid.remote.client import Error as ClientError
from pexpect import TIMEOUT

from edgeuk.board import Board
from edgeuk.errors import DeviceError, EdgeukError, UsageError
from edgeuk.hil.console import Console
from edgeuk.hil.relay import check_address, serve
from edgeuk.hil.serial import Reader
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import Wiring
from edgeuk.labgrid import EdgeukVirtualBoardDriver, FlashProtocol

CABLE = "cable"  # the driver's name
TERMINAL = Path("/dev/tty")
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
        self._stack = ExitStack()
        switch_off()
        lan = serve(job, self.name, self._stack)
        self._values, self.no_packets = lan.values, lan.no_packets

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        check_address(board, wiring, cls.name)
        driver(PowerProtocol, "power")
        driver(ConsoleProtocol, "a console")
        there = driver(FlashProtocol, "flashing").board_name
        if there != board.name:
            what = f"the lab's board is {there}, not {board.name}"
            hint = f"--board {there}, or another place"
            raise UsageError(what, where=os.environ.get("LG_ENV", ""), hint=hint)

    @property
    def on(self) -> bool:
        return self._reader is not None

    def flash(self) -> None:
        values = self._values
        if values is None:
            # The broker is not in it, so that what is equal stays as it is: flash wears.
            values = dict(self.job.values)
            del values["mqtt.host"], values["mqtt.port"]
        config = self.job.config(values)
        if not self._flash.powered:
            self._flash.flash(self.job.image.image, config)
            return
        try:
            self._power.on()
            self._flash.flash(self.job.image.image, config)
        finally:
            self._power.off()

    def power_on(self) -> None:
        self.console.start("power on")
        # Before the power: nothing of the start is missed.
        self._reader = Reader(self.job, self.console, self._read)
        self._power.on()

    def power_off(self) -> None:
        if self._reader:
            try:
                self._power.off()
            finally:
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

    def set_cable(self, plugged: bool) -> None:
        self.need("cable")
        try:
            output = self._lab.get_driver(DigitalOutputProtocol, name=CABLE)
        except NoDriverFoundError:
            what = f"the environment file has no digital output `{CABLE}`"
            self.lacks("cable", f"{what} that unplugs the network")
        if not plugged:
            self._stack.callback(output.set, True)  # for whoever has the board next
        output.set(plugged)

    def close(self) -> None:
        try:
            self.power_off()
        finally:
            self._stack.close()

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
    found.interact = _ask
    return found


def _ask(what: str) -> None:
    """For ManualPowerDriver: pytest has taken standard input and output."""
    try:
        with TERMINAL.open("r") as answers, TERMINAL.open("w") as questions:
            questions.write(f"\n{what} ")
            questions.flush()
            answers.readline()
    except OSError as e:
        why = (e.strerror or str(e)).lower()
        text = f"nobody can be asked to do this, as there is no terminal ({why}): {what}"
        raise DeviceError(text, hint="another driver for power, or a terminal") from None


@functools.cache
def switch_off() -> None:
    """Whatever the last user left; after that, every test leaves it off."""
    driver(PowerProtocol, "power").off()


def driver(protocol: Any, what: str) -> Any:
    """The board's. Raises `UsageError` for none, `DeviceError` for one that does not work."""
    found = place()
    try:
        return found.get_driver(protocol)
    except NoDriverFoundError:
        text = f"the environment file has no driver for {what} ({protocol.__name__})"
        hint = "hil/labgrid/environment.yaml is an example"
        raise UsageError(text, where=os.environ.get("LG_ENV", ""), hint=hint) from None
    except EdgeukError:
        raise
    except Exception as e:  # whatever it raises when it is activated
        text = f"the lab's driver for {what} ({protocol.__name__}) does not work: {e}"
        raise DeviceError(text, hint="is the board's machine there? labgrid-client show") from None
