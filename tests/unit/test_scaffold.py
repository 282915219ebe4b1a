"""`edgeuk new driver|board`: what it writes is right from the start, for every class: its manifest
loads, its C compiles without a warning, its tests pass, its format is the repository's."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgeuk import scaffold, scaffold_board
from edgeuk.catalog import check_board, find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.errors import UsageError
from edgeuk.hil.wiring import load_wiring
from edgeuk.manifest import load_driver
from edgeuk.paths import data_roots
from edgeuk.props import CLASSES
from tests.unit.test_board_pages import check_page

ROOT = Path(__file__).parents[2]
CC = ["cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-ffreestanding"]
# The interfaces of these are not for drivers alone, or need the gateway's side to be called.
WITH_HEADER = [c for c in CLASSES if (ROOT / f"firmware/include/ek/{c}.h").exists()]


@pytest.fixture
def roots(tmp_path):
    (tmp_path / "tests/drivers").mkdir(parents=True)
    (tmp_path / "tests/boot").mkdir()
    return replace(data_roots(), drivers=tmp_path / "edgeuk/drivers", boards=tmp_path / "boards")


def write(files):
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(files)


@pytest.mark.parametrize("cls", WITH_HEADER)
def test_a_new_driver_loads_compiles_and_passes_its_test(roots, cls):
    toml, header, source, test = write(scaffold.driver_files("demo", cls, roots))
    driver = load_driver(toml)
    assert (driver.name, driver.cls) == ("demo", cls)
    include = f"-I{ROOT / 'firmware/include'}"
    subprocess.run([*CC, include, f"-I{toml.parent}", source], check=True, timeout=60)
    tool = Path(sys.executable).parent / "clang-format"
    style = f"--style=file:{ROOT / '.clang-format'}"
    subprocess.run([tool, style, "--dry-run", "--Werror", header, source], check=True, timeout=60)
    ruff = [sys.executable, "-m", "ruff", "format", "--check", "--config", ROOT / "pyproject.toml"]
    subprocess.run([*ruff, test], check=True, timeout=60)


def test_the_test_of_a_new_sensor_passes_and_notices_a_broken_driver(roots, tmp_path):
    _, _, source, test = write(scaffold.driver_files("demo", "sensor", roots))

    def passes():
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
        command += ["-c", "/dev/null", "--rootdir", str(tmp_path)]
        command += ["-p", "conftest", "-p", "driver_harness"]
        places = (ROOT / "tests", ROOT / "tests/drivers", ROOT)
        env = {"PYTHONPATH": ":".join(map(str, places)), "PATH": "/usr/bin:/bin"}
        env["EDGEUK_TEST_DRIVERS"] = str(roots.drivers)
        done = subprocess.run(
            command, env=env, timeout=120, capture_output=True, text=True, check=False
        )
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.returncode == 0

    assert passes()
    source.write_text(source.read_text().replace("/ 256", "/ 128"))
    assert not passes()


@pytest.mark.parametrize("wired", [False, True])  # whether there is a file for the old one
def test_a_new_board_is_the_one_that_it_begins_with(roots, tmp_path, wired):
    like = find_board(load_catalog(), "lm3s6965evb")
    theirs = ROOT / f"hil/wiring/{like.name}.toml"
    if wired:
        write({tmp_path / "hil/wiring" / theirs.name: theirs.read_text()})
    path, test, page, wiring = write(scaffold_board.board_files("my-board", like, roots))
    board = check_board(path, load_catalog())
    assert board.devices == like.devices
    assert set(board.verified.values()) == {"build"}
    compile(test.read_text(), str(test), "exec")
    check_page(page, board)
    assert page == tmp_path / "docs/boards/my-board.md"
    assert wiring == tmp_path / "hil/wiring/my-board.toml"
    found = load_wiring(wiring, board, load_catalog())
    assert found.sensors == (load_wiring(theirs, like, load_catalog()).sensors if wired else ())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["driver"], "which driver?"),
        (["driver", "Demo"], "`Demo` cannot be a driver's name"),
        (["driver", "pl011"], "is there already"),
        (["driver", "demo", "--class", "toaster"], "no class `toaster`"),
        (["board", "demo"], "which board is it like?"),
        (["board", "demo", "--like", "imx6"], "no board `imx6`"),
        (["meter", "demo"], "too many names: `demo`"),
    ],
)
def test_what_cannot_be_is_refused(words, said, capsys):
    assert run(["new", *words]) == UsageError.exit_code
    assert said in capsys.readouterr().err


def test_an_installed_package_is_told_where_drivers_are_added(roots):
    (roots.drivers.parents[1] / "tests/drivers").rmdir()
    with pytest.raises(UsageError, match="in a checkout"):
        scaffold.driver_files("demo", "sensor", roots)
