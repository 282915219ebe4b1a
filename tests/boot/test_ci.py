"""ci/: the templates for a user's own gateway take the boards from `edgeuk boards --json`; their
commands, taken out of the files, do what they say in an empty environment."""

import json
import os
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

from edgeuk.cache import cache_root
from edgeuk.catalog import find_board, load_catalog
from edgeuk.run.emulator import PACKAGES

ROOT = Path(__file__).parents[2]
GITHUB = yaml.safe_load((ROOT / "ci/github.yml").read_text())
GITLAB = yaml.safe_load((ROOT / "ci/gitlab.yml").read_text())
GITLAB_BOARD = yaml.safe_load((ROOT / "ci/gitlab-board.yml").read_text())
LISTING, JOB = GITHUB["jobs"]["boards"], GITHUB["jobs"]["scenarios"]
GITLAB_LISTING, GITLAB_JOB = GITLAB["boards"], GITLAB_BOARD["scenarios"]
CATALOG = load_catalog()
BOARDS = [b for name in sorted(CATALOG.boards) if (b := find_board(CATALOG, name)).qemu]
ROWS = [(b.name, PACKAGES[b.qemu.binary], b.qemu.version) for b in BOARDS]
TEMPLATES = ("github", "gitlab")
GATEWAY = """\
schema = 1
name = "mine"
[mqtt]
url = "mqtt://localhost:1883"
topic = "mine"
[pipeline]
statistics = "1s"
[[sensor]]
name = "count"
driver = "sim"
shape = "ramp"
low = 0
high = 20_000
period = "1000s"
every = "50ms"
"""


def commands(template):
    """What is run for a board, in order."""
    if template == "github":
        return [step["run"] for step in JOB["steps"] if "run" in step]
    return [*GITLAB_JOB["before_script"], *GITLAB_JOB["script"]]


def bash(line, folder, **env):
    env["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    argv = ["bash", "-eo", "pipefail", "-c", line]
    subprocess.run(argv, cwd=folder, env=os.environ | env, check=True, timeout=60)


def test_the_github_matrix_is_every_board_that_qemu_runs(tmp_path):
    (listing,) = (s for s in LISTING["steps"] if s.get("id") == "list")
    bash(listing["run"], tmp_path, GITHUB_OUTPUT=str(tmp_path / "output"))
    name, _, matrix = (tmp_path / "output").read_text().partition("=")
    rows = json.loads(matrix)["include"]
    assert [(r["board"], r["package"], r["version"]) for r in rows] == ROWS
    assert LISTING["outputs"][name] == f"${{{{ steps.list.outputs.{name} }}}}"
    assert JOB["strategy"]["matrix"] == f"${{{{ fromJSON(needs.{JOB['needs']}.outputs.{name}) }}}}"
    given = {k: v.removeprefix("${{ matrix.").removesuffix(" }}") for k, v in JOB["env"].items()}
    assert given == {"BOARD": "board", "QEMU_PACKAGE": "package", "QEMU_VERSION": "version"}


def test_the_gitlab_matrix_is_every_board_that_qemu_runs(tmp_path):
    bash(GITLAB_LISTING["script"][-1], tmp_path)
    (file,) = GITLAB_LISTING["artifacts"]["paths"]
    child = yaml.safe_load((tmp_path / file).read_text())
    rows = child["scenarios"]["parallel"]["matrix"]
    found = [(r["BOARD"], r["QEMU_PACKAGE"], int(r["QEMU_VERSION"])) for r in rows]
    assert found == ROWS
    assert all(type(value) is str for row in rows for value in row.values())
    assert (ROOT / "ci" / child["include"][0]["local"]).exists()
    assert GITLAB["scenarios"]["trigger"]["include"] == [{"artifact": file, "job": "boards"}]
    assert GITLAB["scenarios"]["variables"] == GITLAB_LISTING["variables"]


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_newer_qemu_is_fetched_for_just_the_boards_that_need_it(template, tmp_path):
    (line,) = (c for c in commands(template) if "emulator fetch" in c)
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    for version in sorted({version for _, _, version in ROWS}):
        env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "QEMU_VERSION": str(version)}
        done = subprocess.run(["bash", "-ec", line], env=env, capture_output=True, text=True)
        assert done.returncode == 0
        said = "-m edgeuk.run.emulator fetch" if version else ""
        assert done.stdout.strip() == said


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_boards_package_and_a_broker_are_installed(template):
    (line,) = (c for c in commands(template) if "apt-get install" in c)
    assert line.endswith('--no-install-recommends "$QEMU_PACKAGE" mosquitto')


def test_both_templates_run_the_same():
    assert [c for c in commands("github") if "GITHUB_ENV" not in c] == commands("gitlab")
    assert LISTING["container"] == JOB["container"] == GITLAB_JOB["image"]
    assert GITLAB_LISTING["image"] == GITLAB_JOB["image"]
    assert GITHUB["env"] == GITLAB_LISTING["variables"]
    assert f"{JOB['timeout-minutes']} minutes" == GITLAB_JOB["timeout"]


def test_results_and_traces_are_kept_whatever_happens():
    upload = JOB["steps"][-1]
    assert upload["if"] == "always()"
    assert upload["with"]["path"].split() == ["report.xml", "build/hil"]
    kept = GITLAB_JOB["artifacts"]
    assert (kept["when"], kept["paths"]) == ("always", ["build/hil"])
    assert kept["reports"] == {"junit": "report.xml"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_row_of_the_matrix_runs_in_an_empty_environment(tmp_path):
    """All but apt-get: x86-microvm, with the wheel in the place of the package index's, and the
    caches of whoever runs the tests."""
    argv = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    subprocess.run([*argv, str(ROOT)], check=True, capture_output=True, timeout=200)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    project, noted = tmp_path / "project", tmp_path / "env"
    project.mkdir()
    noted.touch()
    (project / "gateway.toml").write_text(GATEWAY)
    pip = [sys.executable, "-m", "pip", "cache", "dir"]
    cached = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.strip()
    env = {
        "PATH": f"{tmp_path / 'venv/bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LC_ALL": "C.UTF-8",
        "GITHUB_ENV": str(noted),
        **{"BOARD": "x86-microvm", "QEMU_VERSION": "0"},
        "PYTEST_ADDOPTS": "-k 'restart or reset'",  # these will do here
        **GITHUB["env"],
        "EDGEUK": GITHUB["env"]["EDGEUK"] + f" @ {wheel.as_uri()}",
    }
    for line in commands("github"):
        if "apt-get" in line:
            continue
        env |= dict(x.split("=", 1) for x in noted.read_text().splitlines())
        env |= {"PIP_CACHE_DIR": cached, "EDGEUK_CACHE": str(cache_root())}
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", line],
            **{"cwd": project, "env": env, "timeout": 400},
            **{"capture_output": True, "text": True, "check": False},
        )
        assert done.returncode == 0, done.stdout + done.stderr
    results = ET.parse(project / "report.xml").getroot().find("testsuite").attrib
    assert int(results["errors"]) == int(results["failures"]) == 0
    assert int(results["tests"]) - int(results["skipped"]) >= 2
    assert list((project / "build/hil").rglob("console.log"))
    assert f"EDGEUK_CACHE={project}/.cache/edgeuk\n" in noted.read_text()
