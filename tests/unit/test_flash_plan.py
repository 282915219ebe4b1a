"""What is to be written where: pieces of an ELF file, and the sectors that they touch."""

import pytest

from edgeuk.board import load_board
from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import BuildError, ConfigError
from edgeuk.flash.plan import (
    BANNER,
    FlashRegion,
    Piece,
    Sector,
    check_image,
    pieces_of,
    sectors_of,
)
from edgeuk.flash_method import Flash
from edgeuk.pack import elf
from edgeuk.paths import data_roots

# Sectors of two sizes side by side, as an STM32F4 has them.
REGIONS = [FlashRegion(0x1000, 0x800, 0x400), FlashRegion(0x1800, 0x2000, 0x1000)]


def sectors(address, size):
    return sectors_of([Piece(address, bytes(size), "image")], REGIONS)


@pytest.mark.parametrize(
    ("address", "size", "expected"),
    [
        (0x1000, 1, [(0x1000, 0x400)]),
        (0x1000, 0x400, [(0x1000, 0x400)]),
        (0x13FF, 2, [(0x1000, 0x400), (0x1400, 0x400)]),
        (0x17FF, 2, [(0x1400, 0x400), (0x1800, 0x1000)]),
        (0x37FF, 1, [(0x2800, 0x1000)]),
    ],
)
def test_only_sectors_with_a_byte_in_them_count(address, size, expected):
    assert sectors(address, size) == tuple(Sector(*s) for s in expected)


def test_a_piece_that_ends_outside_says_by_how_much():
    with pytest.raises(BuildError, match=r"the image is 3 bytes larger .* \[E0808\]"):
        sectors(0x37FF, 4)
    with pytest.raises(BuildError, match=r"goes to 0x800, which is not in the chip's flash"):
        sectors(0x800, 4)


def test_segments_side_by_side_are_one_piece_and_sorted_by_load_address(tmp_path):
    def segment(address, data):
        return elf.Segment(elf.PT_LOAD, 5, 0x2000_0000, address, len(data), 4, data)

    loads = (segment(0x100, b"late"), segment(0, b"1234"), segment(4, b"5678"))
    path = tmp_path / "i.elf"
    path.write_bytes(elf.pack(elf.Elf(elf.CLASS_32, 40, 0, 0, loads, ())))
    assert [(p.address, p.data) for p in pieces_of(path)] == [(0, b"12345678"), (0x100, b"late")]


def test_files_that_are_no_image_are_refused(tmp_path):
    with pytest.raises(BuildError, match="cannot be read"):
        pieces_of(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BuildError, match="not a little-endian ELF file"):
        pieces_of(tmp_path / "text")


def test_an_image_says_which_board_it_is_for(tmp_path):
    """Two boards' flash may begin at one address: only the name tells them apart."""
    assert BANNER in (data_roots().firmware / "kernel/init.c").read_bytes()
    catalog = load_catalog()
    board, other = (find_board(catalog, name) for name in ("microbit", "frdm-k64f"))
    path = tmp_path / "gateway.elf"
    path.write_bytes(b"\x7fELF" + BANNER + b"\0microbit\0")
    check_image(path, board, catalog.boards)
    with pytest.raises(BuildError, match=r"image of board `microbit` \[E0808\]"):
        check_image(path, other, catalog.boards)
    path.write_bytes(b"\x7fELF: somebody else's")
    check_image(path, other, catalog.boards)


BOARD = """\
summary = "x"
cpu = "cortex-m0"
[memory]
ram = { base = 0, size = 4 }
[roles]
[devices]
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ('[flash]\nmethod = "pyocd"\ntarget = "k64f"', Flash("pyocd", "k64f")),
        (
            '[flash]\nmethod = "sd"\nfirmware = ["a"]\nconfig = ["b=1"]',
            Flash("sd", "", ("a",), ("b=1",)),
        ),
        (
            '[flash]\nmethod = "u-boot"\nloader = ["a", "b"]\nloader_at = 0x400\n'
            'loader_end = 0x1000\nloader_from = "make"',
            Flash("u-boot", loader=("a", "b"), loader_at=1024, loader_end=4096, loader_from="make"),
        ),
        ('[flash]\nmethod = "mps2"\napplication = "AN385"', Flash("mps2", application="AN385")),
        ('[flash]\nmethod = "file"\ncommand = "x {file}"', Flash("file", command="x {file}")),
    ],
)
def test_the_flash_table_of_a_board(tmp_path, text, expected):
    (tmp_path / "b.toml").write_text(BOARD + text)
    assert load_board(tmp_path / "b.toml").flash == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[flash]", "E0202"),
        ('[flash]\nmethod = "usb"', "E0205"),
        ('[flash]\nmethod = "pyocd"', "E0202"),
        ('[flash]\nmethod = "sd"\ntarget = "k64f"', "E0201"),
        (
            '[flash]\nmethod = "u-boot"\nloader = ["a"]\nloader_at = 0x1000000\n'
            'loader_end = 0\nloader_from = ""',
            "E0204",
        ),
        ('[flash]\nmethod = "mps2"\ntarget = "k64f"', "E0202"),
        ('[flash]\nmethod = "file"', "E0202"),
    ],
)
def test_a_flash_table_that_makes_no_sense(tmp_path, text, code):
    (tmp_path / "b.toml").write_text(BOARD + text)
    with pytest.raises(ConfigError) as caught:
        load_board(tmp_path / "b.toml")
    assert caught.value.faults[0].code == code
