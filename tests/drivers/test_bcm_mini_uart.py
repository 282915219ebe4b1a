"""Broadcom mini UART against a model of its registers (BCM2711 ARM Peripherals, chapter 2)."""

import pytest

ENABLES, IO, IER, IIR, LCR, MCR = 0x04, 0x40, 0x44, 0x48, 0x4C, 0x50
LSR, CNTL, BAUD = 0x54, 0x60, 0x68
DATA, ROOM, IDLE = 1 << 0, 1 << 5, 1 << 6
OK, EINVAL, ETIMEDOUT = 0, -1, -3
FIFO = 8


class Model:
    """The registers; a transmitter that takes a while; `idle` after so many polls."""

    def __init__(self, enables=0, received=b"", stuck=False, idle_polls=0):
        self.regs = {ENABLES: enables, CNTL: 3 if enables & 1 else 0, IER: 0, LCR: 0, MCR: 2}
        self.received, self.sent, self.stuck = list(received), b"", stuck
        self.fill, self.idle_polls, self.order = 0, idle_polls, []

    def read(self, reg):
        if reg == ENABLES:
            return self.regs[ENABLES]
        assert self.regs[ENABLES] & 1, "the UART is not there"
        if reg == LSR:
            self.idle_polls = max(self.idle_polls - 1, 0)
            room = self.fill < FIFO and not self.stuck
            self.fill = max(self.fill - 1, 0)
            idle = not self.idle_polls and not self.stuck
            return DATA * bool(self.received) | ROOM * room | IDLE * idle
        if reg == IO:
            return self.received.pop(0)
        return self.regs[reg]

    def write(self, reg, value):
        if reg != ENABLES:
            assert self.regs[ENABLES] & 1, "the UART is not there"
        if reg == IO:
            assert self.regs[CNTL] & 2
            assert self.fill < FIFO, "character lost"
            self.sent += bytes([value])
            self.fill += 1
        if reg == CNTL and self.regs[CNTL] and not value:
            assert not self.idle_polls, "cut off while sending"
        if reg in (LCR, BAUD):
            assert self.regs[CNTL] == 0, "changed while enabled"
        if reg == IIR and value & 2:
            self.received = []
        self.regs[reg] = value
        self.order.append(reg)


@pytest.fixture
def uart(load):
    def make(model, clock_hz=500_000_000, baud=115_200):
        return load("bcm_mini_uart", model, clock_hz=clock_hz, baud=baud)

    return make


def test_init_enables_it_with_eight_bits_and_the_receiver_s_interrupt(uart):
    model = Model(enables=6)  # both SPIs are in use
    assert uart(model).init() == OK
    assert model.regs[ENABLES] == 7
    assert model.regs[LCR] == 3
    assert model.regs[MCR] == 0
    assert model.regs[IER] & 0xF == 0xD
    assert model.regs[CNTL] == 3
    assert model.order[-1] == CNTL


@pytest.mark.parametrize(
    ("clock_hz", "baud", "register"),
    [(500_000_000, 115_200, 542), (250_000_000, 115_200, 270), (500_000_000, 9600, 6509)],
)
def test_the_divisor_is_the_nearest(uart, clock_hz, baud, register):
    model = Model()
    assert uart(model, clock_hz, baud).init() == OK
    assert model.regs[BAUD] == register
    exact = clock_hz / 8 / baud - 1
    assert abs(model.regs[BAUD] - exact) <= 0.5


@pytest.mark.parametrize(("clock_hz", "baud"), [(500_000_000, 300), (1_000_000, 4_000_000)])
def test_a_rate_out_of_reach_is_refused(uart, clock_hz, baud):
    assert uart(Model(), clock_hz, baud).init() == EINVAL


def test_an_earlier_owner_gets_its_last_words_out(uart):
    assert uart(Model(enables=1, idle_polls=5)).init() == OK


def test_what_came_before_is_dropped_and_init_may_be_called_again(uart):
    model = Model(enables=1, received=b"old")
    device = uart(model)
    assert device.init() == OK
    assert device.init() == OK
    assert device.read(device.room(8), 8) == 0


def test_bytes_are_sent_when_there_is_room(uart):
    model = Model()
    device = uart(model)
    device.init()
    data = bytes(range(100))
    assert device.write(data, len(data)) == 100
    assert model.sent == data


def test_a_transmitter_that_is_stuck_is_given_up_and_the_device_stays_usable(uart):
    model = Model()
    device = uart(model)
    device.init()
    model.stuck = True
    assert device.write(b"x", 1) == ETIMEDOUT
    model.stuck = False
    assert device.write(b"x", 1) == 1


def test_what_has_arrived_is_read_up_to_the_room(uart):
    model = Model()
    device = uart(model)
    device.init()
    model.received = list(b"abcde")
    room = device.room(3)
    assert (device.read(room, 3), room.raw) == (3, b"abc")
    assert (device.read(room, 3), room.raw[:2]) == (2, b"de")
    assert device.read(room, 3) == 0
