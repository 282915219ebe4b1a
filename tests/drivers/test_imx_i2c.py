"""I2C master of i.MX and Kinetis against a model of its registers, its pins as GPIOs and a bus with
one device on it.

Written from the reference manuals of i.MX6UL (chapter I2C) and K64 (chapter I2C), and from UM10204
for the bus. Unlike QEMU's, this model loses arbitration, has a busy bus, and knows that the byte
after next is decided before a byte is read.
"""

import ctypes

import pytest
from driver_harness import BASE

IFDR, I2CR, I2SR, I2DR = 1, 2, 3, 4  # by number
IEN, MSTA, MTX, TXAK, RSTA = 0x80, 0x20, 0x10, 0x08, 0x04
ICF, IBB, IAL, IIF, RXAK = 0x80, 0x20, 0x10, 0x02, 0x01
OK, EINVAL, EIO, ETIMEDOUT = 0, -1, -2, -3
DEVICE = 0x48
GPIO, SCL_MUX, SDA_MUX = 0x1000, 0x2000, 0x2004
DR, GDIR, PSR = GPIO, GPIO + 4, GPIO + 8
SCL, SDA = 28, 29


class Model:
    """The master, and a bus that one device answers on. `trace` is what a bus analyser shows."""

    def __init__(self, data=b"", kinetis=False, nack_data_at=None, lose_at=None):
        self.step = 1 if kinetis else 4
        self.kinetis, self.data = kinetis, list(data)
        self.nack_data_at, self.lose_at = nack_data_at, lose_at
        self.control, self.divider, self.status = 0, 0, ICF | RXAK
        self.bus = "idle"  # "idle", "address", "send", "receive"
        self.shift, self.wait, self.bytes, self.trace = 0x00, 0, 0, []
        self.other_polls = 0  # another master has the bus for so many looks
        self.silent = False  # bytes never end
        self.held_clocks = 0  # a device holds SDA low for so many clocks of SCL
        self.gdir, self.psr = (GPIO + 0x14, GPIO + 0x10) if kinetis else (GDIR, PSR)
        self.function = 0x120 if kinetis else 0x15
        self.gpio = {DR: 0xFFFF_FFFF, self.gdir: 0, SCL_MUX: 0x12, SDA_MUX: 0x12}
        self.scl_low = False
        self.pins = []  # edges of SCL and SDA while they are GPIOs

    # The master's registers.

    def read8(self, offset):
        assert offset % self.step == 0
        reg = offset // self.step
        if reg == I2SR:
            return self.read_status()
        if reg == I2DR:
            return self.read_data()
        return {IFDR: self.divider, I2CR: self.control}[reg]

    def read_status(self):
        if self.wait:
            self.wait -= 1
            if self.wait == 0:
                self.status |= IIF | ICF
        busy = self.bus != "idle" or self.other_polls or self.held_clocks
        self.other_polls = max(self.other_polls - 1, 0)
        return self.status | (IBB if busy and self.control & IEN else 0)

    def write8(self, offset, value):
        assert offset % self.step == 0
        reg = offset // self.step
        if reg == IFDR:
            assert not self.control & IEN, "the divider changes while enabled"
            self.divider = value
        elif reg == I2SR:
            flags = IAL | IIF
            self.status &= ~(value & flags) if self.kinetis else ~flags | value
        elif reg == I2CR:
            self.write_control(value)
        elif reg == I2DR:
            self.put_on_wire(value)

    def write_control(self, value):
        before, self.control = self.control, value
        if not value & IEN:
            self.bus, self.status, self.wait = "idle", ICF | RXAK, 0
            self.trace += ["off"] if before & IEN else []
            return
        if value & RSTA:
            assert before & MSTA, "repeated start of a bus that is not ours"
            self.trace.append("Sr")
            self.bus = "address"
            self.control &= ~RSTA  # reads as 0
        elif value & MSTA and not before & MSTA:
            assert value & MTX, "start while receiving"
            if self.other_polls or self.held_clocks:
                return self.lose()
            self.trace.append("S")
            self.bus = "address"
        elif before & MSTA and not value & MSTA:
            self.trace.append("P")
            self.bus = "idle"

    def lose(self):
        self.status |= IAL | IIF
        self.control &= ~MSTA
        self.bus, self.other_polls = "idle", 3

    def put_on_wire(self, value):
        assert self.control & MSTA
        assert self.control & MTX
        assert self.bus in ("address", "send"), "written while receiving"
        assert not self.status & IIF, "the last byte's flag was not cleared"
        self.begin()
        if self.lose_at == self.bytes:
            return self.lose()
        if self.bus == "address":
            self.trace.append(f"{value >> 1:02x}{'r' if value & 1 else 'w'}")
            self.bus = "receive" if value & 1 else "send"
            refused = value >> 1 != DEVICE
        else:
            self.trace.append(f"{value:02x}")
            refused = self.nack_data_at == self.bytes
        self.status = self.status & ~RXAK | (RXAK if refused else 0)

    def begin(self):
        self.bytes += 1
        self.status &= ~ICF
        self.wait = 0 if self.silent else 3

    def read_data(self):
        old = self.shift
        if self.control & MSTA and self.bus == "receive":
            assert not self.control & MTX, "read while sending"
            assert not self.status & IIF, "the last byte's flag was not cleared"
            assert self.data, "one byte too many is clocked in"
            self.begin()
            self.shift = self.data.pop(0)
            self.trace.append(f"{self.shift:02x}{'N' if self.control & TXAK else 'A'}")
        return old

    # The pins as GPIOs.

    def read(self, offset):
        if offset == self.psr:
            sda_low = self.held_clocks > 0 or self.low(SDA)
            return (0 if self.low(SCL) else 1 << SCL) | (0 if sda_low else 1 << SDA)
        return self.gpio[offset]

    def low(self, pin):
        return bool(self.gpio[self.gdir] & 1 << pin) and not self.gpio[DR] & 1 << pin

    def write(self, offset, value):
        levels = self.low(SCL), self.low(SDA)
        self.gpio[offset] = value
        muxes = self.gpio[SCL_MUX], self.gpio[SDA_MUX]
        if offset != self.gdir or muxes != (self.function, self.function):
            return
        for name, was, now in zip(("C", "D"), levels, (self.low(SCL), self.low(SDA)), strict=True):
            if was != now:
                self.pins.append(name + ("-" if now else "+"))
                if name == "C" and not now:
                    self.held_clocks = max(self.held_clocks - 1, 0)


@pytest.fixture(params=[False, True], ids=["imx", "kinetis"])
def kinetis(request):
    return request.param


@pytest.fixture
def bus(load):
    def make(model, speed_hz=100_000, clock_hz=24_000_000, pins=False, status=OK):
        props = {"gpio": 0}
        if pins:
            props = {"gpio": BASE + GPIO, "scl_pin": SCL, "sda_pin": SDA}
            props |= {"scl_mux": BASE + SCL_MUX, "sda_mux": BASE + SDA_MUX}
            props |= {"gpio_function": model.function}
        props |= {"clock_hz": clock_hz, "speed_hz": speed_hz, "kinetis": model.kinetis}
        device = load("imx_i2c", model, **props)
        assert device.init() == status
        return device

    return make


def recoveries(device):
    return ctypes.c_uint32.in_dll(device.lib, "ek_counters").value


def transfer(device, addr, out=b"", in_len=0):
    room = device.room(in_len + 4)
    status = device.transfer(addr, out, len(out), room, in_len)
    assert room.raw[in_len:] == b"\xee" * 4
    return status, room.raw[:in_len]


@pytest.mark.parametrize(
    ("clock_hz", "speed_hz", "code"),  # IMX6ULRM, table "I2C_IFDR Register Field Values"
    [
        (24_000_000, 100_000, 0x0F),  # 240
        (24_000_000, 400_000, 0x06),  # 60
        (66_000_000, 100_000, 0x16),  # 660 is not there: 768
        (24_000_000, 10_000, 0x1D),  # 2400 is not there: 2560
        (2_000_000, 100_000, 0x20),  # 20 is not there: 22, the least
    ],
)
def test_init_programs_the_divider_of_imx(bus, clock_hz, speed_hz, code):
    model = Model()
    bus(model, speed_hz, clock_hz)
    assert model.divider == code
    assert model.control & IEN


@pytest.mark.parametrize(
    ("clock_hz", "speed_hz", "code"),  # K64, table "I2C divider and hold values", MULT 0
    [
        (20_971_520, 100_000, 0x22),  # 209.7: 224
        (60_000_000, 100_000, 0x2D),  # 600: 640
        (60_000_000, 400_000, 0x1D),  # 150: 160
        (2_000_000, 100_000, 0x00),  # 20
    ],
)
def test_init_programs_the_divider_of_kinetis(bus, clock_hz, speed_hz, code):
    model = Model(kinetis=True)
    bus(model, speed_hz, clock_hz)
    assert model.divider == code


def test_init_may_come_again(bus, kinetis):
    model = Model(kinetis=kinetis)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1")[0] == OK
    assert device.init() == OK  # every sensor on the bus does it
    assert transfer(device, DEVICE, b"\1")[0] == OK


def test_init_refuses_a_speed_out_of_reach(bus):
    bus(Model(), 10_000, 66_000_000, status=EINVAL)


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
def test_a_transfer_on_the_wire(bus, kinetis, out, data, trace):
    model = Model(data, kinetis)
    assert transfer(bus(model), DEVICE, out, len(data)) == (OK, data)
    assert " ".join(model.trace) == trace
    assert model.bus == "idle"


@pytest.mark.parametrize(("out", "in_len", "trace"), [(b"\1\2", 0, "S 22w P"), (b"", 2, "S 22r P")])
def test_nobody_at_the_address_ends_with_a_stop(bus, kinetis, out, in_len, trace):
    model = Model(b"\1\2", kinetis)
    assert transfer(bus(model), 0x22, out, in_len)[0] == EIO
    assert " ".join(model.trace) == trace


@pytest.mark.parametrize(("at", "trace"), [(2, "S 48w 01 P"), (3, "S 48w 01 02 P")])
def test_a_refused_byte_ends_with_a_stop(bus, kinetis, at, trace):
    model = Model(kinetis=kinetis, nack_data_at=at)
    assert transfer(bus(model), DEVICE, b"\1\2\3")[0] == EIO
    assert " ".join(model.trace) == trace


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_lost_arbitration_leaves_the_bus_alone_and_the_next_transfer_works(bus, kinetis, at):
    model = Model(b"\x42", kinetis, lose_at=at)
    device = bus(model)
    assert transfer(device, DEVICE, b"\1\2\3")[0] == EIO
    assert "P" not in model.trace  # the bus is another master's
    model.trace.clear()
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
    assert " ".join(model.trace) == "S 48r 42N P"


def test_another_masters_transfer_is_waited_for(bus, kinetis):
    model = Model(kinetis=kinetis)
    device = bus(model)
    model.other_polls = 50
    assert transfer(device, DEVICE, b"\1")[0] == OK
    assert " ".join(model.trace) == "S 48w 01 P"


def test_a_bus_that_stays_busy_times_out(bus, kinetis):
    model = Model(kinetis=kinetis)
    device = bus(model)
    model.held_clocks = 5
    assert transfer(device, DEVICE, b"\1")[0] == ETIMEDOUT
    assert "S" not in model.trace
    model.held_clocks = 0
    assert transfer(device, DEVICE, b"\1")[0] == OK


@pytest.mark.parametrize("clocks", [1, 5, 9])
def test_a_held_bus_is_clocked_free(bus, kinetis, clocks):
    model = Model(b"\x42", kinetis)
    device = bus(model, pins=True)
    model.held_clocks = clocks
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
    assert model.pins == ["C-", "C+"] * clocks + ["C-", "D-", "C+", "D+"]  # then a STOP
    assert (model.gpio[SCL_MUX], model.gpio[SDA_MUX]) == (0x12, 0x12)  # the master's again
    assert model.gpio[model.gdir] == 0
    assert recoveries(device) == 1


def test_a_bus_that_nothing_frees_is_said_every_time(bus, kinetis):
    model = Model(kinetis=kinetis)
    device = bus(model, pins=True)
    model.held_clocks = 10**9
    for _ in range(2):
        assert transfer(device, DEVICE, b"\1")[0] == ETIMEDOUT
    assert model.pins.count("C-") == 2 * (9 + 1)
    assert recoveries(device) == 0


def test_a_restart_of_the_master_alone_is_no_recovery(bus, kinetis):
    model = Model(b"\x42", kinetis)
    device = bus(model, pins=True)
    model.silent = True
    assert transfer(device, DEVICE, b"", 1)[0] == ETIMEDOUT
    assert recoveries(device) == 0


def test_other_pins_of_the_port_are_left_alone(bus, kinetis):
    model = Model(kinetis=kinetis)
    model.gpio |= {model.gdir: 0x0000_00F0, DR: 0x0000_0050}
    device = bus(model, pins=True)
    model.held_clocks = 3
    assert transfer(device, DEVICE, b"\1")[0] == OK
    assert (model.gpio[model.gdir], model.gpio[DR]) == (0x0000_00F0, 0x0000_0050)


def test_a_byte_that_never_ends_restarts_the_master(bus, kinetis):
    model = Model(b"\x42", kinetis)
    device = bus(model)
    model.silent = True
    assert transfer(device, DEVICE, b"", 1)[0] == ETIMEDOUT
    assert "off" in model.trace
    model.silent = False
    assert transfer(device, DEVICE, b"", 1) == (OK, b"\x42")
