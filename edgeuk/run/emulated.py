"""Boot an image in an emulation of our own (edgeuk.emulation), for boards that QEMU lacks: the same
image as on the board, its device configuration beside it, QEMU's user network behind its cable.

That network is a QEMU without a machine, which joins whatever `-netdev` says to our cable.
"""

import importlib.util
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeuk.board import Board
from edgeuk.errors import DeviceError, ToolError
from edgeuk.run import emulator
from edgeuk.run.machine import Beside, Machine
from edgeuk.run.process import Process

NETWORK = "qemu-system-arm"  # any one would do


def check() -> None:
    """Raises `ToolError` where Unicorn is missing, or a QEMU for the network."""
    if importlib.util.find_spec("unicorn") is None:
        hint = f'{sys.executable} -m pip install "edgeuk[virtual]"'
        raise ToolError("the Python package `unicorn` is missing [E0803]", hint=hint)
    emulator.find(NETWORK)


class Emulated(Machine):
    """A board in our own model. `qmp` has the commands of edgeuk.emulation.control."""

    NAME = "the board's model"

    def __init__(
        self,
        board: Board,
        image: Path,
        device_config: bytes,
        *,
        netdev: str = "user,id=net0",
        extra: Sequence[str] = (),
        gdb: Path | None = None,
        capture: Path | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """`netdev` and `extra` are QEMU's options, of its network only. `gdb`: the name of a socket
        where gdb is waited for before the first instruction; `capture`: a file for what passes the
        cable, as Wireshark reads it."""
        if board.unicorn is None:
            raise DeviceError(f"board `{board.name}` has no [run.unicorn]")
        check()
        beside = Beside(board, device_config)
        networks, cable = [], -1
        if netdev:
            other, cable = beside.pair(socket.SOCK_DGRAM)
            networks.append(_network(netdev, extra, other.fileno()))
        argv = [
            *(sys.executable, "-m", "edgeuk.emulation", board.unicorn.machine, str(image)),
            *(str(beside.config), hex(board.memory["config"].base), str(cable)),
            str(beside.control),
            *(("--gdb", str(beside.hand(_listener(gdb)))) if gdb else ()),
            *(("--capture", str(capture)) if capture else ()),
        ]
        super().__init__(argv, beside, log=log, on_line=on_line, before=networks)


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    return listener


def _network(netdev: str, extra: Sequence[str], cable: int) -> Process:
    found = emulator.find(NETWORK)
    argv = [
        *(*found.command, "-machine", "none", "-display", "none", "-monitor", "none"),
        *("-nodefaults", "-serial", "none", "-netdev", netdev),
        *("-netdev", f"dgram,id=cable,local.type=fd,local.str={cable}"),
        *("-netdev", "hubport,id=cable0,hubid=7,netdev=net0"),
        *("-netdev", "hubport,id=cable1,hubid=7,netdev=cable"),
        *extra,
    ]
    return Process(argv, pass_fds=[cable], env=emulator.environment(found))
