"""Boot an image in QEMU, with its device configuration beside it and QMP to steer the machine.

Emulation is TCG: /dev/kvm may be a software emulation that is far slower (ARCHITECTURE.md).
The board file's [run.qemu] says which program, machine and devices; its network card is always
attached to a netdev named `net0`, which this module provides.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from edgeuk.board import Board
from edgeuk.errors import DeviceError
from edgeuk.run import emulator
from edgeuk.run.machine import Beside, Machine
from edgeuk.run.ppp import Modem

HOST_ADDRESS = "10.0.2.2"  # the machine that runs QEMU, as its user networking shows it to a guest
DISKS = {"virtio_mmio": "virtio-blk-device", "virtio_pci": "virtio-blk-pci"}  # by driver of the bus


def disk_options(board: Board, file: Path) -> list[str]:
    """A disk behind the role `storage`. QEMU ends if another one has the file."""
    bus = board.devices[board.roles["storage"]].props["bus"]
    device = DISKS[board.devices[bus].driver]
    name = str(file.resolve()).replace(",", ",,")  # a comma ends a value
    drive = f"if=none,id=disk0,format=raw,file={name}"
    return ["-drive", drive, "-device", f"{device},drive=disk0"]


class Qemu(Machine):
    """A board in QEMU."""

    NAME = "QEMU"

    def __init__(
        self,
        board: Board,
        image: Path,
        device_config: bytes,
        *,
        netdev: str = "user,id=net0",
        extra: Sequence[str] = (),
        gdb: Path | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """`gdb`: the name of a socket where gdb is waited for before the first instruction."""
        if board.qemu is None:
            raise DeviceError(f"board `{board.name}` has no [run.qemu]: it does not run in QEMU")
        found = emulator.find_emulator(board)
        beside = Beside(board, device_config)
        self._modem = Modem(netdev) if board.qemu.modem_serial else None
        config = f"file={beside.config},addr={board.memory['config'].base:#x},force-raw=on"
        argv = [
            *(*found.command, "-machine", board.qemu.machine),
            *("-accel", "tcg", "-display", "none", "-monitor", "none", "-nodefaults"),
            *("-serial", "null") * board.qemu.console_serial,
            *("-serial", "stdio", "-no-reboot"),
            *("-chardev", f"socket,id=qmp,fd={beside.control}"),
            *("-mon", "chardev=qmp,mode=control"),
            *(("-netdev", netdev) if netdev else ()),
            *(self._modem.options(board.qemu.modem_serial) if self._modem else ()),
            *board.qemu.args,
            *("-kernel", str(image)),
            *("-device", f"loader,{config}"),
            *(("-S", "-gdb", f"unix:{gdb},server=on,wait=off") if gdb else ()),
            *extra,
        ]
        super().__init__(
            argv,
            beside,
            log=log,
            on_line=on_line,
            env=emulator.environment(found),
            lent=self._modem.descriptors if self._modem else (),
        )
        if self._modem:
            beside.stack.callback(self._modem.close)

    def __enter__(self) -> Self:
        super().__enter__()
        if self._modem:
            self._modem.start()
        return self
