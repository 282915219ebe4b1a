"""What an emulated processor reaches, on Unicorn: memory with its rights, registers of devices.

Unicorn's rights are of pages, a protection unit's may be finer: what a part of a page lacks is
looked at access by access. Unicorn, asked to stop, leaves an instruction whose access to a register
is done without its end, and executes it again: `_done` keeps that access from being made twice.
So one that only looks the same, first after a stop, is taken for it: a poll sees once more what it
saw. An instruction with several such accesses would make all but the last again; no driver has one.
Time passes between two runs, not at a read: a loop that only reads a register until it changes with
the time would not end; no driver has one either.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import unicorn as untyped
from unicorn import arm_const as arm

unicorn: Any = untyped
PAGE = 0x1000


class Protection(Protocol):
    """Who may do what, besides what the map says."""

    def allows(self, address: int, size: int, how: str) -> bool:
        """`how`: "r", "w" or "x"."""
        ...


class Register(Protocol):
    """A block of registers."""

    def read(self, offset: int, size: int) -> int: ...

    def write(self, offset: int, size: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Memory:
    """RAM, or flash (`writable` False)."""

    base: int
    size: int
    writable: bool = True


class DeviceError(Exception):
    """A device answers an access with an error."""


class AddressSpace:
    """Unicorn and all that it can reach. `between`: what waits for the instruction to end."""

    def __init__(self, memory: tuple[Memory, ...]) -> None:
        self._memory = memory
        self.protection: Protection | None = None
        self.between: list[Callable[[], None]] = []
        self.accesses = 0  # to registers, so far
        self._blocks: dict[int, tuple[int, Register]] = {}  # size and registers, by address
        # Address, size and value (-1: a read) of the last one, and what was read.
        self._last: tuple[tuple[int, int, int], int] | None = None
        self._done: tuple[tuple[int, int, int], int] | None = None
        self._fault: tuple[int, int] | None = None  # access, address of the last one refused
        self._forbidden: list[Any] = []  # hooks
        self._uc: Any = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        self._uc.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M4)
        for area in memory:
            self._uc.mem_map(area.base, area.size)
        self._uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_invalid)

    def _interrupted(self) -> bool:
        """Whether an exception is to be taken now."""
        raise NotImplementedError

    def map(self, base: int, size: int, registers: Register) -> None:
        def read(_uc: Any, offset: int, width: int, _: Any) -> int:
            access, done = (base + offset, width, -1), self._done
            if done is not None:
                self._done = None
                if done[0] == access:
                    return done[1]
            self.accesses += 1
            try:
                value = registers.read(offset, width)
            except DeviceError:
                self._refuse(unicorn.UC_MEM_READ_PROT, base + offset)
                return 0
            self._last = (access, value)
            return value

        def write(_uc: Any, offset: int, width: int, value: int, _: Any) -> None:
            access, done = (base + offset, width, value), self._done
            if done is not None:
                self._done = None
                if done[0] == access:
                    return
            self.accesses += 1
            try:
                registers.write(offset, width, value)
            except DeviceError:
                self._refuse(unicorn.UC_MEM_WRITE_PROT, base + offset)
                return
            self._last = (access, 0)
            if self.between or self._interrupted():
                self._uc.emu_stop()

        self._uc.mmio_map(base, size, read, None, write, None)
        self._blocks[base] = (size, registers)

    def unmap(self, base: int, size: int) -> None:
        self._uc.mem_unmap(base, size)
        del self._blocks[base]

    def later(self, action: Callable[[], None]) -> None:
        """Do something when the instruction that is being executed has ended."""
        self.between.append(action)

    def protect(self, edges: list[int]) -> None:
        """The rights changed, at the addresses `edges`, multiples of 32."""
        assert self.protection is not None
        for hook in self._forbidden:
            self._uc.hook_del(hook)
        self._forbidden.clear()
        for area in self._memory:
            end = area.base + area.size
            cuts = sorted({area.base, end, *(e for e in edges if area.base < e < end)})
            pages = {c & -PAGE for c in cuts} | {-(-c // PAGE) * PAGE for c in cuts}
            pages = {p for p in pages if area.base <= p <= end}
            bounds = sorted(pages)
            for start, stop in itertools.pairwise(bounds):
                self._protect_pages(start, stop, [c for c in cuts if start < c < stop])
        self._uc.ctl_flush_tb()

    def _protect_pages(self, start: int, stop: int, cuts: list[int]) -> None:
        """One right for these pages; what some part of them lacks is looked at access by access."""
        assert self.protection is not None
        rights = 0
        inside = [start, *cuts, stop]
        parts = list(itertools.pairwise(inside))
        for how, flag in (("r", unicorn.UC_PROT_READ), ("w", unicorn.UC_PROT_WRITE)):
            if all(self.protection.allows(a, 1, how) for a, _ in parts):
                rights |= flag
        runs = [self.protection.allows(a, 1, "x") for a, _ in parts]
        if any(runs):
            rights |= unicorn.UC_PROT_EXEC
            for (a, b), allowed in zip(parts, runs, strict=True):
                if not allowed:
                    kind = unicorn.UC_HOOK_CODE
                    hook = self._uc.hook_add(kind, self._on_forbidden, None, a, b - 1)
                    self._forbidden.append(hook)
        self._uc.mem_protect(start, stop - start, rights)

    def protect_nothing(self) -> None:
        for hook in self._forbidden:
            self._uc.hook_del(hook)
        self._forbidden.clear()
        for area in self._memory:
            rights = unicorn.UC_PROT_ALL
            if not area.writable:
                rights &= ~unicorn.UC_PROT_WRITE
            self._uc.mem_protect(area.base, area.size, rights)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._uc.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self._uc.mem_write(address, data)

    def has(self, address: int, size: int, write: bool = False) -> bool:
        return any(
            a.base <= address and address + size <= a.base + a.size and (a.writable or not write)
            for a in self._memory
        )

    def area(self, address: int) -> Memory | None:
        return next((a for a in self._memory if a.base <= address < a.base + a.size), None)

    def block(self, address: int) -> tuple[int, Register] | None:
        """Registers, and their first address."""
        for base, (size, registers) in self._blocks.items():
            if base <= address < base + size:
                return base, registers
        return None

    def forget(self, address: int, size: int) -> None:
        """What was translated of the code there: it is another now."""
        self._uc.ctl_remove_cache(address, address + size)

    def _may(self, address: int, size: int, how: str) -> bool:
        if not self.has(address, size, how == "w"):
            return False
        return self.protection is None or self.protection.allows(address, size, how)

    def _halfword(self, address: int) -> int:
        return int.from_bytes(self.read(address, 2), "little") if self.has(address, 2) else 0

    def get(self, register: int) -> int:
        return int(self._uc.reg_read(register))

    def set(self, register: int, value: int) -> None:
        self._uc.reg_write(register, value)

    def _refuse(self, access: int, address: int) -> None:
        """A device has."""
        self._fault = (access, address)
        self._uc.emu_stop()

    def _on_forbidden(self, _uc: Any, address: int, _size: int, _: Any) -> None:
        self._fault = (unicorn.UC_MEM_FETCH_PROT, address)
        self._uc.emu_stop()

    def _on_invalid(
        self, _uc: Any, access: int, address: int, size: int, _value: int, _: Any
    ) -> bool:
        reads = (unicorn.UC_MEM_READ_PROT, unicorn.UC_MEM_WRITE_PROT)
        if access in reads and self.protection is not None:
            how = "r" if access == unicorn.UC_MEM_READ_PROT else "w"
            if self._may(address, size, how):
                return True
        self._fault = (access, address)
        return False
