"""A real board at a debug probe: flashed and reset by pyOCD, its console on a serial port.

Nothing here switches its power or pulls its cable: tests that need that are skipped. A board with a
network finds the tests' broker and servers at the address that the wiring file names (`relay`).
"""

from contextlib import ExitStack
from pathlib import Path

from pyocd.core import exceptions
from pyocd.core.session import Session

from edgeuk.board import Board
from edgeuk.errors import DeviceError, UsageError
from edgeuk.flash import cortex_m
from edgeuk.hil.console import Console
from edgeuk.hil.relay import check_address, serve
from edgeuk.hil.serial import Reader, check_probe_board, write
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import Wiring
from edgeuk.run.serial_port import SerialPort

BAUD = 115_200  # of all boards' consoles
READ_S = 0.05


class ProbeTarget(Target):
    """Always under power; "on" is what it is while its console is listened to."""

    name = "probe"
    emulated = False

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        self._chip = check_probe_board(job.board, self.name, networked=True)
        wired = job.wiring.targets.get(self.name, {})
        self._id, self._port = wired.get("id", ""), Path(wired["serial"])
        self._stack = ExitStack()
        lan = serve(job, self.name, self._stack)
        self._values, self.no_packets = lan.values, lan.no_packets
        self._on = False

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        check_probe_board(board, cls.name, networked=True)
        wired = wiring.targets.get(cls.name, {})
        where = str(wiring.path or f"hil/wiring/{board.name}.toml")
        if not wired.get("serial"):
            what = "target `probe` needs the serial port of the board's console"
            raise UsageError(what, where=where, hint='[probe] serial = "/dev/ttyACM0"')
        check_address(board, wiring, cls.name)
        cortex_m.find_probe(wired.get("id", ""))

    @property
    def on(self) -> bool:
        return self._on

    def flash(self) -> None:
        write(self.job, self._chip, self._id, self._values)

    def power_on(self) -> None:
        """It has run since it was flashed: a reset shows it from its beginning."""
        port = self._stack.enter_context(SerialPort(self._port, BAUD))
        self.console.start("reset, in place of power on")
        self._reset()
        reader = Reader(self.job, self.console, lambda: port.read(READ_S))
        self._stack.callback(reader.close)
        self._on = True

    def power_off(self) -> None:
        if self._on:
            self.lacks("power", "nothing switches the power of a board at a probe")

    def reset(self) -> None:
        self.need("reset")
        self.console.start("reset")
        self._reset()

    def close(self) -> None:
        self._stack.close()

    def _reset(self) -> None:
        probe = cortex_m.find_probe(self._id)
        options = {**cortex_m.OPTIONS, "target_override": self._chip}
        try:
            with Session(probe.handle, auto_open=False, options=options) as session:
                session.open()
                session.target.reset()
        except (exceptions.Error, OSError) as e:  # pyOCD's, or of the probe's own driver
            raise DeviceError(f"probe {probe.identity} cannot reset the board: {e}") from None
