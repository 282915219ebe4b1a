"""nRF51 clocks against a model of CLOCK and TIMER0, from the nRF51 Series Reference Manual 3.0."""

import pytest

HFCLKSTART, HFCLKSTARTED = 0x000, 0x100
TIMER = 0x8000
START, STOP, CLEAR, CAPTURE1, COMPARE0 = 0x000, 0x004, 0x00C, 0x044, 0x140
INTENSET, INTENCLR, MODE, BITMODE, PRESCALER, CC0, CC1 = (
    0x304, 0x308, 0x504, 0x508, 0x510, 0x540, 0x544,
)  # fmt: skip
BASE = 0x1000_0000
OK, ETIMEDOUT = 0, -3


class Model:
    """Time passes by `step` microseconds with every access to the timer."""

    def __init__(self, crystal_polls=50, step=1):
        self.crystal_polls, self.step = crystal_polls, step
        self.asked = self.running = self.compare = False
        self.us = 12345  # what an earlier owner left in the counter
        self.enabled, self.captured, self.cc0 = 1 << 17, 0, None
        self.setup = {MODE: 1, BITMODE: 0, PRESCALER: 4, 0x200: 0xFF}

    def pass_us(self, us):
        if self.running:
            if self.cc0 is not None and 0 < (self.cc0 - self.us) % 2**32 <= us:
                self.compare = True
            self.us = (self.us + us) % 2**32

    @property
    def line(self):
        return self.compare and bool(self.enabled & 1 << 16)

    def read(self, offset):
        if offset == HFCLKSTARTED:
            self.crystal_polls -= 1
            return int(self.asked and self.crystal_polls <= 0)
        self.pass_us(self.step)
        if offset == TIMER + COMPARE0:
            return int(self.compare)
        assert offset == TIMER + CC1
        return self.captured

    def write(self, offset, value):
        if offset == HFCLKSTART:
            assert value == 1
            self.asked = True
            return
        if offset == HFCLKSTARTED:
            assert value == 0
            return
        self.pass_us(self.step)
        offset -= TIMER
        if offset == START:
            self.running = True
        elif offset == STOP:
            self.running = False
        elif offset == CLEAR:
            self.us = 0
        elif offset == CAPTURE1:
            self.captured = self.us
        elif offset == COMPARE0:
            self.compare = bool(value)
        elif offset == INTENSET:
            self.enabled |= value
        elif offset == INTENCLR:
            self.enabled &= ~value
        elif offset == CC0:
            self.cc0 = value
        else:
            assert not self.running, "set up while it counts"
            self.setup[offset] = value


@pytest.fixture
def soc(load):
    def make(model):
        return load("nrf51_soc", model, clock=BASE, timer=BASE + TIMER)

    return make


def test_init_starts_the_crystal_and_a_timer_of_32_bits_and_1_mhz(soc):
    model = Model()
    assert soc(model).init() == OK
    assert model.setup == {MODE: 0, BITMODE: 3, PRESCALER: 4, 0x200: 0}  # 16 MHz / 2^4
    assert model.running
    assert model.us < 10
    assert model.enabled == 1 << 16  # COMPARE0 alone


def test_without_a_crystal_init_ends_and_the_clock_runs(soc):
    model = Model(crystal_polls=1 << 40)
    device = soc(model)
    assert device.init() == ETIMEDOUT
    first = device.clock_us()
    model.pass_us(1000)
    assert 1000 <= device.clock_us() - first < 1010


def test_an_earlier_owners_event_does_not_wake(soc):
    model = Model()
    model.compare = True
    assert soc(model).init() == OK
    assert not model.line


def test_init_again_begins_anew(soc):
    device = soc(Model())
    assert device.init() == OK
    device.model.pass_us(1_000_000)
    assert device.clock_us() >= 1_000_000
    assert device.init() == OK
    assert device.clock_us() < 20


def test_the_clock_goes_on_when_the_counter_comes_round(soc):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    total = last = 0
    for _ in range(30):
        model.pass_us(1 << 30)
        total += 1 << 30
        now = device.clock_us()
        assert total <= now < total + 1000
        assert now > last
        last = now


@pytest.mark.parametrize("us", [1, 2, 10, 1000, 1_000_000])
def test_it_wakes_once_and_in_time(soc, us):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    device.wake_in(us)
    model.pass_us(us + 10)
    assert model.line
    device.wake_in(1_000_000)
    assert not model.line  # the last is taken back
    model.pass_us(999_000)
    assert not model.line
    model.pass_us(1_001)
    assert model.line


def test_it_wakes_across_the_end_of_the_counter(soc):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    model.us = 2**32 - 500
    device.wake_in(1000)
    model.pass_us(900)
    assert not model.line
    model.pass_us(110)
    assert model.line


def test_a_processor_that_was_held_up_does_not_sleep_for_an_hour(soc):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    model.step = 50  # every access takes longer than what is to be waited
    device.wake_in(20)
    model.pass_us(5000)
    assert model.line
