"""SBCon I2C master against a model of its two open-drain lines and of a bus with one device on it.

The device follows NXP UM10204: it looks at levels and edges, as a bus analyser does, and the times
between them are compared with table 10. Registers: Arm DUI 0224, two-wire serial bus interface.
"""

import ctypes
import itertools

import pytest

RELEASE, PULL = 0x00, 0x04
SCL, SDA = 1, 2
OK, EIO, ETIMEDOUT = 0, -2, -3
DEVICE = 0x48
LOOKS_PER_US = 4  # of the clock: a processor that needs 250 ns for one
LOOKS_PER_ACCESS = 3  # to a register, so that phases of the clock differ


class Model:
    """`trace` is what a bus analyser shows, `edges` are (time in us, line, level)."""

    def __init__(self, data=b"", nack_at=None, stretch_us=0, held_clocks=0, stuck=0):
        self.data, self.nack_at = list(data), nack_at
        self.stretch_us, self.held_clocks, self.stuck = stretch_us, held_clocks, stuck
        self.master = {SCL: True, SDA: True}
        self.device_sda = held_clocks == 0
        self.looks = self.stretched_to = self.clocks = 0
        self.trace, self.edges = [], []
        self.mode, self.shift, self.bits, self.bytes = "idle", 0, 0, 0
        self.level = {SCL: True, SDA: self.device_sda and not stuck & SDA}

    @property
    def now(self):
        return self.looks / LOOKS_PER_US

    def clock_us(self):
        self.looks += 1
        self.settle()
        return self.looks // LOOKS_PER_US

    def read(self, offset):
        assert offset == 0x00
        self.looks += LOOKS_PER_ACCESS
        self.settle()
        return sum(line for line in (SCL, SDA) if self.level[line])

    def write(self, offset, value):
        assert offset in (RELEASE, PULL)
        self.looks += LOOKS_PER_ACCESS
        for line in (SCL, SDA):
            if value & line:
                self.master[line] = offset == RELEASE
        self.settle()

    def settle(self):
        """Take over levels until nothing changes any more; the device answers to edges."""
        changed = True
        while changed:
            changed = False
            free = {SCL: self.now >= self.stretched_to, SDA: self.device_sda}
            for line in (SCL, SDA):
                level = self.master[line] and free[line] and not self.stuck & line
                if level != self.level[line]:
                    self.level[line] = level
                    self.edges.append((self.now, line, level))
                    self.edge(line, level)
                    changed = True

    def edge(self, line, level):
        if line == SDA:
            if self.level[SCL] and self.device_sda:
                self.stop() if level else self.start()
        elif self.held_clocks:
            self.held_clocks -= not level
            self.device_sda = self.held_clocks == 0
        elif level:
            self.rise()
        else:
            self.fall()

    def start(self):
        self.trace.append("S" if self.mode == "idle" else "Sr")
        self.mode, self.shift, self.bits = "address", 0, 0
        self.reading = False

    def stop(self):
        self.trace.append("P")
        self.mode = "idle"

    def rise(self):
        self.clocks += 1
        if self.mode == "idle":
            return
        self.bits += 1
        if self.bits == 9 and self.mode == "send":
            refused = self.level[SDA]
            self.trace[-1] += "N" if refused else "A"
            self.mode = "deaf" if refused else "send"
        elif self.bits <= 8:
            self.shift = self.shift << 1 | self.level[SDA]

    def fall(self):
        if self.mode == "idle" or self.bits == 0:
            return
        if self.bits < 8:
            if self.mode == "send":
                self.device_sda = bool(self.shift_out >> (7 - self.bits) & 1)
        elif self.bits == 8:
            self.device_sda = not self.byte_is_there()
        else:
            self.next_byte()

    def byte_is_there(self):
        """Whether the device pulls SDA low for the ninth clock."""
        byte, self.shift = self.shift & 0xFF, 0
        if self.mode == "send":
            self.trace.append(f"{byte:02x}")
            return False
        if self.mode == "address":
            self.trace.append(f"{byte >> 1:02x}{'r' if byte & 1 else 'w'}")
            self.mode = "deaf" if byte >> 1 != DEVICE else "read" if byte & 1 else "receive"
            return self.mode != "deaf"
        self.bytes += 1
        if self.mode == "receive":
            self.trace.append(f"{byte:02x}")
            self.mode = "deaf" if self.bytes == self.nack_at else "receive"
        return self.mode == "receive"

    def next_byte(self):
        self.bits, self.device_sda = 0, True
        if self.mode in ("read", "send"):
            self.mode = "send"
            self.shift_out = self.data.pop(0)
            self.device_sda = bool(self.shift_out >> 7)
        self.stretched_to = self.now + self.stretch_us


@pytest.fixture
def bus(load):
    def make(model, speed_hz=100_000):
        device = load("sbcon_i2c", model, speed_hz=speed_hz)
        assert device.init() == OK
        return device

    return make


def transfer(device, addr, out=b"", in_len=0):
    room = device.room(in_len + 4)
    status = device.transfer(addr, out, len(out), room, in_len)
    assert room.raw[in_len:] == b"\xee" * 4
    return status, room.raw[:in_len]


def recoveries(device):
    return ctypes.c_uint32.in_dll(device.lib, "ek_counters").value


def is_free(model):
    return model.level == {SCL: True, SDA: True} and model.mode == "idle"


@pytest.mark.parametrize(
    ("out", "data", "trace"),
    [
        (b"\x01", b"", "S 48w 01 P"),
        (b"\x01\x60", b"", "S 48w 01 60 P"),
        (b"\x00\xff\xaa\x55", b"", "S 48w 00 ff aa 55 P"),
        (b"", b"\x19", "S 48r 19N P"),
        (b"", b"\x19\x80", "S 48r 19A 80N P"),
        (b"", b"\x00\xff\xaa\x55", "S 48r 00A ffA aaA 55N P"),
        (b"\x00", b"\x19\x80\x55", "S 48w 00 Sr 48r 19A 80A 55N P"),
    ],
)
def test_a_transfer_on_the_wire(bus, out, data, trace):
    model = Model(data)
    assert transfer(bus(model), DEVICE, out, len(data)) == (OK, data)
    assert " ".join(model.trace) == trace
    assert is_free(model)


@pytest.mark.parametrize("addr", [0x00, 0x22, 0x49, 0x7F])
@pytest.mark.parametrize(
    ("out", "in_len", "way"), [(b"\1", 0, "w"), (b"\1\2", 2, "w"), (b"", 2, "r")]
)
def test_nobody_at_the_address_ends_with_a_stop(bus, addr, out, in_len, way):
    model = Model(b"\1\2")
    assert transfer(bus(model), addr, out, in_len)[0] == EIO
    assert " ".join(model.trace) == f"S {addr:02x}{way} P"
    assert is_free(model)


@pytest.mark.parametrize(("at", "trace"), [(1, "S 48w 01 P"), (2, "S 48w 01 02 P")])
def test_a_refused_byte_ends_with_a_stop(bus, at, trace):
    model = Model(b"\x42", nack_at=at)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1\2\3")[0] == EIO
    assert " ".join(model.trace) == trace
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


def clock_times(model):
    """Shortest low time, shortest high time, shortest period of SCL, in us."""
    clock = [(at, level) for at, line, level in model.edges if line == SCL]
    gaps = [(then - at, level) for (at, level), (then, _) in itertools.pairwise(clock)]
    falls = [at for at, level in clock if not level]
    shortest = [min(gap for gap, high in gaps if high == wanted) for wanted in (False, True)]
    return *shortest, min(b - a for a, b in itertools.pairwise(falls))


def conditions(model):
    """(name, what was before, us since then, what comes after, us until then) of each start and
    stop; "clock": an edge of SCL."""
    found, before, scl = [], ("", 0.0), True
    for (at, line, level), (then, _, _) in itertools.pairwise([*model.edges, (1e9, 0, 0)]):
        name = "clock"
        if line == SCL:
            scl = level
        elif scl:
            name = "stop" if level else "start"
            found.append((name, before[0], at - before[1], then - at))
        if line == SCL or scl:
            before = (name, at)
    return found


@pytest.mark.parametrize(
    ("speed_hz", "low", "high", "start_hold", "start_setup", "stop_setup", "bus_free"),
    [  # UM10204, table 10: tLOW, tHIGH, tHD;STA, tSU;STA, tSU;STO, tBUF, in us
        (100_000, 4.7, 4.0, 4.0, 4.7, 4.0, 4.7),
        (400_000, 1.3, 0.6, 0.6, 0.6, 0.6, 1.3),
    ],
)
def test_times_on_the_bus(bus, speed_hz, low, high, start_hold, start_setup, stop_setup, bus_free):
    model = Model()
    device = bus(model, speed_hz)
    for _ in range(2):
        model.data = [0xA5, 0x5A]
        assert transfer(device, DEVICE, b"\x01\xaa", 2)[0] == OK
    shortest_low, shortest_high, period = clock_times(model)
    assert shortest_low >= low
    assert shortest_high >= high
    assert 1e6 / speed_hz <= period <= 1e6 / speed_hz + 8  # nor much slower: it keeps us busy
    names = []
    for name, before, since, until in conditions(model):
        names.append(name)
        if name == "stop":
            assert since >= stop_setup
        else:
            assert until >= start_hold
            assert not before or since >= (bus_free if before == "stop" else start_setup)
    assert names == ["start", "start", "stop"] * 2


def test_a_device_may_stretch_the_clock(bus):
    model = Model(b"\x19\x80", stretch_us=5000)
    assert transfer(bus(model), DEVICE, b"\x00", 2) == (OK, b"\x19\x80")
    assert " ".join(model.trace) == "S 48w 00 Sr 48r 19A 80N P"


def test_a_device_that_stretches_for_ever_is_given_up(bus):
    model = Model(b"\x19", stretch_us=10**9)
    device = bus(model)
    assert transfer(device, DEVICE, b"", 1)[0] == ETIMEDOUT
    assert model.now < 200_000
    model.stretched_to = model.stretch_us = 0
    model.mode, model.device_sda = "idle", True
    model.data = [0x42]
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


@pytest.mark.parametrize("clocks", [1, 5, 9])
def test_a_device_that_holds_the_data_line_is_clocked_off(bus, clocks):
    model = Model(b"\x42", held_clocks=clocks)
    device = bus(model)
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
    assert recoveries(device) == 1
    assert " ".join(model.trace) == "P S 48r 42N P"  # a stop before the start
    assert clock_times(model)[0] >= 4.7  # UM10204, table 10: tLOW


def test_a_data_line_that_stays_low_is_given_up_after_nine_clocks(bus):
    model = Model(held_clocks=1000)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1")[0] == ETIMEDOUT
    assert recoveries(device) == 0
    assert sum(line == SCL and not level for _, line, level in model.edges) == 9


@pytest.mark.parametrize("line", [SCL, SDA, SCL | SDA])
def test_a_line_that_is_shorted_times_out_and_leaves_both_released(bus, line):
    model = Model(b"\x42")
    device = bus(model)
    model.stuck = line
    model.settle()
    assert transfer(device, DEVICE, b"", 1)[0] == ETIMEDOUT
    assert model.master == {SCL: True, SDA: True}
    model.stuck = 0
    model.settle()
    model.trace.clear()
    model.mode = "idle"
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")


def test_init_releases_both_lines(bus):
    model = Model()
    model.master = {SCL: False, SDA: False}
    model.settle()
    bus(model)
    assert model.level == {SCL: True, SDA: True}
