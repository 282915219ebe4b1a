"""A virtual board (edgeuk/probe): flashed by pyOCD, its console read from the daemon."""

import atexit
import os
import re
import time
from collections.abc import Callable

from edgeuk.board import Board
from edgeuk.errors import UsageError
from edgeuk.hil.console import Console
from edgeuk.hil.serial import Reader, check_probe_board, write
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import Wiring
from edgeuk.probe import client, storage
from edgeuk.probe.parts import find_part

POLL_S = 0.02  # the daemon has no events to wait for
OURS = re.compile(r"hil-.+-(\d+)")  # the name of a run's board ends with its process


class VirtualTarget(Target):
    """One daemon per test; its flash survives power cycles as a real one's does, and is gone after
    the run."""

    name = "virtual"

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        self._chip = check_probe_board(job.board, self.name)
        self._virtual = f"hil-{job.board.name}-{os.getpid()}"
        self._reader: Reader | None = None
        forget_killed()
        atexit.register(client.forget, self._virtual)
        client.start(self._virtual, self._chip)
        self._ask("power", on=False)

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        chip = find_part(check_probe_board(board, cls.name))
        if chip is None:
            what = f"no virtual chip is like that of board `{board.name}`"
            raise UsageError(what, hint="--target qemu, or see `edgeuk board list`")
        if not chip.machine:
            what = f"the virtual board of `{board.name}` can be flashed, but nothing runs its image"
            raise UsageError(what, hint="--target qemu")

    @property
    def on(self) -> bool:
        return self._reader is not None

    def flash(self) -> None:
        self._ask("power", on=True)
        write(self.job, self._chip, f"virtual:{self._virtual}")
        self._ask("power", on=False)

    def power_on(self) -> None:
        self.console.start("power on")
        self._ask("power", on=True)
        self._reader = Reader(self.job, self.console, self._read_from(None))

    def power_off(self) -> None:
        if self._reader:
            self._reader.close()
            self._reader = None
            self._ask("power", on=False)

    def reset(self) -> None:
        self.need("reset")
        self.console.start("reset")
        self._ask("reset")

    def set_pin(self, device: str, pin: int, high: bool) -> None:
        self.need("pins")
        self._ask("pin", pin=pin, level=high)

    def close(self) -> None:
        self.power_off()
        client.stop(self._virtual)

    def _ask(self, op: str, **arguments: int) -> None:
        with client.Connection(self._virtual) as connection:
            connection.ask(op, **arguments)

    def _read_from(self, since: int | None) -> Callable[[], bytes]:
        """`read` of a reader: everything since the last reset, then what is new."""

        def read() -> bytes:
            nonlocal since
            with client.Connection(self._virtual) as connection:
                since, data = connection.console(since)
            if not data:
                time.sleep(POLL_S)
            return data

        return read


def forget_killed() -> None:
    """Clear away the boards of runs that could not do it themselves."""
    for name in storage.flashed():
        run = OURS.fullmatch(name)
        if run and not storage.start_time(int(run[1])):
            client.forget(name)
