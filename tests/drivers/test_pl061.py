"""PL061 port against a model of its registers, from Arm DDI 0190B, 3.3, and of the pad registers
that Stellaris LM3S chips add (TI LM3S6965 datasheet, chapter General-Purpose Input/Outputs)."""

import pytest

DIR, IS, IBE, IEV, IE, RIS, MIS, IC, AFSEL = range(0x400, 0x424, 4)
ODR, PUR, PDR, DEN = 0x50C, 0x510, 0x514, 0x51C
GATE = 0x1000  # beside the port: RCGC2
BASE = 0x1000_0000
OK, EINVAL = 0, -1
FLOAT, UP, DOWN = 0, 1, 2


class Model:
    """The port; `outside` is what is wired to it, `seen` the levels that its outputs had."""

    def __init__(self, pads=False, gated=False, keeps_data=True):
        self.pads, self.keeps_data = pads, keeps_data
        self.open = not gated
        self.settled = True  # a gate takes clocks: a read of its register waits for them
        self.gates = 0
        self.regs = dict.fromkeys((DIR, IS, IBE, IEV, IE, AFSEL, ODR, PUR, PDR, DEN), 0)
        self.data, self.latched, self.outside = 0, 0, 0
        self.seen = []

    def level(self):
        drives = self.regs[DIR] & ~self.regs[AFSEL]
        if self.pads:
            drives &= self.regs[DEN]
        return (self.data & drives) | (self.outside & ~drives)

    def drive(self, pin, level):
        before = self.level()
        self.outside = (self.outside & ~(1 << pin)) | level << pin
        changed = before ^ self.level()
        rose, fell = changed & self.level(), changed & ~self.level()
        edges = changed & self.regs[IBE]
        edges |= ~self.regs[IBE] & ((rose & self.regs[IEV]) | (fell & ~self.regs[IEV]))
        self.latched |= edges & ~self.regs[IS] & 0xFF

    def read(self, offset):
        if offset == GATE:
            self.settled = True
            return self.gates
        assert self.open, "read without a clock"
        assert self.settled, "read without a clock"
        if offset < 0x400:
            mask = offset >> 2
            enabled = self.regs[DEN] if self.pads else 0xFF  # a pad that is off reads 0
            return self.level() & mask & enabled
        if offset == MIS:
            return self.latched & self.regs[IE]
        assert self.pads or offset < ODR, "no such register"
        return self.regs[offset]

    def write(self, offset, value):
        if offset == GATE:
            self.gates = value
            self.open, self.settled = bool(value & 0x20), False
            return
        assert self.open, "written without a clock"
        assert self.settled, "written without a clock"
        before = self.level()
        if offset < 0x400:
            mask = offset >> 2
            mask &= 0xFF if self.keeps_data else self.regs[DIR]
            self.data = (self.data & ~mask) | (value & mask)
        elif offset == IC:
            self.latched &= ~value
        else:
            assert offset not in (RIS, MIS), "read only"
            assert self.pads or offset < ODR, "no such register"
            self.regs[offset] = value
            if offset == PUR:
                self.regs[PDR] &= ~value
            if offset == PDR:
                self.regs[PUR] &= ~value
            if offset in (IS, IBE, IEV):
                self.latched |= 0xFF & (before | ~before) & self.spurious
        self.woke = self.woke or bool(self.latched & self.regs[IE])
        self.seen.append((self.regs[DIR] & ~self.regs[AFSEL], self.level()))

    woke = False  # the processor, by a write of the driver's
    spurious = 0  # latched when the sense is changed, which 3.3.3 warns of


def level_of(device, pin):
    return device.get(pin)


@pytest.fixture
def port(load):
    def make(model, **props):
        device = load("pl061", model, pads=model.pads, **props)
        assert device.init() == OK
        return device

    return make


@pytest.mark.parametrize("pads", [False, True])
@pytest.mark.parametrize("pin", range(8))
def test_an_input_shows_its_level_and_no_other(port, pads, pin):
    model = Model(pads)
    device = port(model)
    model.outside = 0xFF & ~(1 << pin)
    assert device.input(pin, FLOAT) == OK
    assert not level_of(device, pin)
    model.outside = 1 << pin
    assert level_of(device, pin)


def test_both_edges_are_latched_once_and_for_their_pin(port):
    model = Model()
    device = port(model)
    assert device.input(2, FLOAT) == OK
    assert device.input(7, FLOAT) == OK
    for level in (1, 0):
        model.drive(2, level)
        model.drive(5, level)  # nobody's
        assert device.edges() == 1 << 2
        assert device.edges() == 0
    model.drive(2, 1)
    model.drive(7, 1)
    model.drive(7, 0)
    assert device.edges() == 1 << 2 | 1 << 7
    assert model.latched & model.regs[IE] == 0


def test_nothing_is_latched_of_before(port):
    model = Model()
    model.regs |= {IE: 0xFF, IS: 0xFF}
    model.latched = 0xFF
    model.spurious = 0xFF
    device = port(model)
    assert model.regs[IE] == 0
    assert device.input(3, FLOAT) == OK
    assert device.edges() == 0
    assert model.regs[IE] == 1 << 3
    model.drive(3, 1)
    assert device.edges() == 1 << 3


def test_changing_an_input_wakes_nobody(port):
    model = Model()
    model.spurious = 0xFF
    model.regs[AFSEL] = 0xFF
    device = port(model)
    for _ in range(2):
        assert device.input(3, FLOAT) == OK
    assert not model.woke
    assert model.regs[AFSEL] == 0xF7


@pytest.mark.parametrize("keeps_data", [False, True])
@pytest.mark.parametrize("level", [False, True])
def test_an_output_begins_at_its_level(port, level, keeps_data):
    model = Model(keeps_data=keeps_data)
    model.regs[DIR], model.data = 0x0F, 0x05
    model.regs[AFSEL] = 0x10  # a peripheral's, until now
    device = port(model)
    model.seen.clear()
    assert device.output(4, level) == OK
    assert model.regs[DIR] == 0x1F
    assert model.level() == 0x05 | level << 4
    assert {shown >> 4 & 1 for drives, shown in model.seen if drives >> 4 & 1} == {level}
    assert level_of(device, 4) == level


def test_a_kept_value_makes_no_glitch_without_a_peripheral(port):
    model = Model()
    device = port(model)
    model.seen.clear()
    assert device.output(4, True) == OK
    assert {shown >> 4 & 1 for drives, shown in model.seen if drives >> 4 & 1} == {1}


def test_set_changes_one_pin(port):
    model = Model()
    device = port(model)
    for pin in range(8):
        assert device.output(pin, False) == OK
    for pin in range(8):
        device.set(pin, True)
        assert model.level() == 1 << pin
        device.set(pin, False)
    assert model.level() == 0


def test_an_output_that_was_an_input_wakes_nobody(port):
    model = Model()
    device = port(model)
    assert device.input(1, FLOAT) == OK
    assert device.output(1, True) == OK
    assert model.regs[IE] == 0
    assert device.input(1, FLOAT) == OK
    assert model.regs[DIR] == 0


@pytest.mark.parametrize(("pull", "pur", "pdr"), [(FLOAT, 0, 0), (UP, 8, 0), (DOWN, 0, 8)])
def test_pads_pull_as_asked(port, pull, pur, pdr):
    model = Model(pads=True)
    model.regs |= {PUR: 8 if pull == DOWN else 0, PDR: 8 if pull != DOWN else 0}
    device = port(model)
    assert device.input(3, pull) == OK
    assert (model.regs[PUR], model.regs[PDR], model.regs[DEN]) == (pur, pdr, 8)


def test_a_pad_that_was_open_drain_drives_both_ways(port):
    model = Model(pads=True)
    model.regs[ODR] = 0xFF
    assert port(model).output(0, True) == OK
    assert (model.regs[ODR], model.regs[DEN]) == (0xFE, 1)


@pytest.mark.parametrize("pull", [UP, DOWN])
def test_without_pads_there_are_no_pulls(port, pull):
    assert port(Model()).input(0, pull) == EINVAL


def test_pins_that_are_others_or_not_there_are_refused(port):
    model = Model()
    device = port(model, pins=6, reserved=0x05)
    model.seen.clear()
    for pin in (0, 2, 6, 7):
        assert device.input(pin, FLOAT) == EINVAL
        assert device.output(pin, True) == EINVAL
    assert model.seen == []
    for pin in (1, 3, 4, 5):
        assert device.input(pin, FLOAT) == OK


def test_the_clock_gate_is_opened_first_and_the_others_left_alone(port):
    model = Model(gated=True)
    model.gates = 0x03
    port(model, gate=BASE + GATE, gate_bits=0x20)
    assert model.gates == 0x23
