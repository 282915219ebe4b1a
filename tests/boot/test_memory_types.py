"""What kind of memory each address is, from the tables that a booted image has in force: QEMU heeds
their rights, but not their types. Whole address spaces are decoded here from the manuals.

x86-64: Intel SDM volume 3, 4.5 (tables), 11.12 (PAT). AArch64: Arm DDI 0487, D8.3. Armv7-A with
long descriptors: Arm DDI 0406C, B3.6. Armv7-M: Arm DDI 0403E, B3.5. K64: K64P144M120SF5RM, SYSMPU.
"""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest
from boot_rig import LIMIT_S, Built
from boot_wild import wild_image
from elftools.elf.elffile import ELFFile

from edgeuk.board import Board
from edgeuk.catalog import load_catalog

PAGE, BLOCK, GIGABYTE = 1 << 12, 1 << 21, 1 << 30
WINDOW = 480 * BLOCK  # firmware/arch/x86_64/map.c
NORMAL, DEVICE = "normal", "device"
Registers = dict[str, int]
Table = Callable[[int], tuple[int, ...]]  # the 512 entries at a physical address


@dataclass(frozen=True, slots=True)
class Span:
    """Addresses of one kind. What is in no span faults."""

    start: int
    end: int
    kind: str
    rights: str  # the kernel's: some of "rwx"
    physical: int

    @property
    def says(self) -> tuple[str, str, int]:
        """All but the place."""
        return self.kind, self.rights, self.physical - self.start


@dataclass(frozen=True, slots=True)
class Live:
    """A booted image: its registers, symbols, and the memory that its tables are in."""

    built: Built
    registers: Registers
    at: dict[str, int]
    table: Table
    qmp: Callable[..., Any]


@pytest.fixture
def live(gateways, boot, tmp_path, tmp_path_factory):
    def start(board: str, extra: Sequence[str] = ()) -> Live:
        built = wild_image(board, gateways, tmp_path_factory)
        machine = boot(built, {"mqtt.host": "", "mqtt.user": "tell registers"}, extra=extra)
        machine.wait_line("wild: survived", LIMIT_S)
        told = " ".join(line.partition("wild: ")[2] for line in machine.lines)
        found = {name: int(value, 16) for name, value in re.findall(r"(\w+)=([0-9a-f]+)", told)}
        file = tmp_path / "table"

        def table(at: int) -> tuple[int, ...]:
            machine.qmp("pmemsave", val=at, size=PAGE, filename=str(file))
            return struct.unpack("<512Q", file.read_bytes())

        return Live(built, found, symbols(built), table, getattr(machine, "qmp", None))

    return start


def symbols(built: Built) -> dict[str, int]:
    with next(built.result.image.parent.glob("*.debug.elf")).open("rb") as file:
        table = ELFFile(file).get_section_by_name(".symtab")
        return {s.name: s["st_value"] for s in table.iter_symbols()}


def x86(live: Live) -> Iterator[Span]:
    """The present pages of all four levels (SDM volume 3, 4.5)."""
    pat = live.registers["pat"]

    def walk(table: int, level: int, base: int, above: int) -> Iterator[Span]:
        size = PAGE << 9 * level
        for index, entry in enumerate(live.table(table)):
            if not entry & 1:
                continue
            at = base + index * size
            writable, allowed = entry & above & 2, (entry ^ 1 << 63) & above & 1 << 63
            if level > 0 and not entry >> 7 & 1:
                assert not entry & 0x18, "the table itself is read uncached"
                yield from walk(entry & 0xF_FFFF_FFFF_F000, level - 1, at, writable | allowed)
                continue
            assert not entry & 4, "unprivileged code may use it"
            choice = entry >> 3 & 3 | (entry >> (12 if level else 7) & 1) << 2
            kind = {0: DEVICE, 6: NORMAL}[pat >> 8 * choice & 0xFF]  # UC; WB; 11.12.2
            rights = "r" + "w" * bool(writable) + "x" * bool(allowed)
            yield Span(at, at + size, kind, rights, entry & 0xF_FFFF_FFFF_F000 & -size)

    assert live.registers["cr0"] & (1 << 31 | 1 << 16) == 1 << 31 | 1 << 16  # PG, WP
    assert not live.registers["cr0"] & 3 << 29  # CD, NW: caches are on
    assert live.registers["cr4"] & (1 << 5 | 1 << 12) == 1 << 5  # PAE; four levels
    assert live.registers["efer"] >> 10 & 3 == 3  # LMA, NXE
    assert live.registers["cr3"] & 0xFFF == 0  # the first table is read cached
    yield from walk(live.registers["cr3"], 3, 0, 1 << 63 | 2)


def long_descriptors(
    live: Live, table: int, mair: int, forbids: int, shareable: int
) -> Iterator[Span]:
    """4 GB in pages of 4 KB, level 1 first; `forbids`: bits that forbid the kernel to execute."""

    def walk(table: int, level: int, base: int) -> Iterator[Span]:
        size = PAGE << 9 * (3 - level)
        for index, entry in enumerate(live.table(table)[: 4 if level == 1 else None]):
            at, output = base + index * size, entry & 0xFFFF_FFFF_F000
            if not entry & 1:
                continue
            if level < 3 and entry & 2:
                assert entry >> 59 == 0, "it takes rights from what is below"
                yield from walk(output, level + 1, at)
                continue
            assert entry & 2 or level < 3, "reserved"
            assert entry >> 10 & 1, "no access flag: it would fault"
            assert not entry >> 6 & 1, "unprivileged code may use it"
            assert not entry >> 5 & 1, "non-secure, or reserved"
            # Device-nGnRE, which Armv7 calls Device; write-back and allocating, inner and outer.
            kind = {0x04: DEVICE, 0xFF: NORMAL}[mair >> 8 * (entry >> 2 & 7) & 0xFF]
            assert kind == DEVICE or entry >> 8 & 3 == shareable
            rights = "r" + "w" * (not entry >> 7 & 1) + "x" * (not entry & forbids)
            yield Span(at, at + size, kind, rights, output & -size)

    yield from walk(table, 1, 0)


def aarch64(live: Live) -> Iterator[Span]:
    assert live.registers["el"] == 1
    # WXN, I, C and M of SCTLR_EL1; neither EE nor A.
    assert live.registers["sctlr"] & 0x0208_1007 == 0x0008_1005
    # T0SZ, EPD0, walks write-back cached (IRGN0, ORGN0), inner shareable (SH0), TG0; EPD1; IPS,
    # TBI0.
    assert live.registers["tcr"] & 0x2F_0080_FFFF == 32 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23
    assert live.registers["ttbr0"] % 64 == 0
    yield from long_descriptors(
        live, live.registers["ttbr0"], live.registers["mair"], 1 << 53, shareable=3
    )


def armv7a(live: Live) -> Iterator[Span]:
    # WXN, I, Z, C and M of SCTLR; neither EE, UWXN, V nor A.
    assert live.registers["sctlr"] & 0x0218_3807 == 0x0008_1805
    # EAE, walks write-back cached, not shared; T1SZ and T0SZ are 0, so TTBR0 is for all, and on.
    assert live.registers["ttbcr"] & 0x8007_3F87 == 1 << 31 | 1 << 10 | 1 << 8
    assert live.registers["ttbr0"] % 32 == 0
    assert live.registers["ttbr0_high"] == 0
    mair = live.registers["mair0"] | live.registers["mair1"] << 32
    yield from long_descriptors(live, live.registers["ttbr0"], mair, 3 << 53, shareable=0)


def armv7m(live: Live) -> Iterator[Span]:
    """Of regions that overlap, the last counts (B3.5.3)."""
    assert live.registers["ctrl"] == 1, "nothing beside the regions"
    regions = []  # start, end, RASR
    for number in range(live.registers["regions"]):
        base, rasr = live.registers[f"rbar{number}"] & ~31, live.registers[f"rasr{number}"]
        size = 2 << (rasr >> 1 & 31)
        assert not rasr & 1 or base % size == 0
        parts = range(8) if size >= 256 else (0,)
        regions += [
            (base + part * size // 8, base + (part + 1) * size // 8, rasr)
            for part in parts
            if rasr & 1 and not rasr >> (8 + part) & 1
        ]
    for start, end in pairwise(sorted({edge for r in regions for edge in r[:2]})):
        rasr = next((r for low, high, r in reversed(regions) if low <= start < high), 0)
        access = {0: "", 1: "rw", 2: "rw", 3: "rw", 5: "r", 6: "r"}[rasr >> 24 & 7]
        if access:
            # TEX, C, B (table B3-13): shared device; write-through. TEX 1: write-back, allocating.
            kind = {1: DEVICE, 2: NORMAL, 3: NORMAL, 0xB: NORMAL}[
                rasr >> 16 & 3 | rasr >> 17 & 0x1C
            ]
            assert kind == NORMAL or rasr >> 18 & 1, "S: seen by all"
            yield Span(start, end, kind, access + "x" * (not rasr >> 28 & 1), start)


def kinetis(live: Live) -> Iterator[Span]:
    """What the unit before flash and RAM lets the core do: what any region allows. Types are the
    core's own, by address: it has no MPU."""
    assert live.registers["cesr"] & 1
    regions = []
    for number in range(12):
        if live.registers[f"valid{number}"] & 1:
            start, end = live.registers[f"start{number}"], live.registers[f"end{number}"] | 31
            word = live.registers[f"rights{number}"]
            assert word >> 3 & 3 == 3, "privileged code has the rights of user mode (M0SM)"
            regions.append((start, end + 1, word & 7))
    for start, end in pairwise(sorted({edge for r in regions for edge in r[:2]})):
        here = [bits for low, high, bits in regions if low <= start < high]
        names = zip("rwx", (4, 2, 1), strict=True)
        if rights := "".join(name for name, bit in names if any(bits & bit for bits in here)):
            yield Span(start, end, NORMAL, rights, start)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Neighbours of one kind as one."""
    found: list[Span] = []
    for span in spans:
        if found and found[-1].end == span.start and found[-1].says == span.says:
            found[-1] = replace(found[-1], end=span.end)
        else:
            found.append(span)
    return found


def up(address: int, unit: int = PAGE) -> int:
    return -(-address // unit) * unit


Wanted = list[tuple[int, int, str, str]]


def want_x86(live: Live) -> Wanted:
    at, text_end, stack_end = live.at, up(live.at["__text_end"]), up(live.at["__stack_top"])
    return [
        (PAGE, 0xA_0000, NORMAL, "r"),  # what a loader left; behind it, old graphics cards
        (0xC_0000, at["__text_start"], NORMAL, "r"),
        (at["__text_start"], text_end, NORMAL, "rx"),
        (text_end, at["__data_start"], NORMAL, "r"),
        (at["__data_start"], at["__stack_bottom"] - PAGE, NORMAL, "rw"),
        (at["__stack_bottom"], stack_end, NORMAL, "rw"),
        (stack_end, 992 << 20, NORMAL, "r"),
        (0xFE00_0000, 1 << 32, DEVICE, "rw"),
    ]


def want_armv7a(live: Live) -> Wanted:
    at, memory = live.at, live.built.image.board.memory
    assert at["__text_start"] == memory["ram"].base
    low = [(BLOCK, GIGABYTE, DEVICE, "rw")] if memory["ram"].base >= GIGABYTE else []
    return [
        *low,
        (at["__text_start"], at["__rodata_start"], NORMAL, "rx"),
        (at["__rodata_start"], at["__data_start"], NORMAL, "r"),
        (at["__data_start"], at["__stack_bottom"] - PAGE, NORMAL, "rw"),
        (
            at["__stack_bottom"],
            up(max(r.base + r.size for r in memory.values()), BLOCK),
            NORMAL,
            "rw",
        ),
    ]


def want_aarch64(live: Live) -> Wanted:
    return [*want_armv7a(live), (3 * GIGABYTE, 4 * GIGABYTE, DEVICE, "rw")]


def want_armv7m(live: Live) -> Wanted:
    memory, code_end = live.built.image.board.memory, up(live.at["__text_end"], 128)
    config, ram = memory["config"], memory["ram"]
    return [
        (256, code_end, NORMAL, "rx"),
        (code_end, config.base + config.size, NORMAL, "r"),
        (ram.base, ram.base + ram.size, NORMAL, "rw"),
        (0x4000_0000, 0x6000_0000, DEVICE, "rw"),  # all peripherals there are (B3.1)
    ]


def want_kinetis(live: Live) -> Wanted:
    code_end, ram = up(live.at["__text_end"], 32), live.built.image.board.memory["ram"]
    return [
        (0x400, code_end, NORMAL, "rx"),
        (code_end, 0x10_0000, NORMAL, "r"),
        (0x1FFF_0000, 0x1FFF_0200, NORMAL, "r"),  # the vectors
        (ram.base, ram.base + ram.size, NORMAL, "rw"),
    ]


ARCHES = {
    "x86-microvm": (x86, want_x86),
    "x86-pc": (x86, want_x86),
    "virt-aarch64": (aarch64, want_aarch64),
    "imx8mp-evk": (aarch64, want_aarch64),
    "rpi4": (aarch64, want_aarch64),
    "imx6ul-evk": (armv7a, want_armv7a),
    "lm3s6965evb": (armv7m, want_armv7m),
    "mps2-an385": (armv7m, want_armv7m),
    "frdm-k64f": (kinetis, want_kinetis),
}


def devices(board: Board) -> Iterator[int]:
    """Where the board file says that they are. On PCI, that is where they may be put."""
    drivers = load_catalog().drivers
    for device in board.devices.values():
        props = drivers[device.driver].props
        for name, value in device.props.items():
            if props[name].type == "address" and value and name != "window":
                yield value


@pytest.mark.parametrize("board", ARCHES)
def test_every_address_is_the_memory_that_it_should_be(live, board):
    machine = live(board)
    decode, want = ARCHES[board]
    spans = merged(decode(machine))
    assert not [s for s in spans if set("wx") <= set(s.rights)]
    assert not [s for s in spans if s.start < 256], "null pointers lead somewhere"
    assert all(s.physical == s.start for s in spans)
    assert [(s.start, s.end, s.kind, s.rights) for s in spans] == want(machine)
    for address in devices(machine.built.image.board):
        # The Kinetis' unit has no say there.
        assert decode is kinetis or any(
            s.start <= address < s.end and s.kind == DEVICE for s in spans
        ), hex(address)


def test_what_a_pc_maps_later_is_device_memory_and_mapped_once(live):
    """A card with 64 MB pushes the others' registers to where the entry code maps nothing."""
    machine = live("x86-pc", extra=("-device", "pci-testdev,membar=64M"))
    spans = merged(x86(machine))
    assert [
        (s.start, s.end, s.kind, s.rights, s.physical) for s in spans if s.start != s.physical
    ] == [(WINDOW, WINDOW + BLOCK, DEVICE, "rw", 0xFC00_0000)]
    placed = [
        region["address"]
        for bus in machine.qmp("query-pci")
        for device in bus["devices"]
        for region in device["regions"]
        if device["id"]["vendor"] == 0x1AF4 and region.get("prefetch")
    ]
    assert placed == [0xFC00_0000, 0xFC00_4000]
