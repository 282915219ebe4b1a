"""Flash a Cortex-M through a debug probe, with pyOCD in this process.

The order: open, make sure of the chip, stop it; step by step, write what differs and read it back;
reset.
pyOCD is imported here and nowhere else; who calls imports this module when it is needed.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from pyocd.core import exceptions
from pyocd.core.memory_map import MemoryType
from pyocd.core.session import Session
from pyocd.debug.svd.loader import SVDFile
from pyocd.flash.loader import FlashLoader
from pyocd.probe.aggregator import DebugProbeAggregator
from pyocd.target import TARGET

from edgeuk.errors import DeviceError, EdgeukError, UsageError, VerificationError
from edgeuk.flash.plan import FlashRegion, Piece, Plan, sectors_of

_NO_PROBE = "check cable and power (and pyOCD's udev rules); `--probe virtual` needs no hardware"
Progress = Callable[[float], None]  # 0 to 1

VIRTUAL_VENDOR = "edgeuk"
CPUID = 0xE000ED00
CORES = {  # CPUID part number -> core; the longest name that the board's cpu begins with counts
    0xC20: "cortex-m0",
    0xC60: "cortex-m0plus",
    0xC21: "cortex-m1",
    0xC23: "cortex-m3",
    0xC24: "cortex-m4",
    0xC27: "cortex-m7",
    0xD20: "cortex-m23",
    0xD21: "cortex-m33",
}
# Where a chip says which one it is: address, mask, value. Others are told apart by their core only.
CHIPS = {
    "nrf52840": (0x10000100, 0xFFFFFFFF, 0x52840),  # FICR INFO.PART
    "stm32f412xe": (0xE0042000, 0xFFF, 0x441),  # DBGMCU_IDCODE.DEV_ID
    "stm32f412xg": (0xE0042000, 0xFFF, 0x441),
    "rp2040": (0x40000000, 0x0FFFFFFF, 0x2927),  # SYSINFO CHIP_ID: part and manufacturer
}
OPTIONS = {
    "no_config": True,  # a pyocd.yaml that lies around is not ours
    "hide_programming_progress": True,
    "keep_unwritten": True,
    "smart_flash": True,
    "reset.post_delay": 0.0,
}


@dataclass(frozen=True, slots=True)
class Result:
    """What was done."""

    erased: int  # sectors
    programmed: int  # bytes
    identical: int  # bytes that were there already
    seconds: float


@dataclass(frozen=True, slots=True)
class Probe:
    """A debug probe; `handle` is pyOCD's."""

    identity: str
    what: str
    handle: Any


class _Loader(FlashLoader):  # type: ignore[misc]
    """Keeps the figures that pyOCD only logs."""

    def _log_performance(self, perf_list: Sequence[Any]) -> None:
        self.erased = sum(p.erase_sector_count for p in perf_list)
        self.programmed = sum(p.program_byte_count for p in perf_list)
        self.identical = sum(p.skipped_byte_count for p in perf_list)


class _Delegate:
    """Told by pyOCD of its steps, and changes them."""

    def __init__(self, unlock: bool) -> None:
        self._unlock = unlock

    def will_init_target(self, target: Any, init_sequence: Any) -> None:
        """Look at the lock before the bus is needed."""

        def check() -> None:
            if not self._unlock and target.is_locked():
                what = "the chip is locked: its read-out protection keeps debuggers out [E0807]"
                hint = "--unlock erases the whole chip, configuration and keys included"
                raise DeviceError(what, hint=hint)

        init_sequence.wrap_task(
            "discovery", lambda seq: seq.insert_before("find_components", ("edgeuk_lock", check))
        )


def find_probe(wanted: str) -> Probe:
    """The probe of this identity, or the only one there is. Raises `DeviceError`."""
    _quiet()
    try:
        found = DebugProbeAggregator.get_all_connected_probes(wanted or None)
    except exceptions.Error as e:
        raise DeviceError(f"no probe `{wanted}`: {e} [E0804]", hint=_NO_PROBE) from None
    probes = [Probe(p.unique_id, p.description, p) for p in found]
    if not wanted:  # a virtual board that happens to run is never meant
        probes = [p for p in probes if p.handle.vendor_name != VIRTUAL_VENDOR]
    if not probes:
        what = f"no probe `{wanted}` is connected" if wanted else "no debug probe is connected"
        others = find_others()
        hint = f"there are {_listed(others)}" if others else _NO_PROBE
        raise DeviceError(f"{what} [E0804]", hint=hint)
    if len(probes) > 1:
        what = f"{len(probes)} debug probes are connected [E0805]: {_listed(probes)}"
        raise DeviceError(what, hint="name one: --probe ID")
    return probes[0]


def find_others() -> list[Probe]:
    """Every probe, as `--probe` names it."""
    found = DebugProbeAggregator.get_all_connected_probes(None)
    probes = []
    for p in found:
        virtual = "virtual:" if p.vendor_name == VIRTUAL_VENDOR else ""
        probes.append(Probe(virtual + p.unique_id, p.description, p))
    return probes


def _listed(probes: Sequence[Probe]) -> str:
    return ", ".join(f"{p.identity} ({p.what})" for p in probes)


def make_plan(board: str, cpu: str, target: str, probe: Probe, pieces: Sequence[Piece]) -> Plan:
    """Raises `BuildError` where a piece is outside of the chip's flash, `UsageError` for a target
    that pyOCD does not have."""
    if target not in TARGET:
        what = f"pyOCD does not know the target `{target}` [E0806]"
        raise UsageError(what, where=f"board {board}", hint="`pyocd list --targets` shows all")
    regions = [
        FlashRegion(r.start, r.length, r.blocksize)
        for r in TARGET[target].MEMORY_MAP.iter_matching_regions(type=MemoryType.FLASH)
    ]
    sectors = sectors_of(pieces, regions)
    return Plan(board, target, cpu, probe.identity, probe.what, tuple(pieces), sectors)


def flash(plan: Plan, probe: Probe, *, unlock: bool, progress: Progress) -> Result:
    """Do it, and leave the chip running. Raises `DeviceError` when probe or chip fail,
    `VerificationError` when other bytes come back."""
    _quiet()
    started = time.monotonic()
    options = {**OPTIONS, "target_override": plan.target, "auto_unlock": unlock}
    with _without_register_names():
        session = Session(probe.handle, auto_open=False, options=options)
    session.delegate = _Delegate(unlock)
    try:
        try:
            target = _open(session, plan)
            _same_chip(plan, target)
            target.reset_and_halt()
            loaders, done = [], 0
            for pieces in plan.steps():  # pyOCD erases all that it is given before it writes
                size = sum(len(piece.data) for piece in pieces)
                told = partial(_progress, progress, done, size, plan.size)
                loaders.append(_Loader(session, progress=told, chip_erase="sector"))
                for piece in pieces:
                    loaders[-1].add_data(piece.address, piece.data)
                loaders[-1].commit()
                # A flash routine's RAM and clocks are left behind: nothing of it is to be seen.
                target.reset_and_halt()
                _verify(pieces, target)
                done += size
            target.reset()
        finally:
            session.close()
    except EdgeukError:
        raise
    except exceptions.ProbeDisconnected as e:
        what = f"the connection to the board broke: {e} [E0810]"
        raise DeviceError(what, hint="check the connection, then flash again") from None
    except exceptions.FlashFailure as e:
        what = f"the chip's flash routine failed: {e} [E0810]"
        raise DeviceError(what, hint="flash again; a chip that does this twice is worn") from None
    except (exceptions.Error, TimeoutError, OSError) as e:
        what = f"probe {plan.probe} does not get through to a {plan.target}: {e} [E0810]"
        hint = "is the board powered and wired, and is it this board?"
        raise DeviceError(what, hint=hint) from None
    seconds = time.monotonic() - started
    figures = [(one.erased, one.programmed, one.identical) for one in loaders]
    erased, programmed, identical = map(sum, zip(*figures, strict=True))
    return Result(erased, programmed, identical, seconds)


def _progress(tell: Progress, before: int, size: int, total: int, part: float) -> None:
    tell((before + size * part) / total)


@contextmanager
def _without_register_names() -> Iterator[None]:
    """pyOCD reads its description of every peripheral register, for a second, and leaves the file
    open; nobody here asks for one."""
    before = SVDFile.from_builtin
    SVDFile.from_builtin = lambda name: None
    try:
        yield
    finally:
        SVDFile.from_builtin = before


def _open(session: Any, plan: Plan) -> Any:
    """The target. Raises `DeviceError` for a chip that lacks what pyOCD takes for granted."""
    try:
        session.open()
    except (KeyError, IndexError, AttributeError):
        raise _other(plan, "another one") from None
    return session.target


def _same_chip(plan: Plan, target: Any) -> None:
    part = target.read32(CPUID) >> 4 & 0xFFF
    found = CORES.get(part, f"core {part:#x}")
    expected = max((c for c in CORES.values() if plan.cpu.startswith(c)), key=len, default="")
    if expected and found != expected:
        raise _other(plan, f"a {found}, not a {expected}")
    if plan.target in CHIPS:
        address, mask, value = CHIPS[plan.target]
        seen = target.read32(address) & mask
        if seen != value:
            raise _other(plan, f"one that calls itself {seen:#x}, not {value:#x}")


def _other(plan: Plan, what: str) -> DeviceError:
    return DeviceError(
        f"the chip at probe {plan.probe} is {what} ({plan.target}) [E0806]",
        hint=f"is this really a {plan.board}? `edgeuk boards` lists others",
    )


def _verify(pieces: Sequence[Piece], target: Any) -> None:
    for piece in pieces:
        region = target.memory_map.get_region_for_address(piece.address)
        # Some families keep their lock inside the image; pyOCD writes it open, whatever is there.
        wanted = bytes(region.flash.override_security_bits(piece.address, piece.data))
        found = bytes(target.read_memory_block8(piece.address, len(wanted)))
        if found != wanted:
            at = next(i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b)
            what = f"the flash has {found[at]:#04x} at {piece.address + at:#x}"
            what = f"{what}, where {wanted[at]:#04x} was written [E0809]"
            raise VerificationError(what, hint="flash again; the image does not start like this")


def _quiet() -> None:
    """pyOCD's log is not the user's: what matters comes as an exception."""
    logger = logging.getLogger("pyocd")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
