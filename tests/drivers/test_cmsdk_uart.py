"""CMSDK UART against a model of its registers, from Arm DDI 0479, 4.3."""

import pytest

DATA, STATE, CTRL, INTCLEAR, BAUDDIV = 0x00, 0x04, 0x08, 0x0C, 0x10
TX_FULL, RX_FULL, RX_OVERRUN = 1, 2, 8
OK, EINVAL, ETIMEDOUT = 0, -1, -3


class Model:
    """One character of room each way. `busy`: polls until a character has left, None: never."""

    def __init__(self, busy=2, arrived=b""):
        self.regs = {CTRL: 0x43, BAUDDIV: 0}
        self.sent, self.arrived = bytearray(), list(arrived)
        self.busy, self.wait = busy, 0
        self.overrun, self.pending = True, 15

    def read(self, offset):
        if offset == STATE:
            full = TX_FULL if self.wait else 0
            if self.wait and self.busy is not None:
                self.wait -= 1
            return full | (RX_FULL if self.arrived else 0) | (RX_OVERRUN if self.overrun else 0)
        if offset == DATA:
            assert self.arrived, "nothing has arrived"
            return self.arrived.pop(0)
        return self.regs[offset]

    def write(self, offset, value):
        if offset == DATA:
            assert self.regs[CTRL] & 1, "transmitter off"
            assert not self.wait, "the character before is lost"
            self.sent.append(value)
            self.wait = 1 if self.busy is None else self.busy
        elif offset == STATE:
            self.overrun = self.overrun and not value & RX_OVERRUN  # write 1 to clear
        elif offset == INTCLEAR:
            self.pending &= ~value
        else:
            if offset == BAUDDIV:
                assert self.regs[CTRL] == 0, "the divisor changes under way"
                assert value >= 16, "minimum of BAUDDIV"
            self.regs[offset] = value


@pytest.fixture
def uart(load):
    return lambda model, clock_hz=25_000_000, **props: load(
        "cmsdk_uart", model, clock_hz=clock_hz, **props
    )


@pytest.mark.parametrize(
    ("clock_hz", "baud", "divisor"),
    # DDI 0479, 4.3: "if the APB runs at 12 MHz and the baud rate is 9600: 1250"; the others by
    # division, to the nearest
    [(12_000_000, 9600, 1250), (25_000_000, 115_200, 217), (25_000_000, 230_400, 109)],
)
def test_init_programs_the_divisor_and_enables_both_directions(uart, clock_hz, baud, divisor):
    model = Model()
    assert uart(model, clock_hz, baud=baud).init() == OK
    assert model.regs[BAUDDIV] == divisor
    assert model.regs[CTRL] == 3  # transmit and receive, no interrupts, no test mode
    assert not model.overrun
    assert model.pending == 0


@pytest.mark.parametrize(
    ("clock_hz", "baud"), [(25_000_000, 1_700_000), (12_000_000, 800_000), (600_000_000, 300)]
)
def test_init_refuses_a_rate_out_of_reach(uart, clock_hz, baud):
    assert uart(Model(), clock_hz, baud=baud).init() == EINVAL


def test_the_slowest_and_fastest_divisors_are_within_reach(uart):
    for clock_hz, baud, divisor in ((16_000_000, 1_000_000, 16), (314_572_500, 300, 1_048_575)):
        model = Model()
        assert uart(model, clock_hz, baud=baud).init() == OK
        assert model.regs[BAUDDIV] == divisor


def test_write_waits_for_room(uart):
    model = Model(busy=7)
    device = uart(model)
    assert device.init() == OK
    assert device.write(b"hello\n", 6) == 6
    assert model.sent == b"hello\n"


def test_write_to_a_stuck_transmitter_gives_up(uart):
    model = Model(busy=None)
    device = uart(model)
    assert device.init() == OK
    assert device.write(b"ab", 2) == ETIMEDOUT
    assert model.sent == b"a"


def test_read_takes_what_has_arrived_and_no_more(uart):
    model = Model(arrived=b"abc")
    device = uart(model)
    assert device.init() == OK
    room = device.room(8)
    assert device.read(room, 2) == 2
    assert room.raw[:3] == b"ab\xee"
    assert device.read(room, 8) == 1
    assert device.read(room, 8) == 0
    assert room.raw[:1] == b"c"
