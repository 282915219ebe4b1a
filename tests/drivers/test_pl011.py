"""PL011 driver against a model of its registers: no QEMU, no board."""

from collections.abc import Iterable

import pytest

DR, FR, IBRD, FBRD, LCR_H, CR, IMSC = 0x00, 0x18, 0x24, 0x28, 0x2C, 0x30, 0x38
TXFF, RXFE, BUSY = 1 << 5, 1 << 4, 1 << 3
OK, EINVAL, ETIMEDOUT = 0, -1, -3
VIRT = {"clock_hz": 24_000_000}


class Model:
    """The registers as the datasheet describes them, plus what the line carried."""

    def __init__(self, received: Iterable[int] = (), stuck: int = 0) -> None:
        self.regs: dict[int, int] = {}
        self.order: list[int] = []
        self.sent = b""
        self.received = list(received)
        self.stuck = stuck

    def read(self, offset: int) -> int:
        if offset == FR:
            return self.stuck | RXFE * (not self.received)
        return self.received.pop(0) if offset == DR else self.regs.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        self.regs[offset] = value
        self.order.append(offset)
        if offset == DR:
            self.sent += bytes([value])


def test_init_enables_both_directions_and_no_interrupt(load):
    model = Model()
    assert load("pl011", model, **VIRT).init() == OK
    assert model.regs[LCR_H] == 0x70  # 8 data bits, no parity, FIFOs on
    assert model.regs[CR] == 0x301  # UARTEN, TXE, RXE; QEMU 7.2 receives even without RXE
    assert model.regs[IMSC] == 0


def test_init_disables_first_latches_the_divisor_and_enables_last(load):
    model = Model()
    assert load("pl011", model, **VIRT).init() == OK
    assert model.order[0] == CR  # control registers change only while disabled (3.3.8)
    assert model.order[-2:] == [LCR_H, CR]  # LCR_H latches IBRD and FBRD (3.3.7)


@pytest.mark.parametrize(
    ("baud", "divisor"),  # the worked examples of DDI 0183G, table 3-9, UARTCLK = 4 MHz
    [(230_400, (1, 5)), (38_400, (6, 33)), (14_400, (17, 23)), (110, (2272, 47))],
)
def test_init_programs_the_divisor(load, baud, divisor):
    model = Model()
    assert load("pl011", model, clock_hz=4_000_000, baud=baud).init() == OK
    assert (model.regs[IBRD], model.regs[FBRD]) == divisor


@pytest.mark.parametrize(("clock_hz", "baud"), [(100_000, 115_200), (1_000_000_000, 600)])
def test_init_refuses_a_baud_rate_out_of_reach(load, clock_hz, baud):
    assert load("pl011", Model(), clock_hz=clock_hz, baud=baud).init() == EINVAL


def test_init_comes_to_an_end_when_the_line_stays_busy(load):
    model = Model(stuck=BUSY)
    assert load("pl011", model, **VIRT).init() == OK
    assert model.regs[CR] == 0x301


def test_write_sends_every_byte_in_order(load):
    model = Model()
    assert load("pl011", model, **VIRT).write(b"edge\x00\xff", 6) == 6
    assert model.sent == b"edge\x00\xff"


def test_write_gives_up_when_the_fifo_never_drains(load):
    model = Model(stuck=TXFF)
    assert load("pl011", model, **VIRT).write(b"x", 1) == ETIMEDOUT
    assert model.sent == b""


def test_read_never_waits_and_never_overruns(load):
    uart = load("pl011", Model(b"abc"), **VIRT)
    room = uart.room(8)
    assert uart.read(room, 2) == 2
    assert room.raw == b"ab" + b"\xee" * 6
    assert load("pl011", Model(), **VIRT).read(room, 8) == 0


def test_read_drops_a_broken_character_but_not_the_one_before_an_overrun(load):
    uart = load("pl011", Model([ord("a"), 0x400 | ord("b"), 0x800 | ord("c")]), **VIRT)
    room = uart.room(8)
    assert uart.read(room, 8) == 2
    assert room.raw[:2] == b"ac"
