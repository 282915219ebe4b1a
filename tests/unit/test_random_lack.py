"""A production gateway with mqtts:// for a board whose random numbers can be guessed: its image
would refuse TLS for ever (firmware/tls/stream.c), so it is refused before it is built."""

import re
from pathlib import Path

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import ConfigError
from edgeuk.gateway import load_gateway, random_lack
from edgeuk.resolve import boards_for, resolve

ROOT = Path(__file__).parents[2]
CATALOG = load_catalog()
GATEWAY = """\
schema = 1
name = "meter"
{top}
[mqtt]
url = "{url}"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""
ABSENT = {
    name
    for name in CATALOG.boards
    if "entropy" not in (board := find_board(CATALOG, name)).roles
    and "random" not in CATALOG.archs[CATALOG.arch_of(board.cpu)].provides
}


def gateway(folder, url="mqtts://broker.example", top="", board=""):
    path = folder / "gateway.toml"
    path.write_text(GATEWAY.format(url=url, top=top))
    return load_gateway(path, CATALOG, board)


def test_which_boards_have_none():
    """As their images say at boot (tests/boot), and frdm-k64f's as its RNGA's manual has it. One
    that QEMU lacks (rpi4, imx6ul-evk, imx8mp-evk) is a source: images see by themselves whether it
    is there (tests/boot/test_tls.py)."""
    found = {name: random_lack(find_board(CATALOG, name), CATALOG) for name in CATALOG.boards}
    guessed = found.pop("frdm-k64f")
    assert guessed == "random numbers of board `frdm-k64f` (`rng`, kinetis_rng) can be guessed"
    absent = {name: f"board `{name}` has no source of random numbers" for name in ABSENT}
    assert {name: why for name, why in found.items() if why} == absent
    assert {"lm3s6965evb", "mps2-an385"} <= ABSENT


def test_the_manifests_say_what_the_firmware_says():
    weak = {name for name, driver in CATALOG.drivers.items() if driver.weak}
    drivers = (ROOT / "edgeuk/drivers").glob("*/*.c")
    assert weak == {p.parent.name for p in drivers if re.search(r"\.weak = true", p.read_text())}
    # An architecture has random numbers, or returns that it has none. Of aarch64, only processors
    # newer than those that its arch.toml has do (RNDR, Armv8.5).
    for name, arch in CATALOG.archs.items():
        texts = "".join(p.read_text() for p in arch.folder.glob("*.c"))
        body = re.search(r"^size_t arch_random\(.*?^}", texts, re.DOTALL | re.MULTILINE)[0]
        none = "(void)data" in body or name == "aarch64"
        assert ("random" in arch.provides) != none, name


def test_it_is_an_error_with_place_reason_and_fix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        gateway(Path(), board="lm3s6965evb")
    assert str(error.value) == (
        "gateway.toml:5:7: error[E0434]: board `lm3s6965evb` has no source of random numbers: a "
        "production image refuses TLS there, so that it would never connect\n"
        '   5 | url = "mqtts://broker.example"\n'
        "     |       ^^^^^^^^^^^^^^^^^^^^^^^^\n"
        'hint: profile = "development" at the top of this file (every status message says so), or '
        "another board: `edgeuk boards --for gateway.toml`\n\n1 error"
    )


def test_boards_that_can_run_it_are_those_that_have_some(tmp_path):
    boards = [find_board(CATALOG, name) for name in CATALOG.boards]
    fits = boards_for(gateway(tmp_path), boards, CATALOG)
    found = {f.board.name for f in fits if f.ok}
    assert found == set(CATALOG.boards) - ABSENT - {"frdm-k64f"}
    with pytest.raises(ConfigError, match="E0434"):
        resolve(gateway(tmp_path), find_board(CATALOG, "frdm-k64f"), CATALOG)


@pytest.mark.parametrize(
    "how", [{"top": 'profile = "development"'}, {"url": "mqtt://broker.example"}]
)
def test_a_development_image_and_one_without_tls_are_fine(how, tmp_path):
    image = resolve(gateway(tmp_path, **how), find_board(CATALOG, "lm3s6965evb"), CATALOG)
    assert image.board.name == "lm3s6965evb"


@pytest.mark.parametrize(
    ("url", "what", "hint"),
    [
        (
            "mqtts://broker:1883",
            "1883 is the usual port of mqtt://, and this is mqtts://",
            'url = "mqtts://broker:8883"',
        ),
        (
            "mqtt://broker:8883",
            "8883 is the usual port of mqtts://, and this is mqtt://",
            'url = "mqtt://broker:1883"',
        ),
    ],
)
def test_the_port_of_the_other_scheme_is_a_warning(url, what, hint, tmp_path):
    (warning,) = gateway(tmp_path, url=url).warnings
    assert (warning.code, warning.what, warning.hint) == ("W0401", what, hint)


@pytest.mark.parametrize("url", ["mqtts://broker", "mqtts://broker:8883", "mqtt://broker:1884"])
def test_other_ports_are_not(url, tmp_path):
    assert gateway(tmp_path, url=url).warnings == ()
