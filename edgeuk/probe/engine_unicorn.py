"""Unicorn as the silicon of parts whose flash controller QEMU does not have.

It runs flash algorithms for real against a model of the controller. It has no interrupts and no
peripherals, so firmware does not run here: a core sent into flash sleeps (`asleep`) until it is
halted or reset. Instructions are executed while somebody polls, in slices; there are no threads.
"""

import time
from typing import Any

import unicorn as untyped
from unicorn import arm_const as arm

from edgeuk.probe.controllers import Controller
from edgeuk.probe.engine import XPSR, BusFault, EngineError
from edgeuk.probe.parts import Area, Part

unicorn: Any = untyped
SLICE = 20_000  # instructions, a few milliseconds
BKPT = 7  # as Unicorn numbers exceptions
MODELS = {
    0xC20: arm.UC_CPU_ARM_CORTEX_M0,
    0xC60: arm.UC_CPU_ARM_CORTEX_M0,
    0xC23: arm.UC_CPU_ARM_CORTEX_M3,
    0xC24: arm.UC_CPU_ARM_CORTEX_M4,
}
REGISTERS: dict[int | str, int] = {
    **{i: arm.UC_ARM_REG_R0 + i for i in range(13)},
    13: arm.UC_ARM_REG_SP,
    14: arm.UC_ARM_REG_LR,
    "msp": arm.UC_ARM_REG_MSP,
    "psp": arm.UC_ARM_REG_PSP,
    "primask": arm.UC_ARM_REG_PRIMASK,
    "control": arm.UC_ARM_REG_CONTROL,
    "basepri": arm.UC_ARM_REG_BASEPRI,
    "faultmask": arm.UC_ARM_REG_FAULTMASK,
}
PPB = Area(0xE0000000, 0x100000)
PAGE = 0x1000


class UnicornEngine:
    """One core of a part; `controller` is the model of its flash controller."""

    def __init__(self, part: Part, controller: Controller) -> None:
        self.part, self.controller = part, controller
        self.running, self.fault, self.asleep = False, "", False
        self.watched: int | None = None
        self.console = bytearray()
        self.system = frozenset(n for n in REGISTERS if isinstance(n, str))
        self._uc: Any = None

    def start(self) -> None:
        uc: Any = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self._uc = uc
        uc.ctl_set_cpu_model(MODELS[self.part.core])
        self._stores: dict[int, tuple[int, int]] = {}  # address -> size, what is to stand there
        self._remembered = dict(self.part.words)
        self._hooks: dict[int, int] = {}
        self._pc, self._thumb, self._skip, self._stopped = 0, 0, -1, False
        for area in (*self.part.ram, PPB, *((self.part.info,) if self.part.info else ())):
            uc.mem_map(area.base, area.size)
        for area in self.part.flash:
            uc.mem_map(area.base, area.size)
            uc.mem_write(area.base, b"\xff" * area.size)
            last = area.base + area.size - 1
            uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._on_store, None, area.base, last)
        base, rom = self.controller.rom()
        if rom:
            uc.mem_map(base, len(rom))
            uc.mem_write(base, rom)
        uc.mem_write(0xE000ED00, (0x410FC001 | self.part.core << 4).to_bytes(4, "little"))
        for address, value in self.part.words.items():
            if address not in self.part.devices:
                uc.mem_write(address, value.to_bytes(4, "little"))
        devices = self.part.devices
        uc.mmio_map(devices.base, devices.size, self._on_read, None, self._on_write, None)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)
        for address in self.controller.calls:
            uc.hook_add(unicorn.UC_HOOK_CODE, self._on_call, None, address, address)
        self.reset()

    def stop(self) -> None:
        self._uc, self.running = None, False

    def alive(self) -> bool:
        return self._uc is not None

    def reset(self) -> None:
        self.running, self.fault, self.asleep = False, "", False
        vectors = self.part.flash[0].base
        stack, entry = (int.from_bytes(self.read_block(vectors + o, 4), "little") for o in (0, 4))
        self._uc.mem_write(0xE000ED08, vectors.to_bytes(4, "little"))
        self.set(13, stack & ~3)
        self.set(14, 0xFFFFFFFF)
        self._pc, self._thumb = entry & ~1, entry & 1

    def load_flash(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    # what a controller works on
    def erase(self, address: int, size: int) -> None:
        if self._in_flash(address, size):
            self._uc.mem_write(address, b"\xff" * size)

    def program(self, address: int, data: bytes) -> None:
        if self._in_flash(address, len(data)):
            now = self._uc.mem_read(address, len(data))
            self._uc.mem_write(address, bytes(a & b for a, b in zip(now, data, strict=True)))

    def erase_all(self) -> None:
        for area in self.part.flash:
            self.erase(area.base, area.size)

    def ram(self, address: int, size: int) -> bytes:
        return self.read_block(address, size)

    def _in_flash(self, address: int, size: int) -> bool:
        return any(address in a and address + size <= a.base + a.size for a in self.part.flash)

    # bus
    def read(self, address: int, width: int) -> int:
        if address in self.part.devices:
            return self._on_read(None, address - self.part.devices.base, width // 8, None)
        return int.from_bytes(self.read_block(address, width // 8), "little")

    def write(self, address: int, value: int, width: int) -> None:
        size = width // 8
        if address in self.part.devices:
            self._on_write(None, address - self.part.devices.base, size, value, None)
        elif any(address in a for a in self.part.flash):
            self._on_store(None, 0, address, size, value, None)
            self._settle()
        else:
            self.write_block(address, value.to_bytes(size, "little"))

    def read_block(self, address: int, size: int) -> bytes:
        if self.part.mirror and address in self.part.mirror:
            address += self.part.flash[0].base - self.part.mirror.base
        try:
            return bytes(self._uc.mem_read(address, size))
        except unicorn.UcError:
            raise BusFault(address) from None

    def write_block(self, address: int, data: bytes) -> None:
        if any(address in a for a in self.part.flash):
            for i in range(0, len(data) & ~3, 4):
                self.write(address + i, int.from_bytes(data[i : i + 4], "little"), 32)
            return
        try:
            self._uc.mem_write(address, data)
        except unicorn.UcError:
            raise BusFault(address) from None

    # core
    def get(self, register: int | str) -> int:
        if register == 15:
            return self._pc
        if register == XPSR:
            flags = int(self._uc.reg_read(arm.UC_ARM_REG_XPSR)) & 0xF8000000
            return self._thumb << 24 | flags
        return int(self._uc.reg_read(REGISTERS[register]))

    def set(self, register: int | str, value: int) -> None:
        if register == 15:
            self._pc = value & ~1
        elif register == XPSR:
            self._thumb = value >> 24 & 1
        else:
            self._uc.reg_write(REGISTERS[register], value)

    def breakpoint(self, on: bool, kind: int, address: int, size: int) -> bool:
        if kind > 1:
            return False
        if on and address not in self._hooks:
            hook = self._uc.hook_add(unicorn.UC_HOOK_CODE, self._on_code, None, address, address)
            self._hooks[address] = hook
        elif not on and address in self._hooks:
            self._uc.hook_del(self._hooks.pop(address))
        return True

    def run(self) -> None:
        self.fault, self._stopped, self.running = "", False, True
        self._skip = -1
        self.asleep = any(self._pc in a for a in self.part.flash)

    def halt(self) -> None:
        self.running = self.asleep = False

    def step(self, mask_interrupts: bool) -> None:
        self.fault, self._stopped, self._skip = "", False, self._pc
        self._execute(1)

    def poll(self, wait_s: float = 0.0) -> bool:
        """A slice at least, more while there is time."""
        end = time.monotonic() + wait_s
        while self.running and not self.asleep:
            self._execute(SLICE)
            if self._stopped or self.fault:
                self.running = False
            if time.monotonic() >= end:
                break
        return self.running

    def type(self, data: bytes) -> None:
        raise EngineError("this board's firmware does not run, so it has no console")

    def set_pin(self, pin: int, level: bool) -> None:
        raise EngineError("this board's pins cannot be driven")

    def set_property(self, path: str, name: str, value: int | bool) -> None:
        raise EngineError("this board has no sensors")

    def get_property(self, path: str, name: str) -> Any:
        raise EngineError("this board has no sensors")

    def drain(self) -> None:
        pass

    def output(self) -> str:
        return ""

    def filenos(self) -> list[int]:
        """Nothing to wait for: it only runs while it is polled."""
        return []

    def _execute(self, count: int) -> None:
        if not self._thumb:
            self.fault = "it left the Thumb state"
            return
        try:
            self._uc.emu_start(self._pc | 1, 0xFFFFFFFF, count=count)
        except unicorn.UcError as e:
            self.fault = str(e)
        self._pc = self._uc.reg_read(arm.UC_ARM_REG_PC) & ~1
        self._settle()

    # hooks
    def _on_store(self, _uc: Any, _kind: int, address: int, size: int, value: int, _: Any) -> None:
        """Comes before the store is done; what is to stand there is put there afterwards."""
        self._settle()
        now = int.from_bytes(self._uc.mem_read(address, size), "little")
        new = self.controller.store(now, value & (1 << 8 * size) - 1, size)
        self._stores[address] = (size, new)

    def _settle(self) -> None:
        for address, (size, value) in self._stores.items():
            self._uc.mem_write(address, value.to_bytes(size, "little"))
        self._stores.clear()

    def _on_read(self, _uc: Any, offset: int, size: int, _: Any) -> int:
        self._settle()
        address = self.part.devices.base + offset
        inside = address - self.controller.base
        if 0 <= inside < self.controller.size:
            value = self.controller.read(inside, size)
            if value is not None:
                return value
        word = self._remembered.get(address & ~3, 0)
        return word >> 8 * (address & 3) & (1 << 8 * size) - 1

    def _on_write(self, _uc: Any, offset: int, size: int, value: int, _: Any) -> None:
        self._settle()
        address = self.part.devices.base + offset
        inside = address - self.controller.base
        if 0 <= inside < self.controller.size:
            self.controller.write(self, inside, size, value)
        elif address & ~3 not in self.part.words:
            self._remembered[address & ~3] = value << 8 * (address & 3) & 0xFFFFFFFF

    def _on_exception(self, _uc: Any, number: int, _: Any) -> None:
        """A BKPT stops; there is nothing to handle any other exception."""
        self._stopped = True
        if number != BKPT:
            self.fault = f"exception {number}"
        self._uc.emu_stop()

    def _on_call(self, _uc: Any, address: int, _size: int, _: Any) -> None:
        first, second, third, fourth = (self._uc.reg_read(arm.UC_ARM_REG_R0 + i) for i in range(4))
        result = self.controller.call(self, address, (first, second, third, fourth))
        self._uc.reg_write(arm.UC_ARM_REG_R0, result)
        self._uc.reg_write(arm.UC_ARM_REG_PC, self._uc.reg_read(arm.UC_ARM_REG_LR) | 1)

    def _on_code(self, _uc: Any, address: int, _size: int, _: Any) -> None:
        if address != self._skip:
            self._stopped = True
            self._uc.emu_stop()
        self._skip = -1
