"""`edgeuk doctor`: what this machine has, what it lacks, and the command that gets it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import typer

from edgeuk import __version__, third_party, toolchain
from edgeuk.board import Board
from edgeuk.cache import cache_root
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import JsonOption, command_app, plural, waiting
from edgeuk.cli.say import next_step, print_json, print_table
from edgeuk.errors import EdgeukError
from edgeuk.flash import firmware
from edgeuk.paths import PACKAGE
from edgeuk.run import emulator
from edgeuk.run.debugger import find_gdb

app = command_app()
FREE_MIN_MB = 500  # the compiler's cache and a few builds
ANSWER_S = 20  # limit of a program that says its version
# Package -> extra of ours that brings it, what needs it.
EXTRAS = {
    "pyocd": ("flash", "`edgeuk flash` and `debug` through a probe"),
    "unicorn": ("virtual", "virtual boards of chips that QEMU lacks"),
    "pytest": ("hil", "`edgeuk test`"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `needed` is false for what only makes things better."""

    what: str
    ok: bool
    detail: str
    fix: str = ""
    needed: bool = True


@app.command(epilog="Example:  edgeuk doctor")
def doctor(json: JsonOption = False) -> None:
    """Check this machine: what is missing and how to get it. Exit status 1 if something is."""
    with waiting("looking"):
        findings = list(examine())
    bad = [f for f in findings if not f.ok and f.needed]
    if json:
        print_json([asdict(f) for f in findings])
        raise typer.Exit(1 if bad else 0)
    rows = [
        (_mark(f), f.what, f.detail or "-", f.fix if not f.ok else "")
        for f in sorted(findings, key=lambda f: f.ok)
    ]
    print_table(("state", "what", "found", "cure"), rows)
    next_step(f"mend {plural(len(bad), 'thing')}, see `cure`" if bad else "edgeuk new NAME")
    raise typer.Exit(1 if bad else 0)


def _mark(finding: Finding) -> str:
    if finding.ok:
        return "ok"
    return "MISSING" if finding.needed else "optional"


def examine() -> Iterator[Finding]:
    """Every check, in the order in which a user meets them."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("edgeuk", True, f"{__version__} at {PACKAGE}")
    yield Finding(
        "Python",
        sys.version_info >= (3, 11),
        f"{version} at {sys.executable}",
        "install Python 3.11 or newer",
    )
    yield from _build_tools()
    yield _host_compiler()
    catalog = load_catalog()
    boards = [find_board(catalog, name) for name in sorted(catalog.boards)]
    for wanted in sorted({(b.qemu.binary, b.qemu.version) for b in boards if b.qemu}):
        yield _emulator(
            *wanted, [b for b in boards if b.qemu and (b.qemu.binary, b.qemu.version) == wanted]
        )
    broker = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    fix = "apt-get install mosquitto (without it `edgeuk run` starts amqtt)"
    yield Finding("MQTT broker mosquitto", broker is not None, broker or "", fix, needed=False)
    yield from _extras()
    yield _gdb()
    yield _firmware(boards)
    yield _cache()


def _build_tools() -> Iterator[Finding]:
    pinned = third_party.load()
    for missing in toolchain.missing(tuple(pinned.values())):
        what = missing.what.removesuffix(" is missing").removesuffix(" are missing")
        yield Finding(what, False, "", missing.command)
    if zig := toolchain.zig():
        yield Finding("cross-compiler zig", True, f"{toolchain.ZIG_VERSION} at {zig}")
    if ninja := toolchain.ninja():
        yield Finding("ninja", True, str(ninja))
    for entry in pinned.values():
        if folder := third_party.locate(entry):
            yield Finding(f"sources of {entry.name} {entry.version}", True, str(folder))


def _host_compiler() -> Finding:
    """Whether --board host gets AddressSanitizer: proven by linking with it."""
    what = "C compiler with sanitizers"
    fix = "apt-get install gcc (without it --board host has no AddressSanitizer)"
    path = shutil.which(os.environ.get("CC") or "cc")
    if path is None:
        return Finding(what, False, "", fix, needed=False)
    flags = ["-fsanitize=address,undefined", "-x", "c", "-", "-o", "/dev/null"]
    linked = _run([path, *flags], "int main(void) { return 0; }\n")
    version = _run([path, "--version"]) or ""
    detail = f"{version.partition(chr(10))[0]} at {path}"
    return Finding(what, linked is not None, detail, fix, needed=False)


def _emulator(binary: str, least: int, boards: list[Board]) -> Finding:
    """QEMU, and whether this one has the machines of our boards."""
    what = f"{binary} {least}" if least else binary
    try:
        found = emulator.find(binary, least)
    except EdgeukError as e:  # one that only some boards need is not missed by everybody
        return Finding(what, False, "", e.hint, needed=least == 0)
    path, env = found.command[0], emulator.environment(found)
    version = _run([path, "--version"], env=env)
    machines = _run([*found.command, "-machine", "help"], env=env)
    if version is None or machines is None:
        return Finding(what, False, f"{path} does not start", "reinstall it")
    has = {line.split(" ")[0] for line in machines.splitlines()}
    wanted = {b.qemu.machine.partition(",")[0] for b in boards if b.qemu}
    number = version.partition("version ")[2].partition("\n")[0]
    if lacks := wanted - has:
        fix = f"install a QEMU that has {', '.join(sorted(lacks))}"
        return Finding(what, False, f"{number} without {', '.join(sorted(lacks))}", fix)
    return Finding(what, True, f"{number} at {path}")


def _extras() -> Iterator[Finding]:
    """Python packages that only some commands need."""
    for package, (extra, use) in EXTRAS.items():
        spec = importlib.util.find_spec(package)
        found = str(Path(spec.origin).parent) if spec and spec.origin else ""
        fix = f'{sys.executable} -m pip install "edgeuk[{extra}]" (for {use})'
        yield Finding(f"Python package {package}", bool(found), found, fix, needed=False)


def _gdb() -> Finding:
    """One that knows the processors of our boards."""
    what = "debugger gdb"
    try:
        return Finding(what, True, find_gdb("", "aarch64"))
    except EdgeukError as e:
        return Finding(what, False, "", f"{e.hint} (for `edgeuk debug`)", needed=False)


def _firmware(boards: list[Board]) -> Finding:
    """What the makers of boards with a card want on it."""
    names = sorted({name for b in boards if b.flash for name in b.flash.firmware})
    what = "boot firmware of the Raspberry Pi"
    try:
        firmware.find(names, None)
    except EdgeukError:
        fix = f"{firmware.FETCH}, or --firmware-dir (for `edgeuk flash --board rpi4`)"
        return Finding(what, False, "", fix, needed=False)
    return Finding(what, True, ", ".join(names))


def _cache() -> Finding:
    """Room for builds, in a folder that can be written."""
    cache = cache_root()
    place = next((p for p in (cache, *cache.parents) if p.exists()), Path("/"))
    if not place.is_dir() or not os.access(place, os.W_OK):
        fix = "make it writable, or set EDGEUK_CACHE to another folder"
        return Finding("cache", False, f"{place} cannot be written", fix)
    free = shutil.disk_usage(place).free // 1_000_000
    fix = "free some space, or set EDGEUK_CACHE to another folder"
    return Finding("cache", free > FREE_MIN_MB, f"{cache}, {free:,} MB free", fix)


def _run(command: list[str], text: str = "", env: Mapping[str, str] | None = None) -> str | None:
    """Its standard output, or None where it fails."""
    try:
        done = subprocess.run(
            command,
            input=text,
            env=env,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
