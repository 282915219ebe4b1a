"""What a probe reaches over two wires: the debug port, the bus access port and a second access port
in which vendors put unlocking.

Follows the Arm Debug Interface Architecture Specification ADIv5.2 (IHI 0031E): chapters B2 and C2.
"""

from collections.abc import Callable

from edgeuk.probe.cortex_m import ROM, CortexM
from edgeuk.probe.engine import BusFault

DPIDR = {True: 0x0BB11477, False: 0x2BA01477}  # Armv6-M, Armv7-M parts
POWER_REQUESTS = 0x50000000  # CTRL/STAT.CSYSPWRUPREQ and CDBGPWRUPREQ; the acks are one bit higher
CSW, TAR, DRW, CFG, BASE, IDR = 0x00, 0x04, 0x0C, 0xF4, 0xF8, 0xFC
WIDTHS = (8, 16, 32)


class VendorPort:
    """Access port 1 of parts that have one. `erase_all` is given by the board."""

    idr = 0

    def __init__(self, erase_all: Callable[[], None]) -> None:
        self._erase_all = erase_all
        self.locked = False

    def read(self, register: int) -> int:
        return self.idr if register == IDR else 0

    def write(self, register: int, value: int) -> None:
        pass

    def mass_erase(self) -> None:
        """The only way out of the lock, on silicon as here."""
        self._erase_all()
        self.locked = False


class KinetisMdm(VendorPort):
    """MDM-AP (K64 Sub-Family Reference Manual, Debug): status 0x00, control 0x04."""

    idr = 0x001C0000
    READY, SECURITY, ERASE_ENABLED, ACKNOWLEDGE = 1 << 1, 1 << 2, 1 << 5, 1 << 0

    def __init__(self, erase_all: Callable[[], None]) -> None:
        super().__init__(erase_all)
        self._control = 0
        self._acknowledged = False

    def read(self, register: int) -> int:
        if register == 0:
            status = self.READY | self.ERASE_ENABLED
            status |= self.SECURITY * self.locked | self.ACKNOWLEDGE * self._acknowledged
            return status
        return self._control if register == 4 else super().read(register)

    def write(self, register: int, value: int) -> None:
        if register == 4:
            self._control = value & ~1  # the erase is done at once
            if value & 1:
                self.mass_erase()
                self._acknowledged = True


class NordicCtrl(VendorPort):
    """CTRL-AP (nRF52840 Product Specification, Debug): RESET 0x0, ERASEALL 0x4, its status 0x8,
    APPROTECTSTATUS 0xC."""

    idr = 0x12880000

    def read(self, register: int) -> int:
        return int(not self.locked) if register == 0xC else super().read(register)

    def write(self, register: int, value: int) -> None:
        if register == 4 and value & 1:
            self.mass_erase()


class Swd:
    """Registers of the ports. Raises `BusFault` as the protocol's FAULT answer."""

    def __init__(self, core: CortexM, vendor: VendorPort | None) -> None:
        self.core, self.vendor = core, vendor
        self._select = self._power = self._csw = self._tar = self._read_buffer = 0

    @property
    def locked(self) -> bool:
        """Whether the bus is closed to the debugger."""
        return self.vendor is not None and self.vendor.locked

    def go_on(self, other: "Swd") -> None:
        """Take over what the debugger has selected."""
        self._select, self._power = other._select, other._power
        self._csw, self._tar = other._csw, other._tar

    def read_dp(self, address: int) -> int:
        """DPIDR, CTRL/STAT, RDBUFF."""
        register = address & 0xC
        if register == 0:
            return DPIDR[self.core.armv6m]
        if register == 4 and self._select & 15 == 0:
            return self._power | (self._power & POWER_REQUESTS) << 1
        return self._read_buffer if register == 0xC else 0

    def write_dp(self, address: int, value: int) -> None:
        """CTRL/STAT, SELECT; ABORT has nothing to clear."""
        register = address & 0xC
        if register == 8:
            self._select = value
        elif register == 4 and self._select & 15 == 0:
            self._power = value & (POWER_REQUESTS | 0xF00)

    def read_ap(self, address: int) -> int:
        """A register of the selected access port."""
        self._read_buffer = self._read_ap(self._register(address))
        return self._read_buffer

    def _read_ap(self, register: int) -> int:
        port = self._select >> 24
        if port:
            return self.vendor.read(register) if self.vendor and port == 1 else 0
        if register == DRW:
            width = WIDTHS[self._csw & 3]
            lane = 8 * (self._tar & 3) if width < 32 else 0
            value = self.memory_read(self._tar, width) << lane
            self._increment(width)
            return value
        if register & 0xF0 == 0x10:  # BD0 to BD3
            return self.memory_read(self._tar & ~15 | register & 12, 32)
        constants = {
            CSW: self._csw | 0x43000040 if not self.locked else self._csw | 0x43000000,
            TAR: self._tar,
            BASE: ROM | 3,
            IDR: self.core.idr,
        }
        return constants.get(register, 0)

    def write_ap(self, address: int, value: int) -> None:
        """The same the other way round."""
        port, register = self._select >> 24, self._register(address)
        if port:
            if self.vendor and port == 1:
                self.vendor.write(register, value)
        elif register == CSW:
            self._csw = value & ~7 & ~0x40 | min(value & 7, 2)
        elif register == TAR:
            self._tar = value
        elif register == DRW:
            width = WIDTHS[self._csw & 3]
            lane = 8 * (self._tar & 3) if width < 32 else 0
            self.memory_write(self._tar, value >> lane, width)
            self._increment(width)
        elif register & 0xF0 == 0x10:
            self.memory_write(self._tar & ~15 | register & 12, value, 32)

    # the bus, for probes that move blocks
    def memory_read(self, address: int, width: int) -> int:
        self._open(address)
        return self.core.read(address & 0xFFFFFFFF, width)

    def memory_write(self, address: int, value: int, width: int) -> None:
        self._open(address)
        self.core.write(address & 0xFFFFFFFF, value, width)

    def block_read(self, address: int, size: int) -> bytes:
        self._open(address)
        return self.core.read_block(address, size)

    def block_write(self, address: int, data: bytes) -> None:
        self._open(address)
        self.core.write_block(address, data)

    def _open(self, address: int) -> None:
        if self.locked:
            raise BusFault(address)

    def _register(self, address: int) -> int:
        return (address & 0xC) | (self._select & 0xF0)

    def _increment(self, width: int) -> None:
        """Within 1 KiB, as C2.2.2 allows at least."""
        if self._csw & 0x30:
            self._tar = self._tar & ~0x3FF | (self._tar + width // 8) & 0x3FF
