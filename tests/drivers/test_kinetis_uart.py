"""Kinetis UART against a model of its registers and FIFOs, written from K64P144M120SF5RM, chapter
UART. As on the chip, nothing is received any more after an overrun or a framing error until status
and data have been read in that order, and reading an empty FIFO puts it out of step."""

import ctypes

import pytest

BDH, BDL, C1, C2, S1, S2, C3, D, C4 = 0, 1, 2, 3, 4, 5, 6, 7, 0x0A
PFIFO, CFIFO, SFIFO, TWFIFO, TCFIFO, RWFIFO, RCFIFO = 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16
TE, RE, RIE = 8, 4, 0x20
TDRE, TC, RDRF, OR, NF, FE = 0x80, 0x40, 0x20, 8, 4, 2
OK, EINVAL, ETIMEDOUT = 0, -1, -3


class Model:
    """`size`: the code of both FIFOs' size; 2 is UART0's eight places, 0 one place."""

    def __init__(self, size=2):
        self.depth = 1 if size == 0 else 2 << size
        self.regs = {BDH: 0, BDL: 4, C1: 0x55, C2: 0, C3: 0x0F, C4: 0, PFIFO: size << 4 | size}
        self.regs |= {TWFIFO: 0, RWFIFO: 1, SFIFO: 0xC0}
        self.sent, self.tx, self.rx, self.flags, self.armed = [], [], [], 0, 0
        self.stuck = self.out_of_step = False
        self.looks, self.on_data = 0, None

    def arrive(self, byte, error=0):
        if not self.regs[C2] & RE or self.flags & (OR | FE):
            return  # "inhibits further reception"
        if len(self.rx) >= self.rx_depth():
            self.flags |= OR
            return
        self.rx.append(byte)
        self.flags |= error

    def rx_depth(self):
        return self.depth if self.regs[PFIFO] & 8 else 1

    def tx_depth(self):
        return self.depth if self.regs[PFIFO] & 0x80 else 1

    def shift(self):
        if self.tx and not self.stuck:
            self.sent.append(self.tx.pop(0))

    def read8(self, offset):
        if offset == S1:
            self.looks += 1
            if self.looks % 3 == 0:
                self.shift()
            self.armed = self.flags
            room = TDRE if len(self.tx) <= self.regs[TWFIFO] else 0
            full = RDRF if self.rx and len(self.rx) >= self.regs[RWFIFO] else 0
            return room | full | self.flags | (0 if self.tx else TC)
        if offset == D:
            self.flags &= ~self.armed
            self.armed = 0
            if not self.rx:
                self.out_of_step = True
                self.regs[SFIFO] |= 1
                return 0xFF
            assert not self.out_of_step, "what comes out is not what came in"
            byte = self.rx.pop(0)
            if self.on_data:
                self.on_data()
            return byte
        if offset == RCFIFO:
            return len(self.rx)
        return self.regs[offset]

    def write8(self, offset, value):
        if offset == D:
            assert self.regs[C2] & TE
            assert len(self.tx) < self.tx_depth(), "the FIFO overflows"
            self.tx.append(value)
        elif offset == CFIFO:
            if value & 0x40:
                self.rx.clear()
                self.out_of_step = False
            if value & 0x80:
                self.tx.clear()
        elif offset == SFIFO:
            self.regs[SFIFO] &= ~(value & 7)
        else:
            off = not self.regs[C2] & (TE | RE)
            assert offset not in (PFIFO, C1) or off, "changes only while it is off"
            if offset == TWFIFO:
                assert value < self.tx_depth()
            self.regs[offset] = value

    def baud(self, clock_hz):
        assert not self.regs[C4] & 0xE0
        sbr = self.regs[BDH] << 8 | self.regs[BDL]
        assert 1 <= sbr <= 8191
        return clock_hz / (16 * (sbr + self.regs[C4] / 32))


@pytest.fixture
def uart(load):
    def make(model, clock_hz=120_000_000, baud=115_200, status=OK):
        device = load("kinetis_uart", model, clock_hz=clock_hz, baud=baud)
        assert device.init() == status
        return device

    return make


def errors(device):
    return ctypes.c_uint32.from_address(
        ctypes.addressof(ctypes.c_uint32.in_dll(device.lib, "ek_counters")) + 8
    ).value


def read(device, size=64):
    room = device.room(size + 4)
    count = device.read(room, size)
    assert room.raw[size:] == b"\xee" * 4
    return room.raw[:count]


@pytest.mark.parametrize(
    ("clock_hz", "baud"),
    [
        *((120_000_000, b) for b in (1200, 9600, 115_200, 230_400, 921_600, 4_000_000)),
        (60_000_000, 460_800),
        (20_971_520, 115_200),
    ],
)
def test_the_baud_rate_is_within_half_a_step_of_the_divider(uart, clock_hz, baud):
    model = Model()
    uart(model, clock_hz, baud)
    assert abs(model.baud(clock_hz) / baud - 1) <= 1 / (2 * 2 * clock_hz / baud - 1)


@pytest.mark.parametrize(
    ("clock_hz", "baud"), [(60_000_000, 4_000_000), (120_000_000, 300), (120_000_000, 915)]
)
def test_a_baud_rate_out_of_reach_is_refused(uart, clock_hz, baud):
    uart(Model(), clock_hz, baud, status=EINVAL)


def test_init_sets_8n1_both_ways_and_an_interrupt_that_wakes(uart):
    model = Model()
    uart(model)
    assert model.regs[C1] == 0
    assert model.regs[C3] == 0
    assert model.regs[C2] == TE | RE | RIE
    assert model.regs[RWFIFO] == 1
    assert model.regs[PFIFO] & 0x88 == 0x88


def test_init_lets_an_earlier_owner_finish_and_drops_what_it_left(uart):
    model = Model()
    model.regs[C2] = TE | RE
    model.regs[PFIFO] |= 0x88
    model.tx, model.rx = [1, 2, 3], [4]
    device = uart(model)
    assert model.sent == [1, 2, 3]
    assert read(device) == b""


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_everything_is_sent_in_order_without_overflowing(uart, size):
    model = Model(size)
    device = uart(model)
    data = bytes(range(200))
    assert device.write(data, len(data)) == len(data)
    while model.tx:
        model.shift()
    assert bytes(model.sent) == data


def test_the_fifo_is_used_to_its_last_place(uart):
    model = Model()
    device = uart(model)
    model.stuck = True
    assert device.write(b"12345678", 8) == 8


def test_a_transmitter_that_stops_times_out_and_works_again(uart):
    model = Model()
    device = uart(model)
    model.stuck = True
    assert device.write(b"123456789", 9) == ETIMEDOUT
    model.stuck = False
    assert device.write(b"x", 1) == 1


def test_what_has_arrived_is_read_and_nothing_else(uart):
    model = Model()
    device = uart(model)
    assert read(device) == b""
    for byte in b"hello":
        model.arrive(byte)
    assert read(device, 2) == b"he"
    assert read(device) == b"llo"
    assert read(device) == b""
    assert errors(device) == 0


@pytest.mark.parametrize("size", [0, 2])
def test_an_overrun_is_counted_and_receiving_goes_on(uart, size):
    model = Model(size)
    device = uart(model)
    for byte in range(12):
        model.arrive(byte)
    assert read(device) == bytes(range(model.depth))
    assert errors(device) == 1
    model.arrive(0x42)
    assert read(device) == b"\x42"
    assert errors(device) == 1


def test_an_overrun_between_two_looks_does_not_end_receiving(uart):
    model = Model(0)
    device = uart(model)
    model.arrive(1)

    def overrun():
        model.flags |= OR
        model.on_data = None

    model.on_data = overrun  # after the status was read: taking the data does not clear it
    assert read(device) == b"\1"
    assert read(device) == b""
    model.arrive(2)
    assert read(device) == b"\2"
    assert errors(device) == 1
    assert not model.regs[SFIFO] & 1


def test_a_broken_character_is_dropped_and_those_before_it_kept(uart):
    model = Model()
    device = uart(model)
    model.arrive(1)
    model.arrive(2)
    model.arrive(0xFF, FE)
    got = read(device)
    assert got[:2] == b"\1\2"
    assert errors(device) == 1
    model.arrive(3)
    assert read(device) == b"\3"


def test_a_broken_character_alone_is_dropped(uart):
    model = Model()
    device = uart(model)
    model.arrive(0xFF, FE)
    assert read(device) == b""
    assert errors(device) == 1


def test_noise_is_counted_and_the_character_kept(uart):
    model = Model()
    device = uart(model)
    model.arrive(7, NF)
    assert read(device) == b"\7"
    assert errors(device) == 1
