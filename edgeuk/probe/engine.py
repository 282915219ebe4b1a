"""What stands for a microcontroller's silicon: runs code, has memory and registers, can be stopped.

The debug logic that a real chip has beside its core is not in here: see `cortex_m`.
"""

from typing import Any, Protocol

XPSR = 16  # numbers 0 to 15 are r0 to pc; further registers have names: "msp", "primask", ...


class EngineError(Exception):
    """The engine has failed or ended."""


class BusFault(Exception):
    """An access that the bus answers with an error."""

    def __init__(self, address: int) -> None:
        super().__init__(f"nothing answers at {address:#010x}")
        self.address = address


class Engine(Protocol):
    """One emulated core with its bus. Everything ends within seconds or raises `EngineError`."""

    running: bool  # as of the last poll
    asleep: bool  # sent into firmware that it does not run
    fault: str  # why the core can not go on; "" while it can
    console: bytearray  # what it printed since somebody took it out
    watched: int | None  # the address of the access that stopped it
    system: frozenset[str]  # names of the system registers it has

    def start(self) -> None:
        """Power on, stopped at the reset vector."""

    def stop(self) -> None:
        """Power off; flash is lost unless it was read before."""

    def alive(self) -> bool:
        """Whether it can still be talked to."""

    def reset(self) -> None:
        """System reset; stopped at the reset vector."""

    def load_flash(self, address: int, data: bytes) -> None:
        """Put back what was in the flash when the power went."""

    def read(self, address: int, width: int) -> int:
        """One access of 8, 16 or 32 bits. Raises `BusFault`."""

    def write(self, address: int, value: int, width: int) -> None:
        """One access of 8, 16 or 32 bits. Raises `BusFault`."""

    def read_block(self, address: int, size: int) -> bytes:
        """Memory. Raises `BusFault`."""

    def write_block(self, address: int, data: bytes) -> None:
        """Memory. Raises `BusFault`."""

    def get(self, register: int | str) -> int:
        """A register of the stopped core."""

    def set(self, register: int | str, value: int) -> None:
        """A register of the stopped core."""

    def breakpoint(self, on: bool, kind: int, address: int, size: int) -> bool:
        """Kinds as in gdb's Z packets: 0 and 1 code, 2 write, 3 read, 4 access."""

    def run(self) -> None:
        """Let the core go."""

    def halt(self) -> None:
        """Stop it."""

    def step(self, mask_interrupts: bool) -> None:
        """One instruction."""

    def poll(self, wait_s: float = 0.0) -> bool:
        """Look whether it still runs, for at most `wait_s`."""

    def filenos(self) -> list[int]:
        """Where to wait for something to happen; none for one that only runs while polled."""

    def drain(self) -> None:
        """Take what the console has."""

    def output(self) -> str:
        """The emulator's own last words."""

    def type(self, data: bytes) -> None:
        """Send bytes to its console."""

    def set_pin(self, pin: int, level: bool) -> None:
        """Drive an input from outside."""

    def set_property(self, path: str, name: str, value: int | bool) -> None:
        """Change what a device of the emulation senses."""

    def get_property(self, path: str, name: str) -> Any:
        """The same the other way round."""
