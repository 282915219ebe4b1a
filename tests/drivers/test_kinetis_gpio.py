"""Kinetis GPIO port against a model of PORTx and GPIOx, written from K64P144M120SF5RM, chapters
PORT and GPIO. The model plays the pins: levels from outside, and what the driver makes of them."""

import pytest
from driver_harness import BASE, DriverFault

PSOR, PCOR, PDIR, PDDR = 0x04, 0x08, 0x10, 0x14
PORT = 0x1000
ISFR = PORT + 0xA0
PS, PE, DSE, ISF = 1 << 0, 1 << 1, 1 << 6, 1 << 24
OK, EINVAL = 0, -1
FLOAT, UP, DOWN = 0, 1, 2
RESERVED = 0x0003_0003


class Model:
    """`outside`: what each pin is connected to: 0, 1, or None for nothing."""

    def __init__(self):
        self.pcr = [0x0000_0000] * 32
        self.pcr[3] = 0x0009_0340 | ISF  # another function, an interrupt, strong
        self.pddr = self.pdor = self.isfr = 0
        self.outside = [None] * 32
        self.seen = []  # levels that left the chip, per change: (pin, level)
        self.writes = []

    def level(self, pin):
        """What is on the wire."""
        if self.pcr[pin] >> 8 & 7 == 1 and self.pddr >> pin & 1:
            return self.pdor >> pin & 1
        if self.outside[pin] is not None:
            return self.outside[pin]
        return 1 if self.pcr[pin] & (PE | PS) == PE | PS else 0

    def drive(self, pin, level):
        before = self.level(pin)
        self.outside[pin] = level
        self.edge(pin, before)

    def edge(self, pin, before):
        after = self.level(pin)
        how = self.pcr[pin] >> 16 & 15
        if before != after and (how == 11 or how == (9 if after else 10)):
            self.isfr |= 1 << pin

    def read(self, offset):
        if offset == PDIR:
            digital = (p for p in range(32) if self.pcr[p] >> 8 & 7)
            return sum(self.level(p) << p for p in digital)
        if offset == PDDR:
            return self.pddr
        if offset == ISFR:
            return self.isfr
        pin, rest = divmod(offset - PORT, 4)
        assert rest == 0
        assert 0 <= pin < 32
        return self.pcr[pin] & ~ISF | (ISF if self.isfr >> pin & 1 else 0)

    def write(self, offset, value):
        before = [self.level(p) for p in range(32)]
        driven = [self.driven(p) for p in range(32)]
        if offset == PSOR:
            self.pdor |= value
        elif offset == PCOR:
            self.pdor &= ~value
        elif offset == PDDR:
            self.pddr = value
        elif offset == ISFR:
            self.isfr &= ~value
        else:
            pin = (offset - PORT) // 4
            assert not RESERVED >> pin & 1, "a pin of somebody else"
            self.isfr &= ~(1 << pin) if value & ISF else -1
            self.pcr[pin] = value & ~ISF
        for pin in range(32):
            self.edge(pin, before[pin])
            if self.driven(pin) and (not driven[pin] or before[pin] != self.level(pin)):
                self.seen.append((pin, self.level(pin)))

    def driven(self, pin):
        return self.pcr[pin] >> 8 & 7 == 1 and bool(self.pddr >> pin & 1)


@pytest.fixture
def port(load):
    def make(model):
        device = load("kinetis_gpio", model, port=BASE + PORT, reserved=RESERVED)
        assert device.init() == OK
        return device

    return make


def test_init_masks_all_interrupts_and_leaves_the_pins_alone(port):
    model = Model()
    model.isfr = 0xFFFF_FFFF
    port(model)
    assert model.pcr[3] == 0x0000_0340  # IRQC is off, function and strength stay
    assert model.isfr == 0
    assert model.pddr == 0
    assert model.seen == []


@pytest.mark.parametrize(("pull", "bits"), [(FLOAT, 0), (UP, PE | PS), (DOWN, PE)])
def test_an_input_has_the_pull_that_was_asked_for(port, pull, bits):
    model = Model()
    model.pcr[5] = PE | PS | DSE | 0x0400
    device = port(model)
    model.pddr = 0x0000_00FF  # it was an output, as others
    assert device.input(5, pull) == OK
    assert model.pcr[5] == 0x000B_0100 | DSE | bits  # both edges, GPIO
    assert model.pddr == 0x0000_00DF


@pytest.mark.parametrize("pin", [2, 31])
def test_both_edges_are_latched_once_each_look(port, pin):
    model = Model()
    device = port(model)
    model.outside[pin] = 0
    assert device.input(pin, FLOAT) == OK
    assert device.edges() == 0
    model.drive(pin, 1)
    assert device.get(pin) == 1
    assert device.edges() == 1 << pin
    assert device.edges() == 0
    model.drive(pin, 0)
    model.drive(pin, 1)  # shorter than a round of the loop
    assert device.edges() == 1 << pin
    model.drive(pin, 0)
    assert device.get(pin) == 0


def test_a_level_that_is_there_already_is_no_edge(port):
    model = Model()
    device = port(model)
    model.outside[9] = 1
    assert device.input(9, UP) == OK
    assert device.edges() == 0
    assert device.get(9) == 1


def test_becoming_an_input_forgets_earlier_edges(port):
    model = Model()
    device = port(model)
    assert device.input(9, FLOAT) == OK
    model.drive(9, 1)
    assert device.input(9, FLOAT) == OK
    assert device.edges() == 0


def test_edges_of_one_pin_do_not_take_those_of_another(port):
    model = Model()
    device = port(model)
    for pin in (4, 6):
        assert device.input(pin, FLOAT) == OK
    model.drive(4, 1)
    assert device.input(6, FLOAT) == OK
    assert device.edges() == 1 << 4


@pytest.mark.parametrize("level", [0, 1])
def test_an_output_begins_with_its_level(port, level):
    model = Model()
    device = port(model)
    model.pdor = 0 if level else 1 << 7
    assert device.output(7, level) == OK
    assert model.seen == [(7, level)]
    assert model.pcr[7] & 0x000F_0700 == 0x0100
    assert device.get(7) == level


def test_an_output_follows_and_its_neighbours_do_not(port):
    model = Model()
    device = port(model)
    for pin in (7, 8):
        assert device.output(pin, 0) == OK
    device.set(7, 1)
    device.set(7, 0)
    device.set(7, 1)
    assert model.seen == [(7, 0), (8, 0), (7, 1), (7, 0), (7, 1)]


def test_an_input_that_becomes_an_output_has_no_edges_any_more(port):
    model = Model()
    device = port(model)
    assert device.input(7, FLOAT) == OK
    assert device.output(7, 0) == OK
    device.set(7, 1)
    assert device.edges() == 0


@pytest.mark.parametrize("pin", [0, 16, 32, 255])
def test_pins_that_are_not_there_or_somebody_elses_are_refused(port, pin):
    model = Model()
    device = port(model)
    assert device.input(pin, FLOAT) == EINVAL
    assert device.output(pin, 1) == EINVAL
    assert (model.pddr, model.pdor) == (0, 0)
    with pytest.raises(DriverFault):
        device.set(pin, 1)
