"""nRF51 random numbers against a model of the generator, from its reference manual (RNG)."""

import pytest

START, STOP, VALRDY, SHORTS, INTENCLR, CONFIG, VALUE = (
    0x000, 0x004, 0x100, 0x200, 0x308, 0x504, 0x508,
)  # fmt: skip
OK, ETIMEDOUT = 0, -3


class Model:
    """A byte every `us`; with bias correction on, as the kernel needs it."""

    def __init__(self, us=677, bytes_max=1 << 30):
        self.us, self.left, self.now = us, bytes_max, 0
        self.running, self.ready, self.made = False, False, 0
        self.regs = {SHORTS: 1}

    def clock_us(self):
        self.now += 20
        if self.running and self.left and self.now >= self.due:
            self.ready, self.due = True, self.now + self.us
            self.made, self.left = self.made + 1, self.left - 1
        return self.now

    def read(self, offset):
        if offset == VALRDY:
            return int(self.ready)
        assert offset == VALUE
        return self.made

    def write(self, offset, value):
        if offset == START:
            self.running, self.due = True, self.now + self.us
        elif offset == STOP:
            self.running = False
        elif offset == VALRDY:
            self.ready = bool(value)
        else:
            self.regs[offset] = value


@pytest.fixture
def rng(load):
    def make(model):
        device = load("nrf51_rng", model, base=0x1000_0000)
        assert device.init() == OK
        return device

    return make


def test_init_corrects_the_bias_and_takes_no_shortcut(rng):
    model = Model()
    rng(model)
    assert model.regs == {SHORTS: 0, CONFIG: 1, INTENCLR: 0xFFFF_FFFF}


def test_every_byte_is_a_new_one_and_it_rests_afterwards(rng):
    model = Model()
    device = rng(model)
    room = device.room(40)
    assert device.read(room, 32) == 32
    assert room.raw == bytes(range(1, 33)) + b"\xee" * 8
    assert not model.running


def test_a_byte_of_before_is_not_handed_out(rng):
    model = Model()
    device = rng(model)
    model.ready = True
    room = device.room(1)
    assert device.read(room, 1) == 1
    assert room.raw == b"\1"


def test_a_dead_generator_is_given_up_and_one_that_dies_gives_what_it_had(rng):
    device = rng(Model(bytes_max=0))
    assert device.read(device.room(8), 8) == ETIMEDOUT
    assert not device.model.running
    device = rng(Model(bytes_max=3))
    assert device.read(device.room(8), 8) == 3
    assert not device.model.running


def test_a_slow_byte_is_waited_for(rng):
    device = rng(Model(us=15_000))
    assert device.read(device.room(4), 4) == 4
