"""SNVS real-time counter against a model of IMX6ULRM, chapter SNVS, and of what Linux' rtc-snvs.c
knows of it: clock domains, a counter that moves between two reads, an empty battery."""

from itertools import chain, repeat

import pytest

OK, ETIMEDOUT, ERANGE = 0, -3, -10
LPCR, LPSR, MR, LR, PGDR = 0x38, 0x4C, 0x50, 0x54, 0x64
ENV, PGD, MAGIC = 1, 8, 0x41736166


class Model:
    """`step`: ticks that pass after each read of a half of the counter."""

    def __init__(self, seconds=0, *, lpcr=ENV, pgdr=MAGIC, step=0, delay=3, stuck=False):
        self.ticks, self.lpcr, self.pgdr, self.step = seconds << 15, lpcr, pgdr, step
        self.seen_lpcr, self.delay, self.wait, self.stuck = lpcr, delay, 0, stuck
        self.lpsr = PGD if pgdr != MAGIC else 0

    def read(self, offset):
        if offset == LPCR:  # passes into the slow clock domain and back
            self.wait -= self.wait > 0
            if not self.wait and not self.stuck:
                self.seen_lpcr = self.lpcr
            return self.seen_lpcr
        if offset in (MR, LR):
            value = self.ticks >> 32 if offset == MR else self.ticks & 0xFFFF_FFFF
            self.ticks += self.step() if callable(self.step) else self.step
            return value
        return {LPSR: self.lpsr, PGDR: self.pgdr}[offset]

    def write(self, offset, value):
        if offset == LPCR:
            self.lpcr, self.wait = value, self.delay
        elif offset in (MR, LR):
            assert not self.seen_lpcr & ENV, "written while it counts"
            assert value < 1 << (15 if offset == MR else 32)
            shift = 32 if offset == MR else 0
            self.ticks = self.ticks & ~(0xFFFF_FFFF << shift) | value << shift
        elif offset == LPSR:
            self.lpsr &= ~value
        else:
            assert offset == PGDR
            self.pgdr = value


def read(rtc):
    room = rtc.room(8)
    return rtc.get(room), int.from_bytes(room.raw, "little", signed=True)


def test_a_clock_that_was_kept_is_read(load):
    model = Model(1_900_000_000, lpcr=ENV | 0x20)
    rtc = load("imx_snvs_rtc", model)
    assert rtc.init() == OK
    assert read(rtc) == (OK, 1_900_000_000)
    assert model.lpcr == ENV | 0x20


def test_one_without_a_battery_tells_nothing_until_it_is_set(load):
    model = Model(1_900_000_000, lpcr=ENV | 0x20, pgdr=0)
    rtc = load("imx_snvs_rtc", model)
    assert rtc.init() == OK
    assert (model.pgdr, model.lpsr) == (MAGIC, 0)
    assert read(rtc)[0] == ERANGE
    assert rtc.init() == OK  # the next boot, before anybody knew the time
    assert read(rtc)[0] == ERANGE
    assert rtc.set(1_900_000_123) == OK
    assert read(rtc) == (OK, 1_900_000_123)
    assert model.lpcr == ENV | 0x20


@pytest.mark.parametrize("reads", range(5))
def test_a_counter_that_carries_between_its_halves_is_read_again(load, reads):
    steps = chain(repeat(0, reads), [1], repeat(0))
    model = Model(step=lambda: next(steps))
    model.ticks = 0x1234_FFFF_FFFF
    status, seconds = read(load("imx_snvs_rtc", model))
    assert status == OK
    assert seconds in (0x1234_FFFF_FFFF >> 15, 0x1235_0000_0000 >> 15)


@pytest.mark.parametrize("step", [1, 2, 100])
def test_a_bus_slower_than_the_counter_will_do(load, step):
    assert read(load("imx_snvs_rtc", Model(1_900_000_000, step=step))) == (OK, 1_900_000_000)


@pytest.mark.parametrize("step", [1000, -1])
def test_a_counter_that_is_never_twice_alike_ends_the_wait(load, step):
    assert read(load("imx_snvs_rtc", Model(1_900_000_000, step=step)))[0] == ETIMEDOUT


@pytest.mark.parametrize("seconds", [0, 1, (1 << 32) - 1])
def test_it_is_set_and_tells_that(load, seconds):
    model = Model(1_000)
    rtc = load("imx_snvs_rtc", model)
    assert rtc.set(seconds) == OK
    assert read(rtc) == (OK, seconds)


@pytest.mark.parametrize("seconds", [-1, 1 << 32])
def test_what_it_cannot_count_is_refused(load, seconds):
    model = Model(1_000)
    assert load("imx_snvs_rtc", model).set(seconds) == ERANGE
    assert model.ticks == 1_000 << 15


def test_a_counter_that_does_not_stop_ends_the_wait(load):
    model = Model(1_000, stuck=True)
    assert load("imx_snvs_rtc", model).set(5) == ETIMEDOUT
    assert model.ticks == 1_000 << 15
