"""The simulated sensor: shapes at chosen times, against the definitions in sim.c."""

import math

import pytest

OK, EINVAL = 0, -1
SIMULATED = 1
SECOND = 1_000_000
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


class Model:
    """The time is all that the driver sees."""

    def __init__(self) -> None:
        self.now_us = 0

    def clock_us(self) -> int:
        return self.now_us


def make(load, **props):
    model = Model()
    sim = load("sim", model, **({"period": 10_000, "low": 0, "high": 1000, "channel": 7} | props))
    assert sim.init() == OK
    return model, sim


def read(model, sim, now_us: int) -> int:
    model.now_us = now_us
    before = len(sim.reports)
    sim.poll()
    assert len(sim.reports) == before + 1
    channel, value, quality, status = sim.reports[-1]
    assert (channel, quality, status) == (7, SIMULATED, OK)
    return value


def test_sine_follows_the_sine(load):
    model, sim = make(load, shape="sine", low=-5000, high=5000)
    for ms in range(0, 20_000, 37):
        value = read(model, sim, ms * 1000)
        # 33 table entries a quarter, joined by straight lines: off by at most
        # (pi / 64)^2 / 8 = 0.03 % of the amplitude, plus rounding.
        assert abs(value - 5000 * math.sin(2 * math.pi * ms / 10_000)) <= 3.5
    assert read(model, sim, 0) == 0
    assert read(model, sim, 2_500_000) == 5000
    assert read(model, sim, 7_500_000) == -5000


def test_ramp_rises_evenly_from_low_to_high(load):
    model, sim = make(load, shape="ramp", low=100, high=1100)
    for ms in range(0, 10_000, 41):
        assert abs(read(model, sim, ms * 1000) - (100 + ms / 10)) <= 1
    assert read(model, sim, 10 * SECOND - 1) == 1100
    assert read(model, sim, 10 * SECOND) == 100


def test_steps_stand_on_eight_levels(load):
    model, sim = make(load, shape="steps", low=0, high=7)
    levels = [read(model, sim, ms * 1000) for ms in range(0, 10_000, 625)]
    assert levels == [level for level in range(8) for _ in range(2)]


def test_noise_fills_the_range_and_repeats_with_its_seed(load):
    model, sim = make(load, shape="noise", low=-10, high=10, seed=42)
    values = [read(model, sim, 0) for _ in range(2000)]
    assert set(values) == set(range(-10, 11))
    assert abs(sum(values)) / len(values) < 0.6  # four times the mean's deviation, 6 / sqrt(2000)
    assert "42" in sim.logs[0]
    assert "simulated" in sim.logs[0]
    model, again = make(load, shape="noise", low=-10, high=10, seed=42)
    assert [read(model, again, 0) for _ in range(2000)] == values
    model, other = make(load, shape="noise", low=-10, high=10, seed=43)
    assert [read(model, other, 0) for _ in range(2000)] != values


def test_noise_is_xorshift32(load):
    """Marsaglia, Xorshift RNGs (2003), section 3: triple 13, 17, 5; seed 0 would stand still."""
    for seed in (1, 0, 2**32 - 1):
        model, sim = make(load, shape="noise", low=0, high=2**32 - 1, seed=seed)
        x = seed or 1
        for _ in range(5):
            x ^= x << 13 & 0xFFFFFFFF
            x ^= x >> 17
            x ^= x << 5 & 0xFFFFFFFF
            assert read(model, sim, 0) == x


@pytest.mark.parametrize("shape", ["sine", "ramp", "steps", "noise"])
@pytest.mark.parametrize(
    ("low", "high"), [(INT64_MIN, INT64_MAX), (5, 5), (INT64_MIN, INT64_MIN + 1), (0, 1)]
)
def test_values_never_leave_the_range(load, shape, low, high):
    model, sim = make(load, shape=shape, low=low, high=high)
    for now_us in [0, 1, 2_500_000, 7_500_000, 10 * SECOND - 1, 10**15 + 17, 2**62]:
        assert low <= read(model, sim, now_us) <= high


@pytest.mark.parametrize("period", [1, 8, 2**32 - 1])
def test_extreme_periods(load, period):
    model, sim = make(load, shape="ramp", period=period)
    assert read(model, sim, period * 1000 - 1) >= 999
    assert read(model, sim, period * 1000) == 0


def test_an_unknown_shape_is_refused(load):
    assert load("sim", Model(), shape="square", period=1000).init() == EINVAL


def test_a_range_upside_down_is_refused(load):
    assert load("sim", Model(), shape="ramp", low=2, high=1, period=1000).init() == EINVAL
