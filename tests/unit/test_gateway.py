"""Gateway and device files that are right: what they become, and the warnings they may carry.

What is wrong with files is in test_document_bad_files.py.
"""

from decimal import Decimal
from pathlib import Path

import pytest

from edgeuk.catalog import load_catalog
from edgeuk.errors import ConfigError, report
from edgeuk.gateway import At, Filter, Mqtt, Network, Pipeline, load_device, load_gateway

FULL = """
schema = 1
name = "meter"
board = "demo-m3"

[mqtt]
url = "mqtt://broker.example:1884/"
topic = "sites/north/meter"
username = "meter"
client_id = "meter-1"
qos = 2
version = 4
keep_alive = "2m"
session_expiry = "0s"

[network]
address = "192.168.1.20/24"
gateway = "192.168.1.1"
dns = "9.9.9.9"
ntp = "pool.ntp.org"
hostname = "meter"

[servers]
main = "192.168.1.50"
other = "plc.local:5020"

[pipeline]
queue = 100
overflow = "block"
encoding = "senml+json"
batch = "1.5s"
statistics = "1h"

[[sensor]]
name = "air/1"
driver = "tmp105"
at = "i2c0:0x48"
every = "500ms"
filter = [{ median = 5 }, { delta = 0.25, heartbeat = "60s" }]

[[sensor]]
name = "volt"
driver = "modbus"
at = "other/7"
register = "input:0"
timeout = "500ms"
unit = "V"
decimals = 1
every = "10s"

[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = -1.5
unit = "x-wave"
every = "1h"
"""
LEAST = """
schema = 1
name = "a"
[[sensor]]
name = "w"
driver = "sim"
shape = "sine"
every = "1s"
"""


def write(folder: Path, text: str, name: str = "gateway.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_full_file_loads(catalog, tmp_path):
    gateway = load_gateway(write(tmp_path, FULL), catalog)
    assert (gateway.name, gateway.board) == ("meter", "demo-m3")
    assert gateway.mqtt == Mqtt(
        "broker.example", 1884, "sites/north/meter", "meter", "", "meter-1", 2, 4, 120, 0
    )
    assert gateway.network == Network(
        "192.168.1.20", 24, "192.168.1.1", "9.9.9.9", "pool.ntp.org", "meter"
    )
    assert gateway.servers == {"main": "192.168.1.50:502", "other": "plc.local:5020"}
    assert gateway.pipeline == Pipeline(100, "block", "senml+json", 1500, 3600)
    assert gateway.warnings == ()


def test_sensors_are_complete(catalog, tmp_path):
    air, volt, wave = load_gateway(write(tmp_path, FULL), catalog).sensors
    assert (air.name, air.at, air.every_ms) == ("air/1", At("i2c0:0x48", "i2c0", 0x48), 500)
    assert (air.unit, air.decimals) == ("Cel", 3)  # the driver's
    assert air.filters == (
        Filter("median", {"median": 5}),
        Filter("delta", {"delta": Decimal("0.25"), "heartbeat": 60_000}),
    )
    assert (volt.at, volt.unit, volt.decimals) == (At("other/7", "other", 7), "V", 1)
    assert volt.props == {"register": "input:0", "timeout": "500ms"}  # host.py: as written
    assert wave.props == {"shape": "ramp", "low": Decimal("-1.5"), "high": 10, "period": 10_000}
    assert (wave.at, wave.unit, wave.decimals, wave.every_ms) == (None, "x-wave", 3, 3_600_000)


def test_the_least_file_has_defaults(catalog, tmp_path):
    gateway = load_gateway(write(tmp_path, LEAST), catalog)
    assert gateway.board == ""
    assert gateway.mqtt == Mqtt("", 1883, "", "", "", "", 1, 5, 60, 3600)
    assert gateway.network == Network("", 0, "", "", "", "")
    assert gateway.pipeline == Pipeline(64, "drop_oldest", "senml+cbor", 100, 60)
    assert gateway.settings == {"name": "a"}  # what the file does not say is the firmware's choice


@pytest.mark.parametrize("text", ["pool.ntp.org", "10.0.0.1", "localhost:1123", "10.0.0.1:123"])
def test_a_time_server_may_have_a_port(catalog, tmp_path, text):
    gateway = load_gateway(write(tmp_path, f'{LEAST}[network]\nntp = "{text}"\n'), catalog)
    assert gateway.network.ntp == gateway.settings["net.ntp"] == text


def test_warnings_do_not_stop_the_work(catalog, tmp_path):
    path = write(tmp_path, LEAST + 'filter = [{ throttle = "500ms" }]\n')
    gateway = load_gateway(path, catalog)
    assert report(gateway.warnings) == (
        f"{path}:9:24: warning[W0701]: `throttle` of 500ms is shorter than the sensor's period\n"
        '   9 | filter = [{ throttle = "500ms" }]\n'
        "     |                        ^^^^^^^\n"
        f"note: {path}:8:9: the period is given here\n"
        '   8 | every = "1s"\n'
        "     |         ^^^^\n"
        "hint: every reading passes\n"
        "\n"
        "1 warning"
    )


def test_the_board_of_the_command_line_is_checked_instead_of_the_file_s(catalog, tmp_path):
    path = write(tmp_path, FULL)
    with pytest.raises(ConfigError, match="board `demo-x86` has no I2C bus"):
        load_gateway(path, catalog, "demo-x86")


def test_a_device_file_says_only_what_differs(catalog, tmp_path):
    gateway = load_gateway(write(tmp_path, FULL), catalog)
    text = """
name = "meter-7"
[mqtt]
url = "mqtt://10.0.0.1"
password = "secret"
[servers]
main = "10.0.0.2"
"""
    device = load_device(write(tmp_path, text, "device.toml"), gateway)
    assert device.values == {
        "name": "meter-7",
        "mqtt.host": "10.0.0.1",
        "mqtt.port": "1883",
        "mqtt.password": "secret",
        "server.main": "10.0.0.2:502",
    }


def test_an_empty_device_file_changes_nothing(tmp_path):
    assert load_device(write(tmp_path, "", "device.toml")).values == {}


QUANTITIES = """
schema = 1
name = "tilt"
board = "frdm-k64f"
[mqtt]
url = "mqtt://10.0.0.1"
topic = "t"
"""


def quantities(*given):
    rows = (
        f'[[sensor]]\nname = "s{i}"\ndriver = "fxos8700"\nat = "i2c0:0x1d"\nevery = "1s"\n'
        f'quantity = "{quantity}"\n'
        for i, quantity in enumerate(given)
    )
    return QUANTITIES + "".join(rows)


def test_sensors_of_one_chip_share_its_address_each_with_a_quantity_and_its_unit(tmp_path):
    text = quantities("accel_x", "accel_y", "mag_x")
    x, _, mag = load_gateway(write(tmp_path, text), load_catalog()).sensors
    assert (x.unit, x.decimals, mag.unit, mag.decimals) == ("m/s2", 4, "T", 7)


def test_one_quantity_of_a_chip_is_not_measured_twice(tmp_path):
    path = write(tmp_path, quantities("accel_x", "accel_y", "accel_y"))
    with pytest.raises(ConfigError, match="two sensors are at address 0x1d of `i2c0`") as error:
        load_gateway(path, load_catalog())
    assert len(error.value.faults) == 1


def test_the_unit_that_goes_with_a_quantity_stays(tmp_path):
    path = write(tmp_path, quantities("mag_x") + 'unit = "m/s2"\n')
    with pytest.raises(ConfigError, match="driver `fxos8700` gives unit T"):
        load_gateway(path, load_catalog())
