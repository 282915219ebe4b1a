"""edgeuk/third_party.py: pins, archives of every kind, every way to fetch; no network."""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from edgeuk import apt, third_party
from edgeuk.apt import apt_mirror
from edgeuk.paths import python_command
from edgeuk.third_party import ThirdParty, ThirdPartyError, content_hash, fetch, locate

FILES = {"COPYING": b"free\n", "src/a.c": b"int a;\n", "src/in/b.h": b"int b;\n"}
EXTRA = {"doc/manual.txt": b"long\n", "src/in/deep/c.h": b"int c;\n"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEUK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apt, "os_release", list)


@pytest.fixture
def wanted():
    patterns = ("COPYING", "src/*.c", "src/in/*.h")
    return ThirdParty("tool", "1.0", "MIT", patterns, content_hash(FILES), (), "", {})


def archive(folder: Path, kind: str, files: dict[str, bytes]) -> Path:
    path = folder / f"tool-1.0.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as pack:
            for name, data in files.items():
                pack.writestr(f"tool-1.0/{name}", data.replace(b"\n", b"\r\n"))
        return path
    with tarfile.open(path, f"w:{kind.removeprefix('tar.')}") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"tool-1.0/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_content_hash_is_over_sorted_paths_and_contents():
    lines = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(FILES.items())
    )
    assert content_hash(FILES) == hashlib.sha256(lines.encode()).hexdigest()
    assert content_hash(dict(reversed(FILES.items()))) == content_hash(FILES)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz", "tar.bz2"])
def test_archive_named_by_the_environment_is_taken(wanted, tmp_path, monkeypatch, kind):
    monkeypatch.setenv("EDGEUK_TOOL", str(archive(tmp_path, kind, FILES | EXTRA)))
    folder = fetch(wanted)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert found == set(FILES)
    assert locate(wanted) == folder
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]  # no leftovers


def test_folder_named_by_the_environment_is_taken(wanted, tmp_path, monkeypatch):
    for name, data in (FILES | EXTRA).items():
        path = tmp_path / "unpacked" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    monkeypatch.setenv("EDGEUK_TOOL", str(tmp_path / "unpacked"))
    assert fetch(wanted).is_dir()


@pytest.mark.parametrize(
    "files", [FILES | {"src/a.c": b"int evil;\n"}, FILES | {"src/new.c": b""}, {}]
)
def test_other_contents_are_refused(wanted, tmp_path, monkeypatch, files):
    monkeypatch.setenv("EDGEUK_TOOL", str(archive(tmp_path, "tar.gz", files)))
    with pytest.raises(ThirdPartyError, match=f"third_party.toml pins {wanted.sha256}"):
        fetch(wanted)
    assert locate(wanted) is None


def test_damaged_archive_is_an_error(wanted, tmp_path, monkeypatch):
    path = archive(tmp_path, "tar.xz", FILES)
    path.write_bytes(path.read_bytes()[:60])
    monkeypatch.setenv("EDGEUK_TOOL", str(path))
    with pytest.raises(ThirdPartyError, match="cannot be read"):
        fetch(wanted)


def test_each_way_that_failed_is_named(wanted, monkeypatch):
    monkeypatch.setattr(apt, "os_release", lambda: ["debian"])
    monkeypatch.setattr(apt.shutil, "which", lambda name: None)
    pinned = replace(
        wanted,
        upstream=("file:///nowhere/tool.zip",),
        apt_source="tool",
        apt_suites={"debian": "x"},
    )
    with pytest.raises(ThirdPartyError) as e:
        fetch(pinned)
    assert "apt source package tool of debian x: no apt-get here" in e.value.what
    assert "file:///nowhere/tool.zip: no download" in e.value.what
    assert "EDGEUK_TOOL=<archive or folder>" in e.value.hint


def test_missing_sources_name_all_ways(wanted):
    with pytest.raises(ThirdPartyError) as e:
        third_party.require(replace(wanted, upstream=("https://example.org/tool.zip",)))
    assert " -m edgeuk.third_party fetch" in e.value.hint
    assert "EDGEUK_TOOL" in e.value.hint
    assert "https://example.org/tool.zip" in e.value.hint


def test_apt_runs_with_a_configuration_of_its_own(wanted, tmp_path, monkeypatch):
    calls = []

    def run(command, cwd, **kwargs):
        calls.append(command)
        sources = next(word for word in command if word.startswith("Dir::Etc::sourcelist="))
        calls.append(Path(sources.partition("=")[2]).read_text())
        archive(cwd, "tar.xz", FILES).rename(cwd / "tool_1.0.orig.tar.xz")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(apt, "os_release", lambda: ["debian"])
    monkeypatch.setattr(apt.shutil, "which", lambda name: "/usr/bin/apt-get")
    monkeypatch.setattr(apt, "apt_mirror", lambda etc, d: "http://mirror.example/debian")
    monkeypatch.setattr(apt.subprocess, "run", run)
    fetch(replace(wanted, apt_source="tool", apt_suites={"debian": "trixie"}))
    assert [c[-1] for c in calls[::2]] == ["update", "tool"]
    assert "Dir::Etc::sourceparts=/dev/null" in calls[0]
    assert calls[1].splitlines() == [
        "Types: deb-src",
        "URIs: http://mirror.example/debian",
        "Suites: trixie",
        "Components: main",
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg",
    ]


DEB822 = """\
# comment
Types: deb
URIs: https://packages.example/other
Suites: stable
Signed-By: /usr/share/keyrings/other.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
# comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
ONE_LINE = """\
# deb http://old.example/debian sid main
deb http://mirror.example/debian-security bookworm-security main
deb [arch=amd64 signed-by=/x] http://mirror.example/debian bookworm main
"""


@pytest.mark.parametrize(
    ("name", "text"), [("sources.list.d/debian.sources", DEB822), ("sources.list", ONE_LINE)]
)
def test_mirror_is_read_from_the_systems_configuration(tmp_path, name, text):
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / name).write_text(text)
    assert apt_mirror(tmp_path, "debian") == "http://mirror.example/debian"
    assert apt_mirror(tmp_path, "ubuntu") is None


def test_pins_are_whole():
    for wanted in third_party.load().values():
        assert len(wanted.sha256) == 64
        assert wanted.upstream
        assert wanted.licence


def test_commands_in_hints_can_be_called_as_they_stand(tmp_path, monkeypatch):
    python = tmp_path / "with space" / "python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # the virtual environment is not active
    assert python_command() == f"'{python}'"
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin:/bin")
    assert python_command() == "python3"
