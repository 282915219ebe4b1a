"""Flash a Cortex-M through a debug probe, with pyOCD in this process.

The order: open, make sure of the chip, stop it; step by step, write what differs and read it back;
reset. The first words of an image, without which no core starts, are erased first and written last.
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
from pyocd.target.family.target_kinetis import Kinetis
from pyocd.target.family.target_nRF52 import NRF52

from edgeuk.errors import DeviceError, EdgeukError, UsageError, VerificationError
from edgeuk.flash.plan import IMAGE, FlashRegion, Piece, Plan, sectors_of

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
# Where a chip says which one it is: address, mask, values. Others only have their core to tell.
CHIPS: dict[str, tuple[int, int, tuple[int, ...]]] = {
    "nrf51": (0x10000010, 0xFFFFFFFF, (0x400,)),  # FICR CODEPAGESIZE; an nRF52 has 4 KiB
    "nrf52840": (0x10000100, 0xFFFFFFFF, (0x52840,)),  # FICR INFO.PART
    # SIM_SDID: family and subfamily; early K64 call themselves K62 (erratum 7534)
    "k64f": (0x40048024, 0xFF000000, (0x64000000, 0x62000000)),
    "stm32f412xg": (0xE0042000, 0xFFF, (0x441,)),  # DBGMCU_IDCODE.DEV_ID
    "stm32f412xe": (0xE0042000, 0xFFF, (0x441,)),
    "rp2040": (0x40000000, 0x0FFFFFFF, (0x2927,)),  # SYSINFO CHIP_ID: part and manufacturer
}
# Access port 1 is all that a locked chip shows: its identification without the revision.
PORTS = {0x001C0000: (Kinetis, "a Kinetis"), 0x02880000: (NRF52, "an nRF52")}
PORT_REVISION = 0xF00000F0
HEAD = 8  # initial stack pointer and reset vector
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

    def __init__(self, chip: str, probe: str, unlock: bool) -> None:
        self._chip, self._probe, self._unlock = chip, probe, unlock

    def will_init_target(self, target: Any, init_sequence: Any) -> None:
        """Look at the chip before its vendor's port is used, and at the lock before the bus is."""

        def check() -> None:
            if not self._unlock and target.is_locked():
                what = "the chip is locked: its read-out protection keeps debuggers out [E0807]"
                hint = "--unlock erases the whole chip, configuration and keys included"
                raise DeviceError(what, hint=hint)

        def insert(seq: Any) -> Any:
            if seq.has_task("create_aps"):  # ADIv5: what PORTS has
                look = partial(_not_other, self._chip, self._probe, target)
                seq.insert_after("create_aps", ("edgeuk_chip", look))
            seq.insert_before("find_components", ("edgeuk_lock", check))
            return seq

        init_sequence.wrap_task("discovery", insert)


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
    session.delegate = _Delegate(plan.target, plan.probe, unlock)
    try:
        try:
            target = _open(session, plan)
            _same_chip(plan, target)
            target.reset_and_halt()
            figures, done = [], 0
            for pieces in plan.steps():  # pyOCD erases all that it is given before it writes
                size = sum(len(piece.data) for piece in pieces)
                told = partial(_progress, progress, done, size, plan.size)
                figures.append(_write(pieces, session, told))
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
    erased, programmed, identical = map(sum, zip(*figures, strict=True))
    return Result(erased, programmed, identical, seconds)


def _write(pieces: Sequence[Piece], session: Any, told: Progress) -> tuple[int, int, int]:
    """One step; returns what `Result` counts."""
    target = session.target
    held = _begin(pieces, target)
    loader = _Loader(session, progress=told, chip_erase="sector")
    for piece in pieces if held is None else _without(pieces, held.sector):
        loader.add_data(piece.address, piece.data)
    loader.commit()
    # A flash routine's RAM and clocks are left behind: nothing of it is to be seen.
    target.reset_and_halt()
    if held is None:
        _verify(pieces, target)
        return loader.erased, loader.programmed, loader.identical
    _verify(_without(pieces, held.head), target)
    held.flash.init(held.flash.Operation.PROGRAM)
    held.flash.program_phrase(held.head.start, list(held.data))
    held.flash.cleanup()
    target.reset_and_halt()
    _verify([Piece(held.head.start, held.data, IMAGE)], target)
    told(1.0)
    return loader.erased + held.erased, loader.programmed + len(held.sector), loader.identical


@dataclass(frozen=True, slots=True)
class _Held:
    """The first words of an image, which are written when all else is right."""

    flash: Any  # pyOCD's
    sector: range  # written but for them
    erased: int  # sectors
    head: range  # what is held back: whole phrases, which are not to be written twice
    data: bytes  # of it


def _begin(pieces: Sequence[Piece], target: Any) -> _Held | None:
    """Erase the sector of the vector table and write it again but for its first words: the old
    image starts no more, the new one not yet. All of it at once, for an erased configuration field
    locks a Kinetis. None, and nothing is done, if all is there or there is no image."""
    first = min((p.address for p in pieces if p.what == IMAGE), default=None)
    if first is None or all(_difference(p, target) is None for p in pieces):
        return None
    region = target.memory_map.get_region_for_address(first)
    if not region.is_erasable:
        return None
    flash = region.flash
    sector, page = flash.get_sector_info(first), flash.get_page_info(first)
    start = min(sector.base_addr, page.base_addr)
    area = range(start, start + max(sector.size, page.size))
    data = bytearray([region.erased_byte_value]) * len(area)
    if region.are_erased_sectors_readable:
        data[:] = target.read_memory_block8(area.start, len(area))
    for piece in pieces:
        for at in range(max(piece.address, area.start), min(piece.end, area.stop)):
            data[at - area.start] = piece.data[at - piece.address]
    phrase = flash.minimum_program_length
    head = range(first - first % phrase, min(area.stop, -(-(first + HEAD) // phrase) * phrase))
    addresses = range(area.start, area.stop, sector.size)
    flash.init(flash.Operation.ERASE)
    for address in addresses:
        flash.erase_sector(address)
    flash.init(flash.Operation.PROGRAM)  # lists, as bytes do not get to a remote probe
    for piece in _without([Piece(area.start, bytes(data), IMAGE)], head):
        at = piece.address
        while at < piece.end:
            end = min(piece.end, at - at % page.size + page.size)
            flash.program_phrase(at, list(piece.data[at - piece.address : end - piece.address]))
            at = end
    flash.cleanup()
    held = bytes(data[head.start - area.start : head.stop - area.start])
    return _Held(flash, area, len(addresses), head, held)


def _without(pieces: Sequence[Piece], gap: range) -> list[Piece]:
    """What of the pieces is not in the gap."""
    found = []
    for piece in pieces:
        before = max(0, min(len(piece.data), gap.start - piece.address))
        behind = max(0, min(len(piece.data), gap.stop - piece.address))
        found.append(Piece(piece.address, piece.data[:before], piece.what))
        found.append(Piece(piece.address + behind, piece.data[behind:], piece.what))
    return [piece for piece in found if piece.data]


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
        raise _other(plan.target, plan.probe, "another one") from None
    return session.target


def _not_other(chip: str, probe: str, target: Any) -> None:
    """Raises `DeviceError` for a chip that is surely another one, as far as a locked one tells.
    What one vendor's port only reports with, another's erases with."""
    ports = target.dp.aps
    number = ports[1].idr & ~PORT_REVISION if 1 in ports else 0
    expected = next((n for n, (family, _) in PORTS.items() if isinstance(target, family)), None)
    known = chip in CHIPS
    if known and 0 in ports:
        if _is_chip(chip, ports[0]):
            return
        named = next((name for name in CHIPS if _is_chip(name, ports[0])), "")
        if named:
            raise _other(chip, probe, named)
    if number != expected and number in PORTS and (expected or known):
        raise _other(chip, probe, PORTS[number][1])
    if expected and not number:
        raise _other(chip, probe, "another one")


def _is_chip(name: str, memory: Any) -> bool:
    address, mask, values = CHIPS[name]
    try:
        return memory.read32(address) & mask in values
    except exceptions.TransferError:  # nothing there, or locked
        return False


def _same_chip(plan: Plan, target: Any) -> None:
    part = target.read32(CPUID) >> 4 & 0xFFF
    found = CORES.get(part, f"core {part:#x}")
    expected = max((c for c in CORES.values() if plan.cpu.startswith(c)), key=len, default="")
    if expected and found != expected:
        raise _other(plan.target, plan.probe, f"a {found}")
    if plan.target in CHIPS and not _is_chip(plan.target, target):
        raise _other(plan.target, plan.probe, "another one")


def _other(chip: str, probe: str, what: str) -> DeviceError:
    return DeviceError(
        f"the chip at probe {probe} is {what}, not {chip} [E0806]",
        hint="is this the right board? `edgeuk boards` lists others, `--probe ID` takes another",
    )


def _verify(pieces: Sequence[Piece], target: Any) -> None:
    for piece in pieces:
        different = _difference(piece, target)
        if different:
            at, found, wanted = different
            what = f"the flash has {found:#04x} at {at:#x}"
            what = f"{what}, where {wanted:#04x} was written [E0809]"
            raise VerificationError(what, hint="flash again; the image does not start like this")


def _difference(piece: Piece, target: Any) -> tuple[int, int, int] | None:
    """The first byte that is not as it should be: its address, the byte and what it should be."""
    region = target.memory_map.get_region_for_address(piece.address)
    # Some families keep their lock inside the image; pyOCD writes it open, whatever is there.
    wanted = bytes(region.flash.override_security_bits(piece.address, piece.data))
    found = bytes(target.read_memory_block8(piece.address, len(wanted)))
    pairs = zip(found, wanted, strict=True)
    return next(((piece.address + i, a, b) for i, (a, b) in enumerate(pairs) if a != b), None)


def _quiet() -> None:
    """pyOCD's log is not the user's: what matters comes as an exception."""
    logger = logging.getLogger("pyocd")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = False
