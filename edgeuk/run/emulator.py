"""Which QEMU a board runs in: the system's, or, for machines that it is too old for, a newer one
beside it.

The newer one lies unpacked in the cache and is called from there; nothing of the system's changes.

    python -m edgeuk.run.emulator fetch     # from the distribution's backports
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgeuk import apt
from edgeuk.board import Board
from edgeuk.cache import cache_root
from edgeuk.errors import ToolError
from edgeuk.paths import python_command

FETCH = f"{python_command()} -m edgeuk.run.emulator fetch"
PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
    "qemu-system-arm": "qemu-system-arm",
}
# What is unpacked beside an older QEMU, by the distribution's release: its libraries do for both.
BACKPORTS = {"bookworm": ("bookworm-backports", "10.0")}
UNPACKED = (
    *("qemu-system-arm", "qemu-system-x86", "qemu-system-data", "seabios"),
    *("qemu-system-common", "qemu-system-gui", "qemu-system-modules-opengl"),  # its modules
)
NEWER = ("qemu-system-aarch64", 10)  # what boards ask for at most
ANSWER_S = 20
# For [run.qemu] huge_pages: imx8mp-evk is built from 60 MB of small pieces, freed again while the
# image boots; docs/benchmarks.md has what came of it. Its heap grows once, for good.
# A machine of a few MB gains nothing; a virtual machine that hands free memory back to its host
# (free page reporting) loses after a rest of two seconds. Other C libraries ignore it.
HUGE_PAGES = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.top_pad=67108864"
    ":glibc.malloc.trim_threshold=1073741824"
}


@dataclass(frozen=True, slots=True)
class Emulator:
    """A QEMU: `command` begins its call; `environment` is added to the process's own."""

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)


def find_emulator(board: Board) -> Emulator:
    """The one for the board's [run.qemu]. Raises `ToolError` with the command that installs it."""
    assert board.qemu is not None
    found = find(board.qemu.binary, board.qemu.version)
    if board.qemu.huge_pages and "GLIBC_TUNABLES" not in os.environ:
        found = replace(found, environment=found.environment | HUGE_PAGES)
    return found


def find(binary: str, least: int = 0) -> Emulator:
    """QEMU's program `binary`, of major version `least` or newer."""
    path = shutil.which(binary)
    if path is not None and least == 0:
        return Emulator((path,))
    beside = _beside(binary)
    if least and beside is not None and _version(beside.command[0]) >= least:
        return beside
    if path is None and not least:
        raise ToolError(f"{binary} is not installed", hint=f"apt-get install {package(binary)}")
    found = _version(path) if path else 0
    if path is not None and found >= least:
        return Emulator((path,))
    has = f"here is {found}" if found else "there is none here"
    raise ToolError(
        f"{binary} {least} or newer is needed, {has}",
        hint=f"`{FETCH}` puts one beside it (Debian 12), or install a newer QEMU",
    )


def package(binary: str) -> str:
    """The package of Debian that has it."""
    return PACKAGES.get(binary, "qemu-system")


def _folder() -> Path:
    return cache_root() / "qemu"


def _beside(binary: str) -> Emulator | None:
    """The one in the cache. Its modules are looked for in a folder of its own first: the system's
    are those of another version, which ends QEMU."""
    folder = _folder()
    path = folder / "usr/bin" / binary
    if not path.is_file():
        return None
    share = folder / "usr/share"
    return Emulator(
        (str(path), "-L", str(share / "qemu"), "-L", str(share / "seabios")),
        {"QEMU_MODULE_DIR": str(folder / "modules")},
    )


@functools.cache
def _version(path: str) -> int:
    """Its major version; 0 if it does not start."""
    try:
        said = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=ANSWER_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r"version (\d+)\.", said)
    return int(match[1]) if match else 0


def fetch() -> str:
    """Make a QEMU of the backports present in the cache; says what is there. Raises `ToolError`."""
    system = shutil.which(NEWER[0])
    if system and _version(system) >= NEWER[1]:
        return f"QEMU {_version(system)} {system}"
    release = apt.codename()
    if release not in BACKPORTS:
        known = ", ".join(BACKPORTS)
        raise ToolError(f"no backports are known for `{release}`", hint=f"known: {known}")
    suite, version = BACKPORTS[release]
    goal = _folder()
    if (goal / "usr/bin/qemu-system-arm").is_file():
        return f"QEMU {version} {goal}"
    goal.parent.mkdir(parents=True, exist_ok=True)
    with apt.isolated("debian", suite, "deb") as get:
        get("download", *UNPACKED)
        scratch = Path(tempfile.mkdtemp(prefix=".qemu-", dir=goal.parent))
        try:
            for package in sorted(get.folder.glob("*.deb")):
                apt.run(["dpkg-deb", "-x", str(package), str(scratch)], get.folder)
            (scratch / "modules").mkdir()
            for module in scratch.glob("usr/lib/*/qemu/*.so"):
                module.rename(scratch / "modules" / module.name)
            scratch.chmod(0o755)
            try:
                scratch.rename(goal)  # whole, or not at all
            except OSError:
                if not goal.is_dir():  # else another process was first
                    raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    if _version(str(goal / "usr/bin/qemu-system-arm")) == 0:
        shutil.rmtree(goal)
        what = f"the QEMU of {suite} does not start beside this system's"
        raise ToolError(what, hint="apt-get install qemu-system-arm qemu-system-x86 first")
    return f"QEMU {version} {goal}"


def environment(emulator: Emulator | None = None) -> dict[str, str]:
    """For subprocess: this process's with the emulator's."""
    return os.environ | (emulator.environment if emulator else {})


if __name__ == "__main__":
    raise SystemExit(apt.fetch_command(fetch, FETCH, sys.argv[1:]))
