"""edgeuk/size.py: a map as LLD 22 writes it, attributed to parts by hand."""

from types import SimpleNamespace

import pytest

from edgeuk.errors import BuildError
from edgeuk.origin import Origin, Origins, _address
from edgeuk.pack.elf import Elf, Section
from edgeuk.size import (
    LINKER,
    SCRIPT,
    Contribution,
    PartSize,
    Sizes,
    check_budgets,
    from_json,
    measure,
    parse_map,
)

MAP = """\
     VMA      LMA     Size Align Out     In      Symbol
       0        0       4a     2 .text
       0        0        0     1         __text_start = .
       0        0        6     2         obj/firmware/mqtt/a.c.o:(.text.f)
       1        1        6     1                 f
      10       10       20     2         obj/drivers/pl011/pl011.c.o:(.text._start)
      30       30        8     2         gateway.debug.elf.new.lto.o:(.text.poll.17)
      38       38        8     2         gateway.debug.elf.new.lto.o:(.text.OUTLINED_FUNCTION_0)
      40       40        a     1         <internal>:(.rodata.str1.1)
20000000 20000000     1000     1 .stack
20001000 20001000     1000     1         . = . + 4096
20001000       5c        8     4 .data
20001000       5c        4     4         obj/drivers/pl011/pl011.c.o:(.data.counter)
20001004       60        4     4         obj/firmware/mqtt/a.c.o:(.data.msg)
20001008       64        0     1 __data_load = LOADADDR(.data)
20001008 20001008      190     4 .bss
20001008 20001008      180     4         obj/firmware/mqtt/a.c.o:(.bss.big)
20001188 20001188       10     4         gateway.debug.elf.new.lto.o:(.bss..L_MergedGlobals)
200011a0 200011a0       20     1         . += 2 * 16
       0        0       29     1 .debug_loc
       0        0       29     1         obj/firmware/mqtt/a.c.o:(.debug_loc)
"""
ALLOC, WRITE, NOBITS = 2, 1, 8
SECTIONS = (
    Section(".text", 1, ALLOC | 4, 0, 0x4A),
    Section(".stack", NOBITS, ALLOC | 4, 0x20000000, 0x1000),
    Section(".data", 1, ALLOC | WRITE, 0x20001000, 8),
    Section(".bss", NOBITS, ALLOC | WRITE, 0x20001008, 0x1B8),
    Section(".debug_loc", 1, 0, 0, 0x29),
)
OWNERS = {
    "obj/firmware/mqtt/a.c.o": "component/mqtt",
    "obj/drivers/pl011/pl011.c.o": "driver/pl011",
    "drivers/tmp105/tmp105.c": "driver/tmp105",
    "generated/devices.c": "generated",
    "generated/devices.c:net0_state": "driver/virtio_net",
    SCRIPT: SCRIPT,
}
ORIGINS = Origins(
    [
        Origin(0x30, 0x38, "drivers/tmp105/tmp105.c", ""),
        Origin(0x2000118C, None, "generated/devices.c", "net0_state"),
        Origin(0x20001194, None, "generated/devices.c", "irqs"),
    ]
)


def sizes(budgets=None, previous=None) -> Sizes:
    return measure(MAP, Elf(1, 40, 0, 0, (), SECTIONS), OWNERS, budgets or {}, ORIGINS, previous)


def test_map_lines_are_told_apart():
    found = parse_map(MAP)
    assert Contribution(".data", "obj/firmware/mqtt/a.c.o", ".data.msg", 4, 0x20001004) in found
    assert len(found) == 12


def test_every_byte_belongs_to_one_part():
    found = sizes()
    rows = {p.part: (p.flash, p.ram) for p in found.parts}
    assert rows == {
        "driver/pl011": (0x20 + 4, 4),
        "component/mqtt": (6 + 4, 4 + 0x180),
        "driver/tmp105": (8, 0),
        "driver/virtio_net": (0, 8),  # from one variable's start to the next
        "generated": (0, 4),
        SCRIPT: (0, 0x20),
        LINKER: (0x4A - 0x2E, 12),  # strings, outlined code, the gaps
    }
    assert (found.flash, found.ram, found.stack) == (0x4A + 8, 8 + 0x1B8, 0x1000)
    assert found.parts[0].part == "driver/pl011"


def test_sizes_survive_json_and_become_the_previous_ones():
    before = from_json(sizes().to_json())
    assert before == sizes()
    row = next(p for p in sizes(previous=before).parts if p.part == "driver/pl011")
    assert (row.previous_flash, row.previous_ram) == (0x24, 4)


def test_a_part_that_is_gone_is_a_change_once():
    gone = PartSize("driver/sim", 700, 12)
    before = Sizes(752, 460, 0x1000, (*sizes().parts, gone))
    after = sizes(previous=before)
    assert PartSize("driver/sim", 0, 0, None, None, 700, 12) in after.parts
    assert sum(p.flash for p in after.parts) == after.flash
    assert "driver/sim" not in {p.part for p in sizes(previous=after).parts}


def test_budget_error_names_old_new_and_difference():
    over = sizes({"driver/pl011": {"text": 34, "ram": 4}}, sizes())
    with pytest.raises(BuildError) as e:
        check_budgets(over, {})
    assert e.value.what == (
        "over budget:\n  driver/pl011: was 36, is 36 bytes of flash, 2 above its budget of 34"
    )


def test_budget_covers_the_third_party_code_of_a_component():
    rows = (
        PartSize("third_party/lwip", 900, 90),
        PartSize("component/net/lwip", 100, 10, budget_flash=999, budget_ram=100),
    )
    with pytest.raises(BuildError, match="is 1000 bytes of flash, 1 above its budget of 999"):
        check_budgets(Sizes(1000, 100, 0, rows), {"component/net/lwip": ("third_party/lwip",)})
    check_budgets(Sizes(1000, 100, 0, rows), {})


@pytest.mark.parametrize(
    ("location", "address"),
    [
        ([3, 0x50, 0xAF, 0x0C, 0, 0, 0, 0, 0], 0xCAF50),
        ([3, 0x50, 0xAF, 0x0C, 0, 0, 0, 0, 0, 0x23, 0x80, 8], 0xCB350),  # 0x400 behind it
        ([3, 0x50, 0xAF, 0x0C, 0, 0, 0, 0, 0, 6], None),  # where a pointer leads
        ([0x91, 0x10], None),  # on the stack
    ],
)
def test_variables_that_were_put_together_have_addresses_of_their_own(location, address):
    attributes = {"DW_AT_location": SimpleNamespace(value=location)}
    variable = SimpleNamespace(attributes=attributes, cu={"address_size": 8})
    assert _address(variable) == address
