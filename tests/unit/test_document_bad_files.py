"""Bad files and the exact text a user reads: bad/<kind>/<name>.toml and <name>.txt beside it.

The texts were written down by reading them, not by trusting the checker: when a message changes on
purpose, `EDGEUK_RECORD=1` rewrites them, and the difference is to be read line by line.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeuk.catalog import Catalog, check_board
from edgeuk.codes import CODES
from edgeuk.errors import ConfigError
from edgeuk.gateway import load_device, load_gateway
from edgeuk.manifest import load_component, load_driver

BAD = Path(__file__).parent / "bad"
FILES = sorted(p for p in BAD.glob("*/*.toml") if p.parent.name != "identity")
GATEWAY = """
schema = 1
name = "meter"
[servers]
main = "localhost"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""


def loader(kind: str, catalog: Catalog, folder: Path) -> Callable[[Path], object]:
    if kind == "device":
        (folder / "gateway.toml").write_text(GATEWAY)
        gateway = load_gateway(folder / "gateway.toml", catalog)
        return lambda path: load_device(path, gateway)
    loaders: dict[str, Callable[[Path], object]] = {
        "gateway": lambda path: load_gateway(path, catalog),
        "board": lambda path: check_board(path, catalog),
        "driver": load_driver,
        "component": lambda path: load_component(path, "demo"),
    }
    return loaders[kind]


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_a_bad_file_is_reported_whole(path, catalog, tmp_path, monkeypatch):
    load = loader(path.parent.name, catalog, tmp_path)
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as error:
        load(Path(path.name))
    expected = path.with_suffix(".txt")
    if os.environ.get("EDGEUK_RECORD"):
        expected.write_text(f"{error.value}\n")
    assert f"{error.value}\n" == expected.read_text()
    assert error.value.exit_code == 2
    assert all(fault.code in CODES for fault in error.value.faults)


def test_there_are_enough_bad_files():
    assert len(FILES) >= 40


def test_seven_faults_are_shown_in_one_run():
    text = (BAD / "gateway" / "seven-faults.txt").read_text()
    assert text.count(" error[E") == 7
    assert text.endswith("7 errors\n")
