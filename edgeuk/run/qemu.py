"""Boot an image in QEMU, with its device configuration beside it and QMP to steer the machine.

Emulation is TCG: /dev/kvm may be a software emulation that is far slower (ARCHITECTURE.md).
The board file's [run.qemu] says which program, machine and devices; its network card is always
attached to a netdev named `net0`, which this module provides.
"""

import json
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeuk.board import Board
from edgeuk.cache import write_atomic
from edgeuk.device_config import region_image
from edgeuk.errors import DeviceError
from edgeuk.run import emulator
from edgeuk.run.ppp import Modem
from edgeuk.run.process import Process

HOST_ADDRESS = "10.0.2.2"  # the machine that runs QEMU, as its user networking shows it to a guest
QMP_S = 10.0  # limit of one command
END_S = 2.0  # for a QEMU that has closed the channel to end
DISKS = {"virtio_mmio": "virtio-blk-device", "virtio_pci": "virtio-blk-pci"}  # by driver of the bus


def disk_options(board: Board, file: Path) -> list[str]:
    """A disk behind the role `storage`. QEMU ends if another one has the file."""
    bus = board.devices[board.roles["storage"]].props["bus"]
    device = DISKS[board.devices[bus].driver]
    name = str(file.resolve()).replace(",", ",,")  # a comma ends a value
    drive = f"if=none,id=disk0,format=raw,file={name}"
    return ["-drive", drive, "-device", f"{device},drive=disk0"]


class Qemu(Process):
    """A running virtual machine; a context manager. `lines` is its console."""

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
        if board.qemu is None:
            raise DeviceError(f"board `{board.name}` has no [run.qemu]: it does not run in QEMU")
        found = emulator.find_emulator(board)
        self._qmp: Qmp | None = None
        # Both ends are there before QEMU is: nothing to wait for, no name for others to meet.
        self._ours, self._theirs = socket.socketpair()
        self._modem = Modem(netdev) if board.qemu.modem_serial else None
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-")
        folder = Path(self._folder.name)
        config = board.memory["config"]
        data = region_image(device_config, config.size)
        write_atomic(folder / "config.bin", data, 0o600)  # a key may be in it
        argv = [
            *(*found.command, "-machine", board.qemu.machine),
            *("-accel", "tcg", "-display", "none", "-monitor", "none", "-nodefaults"),
            *("-serial", "null") * board.qemu.console_serial,
            *("-serial", "stdio", "-no-reboot"),
            *("-chardev", f"socket,id=qmp,fd={self._theirs.fileno()}"),
            *("-mon", "chardev=qmp,mode=control"),
            *(("-netdev", netdev) if netdev else ()),
            *(self._modem.options(board.qemu.modem_serial) if self._modem else ()),
            *board.qemu.args,
            *("-kernel", str(image)),
            *("-device", f"loader,file={folder}/config.bin,addr={config.base:#x},force-raw=on"),
            *extra,
        ]
        super().__init__(
            argv,
            log=log,
            on_line=on_line,
            pass_fds=[self._theirs.fileno(), *(self._modem.descriptors if self._modem else ())],
            env=emulator.environment(found),
        )

    def __enter__(self) -> Self:
        try:
            super().__enter__()
        except BaseException:
            self._close()
            raise
        self._theirs.close()
        if self._modem:
            self._modem.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._close()

    def _close(self) -> None:
        if self._qmp is not None:
            self._qmp.close()
        self._ours.close()
        self._theirs.close()
        if self._modem:
            self._modem.close()
        self._folder.cleanup()

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """One QMP command's result. Raises `DeviceError` with QEMU's own words."""
        try:
            if self._qmp is None:
                self._qmp = Qmp(self._ours)
            return self._qmp.command(command, arguments)
        except (QmpError, OSError, ValueError) as e:
            if isinstance(e, QmpClosedError | OSError):
                with suppress(DeviceError):  # its last words are on their way
                    self.wait(END_S)
            raise DeviceError(f"QMP {command}: {e}\n{self.tail()}") from None


class QmpError(Exception):
    """QEMU refused a command."""


class QmpClosedError(QmpError):
    """QEMU has ended."""


class Qmp:
    """QEMU's control channel (docs/interop/qmp-spec.txt): a line of JSON each way. Events are read
    over: nobody here waits for one."""

    def __init__(self, connection: socket.socket) -> None:
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
        raise QmpClosedError("QEMU has ended")
