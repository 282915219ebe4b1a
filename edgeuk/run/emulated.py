"""Boot an image in an emulation of our own (edgeuk.emulation), for boards that QEMU lacks: the same
image as on the board, its device configuration beside it, QEMU's user network behind its cable.

That network is a QEMU without a machine, which joins whatever `-netdev` says to our cable.
"""

import importlib.util
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeuk.board import Board
from edgeuk.cache import write_atomic
from edgeuk.device_config import region_image
from edgeuk.errors import DeviceError, ToolError
from edgeuk.run import emulator
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qmp, QmpError

NETWORK = "qemu-system-arm"  # any one would do
BUFFER = 1 << 20  # of the cable: frames that one end has not taken yet


def check() -> None:
    """Raises `ToolError` where Unicorn is missing, or a QEMU for the network."""
    if importlib.util.find_spec("unicorn") is None:
        hint = f'{sys.executable} -m pip install "edgeuk[virtual]"'
        raise ToolError("the Python package `unicorn` is missing [E0803]", hint=hint)
    emulator.find(NETWORK)


class Emulated(Process):
    """A running board; a context manager. `lines` is its console."""

    def __init__(
        self,
        board: Board,
        image: Path,
        device_config: bytes,
        *,
        netdev: str = "user,id=net0",
        extra: Sequence[str] = (),
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """`netdev` and `extra` are QEMU's options, of its network only."""
        if board.unicorn is None:
            raise DeviceError(f"board `{board.name}` has no [run.unicorn]")
        check()
        self._stack = ExitStack()
        self._qmp: Qmp | None = None
        self._ours, theirs = self._pair(socket.SOCK_STREAM)
        self._handed = [theirs]
        self._network: Process | None = None
        cable = -1
        if netdev:
            end, other = self._pair(socket.SOCK_DGRAM)
            self._handed.append(end)
            cable = end.fileno()
            self._network = _network(netdev, extra, other.fileno())
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeuk-")))
        config = board.memory["config"]
        # A key may be in it.
        write_atomic(folder / "config.bin", region_image(device_config, config.size), 0o600)
        argv = [
            *(sys.executable, "-m", "edgeuk.emulation", board.unicorn.machine, str(image)),
            *(str(folder / "config.bin"), hex(config.base), str(cable), str(theirs.fileno())),
        ]
        handed = [end.fileno() for end in self._handed]
        super().__init__(argv, log=log, on_line=on_line, pass_fds=handed)

    def _pair(self, kind: int) -> tuple[socket.socket, socket.socket]:
        """Both ends are there before what uses them."""
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        for end in (one, other):
            self._stack.enter_context(end)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        return one, other

    def __enter__(self) -> Self:
        try:
            if self._network:
                self._stack.enter_context(self._network)
            super().__enter__()
        except BaseException:
            self._stack.close()
            raise
        for end in self._handed:
            end.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._qmp:
            self._qmp.close()
        self._stack.close()

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """One command of edgeuk.emulation.control. Raises `DeviceError`."""
        try:
            if self._qmp is None:
                self._qmp = Qmp(self._ours)
            return self._qmp.command(command, arguments)
        except (QmpError, OSError, ValueError) as e:
            with suppress(DeviceError):  # its last words may be on their way
                self.wait(1.0)
            raise DeviceError(f"{command}: {e}\n{self.tail()}") from None


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
