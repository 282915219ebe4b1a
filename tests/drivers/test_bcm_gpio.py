"""GPIO of BCM2711 against a model of its registers, from BCM2711 ARM Peripherals, chapter 5."""

import pytest

OK, EINVAL = 0, -1
FLOAT, UP, DOWN = 0, 1, 2
FSEL, PULLS = range(0x00, 0x18, 4), range(0xE4, 0xF4, 4)
SET, CLR, LEV, EDS, REN, FEN = 0x1C, 0x28, 0x34, 0x40, 0x4C, 0x58
OTHERS = (0x64, 0x70, 0x7C, 0x88)  # high, low, asynchronous edges


class Model:
    """58 pins; what is outside of them is an input of the world's."""

    def __init__(self):
        self.fsel, self.pulls = [4] * 60, [2] * 64
        self.latch, self.world, self.events = 0, 0, 0
        self.enabled = {
            reg + 4 * bank: 0xFFFF_FFFF for reg in (REN, FEN, *OTHERS) for bank in (0, 1)
        }
        self.glitches = 0

    def level(self, pin):
        return (self.latch if self.fsel[pin] == 1 else self.world) >> pin & 1

    def levels(self):
        return sum(self.level(pin) << pin for pin in range(58))

    def change(self, act):
        before = self.levels()
        act()
        now = self.levels()
        ren = self.enabled[REN] | self.enabled[REN + 4] << 32
        fen = self.enabled[FEN] | self.enabled[FEN + 4] << 32
        self.events |= (now & ~before & ren) | (before & ~now & fen)

    def drive(self, pin, level):
        self.change(lambda: setattr(self, "world", self.world & ~(1 << pin) | level << pin))

    def read(self, offset):
        if offset in FSEL:
            return sum(self.fsel[offset // 4 * 10 + i] << 3 * i for i in range(10))
        if offset in PULLS:
            return sum(self.pulls[(offset - 0xE4) // 4 * 16 + i] << 2 * i for i in range(16))
        for reg, value in ((LEV, self.levels()), (EDS, self.events)):
            if offset in (reg, reg + 4):
                return value >> (32 if offset > reg else 0) & 0xFFFF_FFFF
        return self.enabled[offset]

    def write(self, offset, value):
        if offset in FSEL:

            def act():
                for i in range(10):
                    self.fsel[offset // 4 * 10 + i] = value >> 3 * i & 7

            self.change(act)
        elif offset in PULLS:
            for i in range(16):
                self.pulls[(offset - 0xE4) // 4 * 16 + i] = value >> 2 * i & 3
        elif offset in (SET, SET + 4):
            shift = 32 * (offset - SET) // 4
            self.change(lambda: setattr(self, "latch", self.latch | value << shift))
        elif offset in (CLR, CLR + 4):
            shift = 32 * (offset - CLR) // 4
            self.change(lambda: setattr(self, "latch", self.latch & ~(value << shift)))
        elif offset in (EDS, EDS + 4):
            self.events &= ~(value << 32 * (offset - EDS) // 4)
        else:
            assert offset in self.enabled, hex(offset)
            self.enabled[offset] = value


@pytest.fixture(params=[0, 1])
def bank(request):
    return request.param


@pytest.fixture
def gpio(load, bank):
    def make(model):
        device = load("bcm_gpio", model, bank=bank)
        assert device.init() == OK
        return device

    return make


def test_init_masks_all_events_of_its_bank_and_leaves_pins_alone(gpio, bank):
    model = Model()
    model.events = (1 << 58) - 1
    model.latch = 0x3FF
    gpio(model)
    for reg in (REN, FEN, *OTHERS):
        assert model.enabled[reg + 4 * bank] == 0
        assert model.enabled[reg + 4 - 4 * bank] == 0xFFFF_FFFF
    assert model.events >> 32 * bank & 0xFFFF_FFFF == 0
    assert model.fsel == [4] * 60
    assert model.latch == 0x3FF


@pytest.mark.parametrize(("pull", "bits"), [(FLOAT, 0), (UP, 1), (DOWN, 2)])
@pytest.mark.parametrize("pin", [0, 9, 10, 15, 16, 25])
def test_an_input_has_its_pull_and_nobody_elses_changes(gpio, bank, pin, pull, bits):
    model = Model()
    device = gpio(model)
    assert device.input(pin, pull) == OK
    n = 32 * bank + pin
    assert model.pulls == [bits if i == n else 2 for i in range(64)]
    assert model.fsel == [0 if i == n else 4 for i in range(60)]


def test_pins_that_do_not_exist_are_refused(gpio, bank):
    model = Model()
    device = gpio(model)
    pin = 26 if bank else 32
    assert device.input(pin, UP) == EINVAL
    assert device.output(pin, 1) == EINVAL
    assert model.fsel == [4] * 60


@pytest.mark.parametrize("props", [{"reserved": 1 << 14}, {"pins": 14}])
def test_pins_of_others_are_refused(load, props):
    model = Model()
    device = load("bcm_gpio", model, **props)
    assert device.init() == OK
    assert device.input(14, UP) == EINVAL
    assert device.output(14, 1) == EINVAL
    assert model.fsel == [4] * 60
    assert device.input(13, UP) == OK


def test_levels(gpio, bank):
    model = Model()
    device = gpio(model)
    get = device.get
    assert device.input(7, FLOAT) == OK
    for level in (1, 0, 1):
        model.drive(32 * bank + 7, level)
        assert get(7) == level
        assert get(8) == 0


def test_both_edges_are_latched_once_and_only_of_inputs(gpio, bank):
    model = Model()
    device = gpio(model)
    assert device.input(3, FLOAT) == OK
    assert device.edges() == 0
    model.drive(32 * bank + 3, 1)
    model.drive(32 * bank + 4, 1)  # not ours
    assert device.edges() == 1 << 3
    assert device.edges() == 0
    model.drive(32 * bank + 3, 0)
    assert device.edges() == 1 << 3
    for level in (1, 0):  # a pulse shorter than a round
        model.drive(32 * bank + 3, level)
    assert device.edges() == 1 << 3


def test_becoming_an_input_is_no_edge(gpio, bank):
    model = Model()
    device = gpio(model)
    assert device.output(5, 0) == OK
    model.drive(32 * bank + 5, 1)
    assert device.input(5, UP) == OK
    assert device.edges() == 0


def test_an_edge_between_reading_and_clearing_is_kept(gpio, bank):
    model = Model()
    device = gpio(model)
    assert device.input(3, FLOAT) == OK
    assert device.input(4, FLOAT) == OK
    model.drive(32 * bank + 3, 1)
    real = model.write

    def write(offset, value):
        model.write = real
        model.drive(32 * bank + 4, 1)
        real(offset, value)

    model.write = write
    assert device.edges() == 1 << 3
    assert device.edges() == 1 << 4


@pytest.mark.parametrize("level", [0, 1])
def test_an_output_has_its_level_before_its_direction(gpio, bank, level):
    model = Model()
    n = 32 * bank + 6
    model.latch = (1 - level) << n
    model.world = level << n  # what a pull gives: then nothing may be seen to move
    device = gpio(model)
    model.enabled[REN + 4 * bank] = model.enabled[FEN + 4 * bank] = 1 << 6
    assert device.output(6, level) == OK
    assert model.events == 0
    assert model.fsel[n] == 1
    assert model.level(n) == level
    device.set(6, 1 - level)
    assert model.level(n) == 1 - level
    assert device.edges() == 0  # of an output there are none


def test_setting_leaves_other_pins_alone(gpio, bank):
    model = Model()
    device = gpio(model)
    for pin in (0, 1, 2):
        assert device.output(pin, pin % 2) == OK
    device.set(0, 1)
    device.set(1, 0)
    assert [model.level(32 * bank + p) for p in (0, 1, 2)] == [1, 0, 0]
