"""The layering rule of CONTRIBUTING.md, checked: a file uses only its own name or lower rows.

Every module and every folder of firmware has a place; a new one gets its place here.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = [
    "errors",
    # texts and files
    "values paths places cache filters plan senml apt serial_frames build_time pem",
    "codes document third_party",
    "tables toolchain",
    "identity",
    "emulation",
    # what is there to choose from
    "settings props flash_method",
    "board manifest drivers pipeline_host",
    "catalog plans scaffold",
    # what the user wants
    "sensors scaffold_board",
    "actuators",
    "gateway",
    "resolve device_config",
    "sealed",
    "provisioning rotation",
    # what becomes of it; pack is below build, which ends with it
    "pack origin",
    "size generate symbols",
    "units decoder",
    "objects ninja",
    "build",
    "run",
    "probe",
    "flash ota",
    "labgrid",
    "hil",
    "cli",
]
OTHERS = ("lwip/", "netif/", "mbedtls/", "psa/")  # third parties' headers
C = [
    "ek",
    "config.h",
    "tls_options.h",
    "arch libc pci virtio videocore gpio",
    "kernel",
    "net storage",
    "tls",
    "mqtt ota",
    "pipeline",
    "app",
]


def python_uses(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def c_uses(path):
    return re.findall(r'#include "([^"]+)"', path.read_text())


def levels(rows):
    return {name: level for level, row in enumerate(rows) for name in row.split()}


def faults(path, here, uses, rows):
    level = levels(rows)
    for there in sorted(set(uses)):
        if there not in level:
            yield f"{path}: `{there}` has no place in tests/test_layers.py"
        elif there != here and level[there] >= level[here]:
            yield f"{path} uses {there}, which is not below {here}"


def of_python(folder):
    for path in sorted(folder.rglob("*.py")):
        here = path.relative_to(folder).parts[0].removesuffix(".py")
        if here in ("__init__", "__main__", "_data"):
            continue
        uses = [u.split(".")[1] for u in python_uses(path) if u.startswith("edgeuk.")]
        yield from faults(path, here, [u for u in uses if not u.startswith("__")], PYTHON)


def of_c(folder):
    sources = [p for ending in "chS" for p in folder.rglob(f"*.{ending}")]
    for path in sorted(p for p in sources if "include" not in p.parts):
        here = path.relative_to(folder).parts[0]
        uses = []
        for header in c_uses(path):
            if (path.parent / header).exists() or header.startswith(OTHERS):
                continue  # its own folder's, or a third party's
            uses.append(header.partition("/")[0])
        yield from faults(path, here, uses, C)


def test_python_imports_point_down():
    assert list(of_python(ROOT / "edgeuk")) == []


def test_c_includes_point_down():
    assert list(of_c(ROOT / "firmware")) == []


def test_c_public_headers_know_only_each_other():
    for path in (ROOT / "firmware/include").rglob("*.h"):
        for header in c_uses(path):
            assert header.startswith("ek/"), f"{path} includes {header}"


def test_c_drivers_see_only_the_public_interface():
    for path in (ROOT / "edgeuk/drivers").rglob("*.[ch]"):
        for header in c_uses(path):
            own = "/" not in header and (path.parent / header).exists()
            assert own or header.startswith("ek/"), f"{path} includes {header}"


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("errors.py", "from edgeuk.build import build\n", "uses build, which is not below errors"),
        ("gateway.py", "from edgeuk import cli\n", "uses cli, which is not below gateway"),
        ("size.py", "import edgeuk.nothing\n", "`nothing` has no place"),
    ],
)
def test_a_python_import_that_points_up_is_found(tmp_path, name, text, what):
    (tmp_path / name).write_text(text)
    (fault,) = of_python(tmp_path)
    assert what in fault


def test_a_c_include_that_points_up_is_found(tmp_path):
    (tmp_path / "mqtt").mkdir()
    (tmp_path / "mqtt/client.c").write_text('#include "pipeline/queue.h"\n#include "ek/log.h"\n')
    (fault,) = of_c(tmp_path)
    assert "uses pipeline, which is not below mqtt" in fault
