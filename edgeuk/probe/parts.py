"""The microcontrollers that a virtual board can have, by pyOCD's name of the target: data only."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgeuk.probe.controllers import Controller, Ftfe, Nvmc, Rp2040Rom, Stm32F4
from edgeuk.probe.swd import KinetisMdm, NordicCtrl, VendorPort

_NONE: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Area:
    """A piece of the address space."""

    base: int
    size: int

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.base <= address < self.base + self.size


@dataclass(frozen=True, slots=True)
class Part:
    """One microcontroller, as far as a debugger and a flash algorithm see it."""

    summary: str
    core: int  # part number in CPUID
    flash: tuple[Area, ...]  # the first one is booted from
    ram: tuple[Area, ...]
    machine: str = ""  # of QEMU, which runs the image; "": nothing does
    controller: Callable[[], Controller] | None = None  # None: QEMU has it
    vendor: type[VendorPort] | None = None
    words: Mapping[int, int] = field(default_factory=lambda: _NONE)  # what identifies it
    devices: Area = Area(0x40000000, 0x100000)  # registers that only remember what is written
    lock: tuple[int, int, int] | None = None  # address, mask, value of the byte that means open
    pins: str = ""  # QOM path of the GPIO block in `machine`
    port: tuple[int, int, int] | None = None  # its registers: outputs, inputs, directions
    uicr: Area | None = None  # configuration words that QEMU forgets at a reset
    info: Area | None = None  # a page of constants
    mirror: Area | None = None  # where the first flash is seen too

    @property
    def engines(self) -> str:
        """For tables."""
        if self.controller is None:
            return "QEMU"
        return "Unicorn, then QEMU" if self.machine else "Unicorn"


PARTS = {
    "nrf51": Part(
        "Nordic nRF51822: Cortex-M0, 256 KB",
        core=0xC20,
        flash=(Area(0, 0x40000),),
        ram=(Area(0x20000000, 0x4000),),
        machine="microbit",
        pins="/machine/nrf51",
        port=(0x50000504, 0x50000510, 0x50000514),  # nRF51 Reference Manual 3.0, GPIO
        uicr=Area(0x10001000, 0x100),
    ),
    "nrf52840": Part(
        "Nordic nRF52840: Cortex-M4, 1 MB",
        core=0xC24,
        flash=(Area(0, 0x100000), Area(0x10001000, 0x1000)),
        ram=(Area(0x20000000, 0x40000),),
        controller=Nvmc,
        vendor=NordicCtrl,
        info=Area(0x10000000, 0x1000),
        words={0x10000100: 0x52840, 0x10000104: 0x41414430, 0x10000108: 0x2004},  # AAD0, QIAA
        lock=(0x10001208, 0xFF, 0xFF),  # UICR.APPROTECT
    ),
    "k64f": Part(
        "NXP MK64FN1M0VLL12: Cortex-M4, 1 MB",
        core=0xC24,
        flash=(Area(0, 0x100000),),
        ram=(Area(0x1FFF0000, 0x40000),),
        controller=Ftfe,
        vendor=KinetisMdm,
        words={0x40048024: 0x64000000, 0x4004804C: 0xFF000000},  # SIM_SDID, SIM_FCFG1
        lock=(0x40C, 3, 2),  # FSEC.SEC of the flash configuration field
    ),
    "stm32f412xg": Part(
        "ST STM32F412xG: Cortex-M4, 1 MB",
        core=0xC24,
        flash=(Area(0x08000000, 0x100000),),
        ram=(Area(0x20000000, 0x40000),),
        machine="netduinoplus2",
        controller=Stm32F4,
        words={0xE0042000: 0x10006441},  # DBGMCU_IDCODE
        mirror=Area(0, 0x100000),  # with BOOT0 low (RM0402, boot configuration)
    ),
    "rp2040": Part(
        "Raspberry Pi RP2040: Cortex-M0+, 2 MB of external flash",
        core=0xC60,
        flash=(Area(0x10000000, 0x200000),),
        ram=(Area(0x20000000, 0x42000),),
        controller=Rp2040Rom,
        words={0x40000000: 0x10002927},  # SYSINFO CHIP_ID: B0
    ),
}
ALIASES = {"nrf51822": "nrf51", "rp2040_core0": "rp2040", "stm32f412xe": "stm32f412xg"}


def find_part(target: str) -> Part | None:
    """By pyOCD's name of the target."""
    return PARTS.get(ALIASES.get(target, target))
