"""edgeuk/generate.py: one gateway per board against stored texts, and the pure parts by hand.

After a wanted change, EDGEUK_STORE=1 writes the stored copies anew; read the difference.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.generate import c_address, c_string, generate, phases
from edgeuk.resolve import resolve
from tests.unit import standin

HERE = Path(__file__).parent / "generated"
BOARDS = ("host", "lm3s6965evb", "virt-aarch64", "x86-microvm")


def stored() -> Iterator[tuple[str, str]]:
    for board in BOARDS:
        for name in ("config.h", "devices.c", "pipeline.c", "link.ld"):
            yield board, name


@pytest.mark.parametrize(("board", "name"), list(stored()))
def test_generated_text_is_the_stored_one(board, name):
    catalog = load_catalog()
    gateway = "i2c.toml" if board == "lm3s6965evb" else "modbus.toml"
    image = resolve(load_gateway(HERE / gateway, catalog), find_board(catalog, board), catalog)
    text = generate(image, "0123456789abcdef").files().get(name, "")
    path = HERE / board / name
    if os.environ.get("EDGEUK_STORE"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def test_nothing_of_one_device_is_generated(tmp_path):
    one = standin.image(tmp_path)
    mqtt = replace(one.gateway.mqtt, host="192.0.2.1", port=8883, topic="t", username="u")
    network = replace(one.gateway.network, address="192.0.2.9", prefix=24, hostname="h")
    other = standin.image(
        tmp_path, name="another", mqtt=mqtt, network=network, servers={"main": "x:1"}
    )
    assert generate(one) == generate(replace(other, gateway=replace(other.gateway)))
    assert generate(one) == generate(other)


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("tab\tnew\n1", '"tab\\011new\\0121"'),
        ("°C", '"\\302\\260C"'),  # UTF-8, bytes in octal
        ("what??/", '"what\\?\\?/"'),  # else a trigraph
    ],
)
def test_c_string_escapes(text, literal):
    assert c_string(text) == literal


def test_addresses_are_hex_and_unsigned():
    assert c_address(0x4000_C000) == "0x4000c000u"
    assert c_address(0x1_0000_0000) == "0x100000000ull"


def test_polls_of_one_period_are_spread_over_it():
    assert phases([1000, 1000, 500, 1000, 1000, 500]) == [0, 250, 0, 500, 750, 250]
    assert phases([7, 7, 7]) == [0, 2, 4]
    assert phases([]) == []


def test_gateway_without_sensors_is_valid_c(tmp_path):
    text = generate(standin.image(tmp_path, sensors=())).pipeline_c
    assert "pipeline_channel_count = 0;" in text
    assert "pipeline_polls[] = {\n    {0}, // none\n};" in text


def test_irqs_are_sorted_and_said_once(tmp_path):
    text = generate(standin.image(tmp_path)).devices_c
    assert "const uint16_t ek_irqs[] = {5, 8};\nconst uint16_t ek_irq_count = 2;" in text


def test_role_without_a_device_is_empty(tmp_path):
    text = generate(standin.image(tmp_path)).devices_c
    assert "const struct ek_entropy ek_role_entropy = {0}; // none in use" in text
    assert "ek_role_console = {.ops = &plain_uart_ops, .dev = &uart0};" in text
