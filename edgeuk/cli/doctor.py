"""`edgeuk doctor`: what this machine has, what it lacks, and the command that gets it."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import typer

from edgeuk import third_party, toolchain
from edgeuk.cache import cache_root
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import JsonOption
from edgeuk.cli.say import next_step, print_json, print_table
from edgeuk.errors import EdgeukError
from edgeuk.run.qemu import find_qemu

app = typer.Typer()
FREE_MIN_MB = 500  # the compiler's cache and a few builds


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
    findings = list(examine())
    bad = [f for f in findings if not f.ok and f.needed]
    if json:
        print_json(
            [
                {"what": f.what, "ok": f.ok, "detail": f.detail, "fix": f.fix, "needed": f.needed}
                for f in findings
            ]
        )
    else:
        mark = {(True, True): "ok", (True, False): "ok", (False, True): "MISSING"}
        print_table(
            ("", "what", "found", "cure"),
            [(mark.get((f.ok, f.needed), "optional"), f.what, f.detail, f.fix) for f in findings],
        )
        next_step(f"{len(bad)} to mend: see `cure`" if bad else "edgeuk new NAME")
    raise typer.Exit(1 if bad else 0)


def examine() -> Iterator[Finding]:
    """Every check, in the order in which a user meets them."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("Python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer")
    pinned = third_party.load()
    for missing in toolchain.missing(tuple(pinned.values())):
        yield Finding(missing.what, False, "", missing.command)
    if toolchain.zig():
        yield Finding("zig (cross-compiler)", True, toolchain.ZIG_VERSION)
    if ninja := toolchain.ninja():
        yield Finding("ninja", True, str(ninja))
    for entry in pinned.values():
        if folder := third_party.locate(entry):
            yield Finding(f"{entry.name} {entry.version} sources", True, str(folder))
    compiler = toolchain.host_compiler()
    address = "address" in compiler.sanitizers
    fix = "" if address else "apt-get install gcc (AddressSanitizer for --board host)"
    yield Finding("C compiler for `host`", address, compiler.identity, fix, needed=False)
    catalog = load_catalog()
    boards = [find_board(catalog, name) for name in sorted(catalog.boards)]
    for binary in sorted({b.qemu.binary for b in boards if b.qemu}):
        try:
            yield Finding(binary, True, find_qemu(binary))
        except EdgeukError as e:
            yield Finding(binary, False, "", e.hint)
    broker = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    fix = "" if broker else "apt-get install mosquitto (amqtt serves until then)"
    yield Finding("mosquitto", broker is not None, broker or "", fix, needed=False)
    cache = cache_root()
    place = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(place).free // 1_000_000
    yield Finding(
        "free space",
        free > FREE_MIN_MB,
        f"{free:,} MB at {cache}",
        "free some, or set EDGEUK_CACHE",
    )
