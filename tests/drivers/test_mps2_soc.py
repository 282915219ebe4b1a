"""MPS2 pins and wake-up timer against a model of their registers, from Arm DDI 0479."""

import pytest

TIMER, GPIO = 0x4000_0000, 0x4001_0000
BASE = 0x1000_0000  # the model sees offsets from it
CTRL, VALUE, RELOAD, INTCLEAR = (TIMER + o for o in (0x00, 0x04, 0x08, 0x0C))
ENABLE, INTERRUPT = 1, 8
OK, EINVAL = 0, -1
CLOCK_MHZ = 25


class Model:
    """The timer counts when `pass_us` says so. A GPIO port holds which pins are a peripheral's."""

    def __init__(self):
        self.ctrl, self.value, self.reload, self.raised = ENABLE | INTERRUPT, 7, 7, True
        self.pins = [0, 0, 0, 1]

    def read(self, offset):
        raise AssertionError(f"read of {offset + BASE:#x}")

    def write(self, offset, value):
        addr = offset + BASE
        if addr >= GPIO:
            port, register = divmod(addr - GPIO, 0x1000)
            assert register == 0x18  # ALTFUNCSET: ones set, zeros do nothing
            self.pins[port] |= value
        elif addr == INTCLEAR:
            self.raised = self.raised and not value & 1
        elif addr == CTRL:
            self.ctrl = value
        else:
            assert not self.ctrl & ENABLE, "set while it counts"
            setattr(self, "value" if addr == VALUE else "reload", value)

    def pass_us(self, us):
        """Whether the interrupt line is up after that time."""
        ticks = us * CLOCK_MHZ if self.ctrl & ENABLE else 0
        if ticks and ticks >= self.value:
            assert self.reload, "reload 0 stops the timer"
            self.raised = True
            self.value = self.reload - (ticks - self.value) % self.reload
        else:
            self.value -= ticks
        return self.raised and bool(self.ctrl & INTERRUPT)


@pytest.fixture
def soc(load):
    def make(model, clock_hz=25_000_000, **props):
        return load("mps2_soc", model, timer=TIMER, gpio=GPIO, clock_hz=clock_hz, **props)

    return make


def test_init_stops_the_timer_of_an_earlier_owner(soc):
    model = Model()
    assert soc(model).init() == OK
    assert not model.ctrl & ENABLE
    assert not model.pass_us(1000)


def test_pins_go_to_their_peripherals_beside_those_that_have(soc):
    model = Model()
    pins = {"alternate_0": 0x8020, "alternate_1": 0x8000, "alternate_2": 0x0200, "alternate_3": 2}
    assert soc(model, **pins).init() == OK
    assert model.pins == [0x8020, 0x8000, 0x0200, 3]


@pytest.mark.parametrize("clock_hz", [0, 999_999, 25_000_001])
def test_a_clock_that_is_no_whole_number_of_megahertz_is_refused(soc, clock_hz):
    assert soc(Model(), clock_hz).init() == EINVAL


@pytest.mark.parametrize("us", [1, 10_000, 1_000_000])
def test_wake_in_raises_the_interrupt_then(soc, us):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    device.wake_in(us)
    assert not model.pass_us(us - 1)
    assert model.pass_us(1)


def test_wake_in_takes_back_the_last(soc):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    device.wake_in(10)
    assert model.pass_us(11)
    device.wake_in(500)
    assert not model.pass_us(499)
    assert model.pass_us(1)
