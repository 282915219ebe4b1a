"""The resolver on a small catalog: what gets into an image, why, and which boards can run it."""

from pathlib import Path

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import ConfigError, ResolveError, UsageError
from edgeuk.gateway import load_gateway
from edgeuk.resolve import boards_for, resolve, why

HEAD = 'schema = 1\nname = "g"\n'
AIR = """
[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "1s"
filter = [{ median = 5 }, { delta = 1 }, { median = 3 }]
"""
WAVE = """
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""


@pytest.fixture
def gateway(catalog, tmp_path):
    def load(text):
        path = tmp_path / "gateway.toml"
        path.write_text(HEAD + text)
        return load_gateway(path, catalog)

    return load


def image(gateway, catalog, board):
    return resolve(gateway, find_board(catalog, board), catalog)


def test_only_what_roles_and_sensors_need_is_in_the_image(gateway, catalog):
    built = image(gateway(AIR), catalog, "demo-m3")
    assert [i.name for i in built.instances] == ["eth0", "i2c0", "uart0"]  # not i2c1
    assert [d.name for d in built.drivers] == ["enet", "i2c_dw", "pl011", "tmp105"]
    names = [part.component.name for part in built.components]
    assert names == ["app", "kernel", "libc", "mqtt", "net/lwip", "pipeline"]
    assert (built.arch.name, built.cpu.name) == ("arch/armv7m", "cortex-m3")


def test_features_are_linked_once_and_only_when_asked_for(gateway, catalog):
    built = image(gateway(AIR + WAVE), catalog, "demo-m3")
    pipeline = next(p for p in built.components if p.component.name == "pipeline")
    assert pipeline.features == ("filter-median", "filter-delta", "senml-cbor")


def test_a_bus_comes_before_what_is_on_it(gateway, catalog):
    built = image(gateway(WAVE), catalog, "demo-x86")
    names = [i.name for i in built.instances]
    assert names.index("virtio0") < names.index("net0")
    assert "virtqueue" in [part.component.name for part in built.components]


def test_the_host_brings_its_own_network_and_library(gateway, catalog):
    built = image(gateway(WAVE), catalog, "demo-host")
    names = [part.component.name for part in built.components]
    assert names == ["app", "kernel", "mqtt", "net/host", "pipeline"]
    assert built.instances == ()


def test_the_chain_of_reasons_goes_from_the_gateway_to_the_driver(gateway, catalog):
    built = image(gateway(WAVE), catalog, "demo-x86")
    assert why(built, "driver/vbus", catalog) == (
        "gateway.toml asks for mqtt",
        "component/mqtt provides mqtt and needs stream",
        "component/net/lwip provides stream and needs eth",
        "board demo-x86 has role uplink: device/net0",
        "driver/vnet drives net0, which is on virtio0",
        "device/virtio0 of board demo-x86 does that",
        "driver/vbus drives virtio0",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("driver/vnet", "driver/vnet is not in the image: board demo-m3 has no device that it"),
        ("vnet", "driver/vnet is not in the image: "),
        ("driver/modbus", "driver/modbus is not in the image: no sensor of gateway.toml uses it"),
        ("i2c1", "device/i2c1 is not in the image: no role of board demo-m3 and no sensor"),
        ("net/host", "component/net/host is not in the image: component/net/lwip already provides"),
        ("virtqueue", "component/virtqueue is not in the image: nothing in the image needs"),
        ("arch/host", "arch/host is not in the image: board demo-m3 has cpu cortex-m3"),
    ],
)
def test_what_is_not_there_has_its_reason_too(gateway, catalog, name, reason):
    built = image(gateway(AIR), catalog, "demo-m3")
    (line,) = why(built, name, catalog)
    assert line.startswith(reason)


def test_an_unused_driver_of_a_device_says_which_device(gateway, catalog):
    built = image(gateway(WAVE), catalog, "demo-m3")
    (line,) = why(built, "i2c_dw", catalog)
    assert line.endswith("no role and no sensor needs device i2c0 of board demo-m3")


def test_an_unknown_name_gets_a_suggestion(gateway, catalog):
    built = image(gateway(WAVE), catalog, "demo-m3")
    with pytest.raises(UsageError, match="hint: did you mean `driver/pl011`"):
        why(built, "driver/pl01", catalog)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        (
            "driver/foo",
            "in the image: `driver/enet`, `driver/pl011`, `driver/sim`; `edgeuk drivers` lists all",
        ),
        ("arch/foo", "in the image: `arch/armv7m`"),
        ("component/lwip", "did you mean `component/net/lwip`?"),
        ("lwip", "did you mean `net/lwip`?"),
        ("foo", "`edgeuk size` shows what is in the image, `edgeuk drivers` all drivers"),
        ("wave", "in gateway.toml that is one of `driver/sim`"),
        ("sensor/wave", "in gateway.toml that is one of `driver/sim`"),
        (
            "role/sim",
            "a name begins with driver/, component/, device/, arch/, feature/ or with none of them",
        ),
    ],
)
def test_a_name_like_no_other_gets_what_there_is(gateway, catalog, name, hint):
    """And never a name that only begins alike."""
    built = image(gateway(WAVE), catalog, "demo-m3")
    with pytest.raises(UsageError) as error:
        why(built, name, catalog)
    assert error.value.what == f"there is no `{name}`"
    assert error.value.hint == hint


def test_boards_for_says_what_each_lacks(gateway, catalog):
    boards = [find_board(catalog, name) for name in catalog.boards]
    fits = boards_for(gateway(AIR), boards, catalog)
    assert {fit.board.name: fit.missing for fit in fits} == {
        "demo-host": ("board `demo-host` has no I2C bus",),
        "demo-m3": (),
        "demo-mute": (
            "board demo-mute has no role `uplink` (eth), which component/net/lwip needs",
        ),
        "demo-x86": ("board `demo-x86` has no I2C bus",),
    }


def test_what_is_optional_is_left_out_where_it_cannot_be(gateway, catalog):
    optional = AIR.replace('every = "1s"', 'every = "1s"\noptional = true')
    with_bus = image(gateway(optional + WAVE), catalog, "demo-m3")
    assert [s.name for s in with_bus.gateway.sensors] == ["air", "wave"]
    without = image(gateway(optional + WAVE), catalog, "demo-x86")
    assert [s.name for s in without.gateway.sensors] == ["wave"]
    assert without.left_out == {"air": "board `demo-x86` has no I2C bus"}
    assert "driver/tmp105" not in without.reasons
    (fit,) = boards_for(gateway(optional + WAVE), [find_board(catalog, "demo-x86")], catalog)
    assert (fit.ok, fit.left_out) == (True, ("air",))


def test_a_gateway_of_which_nothing_is_left_is_refused(gateway, catalog):
    optional = AIR.replace('every = "1s"', 'every = "1s"\noptional = true')
    with pytest.raises(ResolveError, match="none of its sensors, which all are optional"):
        image(gateway(optional), catalog, "demo-x86")


def test_what_a_board_lacks_is_an_error_that_names_boards_that_have_it(gateway, catalog):
    with pytest.raises(ResolveError) as error:
        image(gateway(WAVE), catalog, "demo-mute")
    assert error.value.what == (
        "gateway.toml cannot run on demo-mute: "
        "board demo-mute has no role `uplink` (eth), which component/net/lwip needs"
    )
    assert error.value.hint == "boards that can run it: `demo-host`, `demo-m3`, `demo-x86`"
    assert error.value.exit_code == 2


def test_a_sensor_at_a_missing_device_is_shown_in_its_file(gateway, catalog):
    loaded = gateway(AIR)  # says no board, so nothing was wrong yet
    with pytest.raises(ConfigError, match="board `demo-x86` has no I2C bus"):
        image(loaded, catalog, "demo-x86")
    assert isinstance(loaded.path, Path)
    image(loaded, catalog, "demo-m3")  # the other board's fault is not remembered


@pytest.mark.parametrize("name", sorted(load_catalog().boards))
def test_each_board_of_the_repository_gets_its_own_network(name, tmp_path):
    real = load_catalog()
    path = tmp_path / "gateway.toml"
    path.write_text(HEAD + WAVE)
    built = resolve(load_gateway(path, real, name), find_board(real, name), real)
    network = [p.component.name for p in built.components if "net" in p.component.provides]
    if built.board.cpu == "host":
        assert network == ["net/host"]
    elif {"uplink", "modem"} & set(built.board.roles):
        assert network == ["net/lwip"]
    else:
        assert network == []
        assert "app/serial" in {p.component.name for p in built.components}
