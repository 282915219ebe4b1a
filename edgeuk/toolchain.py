"""The programs a build needs: found, their versions checked, all that are missing named at once.

The cross-compiler is `ziglang` from PyPI (clang and LLD inside), pinned. `host` uses the system's
C compiler, because only that one brings AddressSanitizer's library; without one, zig's own.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from edgeuk.cache import cache_root
from edgeuk.errors import ToolError
from edgeuk.paths import python_command
from edgeuk.third_party import FETCH, ThirdParty, locate

ZIG_VERSION = "0.17.0"
PIP = f"{python_command()} -m pip install"


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that is not there, and the command that brings it."""

    what: str
    command: str


@dataclass(frozen=True, slots=True)
class Compiler:
    """A C compiler: `command` begins each call; `identity` is part of every cache key."""

    command: tuple[str, ...]
    identity: str
    sanitizers: str  # of -fsanitize=, "" for none


def zig() -> Path | None:
    """The zig program of the pinned ziglang package, or None."""
    try:
        version = metadata.version("ziglang")
    except metadata.PackageNotFoundError:
        return None
    spec = util.find_spec("ziglang")
    if version != ZIG_VERSION or spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "zig"
    return path if path.is_file() else None


def ninja() -> Path | None:
    """The ninja program: of the Python package, else the system's; or None."""
    spec = util.find_spec("ninja")
    if spec is not None and spec.origin is not None:
        for folder in (Path(spec.origin).parent / "data/bin", Path(sys.executable).parent):
            if (folder / "ninja").is_file():
                return folder / "ninja"
    found = shutil.which("ninja")
    return Path(found) if found else None


def cross_compiler() -> Compiler:
    """zig cc. Call `preflight` first; its absence raises `ToolError` too."""
    return Compiler((str(_need_zig()), "cc"), f"zig {ZIG_VERSION}", "")


def host_compiler() -> Compiler:
    """The system's cc with sanitizers; zig cc, with undefined-behaviour checks only, without."""
    named = os.environ.get("CC") or "cc"
    path = shutil.which(named)
    if path is None:
        return Compiler((str(_need_zig()), "cc"), f"zig {ZIG_VERSION} native", "undefined")
    about = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=20, check=False
    ).stdout
    return Compiler((path,), about.partition("\n")[0] + f" {path}", "address,undefined")


def linker() -> tuple[str, ...]:
    """How LLD is called. `zig cc -Wl,...` refuses half of its options, such as -Map."""
    return (str(_need_zig()), "ld.lld")


def environment() -> dict[str, str]:
    """This process's environment, with zig's own caches inside ours."""
    zig_cache = str(cache_root() / "zig")
    return os.environ | {
        "ZIG_GLOBAL_CACHE_DIR": zig_cache,
        "ZIG_LOCAL_CACHE_DIR": zig_cache,
        "LC_ALL": "C",
        "NINJA_STATUS": "[%f/%t] ",
    }


def missing(third_party: tuple[ThirdParty, ...] = ()) -> list[Missing]:
    """All that a build needs and that is not here."""
    lacks = []
    if zig() is None:
        try:
            found = f"ziglang {metadata.version('ziglang')} is not the pinned {ZIG_VERSION}"
        except metadata.PackageNotFoundError:
            found = f"ziglang {ZIG_VERSION}, the cross-compiler, is missing"
        lacks.append(Missing(found, f"{PIP} ziglang=={ZIG_VERSION}"))
    if ninja() is None:
        lacks.append(Missing("ninja is missing", f"{PIP} ninja"))
    for wanted in third_party:
        if locate(wanted) is None:
            what = f"the sources of {wanted.name} {wanted.version} are missing"
            lacks.append(Missing(what, f"{FETCH}, or {wanted.variable}=<archive> {FETCH}"))
    return lacks


def preflight(third_party: tuple[ThirdParty, ...] = ()) -> None:
    """Raises `ToolError` naming everything that is missing, each with its command."""
    lacks = missing(third_party)
    if lacks:
        raise ToolError(
            "; ".join(m.what for m in lacks),
            hint="\n      ".join(m.command for m in lacks),
        )


def _need_zig() -> Path:
    path = zig()
    if path is None:
        preflight()
    assert path is not None
    return path
