"""nRF51 pins against a model of GPIO with its sense logic, and of GPIOTE's PORT event (reference
manual, GPIO and GPIOTE): DETECT is up while a pin has the level that it senses; its rising edge is
the event."""

import pytest

OUTSET, OUTCLR, IN, PIN_CNF = 0x508, 0x50C, 0x510, 0x700
GPIOTE = 0x8000
PORT, INTENSET, INTENCLR = GPIOTE + 0x17C, GPIOTE + 0x304, GPIOTE + 0x308
BASE = 0x1000_0000
FLOAT, UP, DOWN = 0, 1, 2
OK, EINVAL = 0, -1


class Model:
    def __init__(self):
        self.cnf = [2] * 32  # input buffers disconnected, the reset value
        self.outside, self.out, self.log = 0, 0, []
        self.enabled, self.event, self.detect = 0xFF, False, False
        self.after_look = None  # what happens right after IN was read, once

    @property
    def levels(self):
        level = 0
        for pin, cnf in enumerate(self.cnf):
            source = self.out if cnf & 1 else self.outside
            if not cnf & 2:
                level |= source & 1 << pin
        return level

    @property
    def line(self):
        return self.event and bool(self.enabled & 1 << 31)

    def update(self):
        sensed = False
        for pin, cnf in enumerate(self.cnf):
            sense = cnf >> 16 & 3
            if sense and not cnf & 2:
                sensed |= (self.levels >> pin & 1) == (sense == 2)
        self.event |= sensed and not self.detect
        self.detect = sensed

    def drive(self, levels):
        self.outside = levels
        self.update()

    def read(self, offset):
        if offset == IN:
            value = self.levels
            if self.after_look is not None:
                then, self.after_look = self.after_look, None
                self.drive(then)
            return value
        assert PIN_CNF <= offset < PIN_CNF + 128
        return self.cnf[(offset - PIN_CNF) // 4]

    def write(self, offset, value):
        if offset == OUTSET:
            self.out |= value
        elif offset == OUTCLR:
            self.out &= ~value
        elif offset == PORT:
            self.event = bool(value)
        elif offset == INTENSET:
            self.enabled |= value
        elif offset == INTENCLR:
            self.enabled &= ~value
        else:
            pin = (offset - PIN_CNF) // 4
            self.log.append((pin, value, self.out >> pin & 1))
            self.cnf[pin] = value
        self.update()


@pytest.fixture
def gpio(load):
    def make(model):
        device = load("nrf51_gpio", model, base=BASE, gpiote=BASE + GPIOTE)
        assert device.init() == OK
        return device

    return make


def test_init_leaves_pins_alone_and_masks_everything(gpio):
    model = Model()
    gpio(model)
    assert (model.log, model.enabled) == ([], 0)


@pytest.mark.parametrize(("pull", "bits"), [(FLOAT, 0), (DOWN, 1 << 2), (UP, 3 << 2)])
def test_an_input_has_its_pull_and_its_level(gpio, pull, bits):
    model = Model()
    device = gpio(model)
    model.drive(1 << 5)
    assert device.input(5, pull) == OK
    assert model.cnf[5] & 0xFFFF == bits
    assert device.get(5)
    model.drive(0)
    assert not device.get(5)


@pytest.mark.parametrize("level", [0, 1])
def test_an_output_has_its_level_before_its_direction(gpio, level):
    model = Model()
    model.out = 0 if level else 0xFFFF_FFFF
    device = gpio(model)
    assert device.output(7, level) == OK
    assert model.log[-1] == (7, 1, level)
    device.set(7, not level)
    assert device.get(7) == (not level)
    assert model.out >> 8 & 1 == (0 if level else 1)  # others stay


def test_pins_that_are_not_there_are_refused(gpio):
    device = gpio(Model())
    assert device.input(32, FLOAT) == EINVAL
    assert device.output(32, 1) == EINVAL


@pytest.mark.parametrize("first", [0, 1])
def test_both_edges_wake_and_are_told_once(gpio, first):
    model = Model()
    device = gpio(model)
    model.drive(first << 3)
    assert device.input(3, FLOAT) == OK
    assert device.edges() == 0
    assert not model.line
    for level in (1 - first, first, 1 - first):
        model.drive(level << 3)
        assert model.line
        assert device.edges() == 1 << 3
        assert not model.line
        assert device.edges() == 0


def test_edges_of_outputs_and_strangers_are_not_told(gpio):
    model = Model()
    device = gpio(model)
    assert device.input(1, FLOAT) == OK
    assert device.output(2, 0) == OK
    device.set(2, 1)
    model.drive(0xFFFF_FFF0)
    assert device.edges() == 0


def test_an_input_that_becomes_an_output_is_watched_no_more(gpio):
    model = Model()
    device = gpio(model)
    assert device.input(4, FLOAT) == OK
    assert device.output(4, 1) == OK
    assert device.edges() == 0


def test_a_pin_that_changes_while_another_is_looked_at_wakes_again(gpio):
    model = Model()
    device = gpio(model)
    assert device.input(0, FLOAT) == OK
    assert device.input(1, FLOAT) == OK
    model.drive(0b01)
    model.after_look = 0b11
    told = device.edges()
    assert told | (device.edges() if model.line else 0) == 0b11
    model.drive(0b00)
    assert model.line
    assert device.edges() == 0b11


def test_a_pin_that_never_rests_does_not_hold_the_loop(gpio):
    model = Model()
    device = gpio(model)
    assert device.input(0, FLOAT) == OK
    look = model.read

    def read(offset):
        if offset == IN:
            model.drive(model.outside ^ 1)
        return look(offset)

    model.read = read
    assert device.edges() == 1


@pytest.mark.parametrize("props", [{"reserved": 1 << 24}, {"pins": 24}])
def test_pins_of_others_are_refused(load, props):
    model = Model()
    device = load("nrf51_gpio", model, base=BASE, gpiote=BASE + GPIOTE, **props)
    assert device.init() == OK
    assert device.input(24, UP) == EINVAL
    assert device.output(24, 1) == EINVAL
    assert model.log == []
    assert device.input(23, UP) == OK
