"""The wheel: built from the repository, installed with pip into an empty environment, builds an
image there without the repository and without a network."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GATEWAY = """\
schema = 1
name = "meter"

[[sensor]]
name = "wave"
driver = "sim"
every = "1s"
"""
BUILD = """
import json, socket
from pathlib import Path
from edgeuk import paths
from edgeuk.build import build
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve
socket.socket = None  # no network, whatever the machine has
catalog = load_catalog()
gateway = load_gateway(Path("gateway.toml"), catalog)
image = resolve(gateway, find_board(catalog, "x86-microvm"), catalog)
result = build(image, Path("build"))
print(json.dumps(result.to_json() | {"package": str(paths.PACKAGE)}))
"""


def run(command, **kwargs):
    options = {"capture_output": True, "text": True, "timeout": 280, "check": False}
    done = subprocess.run(command, **options, **kwargs)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    run([*command, str(ROOT)])
    (path,) = out.glob("*.whl")
    return path


def test_wheel_carries_everything_a_build_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "edgeuk/_data/boards/x86-microvm.toml" in names
    assert "edgeuk/_data/firmware/include/ek/uart.h" in names
    assert "edgeuk/_data/firmware/arch/armv7m/link.ld.in" in names
    assert "edgeuk/_data/third_party/lwip/src/core/tcp.c" in names
    assert "edgeuk/_data/third_party/lwip/COPYING" in names
    assert "edgeuk/_data/third_party.toml" in names
    assert "edgeuk/drivers/pl011/pl011.c" in names
    assert "edgeuk/drivers/modbus_tcp/host.py" in names
    for path in (ROOT / "examples").glob("*/*.*"):
        assert f"edgeuk/_data/{path.relative_to(ROOT).as_posix()}" in names
    unwanted = ("tests/", "bench/", ".venv/")
    assert not [n for n in names if n.startswith(unwanted) or "__pycache__" in n or "/build/" in n]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheel_builds_an_image_in_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)])
    (tmp_path / "gateway.toml").write_text(GATEWAY)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C"}
    said = run([python, "-c", BUILD], cwd=tmp_path, env=environment)
    result = json.loads(said)
    assert result["package"].startswith(str(tmp_path / "venv"))
    assert Path(result["image"]).read_bytes()[:4] == b"\x7fELF"
    assert run([tmp_path / "venv/bin/edgeuk", "--version"]).startswith("edgeuk ")
