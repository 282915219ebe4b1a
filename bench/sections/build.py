"""The wall time of `edgeuk build`: with an empty cache, after one change, with nothing changed.

In a copy of the checkout, with a cache of its own; third-party sources are there already, as
`edgeuk build` never fetches any.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.images import MICROVM, Bench
from bench.machine import ROOT
from bench.report import Row, row
from edgeuk.cache import cache_root

COLD_S, CHANGED_S, SAME_S = 15.0, 2.0, 0.5
COLD_ROUNDS = 3
BUILD_S = 300.0
COPIED = ("boards", "edgeuk", "firmware", "examples", "third_party.toml")
CHANGED = "firmware/mqtt/client.c"


def measure(bench: Bench) -> Iterator[Row]:
    """Three rows."""
    copy = bench.fresh("checkout")
    for name in COPIED:
        source, to = ROOT / name, copy / name
        if source.is_dir():
            shutil.copytree(source, to, ignore=shutil.ignore_patterns("build", "__pycache__"))
        else:
            shutil.copy(source, to)
    cache = bench.fresh("cache")
    try:
        yield from _rows(bench, copy, cache)
    except subprocess.CalledProcessError as e:
        note = f"the build fails: {' '.join(e.stderr.split())[:160]}"
        yield Row("build", "cold cache", "s", None, goal=COLD_S, note=note)


def _rows(bench: Bench, copy: Path, cache: Path) -> Iterator[Row]:
    def empty() -> None:
        shutil.rmtree(cache, ignore_errors=True)
        shutil.rmtree(copy / "examples/meter/build", ignore_errors=True)
        cache.mkdir()
        (cache / "third_party").symlink_to(cache_root() / "third_party")

    def change() -> None:
        with (copy / CHANGED).open("a") as file:
            file.write(f"// {next(bench.counter)}\n")

    empty()
    _build(copy, cache)  # Python's own compiled files are not what is measured
    few = min(bench.rounds, COLD_ROUNDS)
    for what, before, count, goal in (
        ("cold cache", empty, few, COLD_S),
        ("one source file changed", change, bench.rounds, CHANGED_S),
        ("nothing changed", lambda: None, bench.rounds, SAME_S),
    ):
        values = [_timed(copy, cache, before) for _ in range(count)]
        yield row("build", f"{what}, {MICROVM}", "s", values, goal=goal)


def _timed(copy: Path, cache: Path, before: Callable[[], None]) -> float:
    before()
    started = time.perf_counter()
    _build(copy, cache)
    return time.perf_counter() - started


def _build(copy: Path, cache: Path) -> None:
    """`edgeuk build` in the copy. Raises `CalledProcessError`."""
    command = [sys.executable, "-m", "edgeuk", "build"]
    command += ["-g", "examples/meter/gateway.toml", "-b", MICROVM]
    env = os.environ | {"EDGEUK_CACHE": str(cache), "PYTHONPATH": str(copy)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(
        command, cwd=copy, env=env, check=True, capture_output=True, text=True, timeout=BUILD_S
    )
