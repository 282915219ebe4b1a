"""The board in QEMU, or as a process: power, reset, cable, sensors and hanging from outside."""

import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from edgeuk import device_config
from edgeuk.errors import DeviceError
from edgeuk.hil.console import Console
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import WiredSensor
from edgeuk.probe.engine import EngineError
from edgeuk.probe.gdb import Gdb
from edgeuk.run.host import Host
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qemu
from edgeuk.run.serial import Bridge, is_serial
from edgeuk.run.session import localised, uplink

# By the beginning of the processor's name: the gdb stub's number of the program counter, and the
# instruction that jumps to itself.
CPSR, THUMB = 25, 1 << 5  # of 32-bit Arm in QEMU's gdb stub; Armv7-A ARM, B1.3.3
LOOPS = {
    "cortex-m": (15, bytes.fromhex("fee7")),  # b . (Armv6-M ARM, A6.7.10, encoding T2)
    "cortex-a7": (15, bytes.fromhex("feffffea")),  # b . (Armv7-A ARM, A8.8.18, encoding A1)
    "cortex-a": (32, bytes.fromhex("00000014")),  # b . (Armv8-A ARM, C6.2.26)
    "x86_64": (16, bytes.fromhex("ebfe")),  # jmp . (Intel SDM, volume 2, JMP)
}


class QemuTarget(Target):
    """A machine per power-on; what it keeps over power cycles is its image and configuration."""

    name = "qemu"

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        self._stack = ExitStack()
        self._machine: Process | None = None
        self._starts = 0
        console.ended = self._ended

    @property
    def on(self) -> bool:
        return self._machine is not None

    def _ended(self) -> str:
        status = self._machine.poll() if self._machine else None
        return "" if status is None else f"the machine ended by itself (status {status})"

    def power_on(self) -> None:
        job = self.job
        net = uplink(job.board, job.values)
        blob = device_config.encode(localised(job.values, net.host))
        self.console.start("power on")
        machine: Process
        if job.board.qemu is None:
            machine = Host(job.image.image, blob, on_line=self.console.feed)
        else:
            extra = ["-action", "reboot=reset"]  # or a reset would end it
            if net.netdev:
                self._starts += 1
                self.packets = job.folder / f"packets{self._starts}.pcap"
                dump = f"filter-dump,id=capture,netdev=net0,file={self.packets}"
                extra += ["-object", dump]
            machine = Qemu(
                job.board,
                job.image.image,
                blob,
                netdev=net.netdev,
                extra=extra,
                on_line=self.console.feed,
            )
        if is_serial(job.board):
            port, topic = int(job.values["mqtt.port"]), job.values["mqtt.topic"]
            machine.text_of = self._stack.enter_context(Bridge("127.0.0.1", port, topic)).feed
        self._machine = self._stack.enter_context(machine)

    def power_off(self) -> None:
        self.console.ended = lambda: "the power was switched off"
        self._stack.close()
        self._machine = None
        self.console.ended = self._ended

    def reset(self) -> None:
        self.need("reset")
        machine = self._qemu("reset")
        self.console.start("reset")
        machine.qmp("system_reset")

    def flash(self) -> None:
        """QEMU loads the image at each power-on: there is nothing else to write."""

    def hang(self) -> None:
        machine = self._qemu("hang")
        at, loop = next(v for k, v in LOOPS.items() if self.job.board.cpu.startswith(k))
        with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
            path = Path(folder) / "gdb"
            line = f"gdbserver unix:{path},server=on,wait=off"
            machine.qmp("human-monitor-command", **{"command-line": line})
            with socket.socket(socket.AF_UNIX) as connection:
                try:
                    connection.connect(str(path))
                    gdb = Gdb(connection)
                    counter = gdb.get(at)
                    if loop == LOOPS["cortex-a7"][1] and gdb.get(CPSR) & THUMB:
                        loop = LOOPS["cortex-m"][1]
                    answer = gdb.ask(f"M{counter:x},{len(loop):x}:{loop.hex()}")
                    if answer != b"OK":
                        raise EngineError(f"memory at {counter:#x} cannot be written")
                    gdb.ask("D")  # goes on
                except (OSError, EngineError) as e:
                    raise DeviceError(f"the firmware cannot be made to hang: {e}") from None
            machine.qmp("human-monitor-command", **{"command-line": "gdbserver none"})
        self.console.start("the firmware hangs from here on")

    def set_cable(self, plugged: bool) -> None:
        self.need("cable")
        self._qemu("cable").qmp("set_link", name=self.job.wiring.cable, up=plugged)

    def set_sensor(self, sensor: WiredSensor, value: float) -> None:
        self.need("sensors")
        machine = self._qemu("sensors")
        if not sensor.qom:
            self.lacks("sensors", f"QEMU has no model of the sensor at {sensor.at}")
        raw = round(value * sensor.scale)
        machine.qmp("qom-set", path=sensor.qom, property=sensor.prop, value=raw)

    def close(self) -> None:
        self.power_off()

    def _qemu(self, part: str) -> Qemu:
        if self.job.board.qemu is None:
            self.lacks(part, f"board {self.job.board.name} is a process: it has no {part}")
        if not isinstance(self._machine, Qemu):
            raise DeviceError("the board is switched off", hint="board.on() first")
        return self._machine
