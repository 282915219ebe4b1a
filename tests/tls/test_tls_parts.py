"""The heap and the clock of firmware/tls, each alone with sanitizers (c/parts.c): the heap
against a model of what must fit, dates against Python's calendar."""

import os
import random
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from tls_build import CLANG, HERE, Library

SEED = int(os.environ.get("EDGEUK_TLS_SEED", "1"))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ASSERTED = 3
pytestmark = pytest.mark.skipif(not CLANG, reason="clang is not installed")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    library = Library(tmp_path_factory.mktemp("parts"), sources=["heap.c", "clock.c"])
    program = library.program("parts", HERE / "parts.c")

    def run(*mode: str, stdin: str = "", status: int = 0) -> list[str]:
        argv = [str(program), *mode]
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.parametrize("seed", range(SEED, SEED + 5))
def test_the_heap_gives_what_fits_and_nothing_else(parts, seed):
    """Aligned, zeroed, apart from each other, wiped when freed; free pieces join; counts right."""
    found = parts("heap", str(seed), "4000")
    print(f"seed {seed}: {found[0]}")
    taken, refused = (int(found[0].split()[i]) for i in (1, 3))
    assert taken > 1000
    assert refused > 0


def test_sizes_that_overflow_are_refused(parts):
    parts("wrong", "sizes")


@pytest.mark.parametrize("case", ["twice", "underrun"])
def test_a_block_that_is_not_in_use_cannot_be_freed(parts, case):
    assert "assertion failed" in parts("wrong", case, status=ASSERTED)[-1]


def test_dates_are_those_of_the_calendar(parts):
    last = 2**32 - 1  # 2106-02-07
    edges = [0, 59, 60, 3599, 86399, 86400, 2**31 - 1, 2**31, last]
    for year in (1972, 1999, 2000, 2001, 2024, 2026, 2038, 2096, 2099, 2100, 2101, 2104, 2105):
        for month, day in ((1, 1), (2, 28), (3, 1), (12, 31)):
            start = int((datetime(year, month, day, tzinfo=UTC) - EPOCH).total_seconds())
            edges += [start - 1, start, start + 86399, start + 86400]
    chance = random.Random(SEED)
    seconds = edges + [chance.randrange(last) for _ in range(2000)]
    found = parts("clock", stdin="".join(f"date {s}\n" for s in seconds))
    right = [(EPOCH + timedelta(seconds=s)).strftime("%Y-%m-%d %H:%M:%S") for s in seconds]
    wrong = [(s, a, b) for s, a, b in zip(seconds, found, right, strict=True) if a != b]
    assert not wrong


# Lower bound of the certificates, what the clock says (0: nothing), seconds since boot -> seconds,
# whether known, where from. The build time is 950.
BUILT, BOUND, CLOCK = "0 build time", "0 certificates", "1 test"
TIMES = [
    ((0, 0, 0), f"950 {BUILT}"),
    ((900, 0, 20), f"970 {BUILT}"),
    ((900, 940, 20), f"970 {BUILT}"),  # a clock that is behind the build time is not believed
    ((900, 990, 20), f"990 {CLOCK}"),
    ((1000, 0, 0), f"1000 {BOUND}"),
    ((1000, 0, 50), f"1050 {BOUND}"),  # the bound goes on with the time since boot
    ((900, 0, 50), f"1050 {BOUND}"),  # it is never lowered
    ((2000, 0, 50), f"2000 {BOUND}"),  # one that comes after 50 seconds
    ((2000, 0, 60), f"2010 {BOUND}"),
    ((0, 5000, 60), f"5000 {CLOCK}"),
    ((0, 1500, 60), f"2010 {BOUND}"),  # a clock that is behind the bound is not believed
    ((0, 2009, 60), f"2010 {BOUND}"),
    ((0, 2010, 60), f"2010 {CLOCK}"),
    ((6000, 5000, 60), f"6000 {BOUND}"),
    ((6000, 0, 70), f"6010 {BOUND}"),
    ((0, 10, 80), f"6020 {BOUND}"),  # by which it would have booted before 1970
    ((0, 4102444800, 80), f"4102444800 {CLOCK}"),  # 2100
    ((17_286_100, 0, 17_280_000), f"17286100 {BOUND}"),  # one that comes after 200 days
]


def test_time_is_what_is_told_but_never_before_the_bound(parts):
    lines = "".join("time {} {} {}\n".format(*given) for given, _ in TIMES)
    assert parts("clock", stdin=lines) == [right for _, right in TIMES]
