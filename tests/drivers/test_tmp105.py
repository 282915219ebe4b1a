"""TMP105 driver against a model of the sensor on an I2C bus, written from TI SBOS648."""

import pytest

OK, EIO, ETIMEDOUT = 0, -2, -3
ADDR = 0x48
CONVERSION_US = 300_000  # of 12 bits, the most (SBOS648, Electrical Characteristics)

# Digital output of 12-bit conversions: the datasheet's table "Temperature Data Format", and the
# ends of the scale.
TABLE = [
    (0x7FF0, 127_938),  # 127.9375
    (0x6400, 100_000),
    (0x5000, 80_000),
    (0x4B00, 75_000),
    (0x3200, 50_000),
    (0x1900, 25_000),
    (0x0040, 250),
    (0x0010, 63),  # 0.0625
    (0x0000, 0),
    (0xFFF0, -63),  # -0.0625
    (0xFFC0, -250),
    (0xE700, -25_000),
    (0xC900, -55_000),
]


class Model:
    """The sensor's registers; the pointer keeps its value between transfers."""

    def __init__(self, raw: int = 0, fails: int = 0, fail_at: int = 0, configurable: bool = True):
        self.raw, self.config, self.pointer = raw, 0, 0
        self.fails, self.fail_at, self.configurable = fails, fail_at, configurable
        self.count = 0

    def transfer(self, addr: int, out: bytes, in_len: int) -> bytes | int:
        self.count += 1
        if addr != ADDR:
            return EIO
        if self.fails and self.count > self.fail_at:
            return self.fails
        if out:
            self.pointer = out[0]
        if len(out) == 2 and self.pointer == 1 and self.configurable:
            self.config = out[1]
        data = self.raw.to_bytes(2, "big") if self.pointer == 0 else bytes([self.config])
        return data[:in_len]


@pytest.fixture
def sensor(load):
    def make(model, addr=ADDR):
        return load("tmp105", model, addr=addr, channel=7)

    return make


def ready(device):
    assert device.init() == OK
    device.advance(CONVERSION_US)
    return device


@pytest.mark.parametrize(("raw", "millidegrees"), TABLE)
def test_a_reading_is_the_datasheets_temperature(sensor, raw, millidegrees):
    device = ready(sensor(Model(raw)))
    device.poll()
    assert device.reports == [(7, millidegrees, 0, OK)]


def test_init_asks_for_twelve_bits_in_continuous_mode(sensor):
    model = Model()
    assert sensor(model).init() == OK
    assert model.config == 0x60  # R1 R0 = 11, SD = 0, OS = 0
    assert model.pointer == 0  # left at the temperature


def test_the_first_reading_waits_for_the_first_conversion(sensor):
    model = Model(0)  # after power-up the register reads 0 until then
    device = sensor(model)
    assert device.init() == OK
    device.poll()
    device.poll()  # under way: ignored
    assert device.reports == []
    model.raw = 0x1900
    device.advance(CONVERSION_US)
    assert device.reports == [(7, 25_000, 0, OK)]


def test_a_poll_is_one_transfer(sensor):
    model = Model(0x1900)
    device = ready(sensor(model))
    before = model.count
    device.poll()
    assert model.count == before + 1


@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_a_failing_bus_is_reported_and_the_next_poll_works(sensor, status):
    model = Model(0x1900)
    device = ready(sensor(model))
    model.fails = status
    device.poll()
    model.fails = 0
    device.poll()
    assert [r[3] for r in device.reports] == [status, OK]
    assert device.reports[1][1] == 25_000


@pytest.mark.parametrize("fail_at", [0, 1, 2])
@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_init_reports_the_buss_error_at_every_step(sensor, status, fail_at):
    assert sensor(Model(fails=status, fail_at=fail_at)).init() == status


def test_init_refuses_a_device_that_does_not_keep_its_configuration(sensor):
    assert sensor(Model(configurable=False)).init() == EIO


def test_the_address_is_the_one_of_the_gateway_file(sensor):
    assert sensor(Model(), addr=0x49).init() == EIO
