"""Board files that are right, alone and against the drivers; and how a mistyped name is met."""

from pathlib import Path

import pytest

from edgeuk.board import SIZES, Qemu, Region, load_board
from edgeuk.catalog import check_board, find_board, load_catalog
from edgeuk.errors import ConfigError, UsageError

BOARDS = Path(__file__).parent / "catalog" / "boards"
ROOT = Path(__file__).parents[2]


def test_a_board_loads_by_itself():
    board = load_board(BOARDS / "demo-m3.toml")
    assert (board.name, board.cpu) == ("demo-m3", "cortex-m3")
    assert board.memory["config"] == Region(0x3F000, 0x1000)
    assert board.roles == {"console": "uart0", "uplink": "eth0"}
    assert board.devices["eth0"].irqs == (42,)
    assert board.devices["uart0"].props == {"base": 0x4000_C000, "clock_hz": 12_000_000}
    assert board.qemu == Qemu("qemu-system-arm", "lm3s6965evb", ())
    assert board.verified == {"console": "qemu"}


def test_sizes_have_defaults():
    sizes = load_board(BOARDS / "demo-m3.toml").sizes
    assert sizes == {name: default for name, (default, _, _) in SIZES.items()} | {
        "stack_bytes": 3072
    }


def test_the_catalog_fills_in_the_drivers_defaults(catalog):
    board = find_board(catalog, "demo-m3")
    assert board.devices["uart0"].props["baud"] == 115_200
    assert board.devices["i2c0"].props == {"base": 0x4002_0000, "fast": False}
    assert find_board(catalog, "demo-x86").devices["virtio0"].irqs == (5, 6)


def test_a_board_file_outside_of_the_catalog_can_be_named(catalog, tmp_path):
    path = tmp_path / "own.toml"
    path.write_text((BOARDS / "demo-m3.toml").read_text())
    assert find_board(catalog, str(path)).name == "own"


def test_a_mistyped_board_gets_a_suggestion(catalog):
    with pytest.raises(UsageError) as error:
        find_board(catalog, "demo-x68")
    assert str(error.value) == "no board `demo-x68`\n\nhint: did you mean `demo-x86`?"
    assert error.value.exit_code == 2


def test_the_boards_of_the_repository_are_right():
    catalog = load_catalog()
    for name in catalog.boards:
        assert find_board(catalog, name).name == name


@pytest.mark.parametrize(
    ("board", "old", "new", "said"),
    [
        ("rpi4", "scl_pin = 3", "scl_pin = 2", "pin 2"),
        ("microbit", "rx = 25", "rx = 24", "pin 24"),
        ("lm3s6965evb", "clock_hz = 50_000_000", "clock_hz = 30_000_000", "cannot be 30000000"),
        ("frdm-k64f", "external_hz = 50_000_000", "external_hz = 51_000_001", "1,000,000 Hz, not"),
        ("mps2-an385", "clock_hz = 25_000_000", "clock_hz = 25_000_001", "1,000,000 Hz, not"),
        ("frdm-k64f", "120_000_000         #", "60_000_000 #", "gets 120,000,000 Hz (the clock"),
        ("frdm-k64f", "= 60_000_000", "= 120_000_000", "gets 60,000,000 Hz (the clock"),
        ("lm3s6965evb", "50_000_000          #", "25_000_000 #", "gets 50,000,000 Hz"),
        ("rpi4", '"bcm_mini_uart"', '"bcm_mini_uart"\nbaud = 300', "cannot be made"),
    ],
)  # fmt: skip
def test_what_the_chips_of_our_boards_cannot_do_is_found(tmp_path, board, old, new, said):
    text = (ROOT / "boards" / f"{board}.toml").read_text()
    assert old in text
    path = tmp_path / f"{board}.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        check_board(path, load_catalog())
    assert said in str(error.value)
