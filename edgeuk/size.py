"""Where the bytes of an image are: flash and RAM per component, driver and third-party library.

Read from LLD's map (`-Map`, LLD 22). An object file of machine code belongs to exactly one part;
for what link-time optimisation has merged, the debug information says from which source it came.
What parts share (merged strings, outlined code, alignment) is a part of its own, so that the sum is
the image.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edgeuk.errors import BuildError
from edgeuk.origin import Origins
from edgeuk.pack.elf import Elf

LINKER = "(shared)"  # strings that parts share, code that the linker outlined, alignment
GENERATED = "generated"
LTO_OBJECT = "<lto>"  # what link-time optimisation made of most objects, as one
SCRIPT = "<script>"  # stands for an object where the linker script itself takes room
STACK = ".stack"  # output section of the link templates; counted by itself
# "  VMA  LMA  Size Align     file.o:(.section)" and "... Align .section", all numbers hex.
LINE = re.compile(r"^ *([0-9a-f]+) +([0-9a-f]+) +([0-9a-f]+) +(\d+)( +)(.*)$")
INPUT = re.compile(r"^(.+):\((.+)\)$")


@dataclass(frozen=True, slots=True)
class Contribution:
    """One input section in the image."""

    section: str  # output section
    object: str  # object file as the linker was given it; "<internal>" for LLD's own
    input: str  # input section: ".text.mqtt_start"
    size: int
    address: int


@dataclass(frozen=True, slots=True)
class PartSize:
    """One row of `edgeuk size`, in bytes. Budgets are None where the manifest states none;
    previous sizes where there was no build before, or the part was not in it."""

    part: str  # "component/mqtt", "driver/pl011", "third_party/lwip", "generated", LINKER
    flash: int
    ram: int
    budget_flash: int | None = None
    budget_ram: int | None = None
    previous_flash: int | None = None
    previous_ram: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one image, parts with the most flash first."""

    flash: int
    ram: int  # static: data and bss, without the stack
    stack: int
    parts: tuple[PartSize, ...]

    def to_json(self) -> dict[str, Any]:
        """For build.json and `edgeuk size --json`."""
        return asdict(self)


def from_json(raw: Mapping[str, Any]) -> Sizes:
    """The inverse of `Sizes.to_json`."""
    parts = tuple(PartSize(**part) for part in raw["parts"])
    return Sizes(raw["flash"], raw["ram"], raw["stack"], parts)


def parse_map(text: str) -> list[Contribution]:
    """Every input section of an LLD map. Debug sections, which are not loaded, included."""
    found = []
    section = ""
    for line in text.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        what, depth = match[6], len(match[5])
        inside = INPUT.match(what)
        if inside:
            name = LTO_OBJECT if inside[1].endswith(".lto.o") else inside[1]
            size, address = int(match[3], 16), int(match[1], 16)
            found.append(Contribution(section, name, inside[2], size, address))
        elif depth == 1 and "=" not in what:
            section = what
        elif depth > 1 and what.startswith(". "):
            size, address = int(match[3], 16), int(match[1], 16)
            found.append(Contribution(section, SCRIPT, what, size, address))
    return found


def measure(
    text: str,
    elf: Elf,
    owners: Mapping[str, str],
    budgets: Mapping[str, Mapping[str, int]],
    origins: Origins,
    previous: Sizes | None = None,
) -> Sizes:
    """Sizes of the image `elf` with the map `text`. `owners`: object file, source file or variable
    of one ("generated/devices.c:net0_state") -> part; `budgets`: part -> {"text", "ram"}."""
    stack = sum(s.size for s in elf.sections if s.name == STACK)
    sections = {s.name: s for s in elf.sections if (s.in_flash or s.in_ram) and s.name != STACK}
    flash: dict[str, int] = {}
    ram: dict[str, int] = {}
    rest = {name: s.size for name, s in sections.items()}
    for c in parse_map(text):
        section = sections.get(c.section)
        if section is None:
            continue
        rest[c.section] -= c.size
        for part, size in _shares(c, owners, origins):
            if section.in_flash:
                flash[part] = flash.get(part, 0) + size
            if section.in_ram:
                ram[part] = ram.get(part, 0) + size
    for name, size in rest.items():
        flash[LINKER] = flash.get(LINKER, 0) + (size if sections[name].in_flash else 0)
        ram[LINKER] = ram.get(LINKER, 0) + (size if sections[name].in_ram else 0)
    before = {p.part: p for p in previous.parts if p.flash or p.ram} if previous else {}
    parts = [
        PartSize(
            part,
            flash.get(part, 0),
            ram.get(part, 0),
            budgets.get(part, {}).get("text"),
            budgets.get(part, {}).get("ram"),
            before[part].flash if part in before else None,
            before[part].ram if part in before else None,
        )
        for part in flash.keys() | ram.keys() | before.keys()
        if flash.get(part) or ram.get(part) or part in before  # that it is gone is a change too
    ]
    parts.sort(key=lambda p: (-p.flash, -p.ram, p.part))
    return Sizes(sum(flash.values()), sum(ram.values()), stack, tuple(parts))


def _shares(
    c: Contribution, owners: Mapping[str, str], origins: Origins
) -> Iterator[tuple[str, int]]:
    """The parts that an input section's bytes belong to."""
    if c.object != LTO_OBJECT:
        yield owners.get(c.object, LINKER), c.size
    elif c.input.startswith(".text"):
        origin = origins.code(c.address)
        yield owners.get(origin.source, LINKER) if origin else LINKER, c.size
    else:
        for found, size in origins.data(c.address, c.address + c.size):
            if found is None:
                yield LINKER, size
            else:
                whole = owners.get(found.source, LINKER)
                yield owners.get(f"{found.source}:{found.variable}", whole), size


def check_budgets(sizes: Sizes, together: Mapping[str, Iterable[str]]) -> None:
    """Raises `BuildError` naming every part above its budget: old size, new size, difference.

    `together`: part -> further parts that its budget covers (lwIP, for the component net/lwip).
    """
    by_name = {p.part: p for p in sizes.parts}
    faults = []
    for part in sizes.parts:
        group = [part, *(by_name[n] for n in together.get(part.part, ()) if n in by_name)]
        for what, new, old, budget in (
            (
                "flash",
                [p.flash for p in group],
                [p.previous_flash for p in group],
                part.budget_flash,
            ),
            ("RAM", [p.ram for p in group], [p.previous_ram for p in group], part.budget_ram),
        ):
            total = sum(new)
            if budget is not None and total > budget:
                known = [size for size in old if size is not None]
                was = f"was {sum(known)}, " if len(known) == len(old) else ""
                faults.append(
                    f"{part.part}: {was}is {total} bytes of {what}, "
                    f"{total - budget} above its budget of {budget}"
                )
    if faults:
        raise BuildError(
            "over budget:\n  " + "\n  ".join(faults),
            hint="make it smaller, or raise `budget` in its manifest and say why",
        )
