"""Two emulators for one chip: Unicorn, whose flash can be written, until the core is sent into its
flash; then a QEMU machine of the same family, which runs the image but takes its flash for ROM. A
reset brings Unicorn back. Only the flash is handed over, so the image always begins at its start.
"""

from pathlib import Path
from typing import Any

from edgeuk.probe.engine import Engine
from edgeuk.probe.engine_qemu import QemuEngine
from edgeuk.probe.parts import Part


class HybridEngine:
    """`writer` has the flash and its controller, `runner` runs what is in it."""

    def __init__(self, part: Part, writer: Engine, runner: QemuEngine, folder: Path) -> None:
        self._part, self._writer, self._runner = part, writer, runner
        self._image = folder / "flash-image.bin"
        self._now: Engine = writer
        self._armed: set[tuple[int, int, int]] = set()
        self.asleep = False

    @property
    def running(self) -> bool:
        return self._now.running

    @property
    def fault(self) -> str:
        return self._now.fault

    @property
    def watched(self) -> int | None:
        return self._now.watched

    @property
    def console(self) -> bytearray:
        return self._runner.console

    @property
    def system(self) -> frozenset[str]:
        return self._now.system

    def start(self) -> None:
        self._writer.start()

    def stop(self) -> None:
        self._runner.stop()
        self._writer.stop()

    def alive(self) -> bool:
        return self._now.alive()

    def reset(self) -> None:
        self._runner.stop()
        self._writer.reset()
        self._switch(self._writer)

    def run(self) -> None:
        if self._now is self._writer and self._in_flash(self._writer.get(15)):
            area = self._part.flash[0]
            self._image.write_bytes(self._writer.read_block(area.base, area.size))
            self._runner.extra = ("-kernel", str(self._image))
            self._runner.start()
            self._switch(self._runner)
        self._now.run()

    def _switch(self, engine: Engine) -> None:
        if engine is not self._now:
            for point in self._armed:
                if self._now.alive():
                    self._now.breakpoint(False, *point)
                engine.breakpoint(True, *point)
        self._now = engine

    def breakpoint(self, on: bool, kind: int, address: int, size: int) -> bool:
        done = self._now.breakpoint(on, kind, address, size)
        if done:
            (self._armed.add if on else self._armed.discard)((kind, address, size))
        return done

    def _in_flash(self, address: int) -> bool:
        return any(address in area for area in self._part.flash)

    # memory: the flash is the writer's, the rest of whoever runs
    def load_flash(self, address: int, data: bytes) -> None:
        self._writer.load_flash(address, data)

    def read(self, address: int, width: int) -> int:
        return self._of(address).read(address, width)

    def write(self, address: int, value: int, width: int) -> None:
        self._of(address).write(address, value, width)

    def read_block(self, address: int, size: int) -> bytes:
        return self._of(address).read_block(address, size)

    def write_block(self, address: int, data: bytes) -> None:
        self._of(address).write_block(address, data)

    def _of(self, address: int) -> Engine:
        return self._writer if self._in_flash(address) else self._now

    # the rest is whoever runs
    def get(self, register: int | str) -> int:
        return self._now.get(register)

    def set(self, register: int | str, value: int) -> None:
        self._now.set(register, value)

    def halt(self) -> None:
        self._now.halt()

    def step(self, mask_interrupts: bool) -> None:
        self._now.step(mask_interrupts)

    def poll(self, wait_s: float = 0.0) -> bool:
        return self._now.poll(wait_s)

    def filenos(self) -> list[int]:
        return self._now.filenos()

    def drain(self) -> None:
        self._runner.drain()

    def output(self) -> str:
        return self._now.output()

    def type(self, data: bytes) -> None:
        self._runner.type(data)

    def set_pin(self, pin: int, level: bool) -> None:
        self._runner.set_pin(pin, level)

    def set_property(self, path: str, name: str, value: int | bool) -> None:
        self._runner.set_property(path, name, value)

    def get_property(self, path: str, name: str) -> Any:
        return self._runner.get_property(path, name)
