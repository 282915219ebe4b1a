"""Sensors and actuators at digital pins: from the gateway file to the C that is generated of it.

What is wrong with files is in bad/gateway/pins.toml and actuators.toml.
"""

from pathlib import Path

import pytest

from edgeuk.actuators import Actuator
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import At, load_gateway
from edgeuk.generate import Generated, generate
from edgeuk.resolve import Image, boards_for, resolve, why

HEAD = """
schema = 1
name = "gate"
"""
DOOR = """
[[sensor]]
name = "door"
driver = "gpio_in"
at = "gpio0:5"
active = "low"
pull = "up"
debounce = "30ms"
every = "1h"
"""
WATER = """
[[sensor]]
name = "water"
driver = "pulse_counter"
at = "gpio0:4"
every = "1h"
"""
WAVE = """
[[sensor]]
name = "wave"
driver = "sim"
every = "1h"
"""
RELAY = """
[[actuator]]
name = "relay"
driver = "gpio_out"
at = "gpio0:7"
active = "low"
initial = "on"
on_disconnect = "off"
hold = "1m"
obey_retained = true
"""


def image_of(folder: Path, text: str, board: str = "lm3s6965evb") -> Image:
    catalog = load_catalog()
    (folder / "gateway.toml").write_text(HEAD + text)
    gateway = load_gateway(folder / "gateway.toml", catalog, board)
    return resolve(gateway, find_board(catalog, board), catalog)


def generated(folder: Path, text: str) -> Generated:
    return generate(image_of(folder, text))


def test_an_actuator_has_safe_defaults(tmp_path, catalog):
    text = '[[actuator]]\nname = "relay"\ndriver = "switch"\nat = "gpio0:1"\n'
    (tmp_path / "gateway.toml").write_text(HEAD + text)
    (actuator,) = load_gateway(tmp_path / "gateway.toml", catalog).actuators
    assert actuator == Actuator(
        name="relay",
        driver="switch",
        at=At("gpio0:1", "gpio0", 1),
        initial=False,
        on_disconnect="keep",
        hold_ms=10_000,
        obey_retained=False,
        props={"active": "high"},
    )


def test_an_actuator_gets_its_object_its_row_and_its_channel(tmp_path):
    made = generated(tmp_path, DOOR + RELAY)
    text = made.pipeline_c
    assert '{.name = "relay", .unit = "", .decimals = 0},' in text
    assert "pipeline_channel_count = 2;" in text
    assert "pipeline_poll_count = 1;" in text
    assert "static const struct gpio_out gpio_out_1 = {\n    .port = &ek_device_gpio0,\n" in text
    assert (
        "    {&gpio_out_ops, &gpio_out_1, .channel = 1, .hold_ms = 60000, .initial = true, "
        ".without_broker = ACTUATOR_OFF, .obey_retained = true},\n"
    ) in text
    assert "#define EK_ACTUATORS" in made.config_h
    assert "const struct ek_gpio ek_device_gpio0 = {.ops = &pl061_ops, .dev = &gpio0};" in (
        made.devices_c
    )


def test_a_pin_is_watched_from_the_start_whatever_its_period(tmp_path):
    text = generated(tmp_path, WAVE + DOOR + WATER + WAVE.replace("wave", "tide")).pipeline_c
    phases = [
        line.split(".phase_ms = ")[1].split(",")[0] for line in text.split("\n") if ".ph" in line
    ]
    assert phases == ["0", "1800000", "0", "0"]  # both waves, door, water


def test_the_port_and_its_interrupt_come_with_the_first_pin(tmp_path):
    image = image_of(tmp_path, DOOR + RELAY)
    assert [i.name for i in image.instances if i.driver.cls == "gpio"] == ["gpio0"]
    assert [d.name for d in image.sensor_drivers] == ["gpio_in", "gpio_out"]
    names = {part.component.name for part in image.components}
    assert {"gpio", "app/actuators"} <= names
    chain = why(image, "device/gpio0", load_catalog())
    assert chain[0] == "gateway.toml has sensor door at gpio0:5"


@pytest.mark.parametrize("text", [WAVE])
def test_without_pins_nothing_of_it_is_there(tmp_path, text):
    image = image_of(tmp_path, text)
    made = generate(image)
    assert not {part.component.name for part in image.components} & {"gpio", "app/actuators"}
    assert "gpio" not in made.devices_c + made.pipeline_c
    assert "ACTUATOR" not in made.config_h + made.pipeline_c
    (line,) = why(image, "driver/gpio_out", load_catalog())
    assert line.endswith("no actuator of gateway.toml uses it")


def test_a_gateway_may_have_actuators_alone(tmp_path):
    text = generated(tmp_path, RELAY).pipeline_c
    assert "pipeline_poll_count = 0;" in text
    assert "pipeline_channel_count = 1;" in text


def test_boards_without_such_a_pin_are_told(tmp_path):
    catalog = load_catalog()
    (tmp_path / "gateway.toml").write_text(HEAD + DOOR)
    gateway = load_gateway(tmp_path / "gateway.toml", catalog)
    boards = [find_board(catalog, name) for name in ("host", "lm3s6965evb", "imx6ul-evk")]
    fits = {f.board.name: f.missing for f in boards_for(gateway, boards, catalog)}
    assert fits["host"] == ("board `host` has no port of digital pins",)
    assert fits["lm3s6965evb"] == fits["imx6ul-evk"] == ()
