"""Boot an image in QEMU, with its device configuration beside it and QMP to steer the machine.

Emulation is TCG: /dev/kvm may be a software emulation that is far slower (ARCHITECTURE.md).
The board file's [run.qemu] says which program, machine and devices; its network card is always
attached to a netdev named `net0`, which this module provides.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from qemu.qmp.legacy import QEMUMonitorProtocol, QMPError

from edgeuk.board import Board
from edgeuk.errors import DeviceError, ToolError
from edgeuk.run.process import Process

HOST_ADDRESS = "10.0.2.2"  # the machine that runs QEMU, as its user networking shows it to a guest
QMP_S = 10.0  # limit of one command
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
}


def find_qemu(binary: str) -> str:
    """Its path. Raises `ToolError` with the command that installs it."""
    path = shutil.which(binary)
    if path is None:
        package = PACKAGES.get(binary, "qemu-system")
        raise ToolError(f"{binary} is not installed", hint=f"apt-get install {package}")
    return path


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
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-")
        folder = Path(self._folder.name)
        (folder / "config.bin").write_bytes(device_config)
        config = board.memory["config"]
        argv = [
            *(find_qemu(board.qemu.binary), "-machine", board.qemu.machine),
            *("-accel", "tcg", "-display", "none", "-monitor", "none", "-nodefaults"),
            *("-serial", "stdio", "-no-reboot"),
            *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
            *("-netdev", netdev),
            *board.qemu.args,
            *("-kernel", str(image)),
            *("-device", f"loader,file={folder}/config.bin,addr={config.base:#x},force-raw=on"),
            *extra,
        ]
        super().__init__(argv, log=log, on_line=on_line)
        self._qmp: QEMUMonitorProtocol | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._qmp is not None:
            self._qmp.close()
        super().__exit__(kind, error, trace)
        self._folder.cleanup()

    def qmp(self, command: str, /, **arguments: Any) -> Any:
        """One QMP command's result. Raises `DeviceError` with QEMU's own words."""
        try:
            if self._qmp is None:
                self._qmp = QEMUMonitorProtocol(f"{self._folder.name}/qmp")
                self._qmp.connect()
                self._qmp.settimeout(QMP_S)
            return self._qmp.cmd(command, **arguments)
        except (QMPError, OSError, TimeoutError) as e:
            raise DeviceError(f"QMP {command}: {e}\n{self.tail()}") from None
