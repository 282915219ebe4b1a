"""edgeuk/filters.py: what is refused, and the C that comes out.

The numbers of the line are checked against statistics.linear_regression.
"""

import re
import statistics
import tomllib
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeuk import filters


@pytest.mark.parametrize(
    ("params", "decimals", "expected"),
    [
        ({"offset": D("-0.5")}, 2, "{.add = -50}"),
        ({"offset": D("1e9")}, 9, "{.add = INT64_C(1000000000000000000)}"),
        ({"multiply": D("0.1")}, 2, "{.num = 1, .den = 10}"),
        ({"multiply": D("-2.50")}, 2, "{.num = -5, .den = 2}"),
        ({"clamp": [0, D("99.9")]}, 1, "{.low = 0, .high = 999}"),
        ({"median": 5}, 2, "{.size = 5}"),
        ({"moving_average": 64}, 2, "{.size = 64}"),
        ({"delta": D("0.25"), "heartbeat": 60_000}, 2, "{.change = 25, .heartbeat_ms = 60000}"),
        ({"delta": 1}, 0, "{.change = 1, .heartbeat_ms = 0}"),
        ({"throttle": 2**32 - 1}, 0, "{.period_ms = INT64_C(4294967295)}"),
        ({"round": D("0.5")}, 3, "{.step = 500}"),
        ({"calibrate_linear": [[0, 1], [10, 21]]}, 1, "{.num = 2, .add = 10, .den = 1}"),
    ],
)
def test_initialiser(params, decimals, expected):
    kind = next(iter(params))
    assert filters.check(kind, params, decimals) == []
    assert filters.initialiser(kind, params, decimals) == expected


def test_state_is_sized_by_the_window():
    state = filters.state("median", {"median": 5}, "air_0_state")
    assert state == "static struct window_state air_0_state = {.values = {[4] = 0}};"
    assert filters.state("clamp", {"clamp": [0, 1]}, "x") is None


@pytest.mark.parametrize(
    ("params", "decimals", "what"),
    [
        ({"offset": D("0.125")}, 2, "`offset` is finer than the channel, which has 2 decimals"),
        ({"offset": "1"}, 2, "`offset` must be a number"),
        ({"offset": True}, 2, "`offset` must be a number"),
        ({"offset": D("inf")}, 2, "`offset` must be a number"),
        ({"offset": D("1e999999")}, 2, "`offset` is out of range"),
        ({"offset": 2**62}, 1, "`offset` is out of range"),
        ({"multiply": D("nan")}, 2, "`multiply` must be a number"),
        ({"multiply": D("1e-999999")}, 2, "`multiply` is out of range"),
        ({"multiply": D("0.1234567890123456789")}, 2, "`multiply` has too many digits"),
        ({"clamp": [5, 1]}, 2, "`clamp` has its low end 5 above its high end 1"),
        ({"clamp": [5]}, 2, "`clamp` must be [low, high]"),
        ({"clamp": 5}, 2, "`clamp` must be [low, high]"),
        ({"median": 1}, 2, "`median` must be 2 to 64, not 1"),
        ({"median": D("2.5")}, 2, "`median` must be a whole number"),
        ({"moving_average": 65}, 2, "`moving_average` must be 2 to 64, not 65"),
        ({"delta": 0}, 2, "`delta` must be above 0"),
        ({"delta": 1, "heartbeat": 0}, 2, "`heartbeat` must be 1 to 4294967295 ms, not 0"),
        ({"delta": 1, "hartbeat": 5}, 2, "filter `delta` has no parameter `hartbeat`"),
        ({"throttle": 0}, 2, "`throttle` must be 1 to 4294967295 ms, not 0"),
        ({"round": D("-1")}, 2, "`round` must be above 0"),
        (
            {"calibrate_linear": [[1, 2]]},
            2,
            "`calibrate_linear` must be two or more [measured, true] pairs",
        ),
        (
            {"calibrate_linear": [[1, 2], [1, 3]]},
            2,
            "`calibrate_linear` needs two different measured values",
        ),
        (
            {"calibrate_linear": [[0, 0], [D("1e-18"), 10**12]]},
            2,
            "the line through the points is too steep or too far",
        ),
    ],
)
def test_faults(params, decimals, what):
    assert [f.what for f in filters.check(next(iter(params)), params, decimals)] == [what]


NUMBERS = st.decimals(-1000, 1000, places=3)


@given(points=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=12))
def test_the_line_is_that_of_least_squares(points):
    params: dict[str, Any] = {"calibrate_linear": [list(p) for p in points]}
    if filters.check("calibrate_linear", params, 2):
        assert len({x for x, _ in points}) == 1
        return
    text = filters.initialiser("calibrate_linear", params, 2)
    num, add, den = (int(n) for n in re.findall(r"= (?:INT64_C\()?(-?\d+)", text))
    xs, ys = ([float(p[i]) for p in points] for i in (0, 1))
    slope, start = statistics.linear_regression(xs, ys)
    assert num / den == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert add / den == pytest.approx(100 * start, rel=1e-6, abs=1e-3)


def test_every_kind_has_an_example_that_is_right():
    for kind, about in filters.FILTERS.items():
        params = tomllib.loads(f"x = {about.example}", parse_float=D)["x"]
        for name, value in params.items():
            if isinstance(value, str):
                params[name] = int(value.removesuffix("s")) * 1000
        assert about.params[0].name == kind
        assert filters.check(kind, params, 2) == []
