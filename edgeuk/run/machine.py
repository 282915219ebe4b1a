"""What QEMU and our own emulation have in common, run as a machine: its device configuration in a
file beside it, a channel to steer it, and an end that leaves nothing behind."""

import json
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from edgeuk.board import Board
from edgeuk.cache import write_atomic
from edgeuk.device_config import region_image
from edgeuk.errors import DeviceError
from edgeuk.run.process import Process

QMP_S = 10.0  # limit of one command
END_S = 2.0  # for a machine that has closed the channel to end
BUFFER = 1 << 20  # of a socket: what one end has not taken yet


class Beside:
    """What a machine finds when it starts. `config` is the file with its device configuration,
    `control` its end of the channel."""

    def __init__(self, board: Board, device_config: bytes) -> None:
        self.stack = ExitStack()
        self._handed: list[socket.socket] = []
        self.ours, self.control = self.pair(socket.SOCK_STREAM)
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeuk-")))
        self.config = self.folder / "config.bin"
        data = region_image(device_config, board.memory["config"].size)
        write_atomic(self.config, data, 0o600)  # a key may be in it

    def pair(self, kind: int) -> tuple[socket.socket, int]:
        """Our end, and the descriptor of the machine's. Both are there before it is: nothing to
        wait for, no name for others to meet."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.stack.enter_context(ours)
        return ours, self.hand(theirs)

    def hand(self, end: socket.socket) -> int:
        """To the machine, which alone has it once it runs."""
        self._handed.append(self.stack.enter_context(end))
        return end.fileno()

    @property
    def descriptors(self) -> list[int]:
        return [end.fileno() for end in self._handed]

    def started(self) -> None:
        for end in self._handed:
            end.close()


class Machine(Process):
    """A running virtual machine; a context manager. `lines` is its console."""

    NAME: ClassVar[str]

    def __init__(
        self,
        argv: Sequence[str],
        beside: Beside,
        *,
        log: Path | None,
        on_line: Callable[[str], None] | None,
        env: Mapping[str, str] | None = None,
        before: Sequence[AbstractContextManager[Any]] = (),
        lent: Sequence[int] = (),
    ) -> None:
        """`before` are started first, and end last; `lent`: further descriptors that it has."""
        handed = [*beside.descriptors, *lent]
        super().__init__(argv, log=log, on_line=on_line, pass_fds=handed, env=env)
        self._beside, self._before = beside, before
        self._qmp: Qmp | None = None

    def __enter__(self) -> Self:
        try:
            for other in self._before:
                self._beside.stack.enter_context(other)
            super().__enter__()
        except BaseException:
            self._beside.stack.close()
            raise
        self._beside.started()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if self._qmp is not None:
            self._qmp.close()
        self._beside.stack.close()

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """One command's result. Raises `DeviceError` with the machine's own words."""
        try:
            if self._qmp is None:
                self._qmp = Qmp(self._beside.ours, self.NAME)
            return self._qmp.command(command, arguments)
        except (QmpError, OSError, ValueError) as e:
            if isinstance(e, QmpClosedError | OSError):
                with suppress(DeviceError):  # its last words are on their way
                    self.wait(END_S)
            raise DeviceError(f"QMP {command}: {e}\n{self.tail()}") from None


class QmpError(Exception):
    """The machine refused a command."""


class QmpClosedError(QmpError):
    """The machine has ended."""


class Qmp:
    """QEMU's control channel (docs/interop/qmp-spec.txt): a line of JSON each way. Events are read
    over: nobody here waits for one. `name` is the other end."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._name = name
        connection.settimeout(QMP_S)
        self._file = connection.makefile("rw", encoding="utf-8")
        self._answer("QMP")  # the greeting
        self.command("qmp_capabilities", {})

    def close(self) -> None:
        """The socket stays its owner's."""
        with suppress(OSError):  # what could not be written is of no interest any more
            self._file.close()

    def command(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """The command's result. Raises `QmpError`, OSError, ValueError for what is no JSON."""
        self._file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._file.flush()
        return self._answer("return")

    def _answer(self, key: str) -> Any:
        for line in self._file:
            message = json.loads(line)
            if "error" in message:
                raise QmpError(message["error"]["desc"])
            if key in message:
                return message[key]
        raise QmpClosedError(f"{self._name} has ended")
