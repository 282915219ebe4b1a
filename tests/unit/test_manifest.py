"""Manifests that are right: drivers, components, architectures."""

from decimal import Decimal
from pathlib import Path

import pytest

from edgeuk.catalog import load_catalog
from edgeuk.errors import ConfigError
from edgeuk.manifest import Prop, load_driver
from edgeuk.paths import Roots, data_roots

DEMO = Path(__file__).parent / "catalog"


def test_a_driver_loads(catalog):
    driver = catalog.drivers["pl011"]
    assert (driver.name, driver.cls, driver.folder) == ("pl011", "uart", DEMO / "drivers" / "pl011")
    assert driver.budget == {"armv7m": {"text": 360, "ram": 0}}
    assert driver.props["clock_hz"] == Prop("u32", None, 1, None, (), "Hz")
    assert driver.props["baud"] == Prop("u32", 115_200, None, None, (9600, 115_200), "")
    assert catalog.drivers["uart_io"].budget == {"x86_64": {"text": 400}}
    assert catalog.drivers["vnet"].props["bus"] == Prop(
        "device", None, None, None, (), "", "virtio"
    )


def test_a_sensor_driver_loads(catalog):
    tmp105, sim, modbus = (catalog.drivers[n] for n in ("tmp105", "sim", "modbus"))
    assert (tmp105.at, tmp105.unit, tmp105.decimals, tmp105.fixed) == ("i2c", "Cel", 3, True)
    assert (modbus.at, modbus.has_host, modbus.fixed) == ("server", True, False)
    assert sim.props["period"] == Prop("duration", 10_000, 100, 3_600_000, (), "")


def test_a_sensors_unit_may_depend_on_what_it_measures(tmp_path):
    path = tmp_path / "demo" / "driver.toml"
    path.parent.mkdir()
    text = """
class = "sensor"
summary = "s"
sources = []
[channel]
by = "quantity"
air = { unit = "%RH", decimals = 1 }
heat = { unit = "UNIT" }
[props]
quantity = { type = "string", choices = ["air", "heat"] }
"""
    path.write_text(text.replace("UNIT", "Cel"))
    driver = load_driver(path)
    assert (driver.by, driver.fixed) == ("quantity", True)
    assert driver.channels == {"air": ("%RH", 1), "heat": ("Cel", 0)}
    path.write_text(text.replace("UNIT", "celsius"))
    with pytest.raises(ConfigError, match="unknown unit `celsius`"):
        load_driver(path)


def test_numbers_are_exact(tmp_path):
    path = tmp_path / "demo" / "driver.toml"
    path.parent.mkdir()
    path.write_text(
        'class = "sensor"\nsummary = "s"\nsources = []\n'
        'props.gain = { type = "number", default = 0.1, max = 1.5 }\n'
    )
    assert load_driver(path).props["gain"].default == Decimal("0.1")


def test_components_and_architectures_load(catalog):
    lwip, pipeline = catalog.components["net/lwip"], catalog.components["pipeline"]
    assert (lwip.provides, lwip.needs) == (("net", "stream"), ("eth",))
    assert "filter-median" in pipeline.features
    assert catalog.components["net/host"].only == ("host",)
    arch = catalog.archs["armv7m"]
    assert (arch.name, arch.linker) == ("arch/armv7m", ("-m", "armelf"))
    assert arch.cpus["cortex-m3"].target == "thumb-freestanding-eabi"
    assert catalog.arch_of("cortex-m3") == "armv7m"
    assert catalog.arch_of("z80") is None


def test_the_faults_of_all_manifests_come_at_once(tmp_path):
    for name in ("one", "two"):
        folder = tmp_path / "drivers" / name
        folder.mkdir(parents=True)
        (folder / "driver.toml").write_text('class = "uart"\nsummary = "s"\n')
    roots = Roots(tmp_path, tmp_path, tmp_path / "drivers", tmp_path, tmp_path, None)
    with pytest.raises(ConfigError) as error:
        load_catalog(roots)
    assert str(error.value).count("missing key `sources`") == 2


def test_a_checkout_has_its_data():
    roots = data_roots()
    assert (roots.firmware / "include" / "ek").is_dir()
    assert roots.boards.is_dir()
