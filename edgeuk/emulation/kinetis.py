"""A FRDM-K64F: the chip, and what is on the board around it.

Document: NXP K64P144M120SF5RM, chapters Chip Configuration, Memory Map, SIM. A peripheral whose
clock gate is closed answers with a bus error, as one that is not there. Left out: FlexRAM,
bit-band aliases, the flash controller (flash is only read), DMA, and every peripheral that no
driver of ours has.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from edgeuk.emulation import kinetis_mpu as mpu
from edgeuk.emulation.clock import Clock
from edgeuk.emulation.core import Core
from edgeuk.emulation.device import Wiring
from edgeuk.emulation.exceptions import LockupError, UnknownError
from edgeuk.emulation.kinetis_clocks import Mcg, Osc, Rcm, Sim
from edgeuk.emulation.kinetis_enet import Enet, Phy
from edgeuk.emulation.kinetis_i2c import Fxos8700, I2c
from edgeuk.emulation.kinetis_io import Pit, Rnga, Rtc, Uart, Watchdog
from edgeuk.emulation.kinetis_pins import Gpio, Port
from edgeuk.emulation.memory import DeviceError, Memory, Register
from edgeuk.emulation.system import SystemControl

FLASH = Memory(0x00000000, 0x100000, writable=False)
RAM = (Memory(0x1FFF0000, 0x10000), Memory(0x20000000, 0x30000))
IRQS = 86
EXTERNAL_HZ = 50_000_000  # the PHY's, on EXTAL0
PORTS = "ABCDE"
MASTERS = {"/mpu": mpu.CORE, "/mpu/debugger": mpu.DEBUGGER, "/mpu/enet": mpu.ENET}
GPIOS = [f"/gpio{i}" for i in range(5)]
SLOT = 0x1000
# Peripheral -> its pages, and its clock gate: register of the SIM, bit.
PERIPHERALS: dict[str, tuple[int, tuple[int, int] | None]] = {
    "mpu": (0x4000D000, (0x1040, 2)),
    "rng": (0x40029000, (0x103C, 9)),
    "pit": (0x40037000, (0x103C, 23)),
    "rtc": (0x4003D000, (0x103C, 29)),
    "sim0": (0x40047000, None),
    "sim1": (0x40048000, None),
    **{f"port{x}": (0x40049000 + SLOT * i, (0x1038, 9 + i)) for i, x in enumerate(PORTS)},
    "wdog": (0x40052000, None),
    "mcg": (0x40064000, None),
    "osc": (0x40065000, None),
    "i2c": (0x40066000, (0x1034, 6)),
    "uart": (0x4006A000, (0x1034, 10)),
    "rcm": (0x4007F000, None),
    "enet": (0x400C0000, (0x102C, 0)),
    "gpio": (0x400FF000, None),
}
FIRST_INSTRUCTIONS = 256  # of a reset, within which the watchdog wants to be unlocked


@dataclass(frozen=True, slots=True)
class _Half:
    """The second page of a block of two."""

    whole: Register

    def read(self, offset: int, size: int) -> int:
        return self.whole.read(offset + SLOT, size)

    def write(self, offset: int, size: int, value: int) -> None:
        self.whole.write(offset + SLOT, size, value)


class _EnetBus:
    """Memory as the Ethernet controller reaches it: past the protection unit, as its own master."""

    def __init__(self, core: Core, unit: mpu.Sysmpu) -> None:
        self._core, self._unit = core, unit

    def _check(self, address: int, size: int, how: str) -> None:
        there = self._core.has(address, size, how == "w")
        if not there or not self._unit.allows(address, size, how, mpu.ENET):
            raise DeviceError

    def read(self, address: int, size: int) -> bytes:
        self._check(address, size, "r")
        return self._core.read(address, size)

    def write(self, address: int, data: bytes) -> None:
        self._check(address, len(data), "w")
        self._core.write(address, data)


class Debugger(Protocol):
    """Somebody who can stop the board."""

    def stands(self) -> bool:
        """At the end of an instruction: as long as it wants. Whether it wants one more only."""
        ...


class Board:
    """`console` takes what the UART sends, `network` frames. `ended` is why it does not run."""

    FROM_OUTSIDE = "ended from outside"

    def __init__(self, console: Callable[[int], None], network: Callable[[bytes], None]) -> None:
        self._console, self._network = console, network
        self.notice: Callable[[str], None] = lambda _: None  # what nobody on the board could say
        self.clock = Clock()
        self.scs = SystemControl(IRQS, self.clock, self.core_hz)
        self.core = Core((FLASH, *RAM), self.scs, self.clock)
        self.scs.on_reset = lambda: self._want_reset(Rcm.SOFTWARE)
        self.rtc = Rtc()  # and the sensor: a reset of the chip is none of theirs
        self.accelerometer = Fxos8700(self.clock.now)
        self.debugger: Debugger | None = None
        self.reboots = False  # whether a reset starts it again, or ends it
        self.ended = ""
        self._mapped: set[str] = set()
        self.sim: Sim | None = None
        self._build()
        self._cause = Rcm.POWER_ON

    def _build(self) -> None:
        """Every peripheral as out of reset."""
        clock, wiring = self.clock, self._wiring()
        clock.cancel_all()
        for name in sorted(self._mapped):
            self.core.unmap(PERIPHERALS[name][0], SLOT)
        self._mapped.clear()
        sim, self.mcg, self.rcm = Sim(), Mcg(EXTERNAL_HZ), Rcm()
        self.sim, self.unit = sim, mpu.Sysmpu()
        self.ports = [Port(59 + i, wiring, debugger=i == 0) for i in range(5)]
        self.gpio = Gpio(self.ports, lambda port: sim.open(0x1038, 9 + port))
        self.watchdog = Watchdog(wiring, lambda: self._want_reset(Rcm.WATCHDOG))
        self.phy = Phy(clock.now)
        self.enet = Enet(wiring, _EnetBus(self.core, self.unit), self.phy, self._network)
        self.uart = Uart(wiring, self._console)
        self._blocks: dict[str, Register] = {
            **{"mpu": self.unit, "rng": Rnga(), "pit": Pit(wiring), "rtc": self.rtc},
            **{"sim0": sim, "sim1": _Half(sim), "wdog": self.watchdog, "mcg": self.mcg},
            **{"osc": Osc(), "rcm": self.rcm, "enet": self.enet, "gpio": self.gpio},
            **{"i2c": I2c(wiring, {0x1D: self.accelerometer}), "uart": self.uart},
            **{f"port{x}": port for x, port in zip(PORTS, self.ports, strict=True)},
        }
        sim.gates_changed = lambda: self.core.later(self._map)
        self._hz = self._core_hz()
        self.mcg.changed = sim.changed = self._clocks_changed
        self.unit.changed = lambda: self.core.later(self._protect)
        self._map()

    def _wiring(self) -> Wiring:
        return Wiring(self.clock, self.scs.line, self._muxed, self.core_hz, self.bus_hz)

    def core_hz(self) -> int:
        return self._hz if self.sim else 20_971_520

    def _core_hz(self) -> int:
        assert self.sim
        return self.mcg.out_hz() // self.sim.divider(28)

    def bus_hz(self) -> int:
        assert self.sim
        return self.mcg.out_hz() // self.sim.divider(24)

    def _clocks_changed(self) -> None:
        value = self.scs.systick_value()
        self._hz = self._core_hz()
        self.scs.clock_changed(value)

    def _muxed(self, port: str, pin: int, function: int) -> bool:
        index = PORTS.index(port)
        assert self.sim
        return self.sim.open(0x1038, 9 + index) and self.ports[index].function(pin) == function

    def _map(self) -> None:
        """Blocks whose gates are open are there."""
        assert self.sim
        for name, (base, gate) in PERIPHERALS.items():
            there = gate is None or self.sim.open(*gate)
            if there and name not in self._mapped:
                self.core.map(base, SLOT, self._blocks[name])
                self._mapped.add(name)
            elif not there and name in self._mapped:
                self.core.unmap(base, SLOT)
                self._mapped.remove(name)

    def _protect(self) -> None:
        self.core.protection = self.unit
        self.core.protect(self.unit.edges())

    def load(self, address: int, data: bytes) -> None:
        self.core.load(address, data)

    # Resets.

    def _want_reset(self, cause: tuple[int, int]) -> None:
        self.core.later(lambda: self._reset(cause))

    def _reset(self, cause: tuple[int, int]) -> None:
        self._cause = cause
        self.core.stopped = True

    def start(self) -> None:
        """Out of a reset, with what the RAM holds."""
        self._build()
        self.rcm.because(self._cause)
        self.core.protection = None
        self.core.reset()
        self.core.stopped = False
        for _ in range(FIRST_INSTRUCTIONS):
            self._stands()
            if not self.core.stopped:
                self.core.single()
        if not self.watchdog.touched and not self.core.stopped:
            self._want_reset(Rcm.WATCHDOG)

    def _stands(self) -> bool:
        return self.debugger is not None and self.debugger.stands()

    def run(self, sleep: Callable[[], None], outside: Callable[[], None]) -> None:
        """Until a reset ends it; `sleep` and `outside`: see `Core.step`."""
        while True:
            why = ""
            try:
                self.start()
                while not self.core.stopped:
                    if not self._stands():
                        self.core.step(sleep, outside)
                    elif not self.core.stopped:
                        self.core.single()
            except LockupError as e:  # resets the chip (chapter Reset and Boot, lockup reset)
                why, self._cause = str(e), Rcm.LOCKUP
            except UnknownError as e:
                self.ended = str(e)
            if self.ended or not self.reboots:
                self.ended = self.ended or why
                return
            if why:
                self.notice(why)

    def end(self) -> None:
        """From outside."""
        self.ended = self.FROM_OUTSIDE
        self.core.stopped = True

    def reset_from_outside(self) -> None:
        """The board's button."""
        self._want_reset(Rcm.PIN)

    # What a test can change, and see.

    def set_property(self, path: str, name: str, value: Any) -> None:
        """`/accelerometer` x, y, z in counts of 1/4096 g, mag-x ... in 0.1 uT; `/gpio0` to 4 and
        a pin, from outside; `/phy` plugged; `/clock` speed. Raises KeyError, ValueError."""
        if path == "/accelerometer":
            axes = self.accelerometer.field if name[:4] == "mag-" else self._acceleration
            axes["xyz".index(name.removeprefix("mag-"))] = int(value)
        elif path == "/phy" and name == "plugged":
            self.phy.plugged = bool(value)
        elif path == "/clock" and name == "speed":
            self.clock.speed = int(value)
        elif path in GPIOS:
            self.gpio.drive(GPIOS.index(path), int(name), bool(value))
        else:
            raise KeyError(path)

    def get_property(self, path: str, name: str) -> Any:
        """The level of a pin, whoever drives it; `/mpu` and an address: what the processor may do
        there, some of "rwx"; `/mpu/enet`: the Ethernet controller. Raises KeyError, ValueError."""
        if path in MASTERS:
            at, master = int(name, 0), MASTERS[path]
            return "".join(how for how in "rwx" if self.unit.allows(at, 1, how, master))
        if path not in GPIOS:
            raise KeyError(path)
        return self.gpio.driven(GPIOS.index(path), int(name))

    @property
    def _acceleration(self) -> list[int]:
        return self.accelerometer.acceleration
