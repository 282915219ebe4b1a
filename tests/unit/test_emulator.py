"""edgeuk/run/emulator.py: which QEMU is chosen; programs that say a version stand in for QEMU."""

from pathlib import Path

import pytest

from edgeuk import apt
from edgeuk.board import load_board
from edgeuk.errors import ToolError
from edgeuk.run import emulator

BINARY = "qemu-system-arm"
BOARDS = Path(__file__).parents[2] / "boards"


def program(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / BINARY
    path.write_text(f"#!/bin/sh\necho 'QEMU emulator version {version} (Debian)'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder that is the whole PATH, and an empty cache."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=None)
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    return tmp_path / "bin", tmp_path / "cache/qemu"


def test_a_board_that_any_version_does_takes_the_systems(places):
    system, cache = places
    path = program(system, "7.2.22")
    program(cache / "usr/bin", "10.0.2")
    assert emulator.find(BINARY).command == (str(path),)


def test_a_newer_one_beside_it_is_taken_where_it_is_needed(places):
    system, cache = places
    program(system, "7.2.22")
    path = program(cache / "usr/bin", "10.0.2")
    found = emulator.find(BINARY, 10)
    assert found.command[0] == str(path)
    assert found.environment == {"QEMU_MODULE_DIR": str(cache / "modules")}


def test_a_system_that_is_new_enough_needs_nothing_beside_it(places):
    system, _ = places
    path = program(system, "10.0.2")
    assert emulator.find(BINARY, 10) == emulator.Emulator((str(path),))


def test_one_that_is_too_old_is_refused_with_the_way_to_a_newer(places):
    system, _ = places
    program(system, "7.2.22")
    with pytest.raises(ToolError, match="qemu-system-arm 10 or newer is needed, here is 7") as e:
        emulator.find(BINARY, 10)
    assert emulator.FETCH in e.value.hint


def test_one_that_is_missing_is_refused_with_its_package(places):
    with pytest.raises(ToolError, match="qemu-system-arm is not installed") as e:
        emulator.find(BINARY)
    assert e.value.hint == "apt-get install qemu-system-arm"
    with pytest.raises(ToolError, match="there is none here"):
        emulator.find(BINARY, 10)


def test_nothing_is_fetched_where_the_system_has_a_newer_one(places):
    path = program(places[0], "10.0.2").rename(places[0] / "qemu-system-aarch64")
    assert emulator.fetch() == f"QEMU 10 {path}"


def test_a_distribution_without_known_backports_is_named(places, monkeypatch):
    monkeypatch.setattr(apt, "codename", lambda: "plucky")
    with pytest.raises(ToolError, match="no backports are known for `plucky`"):
        emulator.fetch()


def test_huge_pages_are_for_the_machines_that_ask_for_them(places, monkeypatch):
    program(places[0], "10.0.2").rename(places[0] / "qemu-system-aarch64")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    large, small = (load_board(BOARDS / f"{name}.toml") for name in ("imx8mp-evk", "virt-aarch64"))
    assert "hugetlb=1" in emulator.environment(emulator.find_emulator(large))["GLIBC_TUNABLES"]
    assert "GLIBC_TUNABLES" not in emulator.environment(emulator.find_emulator(small))
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    said = emulator.environment(emulator.find_emulator(large))
    assert said["GLIBC_TUNABLES"] == "glibc.malloc.check=3"  # what is set outside goes first
