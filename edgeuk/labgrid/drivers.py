"""How a client uses a board: labgrid's protocols for power, reset and console, one for flashing."""

import abc
import base64
import contextlib
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.driver.consoleexpectmixin import ConsoleExpectMixin
from labgrid.factory import target_factory
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from labgrid.util.proxy import proxymanager
from pexpect import TIMEOUT

from edgeuk.catalog import find_board, load_catalog
from edgeuk.device_config import copies
from edgeuk.errors import DeviceError
from edgeuk.flash import cortex_m
from edgeuk.flash.plan import CONFIGURATION, Piece, pieces_of
from edgeuk.labgrid.resources import EdgeukProbe, EdgeukVirtualBoard
from edgeuk.probe import client, storage
from edgeuk.run.forward import Forward

POLL_S = 0.02  # the daemon has no events to wait for
CONNECT_S = 10.0


class FlashProtocol(abc.ABC):
    """What can write an image and its device configuration to a board."""

    powered = True  # whether the board must have power meanwhile; else it must not

    @property
    @abc.abstractmethod
    def board_name(self) -> str:
        """Which board is there."""

    @abc.abstractmethod
    def flash(self, image: Path, config: bytes = b"") -> cortex_m.Result:
        """Write the ELF file's bytes, and `config` where the board keeps it; read both back."""


def write(resource: Any, probe: str, image: Path, config: bytes) -> cortex_m.Result:
    """Through a probe that pyOCD finds by this name. Raises `EdgeukError`."""
    board = find_board(load_catalog(), resource.board)
    pieces = list(pieces_of(image))
    if config:
        region = board.memory["config"]
        for at, blob in copies(config, region.size).items():
            pieces.append(Piece(region.base + at, blob, CONFIGURATION))
    found = cortex_m.find_probe(probe)
    plan = cortex_m.make_plan(board.name, board.cpu, resource.chip, found, pieces)
    return cortex_m.flash(plan, found, unlock=False, progress=lambda part: None)


@target_factory.reg_driver
@attr.s(eq=False)
class EdgeukVirtualBoardDriver(
    ConsoleExpectMixin, Driver, PowerProtocol, ResetProtocol, ConsoleProtocol, FlashProtocol
):
    """The board at the exporter, as if it was on this machine: while the driver is active, `pyocd
    --probe virtual:NAME` and `edgeuk board list` see it here too, under the name `alias`."""

    bindings = {"port": EdgeukVirtualBoard}  # noqa: RUF012 (labgrid's own way)
    txdelay: float = attr.ib(default=0.0, validator=attr.validators.instance_of(float))
    txchunk: int = attr.ib(default=1, validator=attr.validators.instance_of(int))

    def on_activate(self) -> None:
        """Bring it here."""
        address = proxymanager.get_host_and_port(self.port)
        self.alias = f"{self.target.name}-{os.getpid()}-{id(self) & 0xFFFF:x}"
        folder = storage.board_folder(self.alias)
        folder.mkdir(parents=True, mode=0o700)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(folder / storage.SOCKET))
        listener.listen(16)
        self._lock = threading.Lock()  # the console may be read by a thread of its own
        self._forward = Forward(
            listener, lambda: socket.create_connection(address, timeout=CONNECT_S)
        )
        pid = os.getpid()
        record = storage.Record(self.alias, self.port.chip, pid, storage.start_time(pid))
        storage.write_record(record)
        try:
            self._connection = client.Connection(self.alias)
            self._seen = self._connection.console()[0]
        except DeviceError:
            self._leave()
            raise

    def on_deactivate(self) -> None:
        """Let go of it."""
        self._connection.close()
        self._leave()

    def _leave(self) -> None:
        self._forward.close()
        folder = storage.board_folder(self.alias)
        for file in (storage.RECORD, storage.SOCKET):
            (folder / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()

    @property
    def board_name(self) -> str:
        return str(self.port.board)

    @Driver.check_active
    def on(self) -> None:
        """Power on."""
        self._ask("power", on=True)

    @Driver.check_active
    def off(self) -> None:
        """Power off."""
        self._ask("power", on=False)

    @Driver.check_active
    def cycle(self) -> None:
        """Off and on."""
        self.off()
        self.on()

    @Driver.check_active
    def reset(self) -> None:
        """As its reset button does."""
        self._ask("reset")

    @Driver.check_active
    def flash(self, image: Path, config: bytes = b"") -> cortex_m.Result:
        """The board is switched on for it, and stays so."""
        self.on()
        return write(self.port, f"virtual:{self.alias}", image, config)

    def _ask(self, op: str, **arguments: Any) -> None:
        with self._lock:
            self._connection.ask(op, **arguments)

    def _read(self, size: int = 1, timeout: float = 0.0, max_size: int | None = None) -> bytes:
        """What came; all of it, unless `max_size` is less. Raises pexpect's TIMEOUT for nothing."""
        end = time.monotonic() + timeout
        while True:
            with self._lock:
                following, data = self._connection.console(self._seen)
            if data:
                taken = data[:max_size] if max_size else data
                self._seen = following - len(data) + len(taken)
                return taken
            if time.monotonic() >= end:
                raise TIMEOUT(f"nothing on the console for {timeout:.2f} s")
            time.sleep(POLL_S)

    def _write(self, data: bytes) -> int:
        self._ask("type", data=base64.b64encode(data).decode())
        return len(data)


@target_factory.reg_driver
@attr.s(eq=False)
class EdgeukProbeDriver(Driver, FlashProtocol):
    """Flashes through a probe at the exporter; power and console are other drivers' of the lab."""

    bindings = {"probe": EdgeukProbe}  # noqa: RUF012

    @property
    def board_name(self) -> str:
        return str(self.probe.board)

    @Driver.check_active
    def flash(self, image: Path, config: bytes = b"") -> cortex_m.Result:
        """The board must have power."""
        host, port = proxymanager.get_host_and_port(self.probe)
        return write(self.probe, f"remote:{host}:{port}", image, config)
