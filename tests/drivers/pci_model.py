"""PCI as configuration mechanism 1 shows it, and a virtio device on it, as PCI 3.0 and VIRTIO 1.2
describe them; breaking their rules is an AssertionError.

`Function` is a function with its BARs and capabilities, `Virtio` one that is a virtio device,
`Pci` the machine: what a driver test gives to `load`.
"""

import struct
from collections.abc import Callable

from driver_harness import BASE
from virtio_model import (
    ACKNOWLEDGE,
    ANY_LAYOUT,
    DRIVER,
    DRIVER_OK,
    FEATURES_OK,
    VERSION_1,
    Queue,
)

PORTS, MEMORY, MASTER, NO_LINE = 1, 2, 4, 1 << 10  # command register
VENDOR_CAP, MSIX_CAP = 0x09, 0x11
COMMON, NOTIFY, ISR, DEVICE = 1, 2, 3, 4
NO_VECTOR = 0xFFFF
WAKE = (0xFEE0_0000, 0x30)  # what the harness's ek_bus_wake_message() says
FEATURES = VERSION_1 | ANY_LAYOUT | 1 << 5 | 1 << 16


class Bar:
    """A base address register: `address` 0 where nobody has assigned one."""

    def __init__(self, size: int, address: int, *, ports: bool = False, wide: bool = False) -> None:
        assert size & size - 1 == 0
        self.size, self.address, self.ports, self.wide = size, address, ports, wide

    @property
    def flags(self) -> int:
        return 1 if self.ports else 4 if self.wide else 0


class Function:
    """One function's configuration space."""

    def __init__(self, vendor: int, device: int, *, subsystem: int = 0, header: int = 0) -> None:
        self.config = bytearray(256)
        struct.pack_into("<HH", self.config, 0, vendor, device)
        struct.pack_into("<H", self.config, 0x2E, subsystem)
        self.config[0x0E] = header
        self.bars: dict[int, Bar] = {}
        self._next_cap = 0x40
        self.last_cap = 0x34
        self.msix_at = 0
        self.msix_table = bytearray(16)
        self.msix_place = (0, 0)
        self.messages_on = False

    def add_cap(self, kind: int, body: bytes) -> int:
        at = self._next_cap
        self.config[at : at + 2 + len(body)] = bytes([kind, 0]) + body
        self.config[self.last_cap if self.last_cap == 0x34 else self.last_cap + 1] = at
        self.config[6] |= 0x10
        self.last_cap, self._next_cap = at, at + -(-(2 + len(body)) // 4) * 4
        return at

    def add_msix(self, bar: int, offset: int = 0) -> None:
        self.msix_at = self.add_cap(MSIX_CAP, struct.pack("<HII", 2, offset | bar, 0x800 | bar))
        self.msix_place = (bar, offset)

    @property
    def command(self) -> int:
        return int.from_bytes(self.config[4:6], "little")

    def read_config(self, at: int) -> int:
        index = (at - 0x10) // 4
        if 0 <= index < (2 if self.config[0x0E] & 0x7F else 6):
            if index in self.bars:
                bar = self.bars[index]
                return (bar.address | bar.flags) & 0xFFFFFFFF
            wide = self.bars.get(index - 1)
            return wide.address >> 32 if wide and wide.wide else 0
        return int.from_bytes(self.config[at : at + 4], "little")

    def write_config(self, at: int, value: int) -> None:
        index = (at - 0x10) // 4
        if 0 <= index < 6:
            assert not self.command & (PORTS | MEMORY) or value == self.read_config(at), (
                "a BAR was changed while it was decoded (6.2.5.1)"
            )
            wide = self.bars.get(index - 1)
            if index in self.bars:
                bar = self.bars[index]
                low = value & ~(bar.size - 1) & 0xFFFFFFFF & (0xFFFF if bar.ports else ~0)
                bar.address = bar.address & ~0xFFFFFFFF | low
            elif wide and wide.wide:
                mask = ~(wide.size - 1) & (1 << 64) - 1
                wide.address = (wide.address & 0xFFFFFFFF | value << 32) & mask
        elif at == 4:
            self.config[4:6] = struct.pack("<H", value & 0xFFFF)
        elif at == self.msix_at and at:
            self.messages_on = bool(value >> 31)
            self.masked = bool(value >> 30 & 1)
            self.config[at + 2 : at + 4] = struct.pack("<H", value >> 16)
        else:
            raise AssertionError(f"write of configuration register {at:#x}")

    def place(self, address: int, *, ports: bool) -> tuple[int, int] | None:
        """BAR and offset of an access."""
        assert ports or address >= BASE
        for index, bar in self.bars.items():
            if bar.ports == ports and bar.address <= address < bar.address + bar.size:
                assert self.command & (PORTS if ports else MEMORY), "not decoded"
                return index, address - bar.address
        return None

    def access(self, bar: int, offset: int, bits: int, value: int | None) -> int:
        base = self.msix_place[1]
        if self.msix_at and bar == self.msix_place[0] and base <= offset < base + 16:
            assert bits == 32
            assert value is not None
            assert self.messages_on
            assert self.masked, "the table was written while in use (6.8.3.5)"
            struct.pack_into("<I", self.msix_table, offset - base, value)
            return 0
        return self.structure(bar, offset, bits, value)

    def structure(self, bar: int, offset: int, bits: int, value: int | None) -> int:
        raise AssertionError(f"access to BAR {bar}, offset {offset:#x}")


class Virtio(Function):
    """A virtio device. What it does wrong on purpose is set in its attributes."""

    def __init__(
        self,
        id_: int = 1,
        *,
        modern: bool = True,
        legacy: bool = False,
        messages: bool = True,
        memory: int = 0xFE00_0000,
        sizes: tuple[int, ...] = (256, 256),
        config: bytes = bytes.fromhex("525400123456") + b"\1\0",
        caps: Callable[["Virtio"], None] | None = None,
    ) -> None:
        device = 0x1000 + id_ - 1 if legacy else 0x1040 + id_
        super().__init__(0x1AF4, device, subsystem=id_ if legacy else 0x1100)
        self.is_legacy = not modern
        if legacy:
            self.bars[0] = Bar(64, 0xC000, ports=True)
        self.bars[1] = Bar(4096, 0xFEBF_0000)
        if messages:
            self.add_msix(1)
        if modern:
            self.bars[4] = Bar(0x4000, memory, wide=True)
            self.add_cap(VENDOR_CAP, b"\x14\x05" + bytes(16))  # PCI configuration access
            (caps or Virtio.usual_caps)(self)
        self.offered = FEATURES if modern else FEATURES & 0xFFFFFFFF
        self.sizes, self.device_config = list(sizes), bytearray(config)
        self.refuses = self.never_resets = self.no_vectors = False
        self.notify_offs = list(range(len(sizes)))
        self.status, self.isr, self.selected, self.accepted = 0x0F, 0, 0, 0
        self.select = {0: 0, 8: 0}  # feature words
        self.vectors: dict[int, int] = {}
        self.areas: dict[int, dict[int, int]] = {}
        self.chosen: dict[int, int] = {}
        self.queues: dict[int, Queue] = {}
        self.notified: list[int] = []
        self.status_log: list[int] = []

    def vendor_cap(self, kind: int, bar: int, offset: int, length: int, step: int = 0) -> None:
        body = bytes([20, kind, bar, 0, 0, 0]) + struct.pack("<III", offset, length, step)
        self.add_cap(VENDOR_CAP, body)

    def usual_caps(self) -> None:
        self.vendor_cap(COMMON, 4, 0x0000, 0x1000)
        self.vendor_cap(ISR, 4, 0x1000, 0x1000)
        self.vendor_cap(DEVICE, 4, 0x2000, 0x1000)
        self.vendor_cap(NOTIFY, 4, 0x3000, 0x1000, 4)

    def structure(self, bar: int, offset: int, bits: int, value: int | None) -> int:
        if bar == 0:
            return self._legacy(offset, bits, value)
        assert bar == 4, f"BAR {bar}"
        kind, at = offset >> 12, offset & 0xFFF
        if kind == 0:
            return self._common(at, bits, value)
        if kind == 1:
            assert (at, bits, value) == (0, 8, None)
            return self._take_isr()
        if kind == 2:
            assert bits == 8
            assert value is None
            return self.device_config[at]
        assert bits == 16
        assert value is not None
        assert self.status & DRIVER_OK, "notified before DRIVER_OK (3.1.1)"
        assert at == 4 * self.notify_offs[value], "the wrong queue's doorbell"
        self.notified.append(value)
        return 0

    def _take_isr(self) -> int:
        assert not self.messages_on, "no one sets it while messages are on (4.1.4.5)"
        isr, self.isr = self.isr, 0
        return isr

    def _set_status(self, value: int) -> None:
        self.status_log.append(value)
        if value == 0:
            self.queues.clear()
            self.vectors.clear()
            self.accepted = self.isr = 0
            self.status = self.status if self.never_resets else 0
            return
        assert value & self.status == self.status, "a status bit was cleared (2.1.1)"
        self.status = value & ~(FEATURES_OK if self.refuses else 0)

    def _accept(self, shift: int, value: int) -> None:
        assert self.status == ACKNOWLEDGE | DRIVER, "features written in the wrong state"
        self.accepted = self.accepted & ~(0xFFFFFFFF << shift) | value << shift
        assert self.accepted & ~self.offered == 0, "accepted what was not offered (2.2.1)"

    def _vector(self, value: int | None) -> int:
        if value is not None:
            assert self.messages_on
            self.vectors[self.selected] = NO_VECTOR if self.no_vectors else value
            return 0
        return self.vectors.get(self.selected, NO_VECTOR)

    def _common(self, at: int, bits: int, value: int | None) -> int:
        width = {0x10: 16, 0x12: 16, 0x14: 8, 0x15: 8} | dict.fromkeys(range(0x16, 0x20, 2), 16)
        assert bits == width.get(at, 32), f"{bits} bits at {at:#x} (4.1.3.1)"
        if at in (0x00, 0x08):
            assert value in (0, 1)
            self.select[at] = value
        elif at == 0x04:
            return self.offered >> 32 * self.select[0] & 0xFFFFFFFF
        elif at == 0x0C:
            assert value is not None
            self._accept(32 * self.select[8], value)
        elif at == 0x12:
            return len(self.sizes)
        elif at == 0x14:
            if value is None:
                return self.status
            self._set_status(value)
        elif at == 0x16:
            assert value is not None
            self.selected = value
        else:
            return self._queue_register(at, value)
        return 0

    def _queue_register(self, at: int, value: int | None) -> int:
        there = self.selected < len(self.sizes)
        if value is None:
            enabled = self.selected in self.queues
            size = self.sizes[self.selected] if there else 0
            off = self.notify_offs[self.selected] if there else 0
            return {0x18: size, 0x1A: self._vector(None), 0x1C: enabled, 0x1E: off}[at]
        assert self.status == ACKNOWLEDGE | DRIVER | FEATURES_OK, "queue set up in the wrong state"
        if at == 0x18:
            assert 0 < value <= self.sizes[self.selected]
            self.chosen[self.selected] = value
        elif at == 0x1A:
            return self._vector(value)
        elif at == 0x1C:
            assert value == 1
            a = self.areas[self.selected]
            places = [a[low] | a[low + 4] << 32 for low in (0x20, 0x28, 0x30)]
            self.queues[self.selected] = Queue(self.chosen[self.selected], *places)
        else:
            assert 0x20 <= at < 0x38, f"write of {at:#x}"
            self.areas.setdefault(self.selected, {})[at] = value
        return 0

    def _legacy(self, at: int, bits: int, value: int | None) -> int:  # (4.1.4.10)
        start = 24 if self.messages_on else 20
        if at >= start:
            assert bits == 8
            assert value is None
            return self.device_config[at - start]
        widths = {0: 32, 4: 32, 8: 32, 12: 16, 14: 16, 16: 16, 18: 8, 19: 8, 20: 16, 22: 16}
        assert bits == widths[at]
        there = self.selected < len(self.sizes)
        if at == 0:
            return self.offered
        if at == 4:
            assert value is not None
            self._accept(0, value)
        elif at == 8:
            if value is None:
                return int(self.selected in self.queues)
            assert self.status == ACKNOWLEDGE | DRIVER, "queue set up in the wrong state"
            size, begin = self.sizes[self.selected], value * 4096
            used = -(-(begin + 18 * size + 6) // 4096) * 4096  # (2.7.2)
            self.queues[self.selected] = Queue(size, begin, begin + 16 * size, used)
        elif at == 12:
            assert value is None
            return self.sizes[self.selected] if there else 0
        elif at == 14:
            assert value is not None
            self.selected = value
        elif at == 16:
            assert value is not None
            assert self.status & DRIVER_OK, "notified before DRIVER_OK (3.1.1)"
            self.notified.append(value)
        elif at == 18:
            if value is None:
                return self.status
            self._set_status(value)
        elif at == 19:
            return self._take_isr()
        elif at == 22:
            return self._vector(value)
        else:
            raise AssertionError(f"legacy register {at}")
        return 0


class Pci:
    """A machine: functions by (bus, device, number)."""

    def __init__(self, functions: dict[tuple[int, int, int], Function]) -> None:
        self.functions = {b << 16 | d << 11 | f << 8: x for (b, d, f), x in functions.items()}
        self.address = 0
        self.config_reads = 0

    def port_out(self, port: int, bits: int, value: int) -> None:
        if port == 0xCF8:
            assert bits == 32
            assert value >> 31
            self.address = value & 0x7FFFFFFF
        elif port == 0xCFC:
            self.functions[self.address & ~0xFF].write_config(self.address & 0xFF, value)
        else:
            self._access(port, bits, value, ports=True)

    def port_in(self, port: int, bits: int) -> int:
        if port == 0xCFC:
            self.config_reads += 1
            function = self.functions.get(self.address & ~0xFF)
            return function.read_config(self.address & 0xFF) if function else 0xFFFFFFFF
        return self._access(port, bits, None, ports=True)

    def _access(self, address: int, bits: int, value: int | None, *, ports: bool) -> int:
        for function in self.functions.values():
            place = function.place(address, ports=ports)
            if place:
                assert function.command & MASTER, "used before it may reach memory"
                return function.access(*place, bits, value)
        raise AssertionError(f"nobody is at {address:#x}")

    def _memory(self, offset: int, bits: int, value: int | None = None) -> int:
        return self._access(offset + BASE, bits, value, ports=False)

    def read(self, offset: int) -> int:
        return self._memory(offset, 32)

    def read16(self, offset: int) -> int:
        return self._memory(offset, 16)

    def read8(self, offset: int) -> int:
        return self._memory(offset, 8)

    def write(self, offset: int, value: int) -> None:
        self._memory(offset, 32, value)

    def write16(self, offset: int, value: int) -> None:
        self._memory(offset, 16, value)

    def write8(self, offset: int, value: int) -> None:
        self._memory(offset, 8, value)
