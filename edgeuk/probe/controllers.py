"""Flash controllers of parts that QEMU does not have: as much of each as programs and erases.

A store to flash reaches `store`; the controller's registers are `read` and `write`, the address
being an offset from its base. Flash can only lose bits until it is erased.
"""

from typing import ClassVar, Protocol


class Array(Protocol):
    """The flash memory that a controller works on."""

    def erase(self, address: int, size: int) -> None:
        """Bytes become 0xff."""

    def program(self, address: int, data: bytes) -> None:
        """Bits become 0 where `data` has them so."""

    def erase_all(self) -> None:
        """All of it."""

    def ram(self, address: int, size: int) -> bytes:
        """What the core has in memory, for routines that are called with a pointer."""


class Controller:
    """One that allows nothing."""

    base, size = 0, 0  # its registers
    calls: tuple[int, ...] = ()  # addresses of routines in ROM

    def store(self, current: int, value: int, size: int) -> int:
        """What a store to flash leaves there."""
        return current

    def read(self, offset: int, size: int) -> int | None:
        """A register; None if there is none."""
        return None

    def write(self, array: Array, offset: int, size: int, value: int) -> None:
        """A register."""

    def call(self, array: Array, address: int, r: tuple[int, int, int, int]) -> int:
        """A routine in ROM; returns r0."""
        return 0

    def rom(self) -> tuple[int, bytes]:
        """Address and bytes of a ROM, where the part needs one."""
        return 0, b""


class Nvmc(Controller):
    """nRF52 (nRF52840 Product Specification, NVMC): CONFIG 0x504, ERASEPAGE 0x508, ERASEALL 0x50C,
    ERASEUICR 0x514."""

    base, size = 0x4001E000, 0x1000
    READY, READY_NEXT, CONFIG, ERASE_PAGE, ERASE_ALL = 0x400, 0x408, 0x504, 0x508, 0x50C
    WRITE_ENABLE, ERASE_ENABLE = 1, 2
    PAGE = 0x1000

    def __init__(self) -> None:
        self._config = 0

    def store(self, current: int, value: int, size: int) -> int:
        return current & value if self._config == self.WRITE_ENABLE else current

    def read(self, offset: int, size: int) -> int | None:
        return {self.READY: 1, self.READY_NEXT: 1, self.CONFIG: self._config}.get(offset)

    def write(self, array: Array, offset: int, size: int, value: int) -> None:
        if offset == self.CONFIG:
            self._config = value & 3
        elif self._config == self.ERASE_ENABLE:
            if offset == self.ERASE_PAGE:
                array.erase(value & ~(self.PAGE - 1), self.PAGE)
            elif offset == self.ERASE_ALL and value == 1:
                array.erase_all()


class Ftfe(Controller):
    """Kinetis FTFE (K64 Sub-Family Reference Manual, FTFE): a command is written to FCCOB and
    launched by clearing FSTAT.CCIF. Program phrase and erase of sectors, blocks and all."""

    base, size = 0x40020000, 0x1000
    FSTAT, FSEC = 0, 2
    CCIF, ACCERR, ERRORS = 0x80, 0x20, 0x70
    SECTOR, PHRASE = 0x1000, 8

    def __init__(self) -> None:
        self._registers = bytearray(16)  # FCCOB3 at 4, then 2, 1, 0, 7, 6, ...
        self._status = self.CCIF

    def read(self, offset: int, size: int) -> int | None:
        if offset == self.FSTAT:
            return self._status
        if offset == self.FSEC:
            return 0xFE
        found = self._registers[offset : offset + size]
        return int.from_bytes(found, "little") if found else None

    def write(self, array: Array, offset: int, size: int, value: int) -> None:
        if offset == self.FSTAT:
            self._status &= ~(value & self.ERRORS)
            if value & self.CCIF and not self._status & self.ERRORS:
                self._launch(array)
        elif 4 <= offset <= 16 - size:
            self._registers[offset : offset + size] = value.to_bytes(size, "little")

    def _launch(self, array: Array) -> None:
        command = [self._registers[4 + (i & ~3) + 3 - (i & 3)] for i in range(12)]
        address = int.from_bytes(bytes(command[1:4]), "big")
        if command[0] == 0x07 and address % self.PHRASE == 0:
            # Bytes 4 to 7 are the first word, the most significant one first.
            words = bytes(command[4:8])[::-1] + bytes(command[8:12])[::-1]
            array.program(address, words)
        elif command[0] == 0x09 and address % 16 == 0:
            array.erase(address & ~(self.SECTOR - 1), self.SECTOR)
        elif command[0] == 0x08:
            array.erase(address & ~0x7FFFF, 0x80000)
        elif command[0] in (0x44, 0x49):
            array.erase_all()
        elif command[0] not in (0x00, 0x01, 0x02, 0x40):  # verify: always right
            self._status |= self.ACCERR


class Stm32F4(Controller):
    """STM32F4 flash interface (RM0402, Embedded flash memory): KEYR 4, SR 0xC, CR 0x10, OPTCR
    0x14."""

    base, size = 0x40023C00, 0x400
    KEYS = (0x45670123, 0xCDEF89AB)
    LOCK, START, PG, SER, MER = 1 << 31, 1 << 16, 1, 2, 4
    ALIGNMENT_ERROR, PARALLELISM_ERROR, SEQUENCE_ERROR = 1 << 5, 1 << 6, 1 << 7
    FLASH = 0x08000000

    def __init__(self) -> None:
        self._cr, self._sr = self.LOCK, 0
        self._keys: tuple[int, ...] = ()

    def store(self, current: int, value: int, size: int) -> int:
        if not self._cr & self.PG:
            self._sr |= self.SEQUENCE_ERROR
            return current
        if 1 << (self._cr >> 8 & 3) != size:
            self._sr |= self.PARALLELISM_ERROR
            return current
        return current & value

    def read(self, offset: int, size: int) -> int | None:
        # OPTCR as shipped: no protection, watchdog by software (RM0402).
        return {0: 0, 4: 0, 0xC: self._sr, 0x10: self._cr, 0x14: 0x0FFFAAED}.get(offset)

    def write(self, array: Array, offset: int, size: int, value: int) -> None:
        if offset == 4:
            self._keys = (*self._keys, value)[-2:]
            if self._keys == self.KEYS:
                self._cr &= ~self.LOCK
        elif offset == 0xC:
            self._sr &= ~(value & 0xF3)
        elif offset == 0x10 and not self._cr & self.LOCK:
            self._cr = value & ~self.START
            if value & self.START:
                self._erase(array)

    def _erase(self, array: Array) -> None:
        number = self._cr >> 3 & 15
        if self._cr & self.MER:
            array.erase_all()
        elif self._cr & self.SER and number < 12:  # 4 x 16, 64, then 128 KiB (RM0402)
            if number < 4:
                array.erase(self.FLASH + number * 0x4000, 0x4000)
            elif number == 4:
                array.erase(self.FLASH + 0x10000, 0x10000)
            else:
                array.erase(self.FLASH + (number - 4) * 0x20000, 0x20000)


class Rp2040Rom(Controller):
    """RP2040: the boot ROM has the flash routines (RP2040 Datasheet, Bootrom). A table of them, and
    the routines by what they do."""

    FLASH = 0x10000000
    LOOKUP = 0x1000
    ROUTINES: ClassVar = {
        b"IF": 0x2000,  # connect_internal_flash
        b"EX": 0x2010,  # flash_exit_xip
        b"RE": 0x2020,  # flash_range_erase
        b"RP": 0x2030,  # flash_range_program
        b"FC": 0x2040,  # flash_flush_cache
        b"CX": 0x2050,  # flash_enter_cmd_xip
    }
    calls = (LOOKUP, *ROUTINES.values())

    def call(self, array: Array, address: int, r: tuple[int, int, int, int]) -> int:
        if address == self.LOOKUP:  # r0: the table, r1: two letters
            code = r[1].to_bytes(4, "little")[:2]
            return self.ROUTINES.get(code, -1) + 1  # a Thumb address; 0 if there is none
        if address == self.ROUTINES[b"RE"]:  # offset, size, block size, command
            array.erase(self.FLASH + r[0], r[1])
        elif address == self.ROUTINES[b"RP"]:  # offset, data, size
            array.program(self.FLASH + r[0], array.ram(r[1], r[2]))
        return 0

    def rom(self) -> tuple[int, bytes]:
        image = bytearray(0x4000)
        image[0x10:0x14] = b"Mu\x01\x02"  # magic and version
        for at, pointer in ((0x14, 0x100), (0x16, 0x100), (0x18, self.LOOKUP | 1)):
            image[at : at + 2] = pointer.to_bytes(2, "little")
        at = 0x100
        for code, address in self.ROUTINES.items():
            image[at : at + 4] = code + (address | 1).to_bytes(2, "little")
            at += 4
        return 0, bytes(image)
