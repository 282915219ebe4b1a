"""Virtual boards in tests: their files in folders of the test's own, none left running; and small
images to flash onto them."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgeuk.probe import client

HERE = Path(__file__).parent


@pytest.fixture
def home(monkeypatch):
    """Sockets have short names: not in pytest's folder."""
    folder = Path(tempfile.mkdtemp(prefix="ek-"))
    (folder / "run").mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    monkeypatch.setenv("EDGEUK_CACHE", str(folder / "cache"))
    yield folder
    for status in client.boards():
        client.stop(status.name)
    shutil.rmtree(folder)


@pytest.fixture
def start(home):
    """Start a board by name and chip."""

    def start(name, target):
        assert client.start(name, target)
        return name

    return start


@pytest.fixture(scope="session")
def firmware(tmp_path_factory):
    """Build firmware.c with a version and other macros; gives the ELF file."""
    folder = tmp_path_factory.mktemp("firmware")

    def build(version, base=0, **macros):
        out = folder / f"{version}.elf"
        defines = [f'-DVERSION="{version}"', *(f"-D{k}={v}" for k, v in macros.items())]
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "thumb-freestanding-eabi"]
        flags = ["-mcpu=cortex_m0", "-Os", "-g", "-ffreestanding", "-nostdlib", "-Wl,-e,reset"]
        script = folder / f"{version}.ld"
        script.write_text((HERE / "firmware.ld").read_text().replace("@BASE@", hex(base)))
        link = [f"-Wl,-T,{script}", str(HERE / "firmware.c"), "-o", str(out)]
        subprocess.run([*zig, *flags, *defines, *link], check=True, timeout=120)
        return out

    return build


@pytest.fixture
def pyocd(home):
    """Stock pyOCD, as a program; gives its output."""

    def run(*arguments):
        argv = [sys.executable, "-m", "pyocd", *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=home)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
