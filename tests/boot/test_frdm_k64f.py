"""The image for the FRDM-K64F, which no emulator runs: what the chip itself looks at in the flash,
where things lie, and what the processor does first. Numbers from K64P144M120SF5RM."""

import struct

import pytest
from elftools.elf.elffile import ELFFile

BOARD = "frdm-k64f"
FLASH_MAX, RAM_MAX = 44 * 1024, 26 * 1024
SRAM_U = range(0x2000_0000, 0x2003_0000)
GATEWAY = """
[[sensor]]
name = "tilt"
driver = "fxos8700"
at = "i2c0:0x1d"
quantity = "accel_z"
every = "1s"

[[sensor]]
name = "north"
driver = "fxos8700"
at = "i2c0:0x1d"
quantity = "mag_x"
every = "1s"
"""
TEMPERATURE = """
[[sensor]]
name = "room"
driver = "tmp105"
at = "i2c0:0x48"
every = "1s"
"""


@pytest.fixture(scope="module")
def built(gateways):
    return gateways(BOARD, GATEWAY).result


@pytest.fixture(scope="module")
def flash(built):
    return flash_of(built)


def flash_of(built):
    """What a flasher writes, from address 0 on: the ELF's segments, not what lies between them."""
    memory = {}
    with built.image.open("rb") as f:
        for segment in ELFFile(f).iter_segments("PT_LOAD"):
            data = segment.data()
            memory |= {segment["p_paddr"] + i: byte for i, byte in enumerate(data)}
    return memory


def word(flash, addr):
    return struct.unpack("<I", bytes(flash[addr + i] for i in range(4)))[0]


def symbols(built):
    with built.debug.open("rb") as f:
        table = ELFFile(f).get_section_by_name(".symtab")
        return {s.name: s["st_value"] for s in table.iter_symbols()}


def test_the_flash_configuration_field_leaves_the_chip_open(flash):
    """FTFE: backdoor key, FPROT3 to 0, FSEC, FOPT, FEPROT, FDPROT. Anything but 10 in the lowest
    bits of FSEC locks a debugger out; 10 in MEEN on top of that, for ever."""
    field = bytes(flash[0x400 + i] for i in range(16))
    assert field[:8] == b"\xff" * 8
    assert field[8:12] == b"\xff" * 4
    assert field[12] == 0xFE
    assert field[13:] == b"\xff" * 3


def test_the_vectors_are_complete_and_point_into_the_code(built, flash):
    names = symbols(built)
    assert word(flash, 0) in SRAM_U
    assert word(flash, 0) % 8 == 0
    assert word(flash, 4) == names["_start"] | 1
    for number in range(1, 16 + 86):  # up to the Ethernet's error interrupt, 85
        vector = word(flash, 4 * number)
        assert vector & 1, f"vector {number} is not of Thumb code"
        assert 0x410 <= vector < len(flash)


def test_the_watchdog_is_answered_within_the_first_instructions(built, flash):
    """It resets 256 bus clocks after a reset, long before variables are set up. MOVW, encoding T3:
    the words of the sequence, in order, among the first 16 instructions at most."""
    start = word(flash, 4) & ~1
    words = []
    for at in range(start, start + 32, 2):
        one, two = struct.unpack("<HH", bytes(flash[at + i] for i in range(4)))
        if one & 0xFBF0 == 0xF240 and not two & 0x8000:
            parts = (one & 15) << 12 | (one >> 10 & 1) << 11 | (two >> 12 & 7) << 8 | two & 0xFF
            words.append(parts)
    assert words[:2] == [0xC520, 0xD928]


def test_variables_and_stack_are_in_one_array_of_ram(built):
    names = symbols(built)
    for name in ("__stack_bottom", "__stack_top", "__data_start", "__bss_start", "__bss_end"):
        assert names[name] in SRAM_U
    assert names["__stack_bottom"] == SRAM_U.start  # one that overflows runs into SRAM_L


def test_the_page_of_the_device_configuration_is_not_the_images(flash):
    assert max(flash) < 0xF_F000


@pytest.mark.parametrize("text", [GATEWAY, TEMPERATURE])
def test_it_is_small_enough(gateways, text):
    result = gateways(BOARD, text).result
    assert result.flash_bytes <= FLASH_MAX
    assert result.ram_bytes <= RAM_MAX


def test_other_boards_have_no_such_field(gateways):
    result = gateways("lm3s6965evb", TEMPERATURE).result
    assert "kinetis_flash_config" not in symbols(result)
    field = bytes(flash_of(result)[0x400 + i] for i in range(16))
    assert field != b"\xff" * 12 + b"\xfe" + b"\xff" * 3
