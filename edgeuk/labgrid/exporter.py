"""labgrid's exporter that knows our boards: `python -m edgeuk.labgrid.exporter CONFIG.yaml`.

    desk:
      EdgeukVirtualBoard: {board: microbit}     # `name: desk2` where the exporter has two of it
      EdgeukProbe: {board: frdm-k64f, probe: 0240000029304e45}

Both listen on this machine's loopback only, as whoever connects may rewrite the board: clients
elsewhere come in by SSH (labgrid's `--isolated`). `listen: 0.0.0.0` opens it to a network.
"""

import socket
import subprocess
import sys
import time
from typing import Any

import attr
from labgrid.remote import exporter
from labgrid.remote.exporter import BrokenResourceError, ExporterError
from labgrid.resource.common import Resource

from edgeuk.board import Board
from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import UsageError
from edgeuk.flash import cortex_m
from edgeuk.probe import client, storage
from edgeuk.run.forward import Forward

__all__ = ["BrokenResourceError", "ProbeExport", "VirtualBoardExport", "chip_of", "main"]

LOOPBACK = "127.0.0.1"
SERVE_S = 20.0  # of pyOCD's start on a loaded machine
POLL_S = 0.05
STOP_S = 5.0
_running: list["_Export"] = []  # what must not outlive the exporter


@attr.s(eq=False)
class _Local(Resource):
    """What the exporter's file says of a board."""

    board: str = attr.ib(validator=attr.validators.instance_of(str))
    name_here: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    probe: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    listen: str = attr.ib(default=LOOPBACK, validator=attr.validators.instance_of(str))


@attr.s(eq=False)
class _Export(exporter.ResourceExport):
    """What the two have in common."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        of_base: dict[str, Any] = {"target": None, "name": None}
        params = dict(self.local_params)
        self.local = _Local(**of_base, name_here=params.pop("name", ""), **params)
        self.described = find_board(load_catalog(), self.local.board)
        self.chip = chip_of(self.described)
        self.port: int | None = None

    def start(self) -> None:
        super().start()
        _running.append(self)

    def stop(self) -> None:
        if self in _running:
            _running.remove(self)
        super().stop()

    def _get_params(self) -> dict[str, Any]:
        # A forward by SSH ends at the exporter, where loopback is as good as any name.
        host = LOOPBACK if self.local.listen == LOOPBACK else self.host
        return {"host": host, "port": self.port, "board": self.local.board, "chip": self.chip}


class VirtualBoardExport(_Export):
    """Starts the board's daemon, and gives its socket a port."""

    def _start(self, start_params: dict[str, Any]) -> None:
        self.name = self.local.name_here or f"labgrid-{self.described.name}"
        if not client.start(self.name, self.chip):
            raise ExporterError(f"virtual board `{self.name}` is in use; name this one")
        with client.Connection(self.name) as connection:
            connection.ask("power", on=False)
        path = str(storage.board_folder(self.name) / storage.SOCKET)

        def connect() -> socket.socket:
            end = socket.socket(socket.AF_UNIX)
            try:
                end.connect(path)
            except OSError:
                end.close()
                raise
            return end

        listener = socket.create_server((self.local.listen, 0))
        self.port = listener.getsockname()[1]
        self._forward = Forward(listener, connect)

    def _stop(self, start_params: dict[str, Any]) -> None:
        self.port = None
        self._forward.close()
        client.stop(self.name)


class ProbeExport(_Export):
    """Runs `pyocd server`."""

    def _start(self, start_params: dict[str, Any]) -> None:
        cortex_m.find_probe(self.local.probe)  # pyOCD's server would wait for it for ever
        with socket.create_server((self.local.listen, 0)) as free:
            port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "pyocd", "server", "--no-config", "--no-wait"]
        command += ["--port", str(port), "--probe", self.local.probe]
        command += ["--allow-remote"] if self.local.listen != LOOPBACK else []
        self._server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        end = time.monotonic() + SERVE_S
        while not _answers(port):
            if self._server.poll() is not None or time.monotonic() > end:
                self._end()
                raise ExporterError("pyocd server does not start; what it says is above")
            time.sleep(POLL_S)  # its start has no event
        self.port = port

    def _stop(self, start_params: dict[str, Any]) -> None:
        self.port = None
        self._end()

    def _end(self) -> None:
        self._server.terminate()
        try:
            self._server.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()


def chip_of(board: Board) -> str:
    """pyOCD's name of the board's chip. Raises `UsageError`."""
    if board.flash is None or not board.flash.target:
        what = f"board `{board.name}` is not flashed through a probe"
        raise UsageError(what, hint="`edgeuk boards` shows which are")
    return board.flash.target


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


def main() -> None:
    """labgrid's own, with our resources."""
    exporter.exports["EdgeukVirtualBoard"] = VirtualBoardExport
    exporter.exports["EdgeukProbe"] = ProbeExport
    try:
        exporter.main()
    finally:
        for export in list(_running):
            export.stop()


if __name__ == "__main__":
    main()
