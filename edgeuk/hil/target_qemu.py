"""The board in QEMU, in a model of our own or as a process: power, reset, network, sensors, pins
and hanging from outside."""

import socket
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from elftools.elf.elffile import ELFFile

from edgeuk.board import Board
from edgeuk.errors import DeviceError
from edgeuk.hil.console import Console
from edgeuk.hil.gate import Gate, options
from edgeuk.hil.target import Job, Target
from edgeuk.hil.wiring import WiredSensor, Wiring
from edgeuk.probe.engine import EngineError
from edgeuk.probe.gdb import Gdb
from edgeuk.run import emulated, emulator
from edgeuk.run.emulated import Emulated
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
# By a port's driver: where its outputs are read, and by which bit: the board's prop `base`, then
# the pin. pl061: DDI 0190, 3.3.1 (the address masks); imx_gpio: IMX6ULRM, GPIOx_DR; nrf51_gpio: the
# reference manual's OUT.
OUTPUTS: dict[str, Callable[[int, int], tuple[int, int]]] = {
    "pl061": lambda base, pin: (base + (4 << pin), pin),
    "imx_gpio": lambda base, pin: (base, pin),
    "nrf51_gpio": lambda base, pin: (0x5000_0504, pin),
}
RESET_S = 120.0  # a watchdog needs less


class QemuTarget(Target):
    """A machine per power-on; what it keeps over power cycles is its image and configuration."""

    name = "qemu"

    def __init__(self, job: Job, console: Console) -> None:
        super().__init__(job, console)
        self._stack = ExitStack()
        self._machine: Process | None = None
        self._starts = 0
        self._gate: Gate | None = None
        console.ended = self._ended

    @classmethod
    def check(cls, board: Board, wiring: Wiring) -> None:
        if board.cpu == "host":
            return
        if board.unicorn:
            emulated.check()
            return
        if board.qemu is None:
            what = f"board `{board.name}` has no [run.qemu]: it does not run in QEMU"
            raise DeviceError(what, hint="--target probe, or another board")
        emulator.find_emulator(board)

    @property
    def on(self) -> bool:
        return self._machine is not None

    def _ended(self) -> str:
        status = self._machine.poll() if self._machine else None
        return "" if status is None else f"the machine ended by itself (status {status})"

    def power_on(self) -> None:
        job = self.job
        net = uplink(job.board, job.values)
        values = localised(job.values, net.host)
        blob = job.config(values)
        self.console.start("power on")
        machine: Process
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ek-")))
        feed = self.console.feed
        capture = self._capture() if net.netdev else None
        if job.board.unicorn:
            image = job.image.image
            machine = Emulated(
                job.board, image, blob, netdev=net.netdev, capture=capture, on_line=feed
            )
        elif job.board.qemu is None:
            machine = Host(job.image.image, blob, on_line=feed)
        else:
            machine = Qemu(
                job.board,
                job.image.image,
                blob,
                netdev=net.netdev,
                extra=[*self._extra(capture), *job.wiring.qemu_args],
                on_line=feed,
            )
        if is_serial(job.board):
            port, topic = int(job.values["mqtt.port"]), job.values["mqtt.topic"]
            machine.text_of = self._stack.enter_context(Bridge("127.0.0.1", port, topic)).feed
        self._stack.enter_context(machine)
        if isinstance(machine, Emulated):
            machine.qmp("set-action", reboot="reset")
        if isinstance(machine, Qemu):
            try:
                machine.qmp("query-status")
            except DeviceError:
                self._stack.close()
                words = machine.tail(4)
                raise DeviceError(
                    f"QEMU ended as it started ({machine.argv[0]}):\n{words}",
                    hint="[qemu] args of the wiring file and [run.qemu] of the board are its words",
                ) from None
        self._machine = machine

    def _capture(self) -> Path:
        """Of this power-on."""
        self._starts += 1
        return self.job.folder / f"packets{self._starts}.pcap"

    def _extra(self, capture: Path | None) -> list[str]:
        qtest = self._folder / "qtest"
        extra = ["-action", "reboot=reset"]  # or a reset would end it
        extra += ["-qtest", f"unix:{qtest},server=on,wait=off", "-qtest-log", "/dev/null"]
        if capture:
            extra += ["-object", f"filter-dump,id=capture,netdev=net0,file={capture}"]
            extra += options(self._folder)
        return extra

    def power_off(self) -> None:
        self.console.ended = lambda: "the power was switched off"
        self._machine = None
        if self._gate:
            self._gate.close()
            self._gate = None
        self._stack.close()
        self.console.ended = self._ended

    def reset(self) -> None:
        self.need("reset")
        machine = self._machine if self.job.board.unicorn else self._qemu("reset")
        if not isinstance(machine, Qemu | Emulated):
            raise DeviceError("the board is switched off", hint="board.on() first")
        self.console.start("reset")
        machine.qmp("system_reset")

    def flash(self) -> None:
        """QEMU loads the image at each power-on: there is nothing else to write."""

    def hang(self) -> None:
        self.need("watchdog")
        machine = self._qemu("hang")
        pc, loop = next(v for k, v in LOOPS.items() if self.job.board.cpu.startswith(k))
        path = self._folder / "gdb"
        line = f"gdbserver unix:{path},server=on,wait=off"
        machine.qmp("human-monitor-command", **{"command-line": line})
        connection = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        try:
            connection.connect(str(path))
            gdb = Gdb(connection)
            at = _get(gdb, pc)
            if self.job.board.cpu == "cortex-a7" and _get(gdb, CPSR) & THUMB:
                loop = LOOPS["cortex-m"][1]
            good = bytes.fromhex(gdb.ask(f"m{at:x},{len(loop):x}").decode())
            _write(gdb, at, loop)
            self.console.start("the firmware hangs from here on")
            if not self.job.board.cpu.startswith("cortex-m"):
                gdb.ask("D")  # goes on; a reset loads the image anew
                return
            # QEMU fills its flash once only: the image must be whole again before its first
            # instruction, where the stub stops the reset processor.
            entry = _entry(self.job.image.image)
            gdb.ask(f"Z1,{entry:x},2")
            gdb.send("c")
        except (OSError, EngineError, ValueError) as e:
            raise DeviceError(f"the firmware cannot be made to hang: {e}") from None

        def heal() -> None:
            with suppress(EngineError, OSError):  # the machine has ended, or the test has
                if gdb.receive(RESET_S) is not None:
                    _write(gdb, at, good)
                    gdb.ask(f"z1,{entry:x},2")
                    gdb.ask("D")

        threading.Thread(target=heal, daemon=True).start()

    def set_cable(self, plugged: bool) -> None:
        self.need("cable")
        self._qemu("cable").qmp("set_link", name=self.job.wiring.cable, up=plugged)

    def set_network(self, delay_s: float, loss: float) -> None:
        self.need("network")
        machine = self._qemu("network")
        if self._gate is None:
            self._gate = Gate(self._folder, machine.qmp, self.job.seed)
        self._gate.set(delay_s, loss)

    def set_sensor(self, sensor: WiredSensor, value: float) -> None:
        self.need("sensors")
        machine = self._qemu("sensors")
        if not sensor.qom:
            self.lacks("sensors", f"QEMU has no model of the sensor at {sensor.at}")
        raw = round(value * sensor.scale)
        machine.qmp("qom-set", path=sensor.qom, property=sensor.prop, value=raw)

    def set_pin(self, device: str, pin: int, high: bool) -> None:
        path = self._port(device)
        self._qtest(f"set_irq_in {path} unnamed-gpio-in {pin} {int(high)}")

    def get_pin(self, device: str, pin: int) -> bool:
        self._port(device)
        port = self.job.board.devices[device]
        if port.driver not in OUTPUTS:
            self.lacks("pins", f"it is not known where {port.driver} shows its outputs")
        address, bit = OUTPUTS[port.driver](int(port.props.get("base", 0)), pin)
        return bool(int(self._qtest(f"readl {address:#x}"), 16) >> bit & 1)

    def close(self) -> None:
        self.power_off()

    def _port(self, device: str) -> str:
        """QEMU's path of a port's model: it ends with an assertion on one that does not exist."""
        self.need("pins")
        machine = self._qemu("pins")
        wired = self.job.wiring.ports.get(device)
        if wired is None:
            self.lacks("pins", f"{device} is not in hil/wiring/{self.job.board.name}.toml")
        if wired.qom.startswith("/"):
            machine.qmp("qom-list", path=wired.qom)
            return wired.qom
        found = [
            entry["name"]
            for entry in machine.qmp("qom-list", path="/machine/unattached")
            if entry["type"] == f"child<{wired.qom}>"
        ]
        found.sort(key=lambda name: int(name.partition("[")[2].rstrip("]") or 0))
        if wired.index >= len(found):
            raise DeviceError(f"QEMU's machine has no {wired.qom} number {wired.index}")
        return f"/machine/unattached/{found[wired.index]}"

    def _qtest(self, command: str) -> str:
        """QEMU's qtest protocol (docs/devel/testing/qtest.rst): a line each way."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            try:
                connection.connect(str(self._folder / "qtest"))
                connection.sendall(command.encode() + b"\n")
                with connection.makefile() as file:
                    answer = file.readline()
            except OSError as e:
                raise DeviceError(f"QEMU's qtest does not answer: {e}") from None
        if not answer.startswith("OK"):
            raise DeviceError(f"QEMU refuses {command}: {answer.strip()}")
        return answer[2:].strip() or "0"

    def _qemu(self, part: str) -> Qemu:
        board = self.job.board
        if board.unicorn:
            self.lacks(part, f"board {board.name} is not in QEMU, but in a model without {part}")
        if board.qemu is None:
            self.lacks(part, f"board {board.name} is a process: it has no {part}")
        if not isinstance(self._machine, Qemu):
            raise DeviceError("the board is switched off", hint="board.on() first")
        return self._machine


def _get(gdb: Gdb, number: int) -> int:
    """A register by the stub's own number: `Gdb.get` has those of Cortex-M."""
    return int.from_bytes(bytes.fromhex(gdb.ask(f"p{number:x}").decode()), "little")


def _write(gdb: Gdb, at: int, data: bytes) -> None:
    if gdb.ask(f"M{at:x},{len(data):x}:{data.hex()}") != b"OK":
        raise EngineError(f"memory at {at:#x} cannot be written")


def _entry(image: Path) -> int:
    with image.open("rb") as file:
        return int(ELFFile(file).header.e_entry) & ~1
