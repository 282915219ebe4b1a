"""i.MX UART driver against a model of its registers, from the manual of i.MX6UL (IMX6ULRM)."""

from fractions import Fraction

import pytest

URXD, UTXD, UCR1, UCR2, UCR3, UCR4 = 0x00, 0x40, 0x80, 0x84, 0x88, 0x8C
UFCR, USR2, UBIR, UBMR, UTS = 0x90, 0x98, 0xA4, 0xA8, 0xB4
UARTEN, SRST, RXEN, TXEN = 1, 1, 2, 4
CHARRDY, ERR = 0x8000, 0x4000
OK, EINVAL, ETIMEDOUT = 0, -1, -3


class Model:
    """Registers after power-up, a transmitter that is full now and then, and received words."""

    def __init__(self, full_polls=0, enabled=False, idle=True):
        self.regs = {UCR1: int(enabled), UCR2: 1, UCR3: 0x700, UCR4: 0x8000, UFCR: 0x801}
        self.full_polls, self.full, self.stuck = full_polls, 0, False
        self.resetting, self.idle, self.sent, self.received = 0, idle, b"", []
        self.ratio = None
        self.waited_for_idle = False

    def read(self, reg):
        if reg == UTS:
            self.full = max(self.full - 1, 0)
            self.resetting = max(self.resetting - 1, 0)
            return (0x10 if self.full or self.stuck else 0) | int(bool(self.resetting))
        if reg == USR2:
            self.waited_for_idle = True
            return (1 if self.received else 0) | (8 if self.idle else 0)
        if reg == URXD:
            return self.received.pop(0) if self.received else 0
        return self.regs[reg]

    def write(self, reg, value):
        if reg == UCR2 and not value & SRST:
            self.resetting = 3
            self.received = []
        elif self.resetting:
            raise AssertionError(f"write to {reg:#x} during the reset")
        if reg == UTXD:
            assert self.regs[UCR1] & UARTEN
            assert self.regs[UCR2] & TXEN
            assert not self.full, "character lost"
            self.sent += bytes([value])
            self.full = self.full_polls
        if reg in (UBIR, UBMR):
            assert self.regs[UCR1] & UARTEN, "written while disabled, the dividers stay 0"
            assert 0 <= value <= 0xFFFF
        if reg == UBMR:  # "UBIR must be written first"
            self.ratio = Fraction(self.regs[UBIR] + 1, value + 1)
        self.regs[reg] = value


@pytest.fixture
def uart(load):
    def make(model, clock_hz=24_000_000, baud=115_200):
        return load("imx_uart", model, clock_hz=clock_hz, baud=baud)

    return make


def test_init_enables_both_directions_8n1_without_flow_control(uart):
    model = Model()
    assert uart(model).init() == OK
    assert model.regs[UCR1] == UARTEN  # no interrupts, no DMA
    assert model.regs[UCR2] == 0x4027  # IRTS, WS, TXEN, RXEN, SRST; no parity, one stop bit
    assert model.regs[UCR4] == 0
    assert model.regs[UCR3] & 4  # RXDMUXSEL, which must be set
    assert model.regs[UFCR] & 0x380 == 5 << 7  # RFDIV: by 1


@pytest.mark.parametrize(
    ("clock_hz", "baud"),
    [
        (24_000_000, 115_200),
        (24_000_000, 9_600),
        (24_000_000, 300),
        (80_000_000, 115_200),  # the reset value of the UART root clock
        (80_000_000, 4_000_000),
        (80_000_000, 921_600),
        (66_666_667, 115_200),  # no common divisor: it has to be rounded
        (66_666_667, 4_000_000),
        (24_000_000, 1_500_000),  # exactly clock / 16
        (199_999_991, 999_983),  # primes
    ],
)
def test_init_programs_the_baud_rate(uart, clock_hz, baud):
    model = Model()
    assert uart(model, clock_hz, baud).init() == OK
    reached = clock_hz * model.ratio / 16  # Ref Freq / (16 x (UBMR + 1) / (UBIR + 1))
    assert abs(float(reached / baud) - 1) < 0.005
    if Fraction(16 * baud, clock_hz).denominator <= 65536:
        assert reached == baud  # a ratio that fits is met exactly


@pytest.mark.parametrize(("clock_hz", "baud"), [(24_000_000, 1_500_001), (1_000_000, 115_200)])
def test_init_refuses_a_rate_out_of_reach(uart, clock_hz, baud):
    assert uart(Model(), clock_hz, baud).init() == EINVAL


def test_an_earlier_owner_gets_to_send_its_last_words(uart):
    model = Model(enabled=True)
    assert uart(model).init() == OK
    assert model.waited_for_idle


def test_an_earlier_owner_that_never_finishes_does_not_hang(uart):
    assert uart(Model(enabled=True, idle=False)).init() == OK


def test_write_waits_for_room(uart):
    model = Model(full_polls=5)
    device = uart(model)
    device.init()
    assert device.write(b"hello", 5) == 5
    assert model.sent == b"hello"


def test_write_to_a_stuck_transmitter_ends_and_the_next_one_works(uart):
    model = Model()
    device = uart(model)
    device.init()
    model.stuck = True
    assert device.write(b"x", 1) == ETIMEDOUT
    model.stuck = False
    assert device.write(b"y", 1) == 1
    assert model.sent == b"y"


def test_read_drops_what_is_damaged_and_never_waits(uart):
    model = Model()
    device = uart(model)
    device.init()
    # Good; break, framing and parity errors (each with ERR); good again.
    model.received = [CHARRDY | 0x61] + [CHARRDY | ERR | bit | 0x2A for bit in (1 << 11, 1 << 12)]
    model.received += [CHARRDY | ERR | 1 << 10 | 0x2A, CHARRDY | 0x62]
    room = device.room(8)
    assert device.read(room, 8) == 2
    assert room.raw == b"ab" + b"\xee" * 6
    assert device.read(room, 8) == 0


def test_read_leaves_what_has_no_room(uart):
    model = Model()
    device = uart(model)
    device.init()
    model.received = [CHARRDY | c for c in b"abc"]
    room = device.room(2)
    assert device.read(room, 2) == 2
    assert room.raw == b"ab"
    assert len(model.received) == 1
