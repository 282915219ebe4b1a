"""What targets share whose board is at a debug probe, its console on a serial port."""

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from edgeuk import device_config
from edgeuk.board import Board
from edgeuk.errors import DeviceError, UsageError
from edgeuk.flash import cortex_m
from edgeuk.flash.plan import CONFIGURATION, Piece, pieces_of
from edgeuk.hil.console import Console
from edgeuk.hil.target import Job
from edgeuk.run.serial import Bridge, is_serial

STOP_S = 5.0


def check_probe_board(board: Board, target: str, *, networked: bool = False) -> str:
    """pyOCD's name of the board's chip; `networked`: it may have a network. Raises `UsageError`."""
    if board.flash is None or board.flash.method != "pyocd" or not board.flash.target:
        what = f"board `{board.name}` is not flashed through a debug probe"
        raise UsageError(what, hint="--target qemu" if board.qemu else "test it by hand")
    if not is_serial(board) and not networked:
        what = f"board `{board.name}` talks to a broker over its network"
        what = f"{what}: target `{target}` serves only boards whose readings leave over the console"
        raise UsageError(what, hint="--target qemu" if board.qemu else "--target probe")
    return board.flash.target


def write(job: Job, chip: str, probe_id: str, values: Mapping[str, str] | None = None) -> None:
    """Image and device configuration: `values`, else the job's without the broker, so that what is
    equal stays as it is: flash wears."""
    board = job.board
    region = board.memory["config"]
    if values is None:
        values = {k: v for k, v in job.values.items() if k not in ("mqtt.host", "mqtt.port")}
    copies = device_config.copies(job.config(values), region.size)
    pieces = [
        *pieces_of(job.image.image),
        *(Piece(region.base + at, data, CONFIGURATION) for at, data in copies.items()),
    ]
    probe = cortex_m.find_probe(probe_id)
    plan = cortex_m.make_plan(board.name, board.cpu, chip, probe, pieces)
    cortex_m.flash(plan, probe, unlock=False, progress=lambda part: None)


class Reader:
    """The console's bytes: frames to the broker where the board has no network, lines to the log.
    `read` gives the next ones, b"" after a while without any."""

    def __init__(self, job: Job, console: Console, read: Callable[[], bytes]) -> None:
        self._console, self._read = console, read
        self._stack = ExitStack()
        port, topic = int(job.values["mqtt.port"]), job.values["mqtt.topic"]
        host = "127.0.0.1" if is_serial(job.board) else ""
        self._bridge = self._stack.enter_context(Bridge(host, port, topic))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The board may go on."""
        self._stop.set()
        self._thread.join(STOP_S)
        self._stack.close()

    def _run(self) -> None:
        line = b""
        try:
            while not self._stop.is_set():
                *lines, line = (line + self._take()).split(b"\n")
                for whole in lines:
                    self._console.feed(whole.decode(errors="replace").rstrip("\r"))
        except DeviceError as e:
            why = e.what
            self._console.feed(f"--- {why} ---")
            self._console.ended = lambda: why

    def _take(self) -> bytes:
        data = self._read()
        return self._bridge.feed(data) if data else b""
