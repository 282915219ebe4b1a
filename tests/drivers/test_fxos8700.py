"""FXOS8700CQ driver against a model of the chip on an I2C bus, written from the data sheet of NXP:
settings take effect in standby only, a result is new until read, power-up forgets everything."""

import ctypes

import pytest

OK, EIO, ETIMEDOUT = 0, -2, -3
ADDR = 0x1D
CLAMPED = 2
STATUS, SYSMOD, WHO_AM_I, XYZ_DATA_CFG = 0x00, 0x0B, 0x0D, 0x0E
CTRL_REG1, M_DR_STATUS, M_CTRL_REG1 = 0x2A, 0x32, 0x5B
READY_US = 25_000

# Counts of 14 bits at 2 g, and m/s2 with four decimals: 1 g is 4096 counts, 9.80665 m/s2.
ACCELERATION = [
    (0, 0),
    (1, 24),  # 0.0023942
    (-1, -24),
    (2, 48),
    (5, 120),  # 0.011971
    (4096, 98_067),  # 98066.5: half away from zero
    (-4096, -98_067),
    (2048, 49_033),
    (8190, 196_085),
    (-8190, -196_085),
]


class Model:
    """The chip. `fail_at`: which transfer from now on fails, with `failure`."""

    def __init__(self, identity=0xC7):
        self.identity = identity
        self.there, self.fail_at, self.failure, self.count = True, None, EIO, 0
        self.accel, self.mag = [0, 0, 0], [0, 0, 0]
        self.stuck = False
        self.power_up()

    def power_up(self):
        self.regs = dict.fromkeys(range(0x80), 0)
        self.regs |= {0x2B: 0x00, 0x0F: 0x80}
        self.fresh, self.setups = {STATUS: 0, M_DR_STATUS: 0}, 0

    def active(self):
        return bool(self.regs[CTRL_REG1] & 1)

    def convert(self):
        """One period passes."""
        if self.active() and not self.stuck:
            both = self.regs[M_CTRL_REG1] & 3
            self.fresh[STATUS] = 7 if both in (0, 3) else 0
            self.fresh[M_DR_STATUS] = 7 if both in (1, 3) else 0

    def byte(self, reg):
        for base, values, left in ((STATUS, self.accel, 2), (M_DR_STATUS, self.mag, 0)):
            if reg == base:
                return self.fresh[base] | (8 if self.fresh[base] == 7 else 0) | 0xF0  # overwritten
            if base < reg <= base + 6:
                axis, low = divmod(reg - base - 1, 2)
                raw = values[axis] << left & 0xFFFF
                self.fresh[base] &= ~(1 << axis)
                return raw & 0xFF if low else raw >> 8
        if reg == SYSMOD:
            return 1 if self.active() else 0
        return self.identity if reg == WHO_AM_I else self.regs[reg]

    def transfer(self, addr, out, in_len):
        self.count += 1
        if addr != ADDR or not self.there:
            return EIO
        if self.fail_at is not None and self.count > self.fail_at:
            return self.failure
        reg = out[0]
        if len(out) == 2:
            assert reg == CTRL_REG1 or not self.active(), "set while it measures"
            self.setups += reg == CTRL_REG1 and out[1] & 1
            self.regs[reg] = out[1]
            if reg == CTRL_REG1 and not out[1] & 1:
                self.fresh = {STATUS: 0, M_DR_STATUS: 0}
            return b""
        return bytes(self.byte(reg + i) for i in range(in_len))


@pytest.fixture
def sensor(load):
    def make(model, quantity="accel_x", addr=ADDR):
        return load("fxos8700", model, addr=addr, channel=7, quantity=quantity)

    return make


def ready(device, model):
    assert device.init() == OK
    model.convert()
    return device


def restarts(device):
    counters = ctypes.c_uint32.in_dll(device.lib, "ek_counters")
    return ctypes.c_uint32.from_address(ctypes.addressof(counters) + 4).value


def test_init_sets_it_up_for_both_at_2_g(sensor):
    model = Model()
    assert sensor(model).init() == OK
    assert model.regs[CTRL_REG1] == 0x11  # 200 Hz, halved by the hybrid mode; active
    assert model.regs[XYZ_DATA_CFG] == 0
    assert model.regs[M_CTRL_REG1] & 3 == 3  # both
    assert model.regs[M_CTRL_REG1] & 0xE0 == 0  # no calibration, no reset pulse


@pytest.mark.parametrize(("counts", "value"), ACCELERATION)
def test_acceleration(sensor, counts, value):
    model = Model()
    model.accel = [counts, 0, 0]
    device = ready(sensor(model), model)
    device.poll()
    assert device.reports == [(7, value, 0, OK)]


@pytest.mark.parametrize("counts", [0, 1, -1, 500, -500, 11_999, -11_999])
def test_a_magnetic_field_counts_tenths_of_a_microtesla(sensor, counts):
    model = Model()
    model.mag = [counts, 0, 0]
    device = ready(sensor(model, "mag_x"), model)
    device.poll()
    assert device.reports == [(7, counts, 0, OK)]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_axis_is_its_own(sensor, axis):
    model = Model()
    model.accel, model.mag = [4096, 2048, -4096], [10, -20, 30]
    device = ready(sensor(model, f"accel_{'xyz'[axis]}"), model)
    device.poll()
    assert device.reports[0][1] == [98_067, 49_033, -98_067][axis]
    device = ready(sensor(model, f"mag_{'xyz'[axis]}"), model)
    device.poll()
    assert device.reports[0][1] == model.mag[axis]


@pytest.mark.parametrize(
    ("quantity", "counts"),
    [("accel_x", 8191), ("accel_x", -8192), ("mag_x", 12_000), ("mag_x", -12_001)],
)
def test_the_end_of_the_range_is_said(sensor, quantity, counts):
    model = Model()
    model.accel = model.mag = [counts, 0, 0]
    device = ready(sensor(model, quantity), model)
    device.poll()
    assert device.reports[0][2:] == (CLAMPED, OK)


def test_the_second_sensor_of_a_chip_does_not_disturb_the_first(sensor):
    model = Model()
    first = ready(sensor(model, "accel_x"), model)
    second = sensor(model, "mag_z")
    assert second.init() == OK
    assert model.setups == 1
    first.poll()
    second.poll()
    assert [d.reports[0][3] for d in (first, second)] == [OK, OK]


def test_the_first_result_is_waited_for(sensor):
    model = Model()
    model.accel = [4096, 0, 0]
    device = sensor(model)
    assert device.init() == OK
    device.poll()
    count = model.count
    device.poll()  # under way: ignored
    assert (device.reports, model.count) == ([], count)
    model.convert()
    device.advance(READY_US)
    assert device.reports == [(7, 98_067, 0, OK)]


def test_a_chip_that_stopped_converting_is_said(sensor):
    model = Model()
    device = sensor(model)
    assert device.init() == OK
    model.stuck = True
    device.poll()
    device.advance(READY_US)
    assert device.reports == [(7, 0, 0, EIO)]
    model.stuck = False
    model.convert()
    device.poll()
    assert device.reports[1][3] == OK


@pytest.mark.parametrize("identity", [0x00, 0xC4, 0xC8, 0xFF])
def test_another_chip_at_the_address_is_refused(sensor, identity):
    model = Model(identity)
    device = sensor(model)
    assert device.init() == EIO
    device.poll()
    assert [r[3] for r in device.reports] == [EIO]
    assert model.setups == 0


def test_a_chip_that_vanishes_and_returns_is_set_up_anew(sensor):
    model = Model()
    model.accel = [2048, 0, 0]
    device = ready(sensor(model), model)
    model.there = False
    device.poll()
    model.there = True
    model.power_up()
    device.poll()
    model.convert()
    device.advance(READY_US)
    assert [r[1:4:2] for r in device.reports] == [(0, EIO), (49_033, OK)]
    assert restarts(device) == 1
    assert model.regs[CTRL_REG1] == 0x11


@pytest.mark.parametrize(("reg", "value"), [(XYZ_DATA_CFG, 2), (M_CTRL_REG1, 0), (CTRL_REG1, 0x01)])
def test_other_settings_than_ours_are_replaced(sensor, reg, value):
    model = Model()
    device = ready(sensor(model), model)
    model.regs[reg] = value  # a brown-out, or another program before a reset
    device.poll()
    assert restarts(device) == 1
    model.convert()
    device.advance(READY_US)
    assert device.reports == [(7, 0, 0, OK)]


@pytest.mark.parametrize("fail_at", range(10))
@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_init_reports_the_buss_error_at_every_step(sensor, status, fail_at):
    model = Model()
    model.fail_at, model.failure = fail_at, status
    assert sensor(model).init() == status


@pytest.mark.parametrize("fail_at", range(4))
def test_a_failing_bus_is_reported_once_and_the_next_poll_works(sensor, fail_at):
    model = Model()
    device = ready(sensor(model), model)
    model.fail_at, model.failure = model.count + fail_at, ETIMEDOUT
    device.poll()
    model.fail_at = None
    model.convert()
    device.poll()
    assert [r[3] for r in device.reports] == [ETIMEDOUT, OK]


def test_a_bus_that_fails_while_it_waits_is_reported(sensor):
    model = Model()
    device = sensor(model)
    assert device.init() == OK
    device.poll()
    model.there = False
    device.advance(READY_US)
    assert [r[3] for r in device.reports] == [EIO]
