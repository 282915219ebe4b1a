"""A virtio-mmio device as VIRTIO 1.2 describes it; breaking its rules is an AssertionError.

`Slot` is one device with its registers (4.2.2; legacy: 4.2.4) and split virtqueues (2.7) in the
driver's memory, `Bus` a row of slots at `stride` bytes from each other.
"""

import ctypes as c
import struct
from collections.abc import Callable

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, FAILED = 1, 2, 4, 8, 128
ANY_LAYOUT, VERSION_1 = 1 << 27, 1 << 32
WRITE = 2  # VIRTQ_DESC_F_WRITE
MAGIC = int.from_bytes(b"virt", "little")
LEGACY_ONLY = {0x28, 0x3C, 0x40}
MODERN_ONLY = {0x44, 0x80, 0x84, 0x90, 0x94, 0xA0, 0xA4}


def memory(addr: int, size: int) -> bytes:
    return c.string_at(addr, size)


def poke(addr: int, data: bytes) -> None:
    c.memmove(addr, data, len(data))


def u16(addr: int) -> int:
    return int.from_bytes(memory(addr, 2), "little")


class Queue:
    """The device's side of one virtqueue."""

    def __init__(self, size: int, descriptors: int, available: int, used: int) -> None:
        assert (descriptors % 16, available % 2, used % 4) == (0, 0, 0)  # (2.7)
        self.size, self.descriptors, self.available, self.used = size, descriptors, available, used
        self.seen = self.pushed = 0
        self.snapshot: tuple[int, bytes] = (0, b"")

    def pop(self) -> list[tuple[int, int, int, int]]:
        """What the driver made available: id, address, length, flags."""
        out = []
        while self.seen != u16(self.available + 2):
            head = u16(self.available + 4 + 2 * (self.seen % self.size))
            addr, length, flags, _ = struct.unpack(
                "<QIHH", memory(self.descriptors + 16 * head, 16)
            )
            assert flags & ~WRITE == 0
            out.append((head, addr, length, flags))
            self.seen = (self.seen + 1) & 0xFFFF
        return out

    def push(self, head: int, length: int) -> None:
        poke(self.used + 4 + 8 * (self.pushed % self.size), struct.pack("<II", head, length))
        self.pushed = (self.pushed + 1) & 0xFFFF
        self.set_index(self.pushed)

    def set_index(self, index: int) -> None:
        poke(self.used + 2, struct.pack("<H", index & 0xFFFF))

    def no_notify(self, wanted: bool) -> None:
        poke(self.used, struct.pack("<H", wanted))

    def interrupts_wanted(self) -> bool:
        return u16(self.available) == 0

    def barrier(self) -> None:
        """Entries must be in memory one barrier before the index that covers them (2.7.13.3)."""
        index = u16(self.available + 2)
        ring = memory(self.available + 4, 2 * self.size)
        old_index, old_ring = self.snapshot
        for i in range((index - old_index) & 0xFFFF):
            at = 2 * ((old_index + i) % self.size)
            assert ring[at : at + 2] == old_ring[at : at + 2], "index published before its entry"
        self.snapshot = (index, ring)


class Slot:
    """One device. What it does wrong on purpose is set in its attributes."""

    def __init__(
        self,
        device_id: int,
        *,
        legacy: bool = False,
        features: int = VERSION_1 | ANY_LAYOUT,
        config: bytes = b"",
        queues: int = 2,
    ) -> None:
        self.id, self.legacy, self.config = device_id, legacy, bytearray(config)
        self.offered = features & 0xFFFFFFFF if legacy else features
        self.version = 1 if legacy else 2
        self.magic = MAGIC
        self.queue_max = [1024] * queues
        self.refuses = self.never_resets = False
        self.in_use = 0  # what QueueReady or QueuePFN reads before set-up
        self.on_interrupt_read: Callable[[], None] = lambda: None
        self.on_notify: Callable[[int], None] = lambda queue: None
        self.status_log: list[int] = []
        self.status, self.isr, self.was_reset = 0x0F, 0, False
        self.accepted = 0
        self.queues: dict[int, Queue] = {}
        self.notified: list[int] = []
        self.acknowledged: list[int] = []
        self.regs: dict[int, int] = {}

    def read(self, reg: int) -> int:
        simple = {0x00: self.magic, 0x04: self.version, 0x08: self.id, 0x70: self.status}
        if reg in simple:
            return simple[reg]
        self._check(reg)
        if reg == 0x10:
            assert self.status & DRIVER, "features read before DRIVER"
            return self.offered >> 32 * self.regs.get(0x14, 0) & 0xFFFFFFFF
        if reg == 0x34:
            queue = self.regs.get(0x30, 0)
            return self.queue_max[queue] if queue < len(self.queue_max) else 0
        if reg in (0x40, 0x44):
            return self.in_use
        if reg == 0x60:
            isr = self.isr
            self.on_interrupt_read()
            return isr
        raise AssertionError(f"read of register {reg:#x}")

    def _check(self, reg: int) -> None:
        assert reg % 4 == 0
        assert reg not in (MODERN_ONLY if self.legacy else LEGACY_ONLY), f"{reg:#x}: wrong version"
        assert self.was_reset, "used before it was reset"

    def write(self, reg: int, value: int) -> None:
        if reg == 0x70:
            self._write_status(value)
            return
        self._check(reg)
        self.regs[reg] = value
        if reg == 0x20:
            assert self.status == ACKNOWLEDGE | DRIVER, "features written in the wrong state"
            shift = 32 * self.regs.get(0x24, 0)
            self.accepted = self.accepted & ~(0xFFFFFFFF << shift) | value << shift
            assert self.accepted & ~self.offered == 0, "accepted what was not offered (2.2.1)"
        elif reg in (0x38, 0x40, 0x44):
            ready = ACKNOWLEDGE | DRIVER | (0 if self.legacy else FEATURES_OK)
            assert self.status == ready, "queue set up in the wrong state"
            if reg != 0x38:
                self._add_queue(value)
        elif reg == 0x50:
            assert self.status & DRIVER_OK, "notified before DRIVER_OK (3.1.1)"
            self.notified.append(value)
            self.on_notify(value)
        elif reg == 0x64:
            assert value & ~self.isr == 0, "acknowledged what was not there"
            self.isr &= ~value
            self.acknowledged.append(value)

    def _write_status(self, value: int) -> None:
        self.status_log.append(value)
        if value == 0:
            self.was_reset = True
            self.queues.clear()
            self.accepted = self.isr = 0
            self.status = self.status if self.never_resets else 0
            return
        assert value & self.status == self.status, "a status bit was cleared (2.1.1)"
        self.status = value
        if self.refuses:
            self.status &= ~FEATURES_OK

    def _add_queue(self, value: int) -> None:
        r, size = self.regs, self.regs[0x38]
        assert size & size - 1 == 0
        if self.legacy:
            start, align = value * r[0x28], r[0x3C]
            available = start + 16 * size
            used = -(-(available + 6 + 2 * size) // align) * align  # (2.7.2)
            self.queues[r[0x30]] = Queue(size, start, available, used)
        else:
            assert value == 1
            areas = [r[low] | r[low + 4] << 32 for low in (0x80, 0x90, 0xA0)]
            self.queues[r[0x30]] = Queue(size, *areas)

    def read8(self, reg: int) -> int:
        assert reg >= 0x100, "registers are 32 bits wide (4.2.2.2)"
        return self.config[reg - 0x100]


class Bus:
    """Slots at `stride`; None is an empty one (device id 0)."""

    def __init__(self, *slots: Slot | None, stride: int = 0x200) -> None:
        self.slots = [s or Slot(0) for s in slots]
        self.stride = stride

    def read(self, offset: int) -> int:
        return self.slots[offset // self.stride].read(offset % self.stride)

    def write(self, offset: int, value: int) -> None:
        self.slots[offset // self.stride].write(offset % self.stride, value)

    def read8(self, offset: int) -> int:
        return self.slots[offset // self.stride].read8(offset % self.stride)


class StrictBus(Bus):
    """A bus that also looks at memory at every barrier."""

    def dma(self, what: str, addr: int, length: int) -> None:
        assert what == "barrier"
        for slot in self.slots:
            for queue in slot.queues.values():
                queue.barrier()
