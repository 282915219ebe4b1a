"""Properties that are arrays of numbers, on a real board's table: checked, and generated as C."""

import re

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import ConfigError
from edgeuk.gateway import load_gateway
from edgeuk.generate import generate
from edgeuk.paths import data_roots
from edgeuk.resolve import resolve
from edgeuk.units import units

GATEWAY = """
schema = 1
name = "gateway"
[mqtt]
url = "mqtt://localhost:1883"
[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "1s"
"""


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def with_setup(tmp_path, value):
    """imx6ul-evk with another table."""
    text = (data_roots().boards / "imx6ul-evk.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(re.sub(r"^setup = \[.*?\n\]", f"setup = {value}", text, flags=re.S | re.M))
    return str(path)


def image(catalog, tmp_path, board):
    path = tmp_path / "gateway.toml"
    path.write_text(GATEWAY)
    return resolve(load_gateway(path, catalog), find_board(catalog, board), catalog)


def test_an_array_becomes_a_table_that_0_ends(catalog, tmp_path):
    board = with_setup(tmp_path, "[0x1000, 2, 0xFFFF_FFFF]")
    text = generate(image(catalog, tmp_path, board)).devices_c
    assert ".setup = (const uint32_t[]){0x1000, 0x2, 0xffffffff, 0}," in text


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("[1, -1]", "`setup` must hold 0 to 0xffffffff, not -0x1"),
        ("[0x1_0000_0000]", "`setup` must hold 0 to 0xffffffff, not 0x100000000"),
        ("[1, true]", "`setup` must be an array of whole numbers"),
        ('["1"]', "`setup` must be an array of whole numbers"),
        ("1", "`setup` must be an array of whole numbers"),
    ],
)
def test_what_is_no_array_of_such_numbers_is_refused(catalog, tmp_path, value, what):
    with pytest.raises(ConfigError) as error:
        find_board(catalog, with_setup(tmp_path, value))
    assert [fault.what for fault in error.value.faults] == [what]


def test_no_two_processors_share_objects(catalog, tmp_path):
    boards = ("lm3s6965evb", "imx6ul-evk")
    flags = [units(image(catalog, tmp_path, b))[-1].flags for b in boards]
    assert flags[0] != flags[1]  # the object cache knows a unit by its flags
    assert [f for f in flags[1] if f.startswith("-mcpu=cortex_a7")]
