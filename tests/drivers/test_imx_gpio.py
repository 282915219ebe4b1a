"""i.MX GPIO port against a model of its registers, from NXP IMX6ULRM, chapters GPIO, IOMUXC, CCM.

Pads are told from their settings: bit 12 PKE (pull or keeper on), 13 PUE (pull), 15:14 PUS (00: 100
kOhm down, 10: 100 kOhm up), 16 HYS, 5:3 DSE.
"""

import pytest

DR, GDIR, PSR, ICR1, ICR2, IMR, ISR, EDGE_SEL = range(0, 0x20, 4)
GATE, MUX, PAD = 0x1000, 0x2000, 0x3000
BASE = 0x1000_0000
OK, EINVAL = 0, -1
FLOAT, UP, DOWN = 0, 1, 2


class Model:
    """The port; `outside` is what is wired to it."""

    def __init__(self, gated=False):
        self.regs = dict.fromkeys((DR, GDIR, ICR1, ICR2, IMR, ISR, EDGE_SEL), 0)
        self.gates, self.open, self.settled = 0, not gated, True
        self.mux, self.pad = [0] * 32, [0] * 32
        self.outside, self.glitches = 0, []
        self.order = []

    woke = False  # the processor, by a write of the driver's
    spurious = 0  # latched when the sense is changed

    def level(self):
        return (self.regs[DR] & self.regs[GDIR]) | (self.outside & ~self.regs[GDIR])

    def drive(self, pin, level):
        before = self.level()
        self.outside = (self.outside & ~(1 << pin)) | level << pin
        changed = before ^ self.level()
        icr = self.regs[ICR2 if pin > 15 else ICR1] >> 2 * (pin & 15) & 3
        edge = {2: level == 1, 3: level == 0}.get(icr, False)
        if changed and (self.regs[EDGE_SEL] >> pin & 1 or edge):
            self.regs[ISR] |= 1 << pin

    def read(self, offset):
        if offset == GATE:
            self.settled = True
            return self.gates
        assert self.open, "read without a clock"
        assert self.settled, "read without a clock"
        if offset == DR:
            return self.level()  # an output's own value, an input's pad
        if offset == PSR:  # outputs read 0 without SION
            return self.outside & ~self.regs[GDIR]
        return self.regs[offset]

    def write(self, offset, value):
        if offset == GATE:
            self.gates, self.settled = value, False
            self.open = value >> 26 & 3 == 3
        elif offset >= PAD:
            self.pad[(offset - PAD) // 4] = value
            self.order.append("pad")
        elif offset >= MUX:
            self.mux[(offset - MUX) // 4] = value
            self.order.append("mux")
        else:
            assert self.open, "written without a clock"
            assert self.settled, "written without a clock"
            assert offset != PSR, "read only"
            before = self.regs[GDIR], self.level()
            self.regs[offset] = self.regs[ISR] & ~value if offset == ISR else value
            self.order.append(offset)
            if offset == EDGE_SEL:
                self.regs[ISR] |= self.spurious
            self.woke = self.woke or bool(self.regs[ISR] & self.regs[IMR])
            self.glitches += [before] if before[0] & (before[1] ^ self.level()) else []


def level_of(device, pin):
    return device.get(pin)


@pytest.fixture
def port(load):
    def make(model, **props):
        registers = {"mux": BASE + MUX, "pad": BASE + PAD} | props
        device = load("imx_gpio", model, **registers)
        assert device.init() == OK
        return device

    return make


@pytest.mark.parametrize("pin", [0, 5, 15, 16, 31])
def test_an_input_shows_its_level_and_both_edges(port, pin):
    model = Model()
    device = port(model)
    assert device.input(pin, FLOAT) == OK
    for level in (1, 0):
        model.drive(pin, level)
        assert level_of(device, pin) == level
        assert device.edges() == 1 << pin
        assert device.edges() == 0
    assert model.mux[pin] == 5
    assert sum(model.mux) == 5  # no other pin's


@pytest.mark.parametrize(("pull", "bits"), [(FLOAT, 0x1_0000), (DOWN, 0x1_3000), (UP, 0x1_B000)])
def test_the_pad_pulls_as_asked_before_the_pin_is_ours(port, pull, bits):
    model = Model()
    assert port(model).input(6, pull) == OK
    assert model.pad[6] & 0x1_F000 == bits
    assert [what for what in model.order if what in ("pad", "mux")] == ["pad", "mux"]


def test_the_pads_of_another_chip_are_the_boards(port):
    model = Model()
    device = port(model, pad_up=0x1C6, pad_output=0x106, function=0)
    model.mux[9] = model.mux[10] = 7
    assert device.input(9, UP) == OK
    assert device.output(10, True) == OK
    assert (model.pad[9], model.pad[10]) == (0x1C6, 0x106)
    assert (model.mux[9], model.mux[10]) == (0, 0)


def test_nothing_is_latched_of_before(port):
    model = Model()
    model.regs |= {IMR: 0xFFFF_FFFF, ISR: 0xFFFF_FFFF}
    device = port(model)
    assert model.regs[IMR] == 0
    assert device.input(3, FLOAT) == OK
    assert device.edges() == 0
    assert model.regs[IMR] == 1 << 3


def test_changing_an_input_wakes_nobody(port):
    model = Model()
    model.spurious = 0xFFFF_FFFF
    device = port(model)
    for _ in range(2):
        assert device.input(3, FLOAT) == OK
    assert not model.woke


def test_an_edge_of_nobodys_pin_is_nobodys(port):
    model = Model()
    device = port(model)
    model.regs[EDGE_SEL] = 0xFFFF_FFFF
    assert device.input(3, FLOAT) == OK
    model.drive(4, 1)
    assert device.edges() == 0


@pytest.mark.parametrize("level", [False, True])
def test_an_output_begins_at_its_level(port, level):
    model = Model()
    model.regs |= {GDIR: 0x0F, DR: 0x05 | (not level) << 20}
    device = port(model)
    assert device.output(20, level) == OK
    assert model.regs[GDIR] == 0x0F | 1 << 20
    assert model.level() == 0x05 | level << 20
    assert model.order.index(DR) < model.order.index(GDIR) < model.order.index("mux")
    assert model.glitches == []
    assert level_of(device, 20) == level
    assert model.pad[20] >> 3 & 7 != 0  # DSE 0 is an output that is off
    assert model.pad[20] >> 12 & 1 == 0


def test_set_changes_one_pin(port):
    model = Model()
    device = port(model)
    for pin in range(32):
        assert device.output(pin, False) == OK
    for pin in range(32):
        device.set(pin, True)
        assert model.level() == 1 << pin
        device.set(pin, False)


def test_an_output_that_was_an_input_wakes_nobody(port):
    model = Model()
    device = port(model)
    assert device.input(1, FLOAT) == OK
    assert device.output(1, True) == OK
    assert model.regs[IMR] == 0
    assert device.input(1, FLOAT) == OK
    assert model.regs[GDIR] == 0


def test_pins_that_are_others_or_not_there_are_refused(port):
    model = Model()
    device = port(model, pins=29, reserved=0x2000_0005)
    model.order.clear()
    for pin in (0, 2, 29, 31):
        assert device.input(pin, FLOAT) == EINVAL
        assert device.output(pin, True) == EINVAL
    assert model.order == []
    assert device.input(28, FLOAT) == OK


def test_where_the_board_sets_the_pins_they_are_left_alone(port):
    model = Model()
    device = port(model, mux=0, pad=0)
    assert device.input(2, FLOAT) == OK
    assert device.output(3, True) == OK
    assert device.input(4, UP) == EINVAL  # nobody to pull it
    assert "mux" not in model.order
    assert "pad" not in model.order


def test_the_clock_gate_is_opened_first_and_the_others_left_alone(port):
    model = Model(gated=True)
    model.gates = 0x0000_30C0
    port(model, gate=BASE + GATE, gate_bits=0x0C00_0000)
    assert model.gates == 0x0C00_30C0
