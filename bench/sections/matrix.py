"""All boards in QEMU: `edgeuk test --quick` on each (a boot, ten readings, a broker's restart), as
many at a time as there are processors. Images are built before, as the cache of a CI has them.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.images import Bench
from bench.machine import ROOT
from bench.report import Row, row
from edgeuk.catalog import find_board, load_catalog

MATRIX_S = 180.0
BOARD_S = 300.0
ROUNDS = 2


def measure(bench: Bench) -> Iterator[Row]:
    """A row for all boards together, and one for each."""
    catalog = load_catalog()
    boards = [n for n in sorted(catalog.boards) if find_board(catalog, n).qemu is not None]
    folder = bench.fresh("matrix")
    try:
        run(boards, folder)  # builds
        rounds = [run(boards, folder) for _ in range(min(bench.rounds, ROUNDS))]
    except subprocess.CalledProcessError as e:
        note = f"a board fails: {' '.join(str(e.output).split())[-160:]}"
        yield Row("matrix", "all boards in QEMU", "s", None, goal=MATRIX_S, note=note)
        return
    what = f"all {len(boards)} boards in QEMU, {workers()} at a time"
    yield row("matrix", what, "s", [total for total, _ in rounds], goal=MATRIX_S)
    for board in boards:
        yield row("matrix", board, "s", [times[board] for _, times in rounds])


def workers() -> int:
    """Boards at a time."""
    return os.cpu_count() or 1


def run(boards: Sequence[str], folder: Path) -> tuple[float, dict[str, float]]:
    """Seconds in all and of each board. Raises `CalledProcessError`."""
    began = time.perf_counter()
    with ThreadPoolExecutor(workers()) as pool:
        times = dict(zip(boards, pool.map(lambda b: one(b, folder), boards), strict=True))
    return time.perf_counter() - began, times


def one(board: str, folder: Path) -> float:
    """Seconds of one board, from the command's start to its end."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "edgeuk", "test", "--board", board, "--quick"]
    command += ["--artifacts", str(folder)]
    subprocess.run(
        command,
        cwd=ROOT / "hil",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BOARD_S,
    )
    return time.perf_counter() - began
