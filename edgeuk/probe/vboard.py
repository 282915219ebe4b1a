"""One virtual board: engine, debug logic, flash that outlives the power, console, pins."""

import contextlib
import importlib
from collections.abc import Callable
from pathlib import Path

from edgeuk.cache import write_atomic
from edgeuk.probe.cortex_m import CortexM
from edgeuk.probe.engine import Engine, EngineError
from edgeuk.probe.engine_qemu import QemuEngine
from edgeuk.probe.parts import Area, Part
from edgeuk.probe.swd import Swd

CONSOLE_MAX = 1 << 20  # bytes kept
NVMC, CONFIG, ERASE_ALL = 0x4001E000, 0x504, 0x50C  # nRF51 Reference Manual 3.0, NVMC
WRITE_ENABLE, ERASE_ENABLE = 1, 2
PAGE = 0x400


class VirtualBoard:
    """`qemu` is the command line before the machine; `folder` gets QEMU's own log."""

    def __init__(
        self,
        part: Part,
        flash: Path,
        folder: Path,
        *,
        qemu: Callable[[str], tuple[list[str], dict[str, str]]],
        preexec: Callable[[], None] | None = None,
    ) -> None:
        self.part, self._flash, self._folder = part, flash, folder
        self._qemu, self._preexec = qemu, preexec
        self._console = bytearray()
        self._dropped = 0  # bytes of console that are gone
        self.booted = 0  # bytes of console before the last reset
        self._saved: bytes | None = None
        self.trouble = ""  # why it is not what it was
        self.on = False

    # power
    def power_on(self, *, run: bool = True) -> None:
        """Runs what is in the flash. Raises `EngineError`."""
        if self.on:
            return
        self.engine = self._make_engine()
        self.engine.start()
        self.on, self.trouble = True, ""
        try:
            self._restore()
            self.core = CortexM(self.engine, self.part.core, self._reset_chip)
            vendor = self.part.vendor(self._erase_all) if self.part.vendor else None
            self.swd = Swd(self.core, vendor)
            if run:
                self.core.reset()
            else:
                self._reset_chip()
        except EngineError:
            self._off()
            raise

    def power_off(self) -> None:
        """Flash is kept."""
        if self.on:
            try:
                self.save()
            finally:
                self._off()

    def reset(self) -> None:
        """The reset button."""
        if self.trouble:
            self._off()
            self.power_on()
            return
        self.core.reset()

    def _reset_chip(self) -> None:
        """What a reset does beside the core, whoever asks for it."""
        self.save()
        self._take_console()
        self.booted = self._dropped + len(self._console)
        kept = None
        if self.part.uicr:  # QEMU blanks it at every reset; silicon keeps it
            kept = self.engine.read_block(self.part.uicr.base, self.part.uicr.size)
        self.engine.reset()
        if kept is not None and self.part.uicr:
            self.engine.write_block(self.part.uicr.base, kept)
        self._read_lock()

    def tick(self) -> None:
        """Look after it: called often. A QEMU that died is noticed here."""
        if not self.on or self.trouble:
            return
        try:
            self.core.look()
            self._take_console()
        except EngineError as e:
            self._died(e)
        if not self.trouble and not self.engine.alive():
            self._died(EngineError("the emulator has ended"))

    def _died(self, e: EngineError) -> None:
        output = self.engine.output()
        if "Lockup" in output:
            # QEMU ends where silicon just sits there: it comes back with the core locked up, and
            # with the debugger that was there still there.
            core, port, booted = self.core, self.swd, self.booted
            with contextlib.suppress(OSError):  # its last words are still on their way
                self._take_console()
            self._off()
            self.power_on(run=False)
            self.booted = booted
            self.core.lock_up(core)
            self.swd.go_on(port)
            return
        self.trouble = f"{e}{f': {output}' if output else ''}"

    def _off(self) -> None:
        self.engine.stop()
        self.on = False

    def _make_engine(self) -> Engine:
        if self.part.controller is None:
            argv, env = self._qemu(self.part.machine)
            return QemuEngine(
                argv, self._folder, env=env, preexec=self._preexec, pins=self.part.pins
            )
        module = importlib.import_module("edgeuk.probe.engine_unicorn")
        if self.part.machine:
            argv, env = self._qemu(self.part.machine)
            hybrid = importlib.import_module("edgeuk.probe.engine_hybrid")
            qemu = QemuEngine(argv, self._folder, env=env, preexec=self._preexec)
            made = module.UnicornEngine(self.part, self.part.controller())
            found: Engine = hybrid.HybridEngine(self.part, made, qemu, self._folder)
            return found
        engine: Engine = module.UnicornEngine(self.part, self.part.controller())
        return engine

    def pin(self, number: int) -> bool:
        """The level of a pin: what the chip drives, else what comes from outside."""
        if self.part.port is None or not 0 <= number < 32:
            raise EngineError(f"this board's pin {number} cannot be seen")
        outputs, inputs, directions = self.part.port
        driven = self.engine.read(directions, 32) >> number & 1
        return bool(self.engine.read(outputs if driven else inputs, 32) >> number & 1)

    # flash
    def save(self) -> None:
        """Write the flash to its file if it has changed."""
        data = b"".join(self.engine.read_block(a.base, a.size) for a in self._areas())
        if data != self._saved:
            write_atomic(self._flash, data, 0o600)  # a key may be in it
            self._saved = data

    def _restore(self) -> None:
        """Blank flash is 0xff, which QEMU's is not at first; then what was there."""
        total = sum(a.size for a in self._areas())
        try:
            data = self._flash.read_bytes()
        except FileNotFoundError:
            data = b""
        self._saved = data
        if len(data) != total:
            data = b"\xff" * total
        if self.part.controller is None:
            self.engine.write(NVMC + CONFIG, ERASE_ENABLE, 32)
            self.engine.write(NVMC + ERASE_ALL, 1, 32)
            self.engine.write(NVMC + CONFIG, WRITE_ENABLE, 32)
        at = 0
        for area in self._areas():
            for offset in range(0, area.size, PAGE):
                piece = data[at + offset : at + offset + PAGE]
                if piece.count(0xFF) != len(piece):
                    self.engine.load_flash(area.base + offset, piece)
            at += area.size
        if self.part.controller is None:
            self.engine.write(NVMC + CONFIG, 0, 32)

    def _areas(self) -> tuple[Area, ...]:
        return (*self.part.flash, *((self.part.uicr,) if self.part.uicr else ()))

    def _erase_all(self) -> None:
        for area in self.part.flash:
            self.engine.load_flash(area.base, b"\xff" * area.size)

    def _read_lock(self) -> None:
        """Protection is read from flash when the part comes out of reset."""
        if self.part.lock and self.swd.vendor:
            address, mask, is_open = self.part.lock
            value = self.engine.read_block(address, 1)[0]
            self.swd.vendor.locked = value != 0xFF and value & mask != is_open

    # console
    def console(self, since: int) -> tuple[int, bytes]:
        """What was printed from byte `since` on, and the number of the byte after it."""
        self._take_console()
        start = max(since - self._dropped, 0)
        return self._dropped + len(self._console), bytes(self._console[start:])

    def _take_console(self) -> None:
        if self.on and not self.trouble:
            self.engine.drain()
            self._console += self.engine.console
            self.engine.console.clear()
        too_many = len(self._console) - CONSOLE_MAX
        if too_many > 0:
            del self._console[:too_many]
            self._dropped += too_many
