"""Stellaris I2C master against a model of its registers and of a bus with one device on it.

Written from the LM3S6965 datasheet: register descriptions and the table "Write Field Decoding for
I2CMCS[3:0]". Unlike QEMU's, this model knows repeated starts and forbidden commands.
"""

import ctypes

import pytest
from driver_harness import BASE

MSA, MCS, MDR, MTPR, MCR = 0x00, 0x04, 0x08, 0x0C, 0x20
RUN, START, STOP, ACK = 1, 2, 4, 8
BUSY, ERROR, ADRACK, DATACK, ARBLST, IDLE, BUSBSY = 1, 2, 4, 8, 16, 32, 64
OK, EINVAL, EIO, ETIMEDOUT = 0, -1, -2, -3
DEVICE = 0x48


class Model:
    """The master, and a bus that one device answers on. `trace` is what a bus analyser shows."""

    def __init__(self, data=b"", polls=2, nack_data_at=None, lose_at=None, stuck=0):
        self.regs = {MSA: 0, MDR: 0, MTPR: 1, MCR: 0}
        self.data, self.polls = list(data), polls
        self.nack_data_at, self.lose_at, self.stuck = nack_data_at, lose_at, stuck
        self.trace, self.status, self.wait = [], 0, 0
        self.state = "idle"  # "idle", "send", "receive", "error": what the master owns
        self.bytes = 0
        self.enables = []

    def read(self, offset):
        if offset != MCS:
            return self.regs[offset]
        if self.stuck:
            return self.stuck
        if self.wait:
            self.wait -= 1
            return BUSY
        return self.status | (BUSBSY if self.state != "idle" else IDLE)

    def write(self, offset, value):
        if offset == MCS:
            if not self.stuck:
                self.command(value)
            return
        if offset == MCR:
            self.enables.append(value)
        self.regs[offset] = value

    def command(self, value):
        assert self.regs[MCR] & 0x10, "master function not enabled"
        assert self.wait == 0, "command while busy"
        self.status, self.wait = 0, self.polls
        receiving = bool(self.regs[MSA] & 1)
        if self.state == "error":
            assert value & 7 == STOP, "an error must be ended with STOP"
        if value & START:
            assert value & RUN
            self.trace.append("Sr" if self.state != "idle" else "S")
            self.trace.append(f"{self.regs[MSA] >> 1:02x}{'r' if receiving else 'w'}")
            self.state = "receive" if receiving else "send"
            if self.regs[MSA] >> 1 != DEVICE:
                return self.fail(ADRACK, value)
        else:
            assert self.state != "idle", "no start condition"
            wrong = value & RUN and receiving != (self.state == "receive")
            assert not wrong, "direction changed without a start"
        if value & RUN:
            self.transfer_byte(value, receiving)
        if value & STOP and not self.status:
            self.stop()

    def transfer_byte(self, value, receiving):
        self.bytes += 1
        if self.lose_at == self.bytes:
            self.status, self.state = ERROR | ARBLST, "idle"
        elif receiving:
            assert bool(value & ACK) != bool(value & STOP), "the last byte, and only it, is refused"
            self.regs[MDR] = self.data.pop(0)
            self.trace.append(f"{self.regs[MDR]:02x}{'A' if value & ACK else 'N'}")
        elif self.nack_data_at == self.bytes:
            self.fail(DATACK, value)
        else:
            self.trace.append(f"{self.regs[MDR]:02x}")

    def fail(self, kind, value):
        self.status, self.state = ERROR | kind, "error"
        if value & STOP:
            self.stop()

    def stop(self):
        self.trace.append("P")
        self.state = "idle"


@pytest.fixture
def bus(load):
    def make(model, speed_hz=100_000, clock_hz=50_000_000):
        device = load("stellaris_i2c", model, clock_hz=clock_hz, speed_hz=speed_hz)
        assert device.init() == OK
        return device

    return make


def transfer(device, addr, out=b"", in_len=0):
    room = device.room(in_len + 4)
    status = device.transfer(addr, out, len(out), room, in_len)
    assert room.raw[in_len:] == b"\xee" * 4
    return status, room.raw[:in_len]


@pytest.mark.parametrize(
    ("clock_hz", "speed_hz", "period"),
    # the datasheet's table "Examples of I2C Master Timer Period versus Speed Mode"
    [
        (4_000_000, 100_000, 0x01),
        (6_000_000, 100_000, 0x02),
        (12_500_000, 100_000, 0x06),
        (16_700_000, 100_000, 0x08),
        (20_000_000, 100_000, 0x09),
        (25_000_000, 100_000, 0x0C),
        (33_000_000, 100_000, 0x10),
        (40_000_000, 100_000, 0x13),
        (50_000_000, 100_000, 0x18),
        (16_700_000, 400_000, 0x02),
        (20_000_000, 400_000, 0x02),
        (25_000_000, 400_000, 0x03),
        (33_000_000, 400_000, 0x04),
        (40_000_000, 400_000, 0x04),
        (50_000_000, 400_000, 0x06),
    ],
)
def test_init_programs_the_period(bus, clock_hz, speed_hz, period):
    model = Model()
    bus(model, speed_hz, clock_hz)
    assert model.regs[MTPR] == period
    assert model.regs[MCR] == 0x10


@pytest.mark.parametrize(("clock_hz", "speed_hz"), [(2_000_000, 400_000), (50_000_000, 9_000)])
def test_init_refuses_a_speed_out_of_reach(load, clock_hz, speed_hz):
    device = load("stellaris_i2c", Model(), clock_hz=clock_hz, speed_hz=speed_hz)
    assert device.init() == EINVAL


@pytest.mark.parametrize(
    ("out", "data", "trace"),
    [
        (b"\x01", b"", "S 48w 01 P"),
        (b"\x01\x60", b"", "S 48w 01 60 P"),
        (b"\x01\x02\x03", b"", "S 48w 01 02 03 P"),
        (b"", b"\x19", "S 48r 19N P"),
        (b"", b"\x19\x80", "S 48r 19A 80N P"),
        (b"\x00", b"\x19\x80\x55", "S 48w 00 Sr 48r 19A 80A 55N P"),
        (b"\x00\x07", b"\x19", "S 48w 00 07 Sr 48r 19N P"),
    ],
)
def test_a_transfer_on_the_wire(bus, out, data, trace):
    model = Model(data)
    assert transfer(bus(model), DEVICE, out, len(data)) == (OK, data)
    assert " ".join(model.trace) == trace


@pytest.mark.parametrize(
    ("out", "in_len", "trace"),
    [(b"\x01", 0, "S 22w P"), (b"\x01\x02", 0, "S 22w P"), (b"", 2, "S 22r P")],
)
def test_nobody_at_the_address_ends_with_a_stop(bus, out, in_len, trace):
    model = Model(b"\1\2")
    assert transfer(bus(model), 0x22, out, in_len)[0] == EIO
    assert " ".join(model.trace) == trace
    assert model.state == "idle"


@pytest.mark.parametrize(("at", "trace"), [(1, "S 48w P"), (2, "S 48w 01 P"), (3, "S 48w 01 02 P")])
def test_a_refused_byte_ends_with_a_stop(bus, at, trace):
    model = Model(nack_data_at=at)
    assert transfer(bus(model), DEVICE, b"\1\2\3")[0] == EIO
    assert " ".join(model.trace) == trace


def test_a_lost_arbitration_leaves_the_bus_alone(bus):
    model = Model(lose_at=2)
    assert transfer(bus(model), DEVICE, b"\1\2\3")[0] == EIO
    assert model.trace == ["S", "48w", "01"]  # no STOP: the bus is another master's


def test_the_next_transfer_after_an_error_works(bus):
    model = Model(b"\x42", nack_data_at=1)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1")[0] == EIO
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


@pytest.mark.parametrize("stuck", [BUSY, BUSBSY])
def test_a_held_bus_times_out_and_restarts_the_master(bus, stuck):
    model = Model(b"\x42")
    device = bus(model)
    model.stuck = stuck
    assert transfer(device, DEVICE, b"", 1)[0] == ETIMEDOUT
    assert model.enables[-2:] == [0, 0x10]
    model.stuck = 0
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


GPIO, SCL, SDA = 0x1000, 2, 3
DIR, AFSEL, ALL_PINS = GPIO + 0x400, GPIO + 0x420, GPIO + 0x3FC


class Held(Model):
    """A device that was cut off within a byte: it holds SDA low for so many clocks of SCL. A START
    loses arbitration then (datasheet, Arbitration). The pins are open drain."""

    def __init__(self, clocks, data=b"", busy=False):
        super().__init__(data)
        self.clocks, self.busy = clocks, busy
        self.directions, self.alternate, self.latch = 0x80, 0x8C, 0xFF
        self.pins, self.moving, self.looks = [], False, 0

    def levels(self):
        low = self.directions & ~self.alternate & ~self.latch
        return ~low & ~(bool(self.clocks) << SDA) & 0xFF

    def read(self, offset):
        if offset < GPIO:
            held = bool(self.clocks) and self.busy and self.regs[MCR]
            return BUSBSY if offset == MCS and held else super().read(offset)
        if offset <= ALL_PINS:
            self.looks += 1
            clock = self.moving and self.looks // 5 % 2  # another master's
            return self.levels() & ~(clock << SCL) & (offset - GPIO) >> 2
        return {DIR: self.directions, AFSEL: self.alternate}[offset]

    def write(self, offset, value):
        if offset < GPIO:
            return super().write(offset, value)
        assert not self.regs[MCR], "the master has the pins"
        before = self.levels()
        if offset <= ALL_PINS:  # only outputs take it
            mask = (offset - GPIO) >> 2 & self.directions
            self.latch = self.latch & ~mask | value & mask
        elif offset == DIR:
            self.directions = value
        else:
            assert offset == AFSEL
            self.alternate = value
        for name, pin in (("C", SCL), ("D", SDA)):
            if (before ^ self.levels()) & 1 << pin:
                rises = bool(self.levels() & 1 << pin)
                self.pins.append(name + "-+"[rises])
                if pin == SCL and rises and self.clocks:
                    self.clocks -= 1

    def command(self, value):
        if self.clocks and value & START:
            self.status, self.wait, self.state = ERROR | ARBLST, self.polls, "idle"
            return
        super().command(value)


def recoveries(device):
    return ctypes.c_uint32.in_dll(device.lib, "ek_counters").value


@pytest.fixture
def pins(load):
    def make(model, **props):
        props = {"gpio": BASE + GPIO, "scl_pin": SCL, "sda_pin": SDA} | props
        device = load("stellaris_i2c", model, clock_hz=50_000_000, **props)
        assert device.init() == OK
        return device

    return make


@pytest.mark.parametrize(("busy", "status"), [(False, EIO), (True, ETIMEDOUT)])
@pytest.mark.parametrize("clocks", [1, 5, 9])
def test_a_held_bus_is_clocked_free_for_the_next_transfer(pins, clocks, busy, status):
    model = Held(clocks, b"\x42", busy)
    device = pins(model)
    assert transfer(device, DEVICE, b"", 1)[0] == status
    assert model.pins == ["C-", "C+"] * clocks + ["D+", "C-", "D-", "C+", "D+"]  # then a STOP
    assert (model.directions, model.alternate) == (0x80, 0x8C)  # the master's again
    assert recoveries(device) == 1
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


def test_a_bus_that_nothing_frees_is_not_counted(pins):
    model = Held(10**9)
    device = pins(model)
    for _ in range(2):
        assert transfer(device, DEVICE, b"\1")[0] == EIO
    assert model.pins.count("C-") == 2 * (9 + 1)
    assert recoveries(device) == 0


def test_another_masters_bus_is_left_alone(pins):
    model = Held(5)
    model.moving = True
    device = pins(model)
    assert transfer(device, DEVICE, b"\1")[0] == EIO
    assert model.pins == []


def test_a_lost_arbitration_on_a_free_bus_is_no_recovery(pins):
    model = Held(0)
    model.lose_at = 1
    device = pins(model)
    assert transfer(device, DEVICE, b"\1")[0] == EIO
    assert model.pins == []
    assert recoveries(device) == 0


def test_without_the_pins_a_held_bus_is_only_said(pins):
    model = Held(5)
    device = pins(model, gpio=0)
    assert transfer(device, DEVICE, b"\1")[0] == EIO
    assert model.pins == []
