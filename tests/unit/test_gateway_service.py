"""Gateways with a service: what their file becomes, what is in their image, what is compiled."""

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.device_config import device_values
from edgeuk.gateway import Service, load_device, load_gateway
from edgeuk.generate import generate
from edgeuk.resolve import resolve, why
from edgeuk.units import tree, units

HEAD = 'schema = 1\nname = "hello"\n[service]\nsources = ["hello.c", "http.c"]\n'
WAVE = (
    '[[sensor]]\nname = "wave"\ndriver = "sim"\nshape = "sine"\nlow = 0\nhigh = 1\nevery = "1s"\n'
)


@pytest.fixture
def gateway(tmp_path):
    for name in ("hello.c", "http.c"):
        (tmp_path / name).write_text("")

    def load(text=""):
        path = tmp_path / "gateway.toml"
        path.write_text(HEAD + text)
        return load_gateway(path, load_catalog())

    return load


def image(gateway, board="x86-pc"):
    catalog = load_catalog()
    return resolve(gateway, find_board(catalog, board), catalog)


def names(image):
    return {part.component.name: part.features for part in image.components}


def test_sizes_have_defaults_and_the_port_belongs_to_the_device(gateway):
    found = gateway()
    assert found.service == Service(("hello.c", "http.c"), listeners=1, connections=4)
    assert device_values(found) == {"name": "hello"}
    found = gateway("listeners = 2\nconnections = 8\nport = 8080\n")
    assert found.service == Service(("hello.c", "http.c"), listeners=2, connections=8)
    assert device_values(found) == {"name": "hello", "service.port": "8080"}


def test_a_device_file_may_give_another_port(gateway, tmp_path):
    (tmp_path / "device.toml").write_text("[service]\nport = 81\n")
    found = gateway("port = 8080\n")
    device = load_device(tmp_path / "device.toml", found)
    assert device_values(found, device)["service.port"] == "81"


@pytest.mark.parametrize("board", ["x86-pc", "x86-microvm", "lm3s6965evb", "host"])
def test_a_service_alone_brings_neither_mqtt_nor_a_pipeline(gateway, board):
    built = image(gateway(), board)
    found = names(built)
    assert not {"app", "mqtt", "pipeline"} & set(found)
    assert found["app/service"] == ()
    assert found["net/host" if board == "host" else "net/lwip"] == ("listener",)
    assert generate(built).pipeline_c == ""


def test_beside_sensors_there_is_both(gateway):
    built = image(gateway(WAVE))
    found = names(built)
    assert {"app", "mqtt", "pipeline"} <= set(found)
    assert "app/service" not in found
    assert found["net/lwip"] == ("listener",)


def test_without_a_service_nothing_listens(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text('schema = 1\nname = "g"\n' + WAVE)
    built = image(load_gateway(path, load_catalog()))
    assert names(built)["net/lwip"] == ()
    assert "LISTENERS" not in generate(built).config_h


def test_config_h_has_the_sizes(gateway):
    text = generate(image(gateway("listeners = 2\nconnections = 8\n"))).config_h
    lines = [line.split() for line in text.splitlines()]
    assert ["#define", "EK_NET_LISTENERS", "2"] in lines
    assert ["#define", "EK_SERVICE_STREAMS", "8"] in lines


def test_sources_are_compiled_under_a_name_that_is_the_same_everywhere(gateway, tmp_path):
    built = image(gateway())
    found = [u.source for u in units(built) if u.part == "service"]
    assert found == ["service/hello.c", "service/http.c"]
    folders = tree(built, tmp_path / "build/x86-pc", {})
    assert folders.real("service/hello.c") == tmp_path / "hello.c"
    assert folders.logical(str(tmp_path / "http.h")) == "service/http.h"
    # The output folder is inside the gateway's own, and keeps its name.
    assert folders.logical(str(tmp_path / "build/x86-pc/config.h")) == "generated/config.h"


def test_why_says_who_asked(gateway):
    built = image(gateway())
    assert why(built, "app/service", load_catalog()) == (
        "gateway.toml has a service and no sensors: it asks for service",
        "component/app/service provides service",
    )
