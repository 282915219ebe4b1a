"""16550 driver against a model of its registers, written from the PC16550D datasheet."""

from collections.abc import Iterable

import pytest

PORT = 0x3F8
DATA, IER, FCR, LCR, MCR, LSR = 0, 1, 2, 3, 4, 5
READY, OVERRUN, PARITY, FRAMING, BREAK, THRE = (1 << i for i in range(6))
DLAB = 0x80
OK, EINVAL, ETIMEDOUT = 0, -1, -3
FIFO_BYTES = 16


class Model:
    """A line that sends one FIFO's content between two looks at the line status."""

    def __init__(self, received: Iterable[tuple[int, int]] = (), stuck: bool = False) -> None:
        self.regs = dict.fromkeys(range(8), 0)
        self.divisor = [0, 0]
        self.received = list(received)  # (byte, its error bits)
        self.stuck = stuck
        self.fifo: list[int] = []
        self.sent = b""

    def port_in(self, port: int, bits: int) -> int:
        assert bits == 8
        if port - PORT == LSR:
            if not self.stuck:
                self.sent += bytes(self.fifo)
                self.fifo = []
            ready = READY | self.received[0][1] if self.received else 0
            return ready | (0 if self.stuck else THRE)
        assert port - PORT == DATA
        assert self.received
        return self.received.pop(0)[0]

    def port_out(self, port: int, bits: int, value: int) -> None:
        assert bits == 8
        register = port - PORT
        if self.regs[LCR] & DLAB and register in (0, 1):
            self.divisor[register] = value
        elif register == DATA:
            assert len(self.fifo) < FIFO_BYTES, "the byte would be lost"
            self.fifo.append(value)
        else:
            self.regs[register] = value


def uart(load, model, **props):
    return load("uart16550", model, port=PORT, **props)


def test_init_sets_8n1_with_fifos_and_no_interrupts(load):
    model = Model()
    assert uart(load, model).init() == OK
    assert model.regs[LCR] == 0x03  # 8 bits, 1 stop bit, no parity, divisor latch closed
    assert model.regs[FCR] == 0x07  # FIFOs on and cleared
    assert model.regs[MCR] == 0x03  # DTR, RTS
    assert model.regs[IER] == 0


@pytest.mark.parametrize(
    ("baud", "divisor"),  # datasheet, table 3: 1.8432 MHz crystal
    [(50, 2304), (110, 1047), (300, 384), (1200, 96), (9600, 12), (38_400, 3), (56_000, 2)],
)
def test_init_programs_the_divisor(load, baud, divisor):
    model = Model()
    assert uart(load, model, baud=baud).init() == OK
    assert model.divisor == [divisor & 0xFF, divisor >> 8]


@pytest.mark.parametrize(("clock_hz", "baud"), [(1_843_200, 1_000_000), (1_843_200, 1)])
def test_init_refuses_a_baud_rate_out_of_reach(load, clock_hz, baud):
    assert uart(load, Model(), clock_hz=clock_hz, baud=baud).init() == EINVAL


def test_write_fills_the_fifo_but_never_overfills_it(load):
    model = Model()
    text = bytes(range(100))
    device = uart(load, model)
    assert device.init() == OK
    assert device.write(text, len(text)) == len(text)
    assert model.sent + bytes(model.fifo) == text


def test_write_gives_up_when_the_fifo_never_drains(load):
    device = uart(load, Model(stuck=True))
    assert device.init() == OK
    assert device.write(b"x", 1) == ETIMEDOUT


def test_read_never_waits_and_never_overruns(load):
    device = uart(load, Model([(b, 0) for b in b"abc"]))
    assert device.init() == OK
    room = device.room(2)
    assert device.read(room, 2) == 2
    assert room.raw[:2] == b"ab"
    assert device.read(room, 2) == 1
    assert room.raw[:1] == b"c"
    assert device.read(room, 2) == 0


@pytest.mark.parametrize("error", [PARITY, FRAMING, BREAK])
def test_read_drops_a_broken_character_but_not_the_one_before_an_overrun(load, error):
    device = uart(load, Model([(ord("a"), OVERRUN), (ord("b"), error), (ord("c"), 0)]))
    assert device.init() == OK
    room = device.room(8)
    assert device.read(room, 8) == 2
    assert room.raw[:2] == b"ac"
