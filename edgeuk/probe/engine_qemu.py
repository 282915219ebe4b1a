"""QEMU as the silicon. Each of its doors does what it is best at: the gdb stub runs and stops the
CPU, qtest is the bus master (it goes through device models and works while the CPU runs), QMP
resets. All are pairs of sockets that exist before QEMU does: no names, nothing to wait for.
"""

import base64
import json
import os
import re
import select
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgeuk.probe.engine import EngineError
from edgeuk.probe.gdb import Gdb

DOORS = ("gdb", "qmp", "qtest", "uart")
ANSWER_S = 10.0
STOP_S = 3.0
OUTPUT_MAX = 4000  # bytes of QEMU's own words in a message


class QemuEngine:
    """One QEMU. `preexec` runs in the child before QEMU does."""

    def __init__(
        self,
        argv: Sequence[str],
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        preexec: Callable[[], None] | None = None,
        pins: str = "",
    ) -> None:
        self._argv, self._folder, self._env, self._preexec = list(argv), folder, env, preexec
        self.extra: tuple[str, ...] = ()  # more of the command line, of the next start
        self._pins = pins  # QOM path of the device whose inputs are the board's pins
        self.running, self.fault = False, ""
        self.watched: int | None = None
        self.asleep = False
        self.console = bytearray()
        self.system: frozenset[str] = frozenset()
        self._child: subprocess.Popen[bytes] | None = None
        self._sockets: dict[str, socket.socket] = {}
        self._buffers: dict[str, bytes] = {}
        self._events: list[str] = []

    # power
    def start(self) -> None:
        pairs = {name: socket.socketpair() for name in DOORS}
        argv = [
            *self._argv,
            *self.extra,
            "-S",
            "-display",
            "none",
            "-monitor",
            "none",
            "-nodefaults",
        ]
        for name in DOORS:
            argv += ["-chardev", f"socket,id={name},fd={pairs[name][1].fileno()}"]
        argv += ["-gdb", "chardev:gdb", "-mon", "chardev=qmp,mode=control"]
        argv += ["-qtest", "chardev:qtest", "-qtest-log", "/dev/null", "-serial", "chardev:uart"]
        self._sockets = {name: ours for name, (ours, _) in pairs.items()}
        self._buffers = dict.fromkeys(DOORS, b"")
        try:
            with (self._folder / "qemu.log").open("wb") as out:
                self._child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(self._env or {})},
                    pass_fds=[theirs.fileno() for _, theirs in pairs.values()],
                    preexec_fn=self._preexec,
                )
        except OSError as e:
            raise EngineError(f"cannot start {argv[0]}: {e.strerror}") from None
        finally:
            for _, theirs in pairs.values():
                theirs.close()
        for ours in self._sockets.values():
            ours.settimeout(ANSWER_S)
        try:
            self._line("qmp")  # the greeting
            self._command("qmp_capabilities")
            self._gdb = Gdb(self._sockets["gdb"])
        except EngineError:
            self.stop()
            raise EngineError(f"QEMU did not start: {self.output() or 'it said nothing'}") from None
        self.system = frozenset(self._gdb.numbers)
        self.running, self.fault = False, ""

    def stop(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._sockets = {}
        if self._child is not None:
            self._child.terminate()
            try:
                self._child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._child, self.running = None, False

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def output(self) -> str:
        """QEMU's own last words."""
        try:
            return (self._folder / "qemu.log").read_text(errors="replace")[-OUTPUT_MAX:].strip()
        except OSError:
            return ""

    def reset(self) -> None:
        if self.running:
            self.halt()
        self._events.clear()
        self._command("system_reset")
        end = time.monotonic() + ANSWER_S
        while "RESET" not in self._events:
            if time.monotonic() > end:
                raise EngineError("QEMU does not reset")
            self._events.append(json.loads(self._line("qmp")).get("event", ""))

    def load_flash(self, address: int, data: bytes) -> None:
        self.write_block(address, data)

    # bus
    def read(self, address: int, width: int) -> int:
        return int(self._qtest(f"read{'bwl'[width // 16]} {address:#x}"), 16)

    def write(self, address: int, value: int, width: int) -> None:
        self._qtest(f"write{'bwl'[width // 16]} {address:#x} {value:#x}")

    def read_block(self, address: int, size: int) -> bytes:
        return base64.b64decode(self._qtest(f"b64read {address:#x} {size:#x}")) if size else b""

    def write_block(self, address: int, data: bytes) -> None:
        if data:
            text = base64.b64encode(data).decode()
            self._qtest(f"b64write {address:#x} {len(data):#x} {text}")

    def set_pin(self, pin: int, level: bool) -> None:
        # QEMU ends with an assertion on a path that does not exist, so only ours is used.
        if not self._pins:
            raise EngineError("this board's pins cannot be driven")
        self._qtest(f"set_irq_in {self._pins} unnamed-gpio-in {pin} {int(level)}")

    def set_property(self, path: str, name: str, value: int | bool) -> None:
        self._command("qom-set", path=path, property=name, value=value)

    def get_property(self, path: str, name: str) -> Any:
        return self._command("qom-get", path=path, property=name)

    # core
    def get(self, register: int | str) -> int:
        return self._gdb.get(register)

    def set(self, register: int | str, value: int) -> None:
        self._gdb.set(register, value)

    def breakpoint(self, on: bool, kind: int, address: int, size: int) -> bool:
        return self._gdb.ask(f"{'Z' if on else 'z'}{kind},{address:x},{size:x}") == b"OK"

    def run(self) -> None:
        self._gdb.send("c")
        self.running = True

    def halt(self) -> None:
        if not self.running:
            return
        self._gdb.interrupt()
        if self.poll(ANSWER_S):
            raise EngineError("the emulated core does not stop")

    def step(self, mask_interrupts: bool) -> None:
        self._gdb.ask(f"Qqemu.sstep={7 if mask_interrupts else 1:#x}")
        self._gdb.ask("s")

    def poll(self, wait_s: float = 0.0) -> bool:
        if self.running:
            stop = self._gdb.receive(wait_s)
            if stop is not None:
                self.running = False
                found = re.search(rb"watch:([0-9a-f]+)", stop)  # also of rwatch and awatch
                self.watched = int(found[1], 16) if found else None
        self.drain()
        return self.running

    # console
    def type(self, data: bytes) -> None:
        self._sockets["uart"].sendall(data)

    def drain(self) -> None:
        """Take what the UART sent."""
        uart = self._sockets.get("uart")
        while uart and select.select([uart], [], [], 0)[0]:
            data = uart.recv(65536)
            if not data:
                return
            self.console += data

    def filenos(self) -> list[int]:
        """Where to wait for something to happen."""
        return [self._sockets[name].fileno() for name in ("gdb", "uart") if name in self._sockets]

    # sockets
    def _command(self, name: str, **arguments: Any) -> Any:
        request = {"execute": name, "arguments": arguments}
        self._send("qmp", json.dumps(request).encode() + b"\n")
        while True:
            answer = json.loads(self._line("qmp"))
            if "event" in answer:
                self._events.append(answer["event"])
            elif "error" in answer:
                raise EngineError(f"QEMU refuses {name}: {answer['error']['desc']}")
            elif "return" in answer:
                return answer["return"]

    def _qtest(self, command: str) -> str:
        self._send("qtest", command.encode() + b"\n")
        while True:
            line = self._line("qtest").decode()
            if line.startswith("OK"):
                return line[3:].strip()
            if not line.startswith("IRQ"):
                raise EngineError(f"QEMU refuses {command[:40]}: {line}")

    def _send(self, door: str, data: bytes) -> None:
        try:
            self._sockets[door].sendall(data)
        except (OSError, KeyError):
            raise EngineError("QEMU has ended") from None

    def _line(self, door: str) -> bytes:
        while b"\n" not in self._buffers[door]:
            try:
                data = self._sockets[door].recv(1 << 18)
            except TimeoutError:
                raise EngineError(f"no answer from QEMU within {ANSWER_S:g} s") from None
            except (OSError, KeyError):
                data = b""
            if not data:
                raise EngineError("QEMU has ended")
            self._buffers[door] += data
        line, self._buffers[door] = self._buffers[door].split(b"\n", 1)
        return line
