"""A virtual board (edgeuk/probe): flashed by pyOCD, its console read from the daemon."""

import os
import threading
from contextlib import ExitStack

from edgeuk import device_config
from edgeuk.errors import DeviceError, UsageError
from edgeuk.flash import cortex_m
from edgeuk.flash.plan import Piece, pieces_of
from edgeuk.hil.console import Console
from edgeuk.hil.target import Job, Target
from edgeuk.probe import client
from edgeuk.probe.parts import find_part
from edgeuk.run.serial import Bridge

POLL_S = 0.02  # the daemon has no events to wait for
STOP_S = 5.0


class VirtualTarget(Target):
    """One daemon per test; its flash survives power cycles as a real one's does."""

    name = "virtual"

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        board = job.board
        chip = find_part(board.flash.target) if board.flash and board.flash.target else None
        if board.flash is None or chip is None:
            what = (
                f"board `{board.name}` cannot be a virtual board: no virtual chip is like its own"
            )
            raise UsageError(what, hint="--target qemu, or see `edgeuk board list`")
        if not chip.machine:
            what = f"the virtual board of `{board.name}` can be flashed, but nothing runs its image"
            raise UsageError(what, hint="--target qemu")
        self._chip = board.flash.target
        self._virtual = f"hil-{board.name}-{os.getpid()}"
        self._stack = ExitStack()
        self._on = False
        client.start(self._virtual, self._chip)
        with client.Connection(self._virtual) as connection:
            connection.ask("power", on=False)

    @property
    def on(self) -> bool:
        return self._on

    def flash(self) -> None:
        board = self.job.board
        with client.Connection(self._virtual) as connection:
            connection.ask("power", on=True)
        region = board.memory["config"]
        config = device_config.encode(self.job.values)
        pieces = [
            *pieces_of(self.job.image.image),
            Piece(region.base, config, "device configuration"),
        ]
        probe = cortex_m.find_probe(f"virtual:{self._virtual}")
        plan = cortex_m.make_plan(board.name, board.cpu, self._chip, probe, pieces)
        cortex_m.flash(plan, probe, unlock=False, progress=lambda part: None)
        with client.Connection(self._virtual) as connection:
            connection.ask("power", on=False)

    def power_on(self) -> None:
        self.console.start("power on")
        self._ask("power", on=True)
        port, topic = int(self.job.values["mqtt.port"]), self.job.values["mqtt.topic"]
        bridge = self._stack.enter_context(Bridge("127.0.0.1", port, topic))
        self._stop = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(bridge,), daemon=True)
        self._reader.start()
        self._on = True

    def power_off(self) -> None:
        if not self._on:
            return
        self._stop.set()
        self._reader.join(STOP_S)
        self._ask("power", on=False)
        self._stack.close()
        self._on = False

    def reset(self) -> None:
        self.need("reset")
        self.console.start("reset")
        self._ask("reset")

    def close(self) -> None:
        self.power_off()
        client.stop(self._virtual)

    def _ask(self, op: str, **arguments: bool) -> None:
        with client.Connection(self._virtual) as connection:
            connection.ask(op, **arguments)

    def _read(self, bridge: Bridge) -> None:
        """The console's bytes: frames to the broker, lines to the log."""
        since, line = None, b""
        try:
            with client.Connection(self._virtual) as connection:
                while not self._stop.wait(POLL_S):
                    since, data = connection.console(since)
                    *lines, line = (line + bridge.feed(data)).split(b"\n") if data else [line]
                    for whole in lines:
                        self.console.feed(whole.decode(errors="replace").rstrip("\r"))
        except DeviceError as e:
            self.console.feed(f"--- {e.what} ---")
            why = e.what
            self.console.ended = lambda: why
