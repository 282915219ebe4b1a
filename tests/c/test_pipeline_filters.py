"""Every filter against a second one in Python, written from the definitions in filters.h.

The arithmetic of the second one is in fractions and in the statistics module.
"""

import statistics
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_peer import INT64_MAX, INT64_MIN, Peer

EDGES = [
    INT64_MIN,
    INT64_MIN + 1,
    -(2**62),
    -(2**32),
    -1,
    0,
    1,
    2**32,
    2**62,
    INT64_MAX,
]
INT64 = st.integers(INT64_MIN, INT64_MAX) | st.sampled_from(EDGES) | st.integers(-1000, 1000)
POSITIVE = st.integers(1, INT64_MAX) | st.sampled_from([1, 2, 3, 10, 2**62, INT64_MAX])
VALUES = st.lists(INT64, min_size=1, max_size=40)
CHEAP = settings(max_examples=300, deadline=None)


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer() as peer:
        yield peer


def away(x: Fraction) -> int:
    """Rounded, half away from zero."""
    return int(abs(x) + Fraction(1, 2)) * (1 if x >= 0 else -1)


def shown(value: int) -> str:
    if INT64_MIN <= value <= INT64_MAX:
        return str(value)
    return f"{INT64_MIN if value < 0 else INT64_MAX}!"


def untimed(values: list[int]) -> list[tuple[int, int]]:
    return [(i, v) for i, v in enumerate(values)]


@CHEAP
@given(add=INT64, values=VALUES)
def test_offset_adds_and_saturates(peer, add, values):
    assert peer.filter("offset", [add], untimed(values)) == [shown(v + add) for v in values]


@CHEAP
@given(num=INT64, den=POSITIVE, values=VALUES)
def test_multiply_rounds_the_exact_quotient(peer, num, den, values):
    expected = [shown(away(Fraction(v * num, den))) for v in values]
    assert peer.filter("multiply", [num, den], untimed(values)) == expected


@CHEAP
@given(num=INT64, add=INT64, den=POSITIVE, values=VALUES)
def test_calibrate_linear_rounds_once(peer, num, add, den, values):
    expected = [shown(away(Fraction(v * num + add, den))) for v in values]
    assert peer.filter("calibrate_linear", [num, add, den], untimed(values)) == expected


@pytest.mark.parametrize(
    ("value", "num", "den", "expected"),
    [
        (5, 1, 10, "1"),  # 0.5 rounds away from zero
        (-5, 1, 10, "-1"),
        (4, 1, 10, "0"),
        (-4, 1, 10, "0"),
        (1, 1, 3, "0"),
        (2, 1, 3, "1"),
        (INT64_MIN, 1, 1, str(INT64_MIN)),
        (INT64_MIN, -1, 1, f"{INT64_MAX}!"),
        (INT64_MIN, INT64_MIN, INT64_MAX, f"{INT64_MAX}!"),
        (INT64_MAX, INT64_MAX, INT64_MAX, str(INT64_MAX)),
    ],
)
def test_multiply_at_the_edges(peer, value, num, den, expected):
    assert peer.filter("multiply", [num, den], [(0, value)]) == [expected]


@CHEAP
@given(ends=st.tuples(INT64, INT64).map(sorted), values=VALUES)
def test_clamp_limits_and_flags_only_what_it_limited(peer, ends, values):
    low, high = ends
    expected = [f"{min(max(v, low), high)}{'' if low <= v <= high else '!'}" for v in values]
    assert peer.filter("clamp", [low, high], untimed(values)) == expected


@CHEAP
@given(size=st.integers(2, 64), values=st.lists(INT64, min_size=1, max_size=150))
def test_median_is_that_of_the_last_values(peer, size, values):
    windows = [values[max(0, i + 1 - size) : i + 1] for i in range(len(values))]
    expected = [str(away(statistics.median(map(Fraction, w)))) for w in windows]
    assert peer.filter("median", [size], untimed(values)) == expected


@CHEAP
@given(size=st.integers(2, 64), values=st.lists(INT64, min_size=1, max_size=150))
def test_moving_average_is_that_of_the_last_values(peer, size, values):
    windows = [values[max(0, i + 1 - size) : i + 1] for i in range(len(values))]
    expected = [str(away(Fraction(sum(w), len(w)))) for w in windows]
    assert peer.filter("moving_average", [size], untimed(values)) == expected


@CHEAP
@given(step=POSITIVE, values=VALUES)
def test_round_gives_the_nearest_multiple(peer, step, values):
    expected = [shown(away(Fraction(v, step)) * step) for v in values]
    assert peer.filter("round", [step], untimed(values)) == expected


@CHEAP
@given(change=POSITIVE, values=VALUES)
def test_delta_compares_with_the_last_one_passed(peer, change, values):
    last, expected = None, []
    for v in values:
        passes = last is None or abs(v - last) >= change
        last = v if passes else last
        expected.append(str(v) if passes else "-")
    assert peer.filter("delta", [change], untimed(values)) == expected


SECOND = 1_000_000


def test_heartbeat_passes_an_unchanged_value_when_the_last_is_that_old(peer):
    rows = [(i * SECOND, 7) for i in range(130)]
    passed = peer.filter("delta", [5, 60_000], rows)
    assert [i for i, out in enumerate(passed) if out != "-"] == [0, 60, 120]


def test_heartbeat_counts_from_the_last_one_passed_for_whatever_reason(peer):
    rows = [(i * SECOND, 0 if i < 10 else 100) for i in range(80)]
    passed = peer.filter("delta", [5, 60_000], rows)
    assert [i for i, out in enumerate(passed) if out != "-"] == [0, 10, 70]


@pytest.mark.parametrize("jitter_us", [0, 300, -300, 20_000])
def test_heartbeat_and_throttle_bear_readings_that_are_not_on_the_dot(peer, jitter_us):
    rows = [(i * SECOND + 50_000 + (jitter_us if i % 2 else 0), 7) for i in range(41)]
    for kind, params in (("delta", [5, 10_000]), ("throttle", [10_000])):
        passed = peer.filter(kind, params, rows)
        assert [i for i, out in enumerate(passed) if out != "-"] == [0, 10, 20, 30, 40]


def test_throttle_with_the_period_of_the_sensor_passes_everything(peer):
    rows = [(i * SECOND + (i * 7919) % 40_000, i) for i in range(100)]
    assert peer.filter("throttle", [1000], rows) == [str(i) for i in range(100)]


def test_throttle_keeps_its_rate_where_the_periods_do_not_divide(peer):
    rows = [(i * 400_000, 1) for i in range(26)]
    passed = peer.filter("throttle", [1000], rows)
    at = [i * 400 for i, out in enumerate(passed) if out != "-"]
    assert at == [-(-n * 1000 // 400) * 400 for n in range(11)]  # the first after each second


@CHEAP
@given(
    period_ms=st.integers(1, 5000),
    gaps_us=st.lists(st.integers(0, 10_000_000), min_size=2, max_size=60),
)
def test_throttle_never_passes_more_than_one_per_period_in_the_long_run(peer, period_ms, gaps_us):
    times = [sum(gaps_us[: i + 1]) for i in range(len(gaps_us))]
    out = peer.filter("throttle", [period_ms], [(t, 1) for t in times])
    passed = [t for t, o in zip(times, out, strict=True) if o != "-"]
    assert passed[0] == times[0]
    slack = min(period_ms * 1000 // 8, 50_000)
    # A pass begins a period or more after the one before it, but for the slack of the last.
    for n, t in enumerate(passed):
        assert t + slack >= passed[0] + n * period_ms * 1000
    held = [t for t, o in zip(times, out, strict=True) if o == "-"]
    for t in held:
        assert t - max(p for p in passed if p <= t) < period_ms * 1000 + slack
