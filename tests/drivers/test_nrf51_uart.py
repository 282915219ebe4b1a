"""nRF51 UART against a model of its registers, from the nRF51 Series Reference Manual 3.0 and, as
to offsets, bits and rates, Nordic's nrf51.svd and nrf51_bitfields.h."""

import ctypes

import pytest

STARTRX, STARTTX, RXDRDY, TXDRDY, ERROR = 0x000, 0x008, 0x108, 0x11C, 0x124
INTENCLR, ERRORSRC, ENABLE, PSELRTS, PSELTXD, PSELCTS, PSELRXD = (
    0x308, 0x480, 0x500, 0x508, 0x50C, 0x510, 0x514,
)  # fmt: skip
RXD, TXD, BAUDRATE, CONFIG = 0x518, 0x51C, 0x524, 0x56C
GPIO = 0x1_0000
OUTSET, DIRSET, PIN_CNF = GPIO + 0x508, GPIO + 0x518, GPIO + 0x700
BASE = 0x1000_0000
OK, EINVAL, ETIMEDOUT = 0, -1, -3


class Model:
    def __init__(self, received=b"", stuck=False, polls=3):
        self.regs = {ENABLE: 4, CONFIG: 0x0F, PSELRTS: 1, PSELCTS: 2}
        self.gpio = []
        self.received, self.stuck, self.polls = list(received), stuck, polls
        self.fifo_ready = bool(self.received)
        self.tx_started = self.rx_started = False
        self.sent, self.busy, self.done = b"", 0, False
        self.errors, self.error = 0, False

    def read(self, offset):
        if offset == TXDRDY:
            if self.busy and not self.stuck:
                self.busy -= 1
                self.done = self.done or self.busy == 0
            return int(self.done)
        if offset == RXDRDY:
            return int(self.fifo_ready)
        if offset == ERROR:
            return int(self.error)
        if offset == ERRORSRC:
            return self.errors
        assert offset == RXD
        assert self.received, "RXD read when nothing has arrived: the UART stops"
        assert not self.fifo_ready, "the event is cleared before RXD is read"
        byte = self.received.pop(0)
        self.fifo_ready = bool(self.received)
        return byte

    def write(self, offset, value):
        if offset >= GPIO:
            self.gpio.append((offset, value))
        elif offset == TXD:
            assert self.tx_started
            assert not self.busy
            assert not self.done
            self.sent += bytes([value])
            self.busy = self.polls
        elif offset == TXDRDY:
            assert value == 0
            self.done = False
        elif offset == RXDRDY:
            assert value == 0
            self.fifo_ready = False
        elif offset == ERROR:
            self.error = bool(value)
        elif offset == ERRORSRC:
            self.errors &= ~value
        elif offset == STARTTX:
            assert self.regs[ENABLE] == 4
            self.tx_started = True
        elif offset == STARTRX:
            assert self.regs[ENABLE] == 4
            self.rx_started = True
        else:
            assert offset == ENABLE or not self.regs[ENABLE], "set up while enabled"
            self.regs[offset] = value


def errors(device):
    """`device_errors`, the last of struct ek_counters."""
    return list((ctypes.c_uint32 * 3).in_dll(device.lib, "ek_counters"))[2]


@pytest.fixture
def uart(load):
    def make(model, started=True, **props):
        device = load("nrf51_uart", model, base=BASE, gpio=BASE + GPIO, tx=24, rx=25, **props)
        if started:
            ready, model.fifo_ready = model.fifo_ready, False
            assert device.init() == OK
            model.fifo_ready = ready
        return device

    return make


def test_init_takes_the_pins_and_starts_both_directions(uart):
    model = Model()
    uart(model)
    assert (model.regs[PSELTXD], model.regs[PSELRXD]) == (24, 25)
    assert model.regs[PSELRTS] == model.regs[PSELCTS] == 0xFFFF_FFFF
    assert model.regs[CONFIG] == 0  # no parity, no flow control
    assert model.regs[INTENCLR] == 0xFFFF_FFFF
    assert model.tx_started
    assert model.rx_started
    assert model.gpio == [(OUTSET, 1 << 24), (DIRSET, 1 << 24), (PIN_CNF + 4 * 25, 0xC)]


@pytest.mark.parametrize(
    ("baud", "register"),  # nrf51_bitfields.h, BAUDRATE
    [
        (1200, 0x0004F000), (2400, 0x0009D000), (4800, 0x0013B000), (9600, 0x00275000),
        (14400, 0x003B0000), (19200, 0x004EA000), (28800, 0x0075F000), (31250, 0x00800000),
        (38400, 0x009D5000), (57600, 0x00EBF000), (76800, 0x013A9000), (115200, 0x01D7E000),
        (230400, 0x03AFB000), (250000, 0x04000000), (460800, 0x075F7000), (1000000, 0x10000000),
    ],
)  # fmt: skip
def test_the_rates_are_nordics(uart, baud, register):
    model = Model()
    uart(model, baud=baud)
    assert model.regs[BAUDRATE] == register


@pytest.mark.parametrize(("baud", "register"), [(56000, 0x00E50000), (921600, 0x0EBED000)])
def test_the_rates_that_nordic_rounds_otherwise_are_near(uart, baud, register):
    model = Model()
    uart(model, baud=baud)
    assert abs(model.regs[BAUDRATE] / register - 1) < 0.002


@pytest.mark.parametrize("baud", [0, 1199, 1_000_001])
def test_a_rate_out_of_reach_is_refused(uart, baud):
    assert uart(Model(), started=False, baud=baud).init() == EINVAL


def test_every_byte_leaves_in_order_and_write_returns_when_the_last_has(uart):
    model = Model()
    assert uart(model).write(b"edge\x00\xff", 6) == 6
    assert model.sent == b"edge\x00\xff"
    assert model.busy == 0


def test_a_line_that_does_not_take_a_byte_is_given_up_and_used_again(uart):
    model = Model(stuck=True)
    device = uart(model)
    assert device.write(b"x", 1) == ETIMEDOUT
    model.stuck, model.busy, model.done = False, 0, True
    assert device.write(b"y", 1) == 1


def test_read_takes_what_is_there_and_never_waits(uart):
    device = uart(Model(b"abc"))
    room = device.room(8)
    assert device.read(room, 2) == 2
    assert room.raw == b"ab" + b"\xee" * 6
    assert device.read(room, 8) == 1
    assert device.read(room, 8) == 0


def test_an_error_of_the_line_is_counted_once_and_cleared(uart):
    model = Model()
    device = uart(model)
    model.error, model.errors = True, 0x5  # overrun and framing
    assert device.read(device.room(4), 4) == 0
    assert (model.error, model.errors) == (False, 0)
    assert errors(device) == 1
    assert device.read(device.room(4), 4) == 0
    assert errors(device) == 1
