"""I2C master of BCM2711 (BSC) against a model of its registers, its pins as GPIOs and a bus with
one device on it; and against QEMU's model, which differs.

Written from BCM2711 ARM Peripherals, chapters 3 and 5, UM10204 for the bus, and QEMU's
hw/i2c/bcm2835_i2c.c for the other. Bytes take the time that they take on a wire of 100 kHz.
"""

import ctypes

import pytest
from driver_harness import BASE

C, S, DLEN, A, FIFO, DIV, DEL, CLKT = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x1C
I2CEN, ST, CLEAR, READ = 1 << 15, 1 << 7, 3 << 4, 1 << 0
STRETCHED, ERR, RXF, TXE, RXD, TXD = 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5, 1 << 4
DONE, TA = 1 << 1, 1 << 0
OK, EINVAL, EIO, ETIMEDOUT = 0, -1, -2, -3
DEVICE = 0x48
BYTE_US, FIFO_SIZE = 90, 16
GPIO = 0x1000
FSEL0, SET0, CLR0, LEV0 = GPIO, GPIO + 0x1C, GPIO + 0x28, GPIO + 0x34
SDA, SCL = 2, 3
ALT0 = 4


class Pins:
    """GPIO 2 and 3, and a device that holds SDA low for `held_clocks` clocks of SCL."""

    def __init__(self):
        self.fsel = ALT0 << 3 * SDA | ALT0 << 3 * SCL | 0o1_0000
        self.latch, self.held_clocks, self.edges = 0, 0, []

    def low(self, pin):
        return self.fsel >> 3 * pin & 7 == 1 and not self.latch >> pin & 1

    def levels(self):
        sda_low = self.held_clocks > 0 or self.low(SDA)
        return (0 if self.low(SCL) else 1 << SCL) | (0 if sda_low else 1 << SDA)

    def read_pin(self, offset):
        return self.fsel if offset == FSEL0 else self.levels()

    def write_pin(self, offset, value):
        before = self.low(SCL), self.low(SDA)
        if offset == SET0:
            self.latch |= value
        elif offset == CLR0:
            self.latch &= ~value
        else:
            assert offset == FSEL0
            self.fsel = value
        assert self.fsel >> 3 * SCL & 7 != 1 or not self.latch >> SCL & 1, "driven high"
        assert self.fsel >> 3 * SDA & 7 != 1 or not self.latch >> SDA & 1, "driven high"
        for name, was, now in zip("CD", before, (self.low(SCL), self.low(SDA)), strict=True):
            if was != now:
                self.edges.append(name + ("-" if now else "+"))
                if name == "C" and not now:
                    self.held_clocks = max(self.held_clocks - 1, 0)


class Model(Pins):
    """`trace` is what a bus analyser shows. Time passes with every look at the clock and access."""

    byte_us = BYTE_US

    def __init__(self, data=b"", nack_data_at=None, stretch_at=None, short=None):
        super().__init__()
        self.data = list(data)
        self.nack_data_at, self.stretch_at, self.short = nack_data_at, stretch_at, short
        self.now = self.due = 0
        self.regs = {C: 0, DLEN: 0, A: 0, DIV: 0x5DC, DEL: 0x30_0030, CLKT: 0x40}
        self.flags, self.state, self.queued = 0, "idle", False
        self.tx, self.rx, self.trace, self.left, self.bytes = [], [], [], 0, 0
        self.silent = False  # nothing ever ends

    def clock_us(self):
        self.now += 1
        return self.now

    def read(self, offset):
        self.now += 1
        self.run()
        if offset >= GPIO:
            return self.read_pin(offset)
        if offset == S:
            status = self.flags | (TXD if len(self.tx) < FIFO_SIZE else 0)
            status |= (0 if self.tx else TXE) | (RXD if self.rx else 0)
            return status | (TA if self.state != "idle" else 0)
        if offset == FIFO:
            assert self.rx, "nothing to read"
            return self.rx.pop(0)
        return self.regs[offset]

    def write(self, offset, value):
        self.now += 1
        self.run()
        if offset >= GPIO:
            self.write_pin(offset, value)
        elif offset == S:
            self.flags &= ~(value & (STRETCHED | ERR | DONE))
        elif offset == FIFO:
            assert self.state != "idle", "written before START"
            assert len(self.tx) < FIFO_SIZE, "no room"
            self.tx.append(value)
        elif offset == C:
            self.regs[C] = value & ~ST
            self.control(value)
        else:
            if offset in (DIV, DEL, CLKT):
                assert self.state == "idle"
            self.regs[offset] = value

    def control(self, value):
        if value & CLEAR:
            self.tx, self.rx = [], []
        if not value & I2CEN:
            if self.state != "idle":
                self.trace.append("P")
            self.state, self.queued = "idle", False
        elif value & ST:
            assert self.regs[DLEN] > 0
            if self.state == "idle":
                assert not self.tx
                assert not self.flags & (ERR | STRETCHED | DONE), "flags of before"
                self.begin("S")
            else:
                assert value & READ
                self.queued = True

    def begin(self, how):
        self.trace.append(how)
        self.state, self.queued, self.left = "address", False, self.regs[DLEN]
        self.reads, self.due = self.regs[C] & READ, self.now + self.byte_us

    def run(self):
        while self.state != "idle" and self.now >= self.due and not self.silent:
            self.bytes += 1
            if self.bytes == self.stretch_at:
                assert self.regs[CLKT] > 0
                return self.stop(STRETCHED)
            self.due += self.byte_us
            if not self.byte():
                return

    def byte(self):
        """One byte on the wire; False: none can go."""
        if self.state == "address":
            self.trace.append(f"{self.regs[A]:02x}{'r' if self.reads else 'w'}")
            self.state = "receive" if self.reads else "send"
            if self.regs[A] != DEVICE:
                self.stop(ERR)
            return True
        if self.state == "send":
            if not self.tx:
                self.bytes -= 1
                self.due = self.now + 1  # SCL is held until there is one
                return False
            value = self.tx.pop(0)
            self.trace.append(f"{value:02x}")
            if self.bytes == self.nack_data_at:
                self.stop(ERR)
                return True
        else:
            if len(self.rx) == FIFO_SIZE:
                self.bytes -= 1
                self.due = self.now + 1
                return False
            if self.short is not None and self.bytes > self.short:
                self.stop(0)
                return True
            self.rx.append(self.data.pop(0))
            self.trace.append(f"{self.rx[-1]:02x}{'N' if self.left == 1 else 'A'}")
        self.left -= 1
        if self.left == 0:
            if self.queued:
                self.begin("Sr")
            else:
                self.stop(0)
        return True

    def stop(self, flag):
        self.trace.append("P")
        self.flags |= flag | DONE
        self.state, self.queued = "idle", False


class Qemu(Pins):
    """hw/i2c/bcm2835_i2c.c: no time, no FIFO, no repeated start. Levels are the pins' latches."""

    def __init__(self, data=b"", nack_data_at=None):
        super().__init__()
        self.data, self.nack_data_at = list(data), nack_data_at
        self.regs = {C: 0, DLEN: 0, A: 0, DIV: 0x5DC, DEL: 0x30_0030, CLKT: 0x40}
        self.s, self.dlen, self.last_dlen, self.trace, self.bytes = TXD | TXE, 0, 0, [], 1

    def levels(self):
        return self.latch

    def read(self, offset):
        if offset >= GPIO:
            return self.read_pin(offset)
        if offset == S:
            return self.s
        if offset == FIFO:
            value = 0
            if self.s & TA:
                value = self.data.pop(0) if self.data else 0xFF
                self.trace.append(f"{value:02x}")
                self.count()
            return value
        return self.dlen if offset == DLEN else self.regs[offset]

    def write(self, offset, value):
        if offset >= GPIO:
            self.write_pin(offset, value)
        elif offset == C:
            self.regs[C] = value & ~ST
            if value & (ST | I2CEN):
                self.begin()
        elif offset == S:
            if value & DONE & self.s:
                self.dlen = self.last_dlen
            self.s &= ~(value & (DONE | ERR | STRETCHED))
        elif offset == DLEN:
            self.dlen = self.last_dlen = value
        elif offset == FIFO:
            if self.s & TA:
                self.bytes += 1
                if self.bytes == self.nack_data_at:
                    self.s |= ERR
                else:
                    self.trace.append(f"{value:02x}")
                    self.count()
        else:
            self.regs[offset] = value

    def begin(self):
        reads = self.regs[C] & READ
        self.trace += ["S", f"{self.regs[A]:02x}{'r' if reads else 'w'}"]
        self.s |= TA | (RXD | 1 << 3 if reads else 1 << 2) | (ERR if self.regs[A] != DEVICE else 0)
        if self.dlen == 0:
            self.finish()

    def count(self):
        self.dlen -= 1
        if self.dlen == 0:
            self.finish()

    def finish(self):
        self.trace.append("P")
        self.s = (self.s | DONE) & ~(TA | RXD | 1 << 3 | 1 << 2)


@pytest.fixture
def bus(load):
    def make(model, pins=True, status=OK, **props):
        props = {"clock_hz": 500_000_000, "scl_pin": SCL, "sda_pin": SDA} | props
        device = load("bcm_i2c", model, gpio=BASE + GPIO if pins else 0, **props)
        assert device.init() == status
        return device

    return make


def transfer(device, addr, out=b"", in_len=0):
    room = device.room(in_len + 4)
    status = device.transfer(addr, out, len(out), room, in_len)
    assert room.raw[in_len:] == b"\xee" * 4
    return status, room.raw[:in_len]


def recoveries(device):
    return ctypes.c_uint32.in_dll(device.lib, "ek_counters").value


@pytest.mark.parametrize(
    ("clock_hz", "speed_hz", "divider"),
    [
        (500_000_000, 100_000, 5000),
        (500_000_000, 400_000, 1250),
        (500_000_000, 10_000, 50_000),
        (200_000_000, 333_333, 602),  # 600.0006: rounded up, so that it is not too fast, and even
        (100_100_000, 100_000, 1002),
    ],
)
def test_init_programs_divider_delays_and_stretch_limit(bus, clock_hz, speed_hz, divider):
    model = Model()
    bus(model, clock_hz=clock_hz, speed_hz=speed_hz)
    assert model.regs[DIV] == divider
    assert model.regs[DEL] >> 16 == pytest.approx(divider / 16, abs=1)  # FEDL
    assert model.regs[DEL] & 0xFFFF == pytest.approx(divider / 4, abs=1)  # REDL
    assert model.regs[CLKT] / speed_hz == pytest.approx(0.010, rel=0.01)


def test_init_refuses_a_speed_out_of_reach(bus):
    bus(Model(), clock_hz=655_350_000, speed_hz=10_000, status=EINVAL)
    bus(Model(), clock_hz=655_340_000, speed_hz=10_000)


def test_init_clears_what_an_earlier_owner_left(bus):
    model = Model(b"\x42")
    model.flags = ERR | DONE | STRETCHED
    model.regs[C], model.tx = I2CEN, [1, 2]
    assert transfer(bus(model), DEVICE, b"", 1) == (OK, b"\x42")


@pytest.mark.parametrize("pins", [True, False])
@pytest.mark.parametrize(
    ("out", "data", "trace"),
    [
        (b"\x01", b"", "S 48w 01 P"),
        (b"\x01\x60", b"", "S 48w 01 60 P"),
        (b"", b"\x19", "S 48r 19N P"),
        (b"", b"\x19\x80", "S 48r 19A 80N P"),
        (b"\x00", b"\x19\x80\x55", "S 48w 00 Sr 48r 19A 80A 55N P"),
        (b"\x00\x07", b"\x19", "S 48w 00 07 Sr 48r 19N P"),
    ],
)
def test_a_transfer_on_the_wire(bus, out, data, trace, pins):
    model = Model(data)
    device = bus(model, pins)
    for _ in range(2):
        model.data = list(data)
        model.trace.clear()
        assert transfer(device, DEVICE, out, len(data)) == (OK, data)
        assert " ".join(model.trace) == trace
        assert model.regs[C] & I2CEN == 0


def test_more_bytes_than_the_fifo_holds(bus):
    out, data = bytes(range(40)), bytes(range(100, 150))
    model = Model(data)
    assert transfer(bus(model), DEVICE, out, len(data)) == (OK, data)
    words = " ".join(model.trace)
    assert words.startswith("S 48w " + " ".join(f"{b:02x}" for b in out) + " Sr 48r 64A")
    assert words.endswith("95N P")


def test_a_bus_that_is_faster_than_the_driver_has_two_transfers(bus):
    model = Model(b"\x19\x80")
    model.byte_us = 1
    assert transfer(bus(model), DEVICE, b"\0", 2) == (OK, b"\x19\x80")
    assert " ".join(model.trace) == "S 48w 00 P S 48r 19A 80N P"


@pytest.mark.parametrize(("out", "in_len", "trace"), [(b"\1\2", 0, "S 22w P"), (b"", 2, "S 22r P")])
def test_nobody_at_the_address(bus, out, in_len, trace):
    model = Model(b"\x42")
    device = bus(model)
    assert transfer(device, 0x22, out, in_len)[0] == EIO
    assert " ".join(model.trace) == trace
    model.trace.clear()
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
    assert " ".join(model.trace) == "S 48r 42N P"


@pytest.mark.parametrize(("at", "trace"), [(2, "S 48w 01 P"), (3, "S 48w 01 02 P")])
def test_a_refused_byte_ends_the_transfer(bus, at, trace):
    model = Model(b"\x42", nack_data_at=at)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1\2\3")[0] == EIO
    assert " ".join(model.trace) == trace
    model.nack_data_at = None
    assert transfer(device, DEVICE, b"\7", 1) == (OK, b"\x42")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_clock_held_for_too_long_is_a_timeout(bus, at):
    model = Model(b"\x42\x43", stretch_at=at)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1", 2)[0] == ETIMEDOUT
    model.stretch_at = None
    model.data = [0x55]
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x55")


def test_a_read_that_ends_too_early_is_an_error(bus):
    assert transfer(bus(Model(b"\1\2\3", short=2)), DEVICE, b"", 3)[0] == EIO


@pytest.mark.parametrize(("out", "in_len"), [(b"\1", 0), (b"\1", 1), (b"", 1)])
def test_a_controller_that_stands_still_does_not_hang(bus, out, in_len):
    model = Model(b"\x42")
    device = bus(model)
    model.silent = True
    assert transfer(device, DEVICE, out, in_len)[0] == ETIMEDOUT
    assert model.state == "idle"
    model.silent = False
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


@pytest.mark.parametrize("clocks", [1, 5, 9])
def test_a_held_bus_is_clocked_free(bus, clocks):
    model = Model(b"\x42")
    device = bus(model)
    model.held_clocks = clocks
    fsel = model.fsel
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
    assert model.edges == ["C-", "C+"] * clocks + ["C-", "D-", "C+", "D+"]  # then a STOP
    assert model.fsel == fsel  # the master's again, and other pins are as they were
    assert recoveries(device) == 1
    assert model.latch & (1 << SCL | 1 << SDA) == 1 << SCL | 1 << SDA


def test_a_bus_that_nothing_frees_is_said_every_time(bus):
    model = Model()
    device = bus(model)
    model.held_clocks = 10**9
    for _ in range(2):
        assert transfer(device, DEVICE, b"\1")[0] == ETIMEDOUT
    assert model.edges.count("C-") == 2 * (9 + 1)
    assert model.trace == []
    assert recoveries(device) == 0


def test_a_stop_that_is_under_way_is_no_held_bus(bus):
    model = Model()
    device = bus(model)
    model.held_clocks = 1
    looks = []

    def levels():
        looks.append(1)
        return 1 << SCL | (1 << SDA if len(looks) > 3 else 0)

    model.levels = levels
    assert transfer(device, DEVICE, b"\1")[0] == OK
    assert model.edges == []


@pytest.mark.parametrize(
    ("out", "data", "trace"),
    [
        (b"\x01\x60", b"", "S 48w 01 60 P"),
        (b"", b"\x19\x80", "S 48r 19 80 P"),
        (b"\x00", b"\x19\x80", "S 48w 00 P S 48r 19 80 P"),
    ],
)
def test_in_qemu_too(bus, out, data, trace):
    model = Qemu(data)
    device = bus(model)
    for _ in range(2):
        model.data = list(data)
        model.trace.clear()
        assert transfer(device, DEVICE, out, len(data)) == (OK, data)
        assert " ".join(model.trace) == trace
    assert model.edges == []


@pytest.mark.parametrize(("out", "in_len"), [(b"\1", 0), (b"\1", 2), (b"", 2)])
def test_nobody_at_the_address_in_qemu(bus, out, in_len):
    model = Qemu(b"\x42")
    device = bus(model)
    assert transfer(device, 0x22, out, in_len)[0] == EIO
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


@pytest.mark.parametrize("at", [2, 3])
def test_a_refused_byte_in_qemu(bus, at):
    model = Qemu(b"\x42", nack_data_at=at)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1\2", 1)[0] == EIO
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
