"""MCP9808 driver against a model of the sensor on an I2C bus, written from Microchip DS25095A."""

import pytest

OK, EIO, ETIMEDOUT = 0, -2, -3
ADDR = 0x18
CONFIG, AMBIENT, MANUFACTURER, DEVICE, RESOLUTION = 1, 5, 6, 7, 8  # (Register 5-1)
SHUTDOWN = 1 << 8  # (Register 5-2)
# At 0.0625 degrees typically 250 ms (5.2.4); the datasheet has no maximum, so twice that.
CONVERSION_US = 500_000

# The datasheet has no table of codes. These are its bits' weights (Register 5-4: 12 the sign in
# two's complement, 11 to 0 from 128 to 1/16 degree) summed by hand, below the alert flags that a
# sensor shows with the limits of power-up, all 0 degrees: 15 and 14 above 0, 15 at 0, 13 below.
TABLE = [
    (0xCFFF, 255_938),  # 255.9375, the end of the scale
    (0xC7D0, 125_000),  # 64 + 32 + 16 + 8 + 4 + 1; the end of the range of operation
    (0xC200, 32_000),
    (0xC194, 25_250),  # 16 + 8 + 1 + 1/4
    (0xC001, 63),  # 0.0625
    (0x8000, 0),
    (0x3FFF, -63),  # -0.0625
    (0x3FFC, -250),
    (0x3E6C, -25_250),  # -256 + 128 + 64 + 32 + 4 + 2 + 1/2 + 1/4
    (0x3D80, -40_000),  # -256 + 128 + 64 + 16 + 8; the other end of the range
    (0x3000, -256_000),
]


class Model:
    """The sensor's registers as at power-up, and its pointer; `fails`: transfers that fail."""

    def __init__(self, ambient: int = 0, fails: dict[int, int] | None = None) -> None:
        self.ambient, self.fails = ambient, fails or {}
        self.addr, self.count, self.writes = ADDR, 0, 0
        self.maker, self.device = 0x0054, 0x0400
        self.power_up()

    def power_up(self) -> None:
        self.config, self.resolution, self.pointer = 0, 3, 0

    def transfer(self, addr: int, out: bytes, in_len: int) -> bytes | int:
        self.count += 1
        if addr != self.addr:
            return EIO
        if self.count in self.fails:
            return self.fails[self.count]
        if out:
            self.pointer = out[0]
        if len(out) > 1:
            self.write(out[1:])
        return self.read(in_len) if in_len else b""

    def write(self, data: bytes) -> None:
        self.writes += 1
        if self.pointer == CONFIG and len(data) == 2:
            self.config = int.from_bytes(data, "big")
        elif self.pointer == RESOLUTION and len(data) == 1:
            self.resolution = data[0]
        else:
            raise AssertionError(f"{data!r} to register {self.pointer}")

    def read(self, length: int) -> bytes:
        registers = {
            CONFIG: self.config,
            AMBIENT: self.ambient,
            MANUFACTURER: self.maker,
            DEVICE: self.device,
        }
        assert self.pointer in registers, f"register {self.pointer} is read"
        return registers[self.pointer].to_bytes(2, "big")[:length]


@pytest.fixture
def sensor(load):
    def make(model, addr=ADDR):
        return load("mcp9808", model, addr=addr, channel=7)

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


@pytest.mark.parametrize("flags", [0, 1 << 13, 1 << 14, 1 << 15, 7 << 13])
@pytest.mark.parametrize(("code", "millidegrees"), [(0x0194, 25_250), (0x1E6C, -25_250)])
def test_alert_flags_are_no_part_of_the_temperature(sensor, flags, code, millidegrees):
    device = ready(sensor(Model(flags | code)))
    device.poll()
    assert device.reports == [(7, millidegrees, 0, OK)]


def test_init_wakes_a_sensor_that_is_shut_down_and_asks_for_the_finest_resolution(sensor):
    model = Model()
    model.config, model.resolution = SHUTDOWN | 0x0008, 0  # and its alert output on
    assert sensor(model).init() == OK
    assert (model.config, model.resolution) == (0, 3)  # (Registers 5-2 and 5-7)


def test_the_first_reading_waits_for_the_first_conversion(sensor):
    model = Model(0)
    device = sensor(model)
    assert device.init() == OK
    device.poll()
    device.advance(CONVERSION_US - 1_000)
    device.poll()  # under way: ignored
    assert device.reports == []
    model.ambient = 0xC194
    device.advance(1_000)
    assert device.reports == [(7, 25_250, 0, OK)]


def test_a_poll_is_one_transfer(sensor):
    model = Model(0xC194)
    device = ready(sensor(model))
    before = model.count
    device.poll()
    assert model.count == before + 1


def test_a_sensor_that_lost_its_power_is_read_rightly(sensor):
    model = Model(0xC194)
    device = ready(sensor(model))
    device.poll()
    model.power_up()
    device.poll()
    assert device.reports == [(7, 25_250, 0, OK)] * 2


@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_a_failing_bus_is_reported_and_the_next_poll_works(sensor, status):
    model = Model(0xC194)
    device = ready(sensor(model))
    model.fails = {model.count + 1: status}
    device.poll()
    device.poll()
    assert [r[3] for r in device.reports] == [status, OK]
    assert device.reports[1][1] == 25_250


@pytest.mark.parametrize("step", [1, 2, 3, 4])  # transfers; the others work
@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_init_reports_the_buss_error_at_every_step(sensor, status, step):
    assert sensor(Model(fails={step: status})).init() == status


@pytest.mark.parametrize(
    ("maker", "device"),
    [(0x0055, 0x0400), (0x0154, 0x0400), (0x0054, 0x0500), (0x0054, 0x0004), (0xFFFF, 0xFFFF)],
)
def test_init_refuses_another_chip_and_writes_nothing_to_it(sensor, maker, device):
    model = Model()
    model.maker, model.device = maker, device
    assert sensor(model).init() == EIO
    assert model.writes == 0


def test_init_takes_every_revision(sensor):
    model = Model()
    model.device = 0x04FF
    assert sensor(model).init() == OK


def test_the_address_is_the_one_of_the_gateway_file(sensor):
    model = Model(0xC194)
    model.addr = 0x1F  # A2, A1 and A0 high (Table 3-2)
    assert sensor(model, addr=0x18).init() == EIO
    device = ready(sensor(model, addr=0x1F))
    device.poll()
    assert device.reports == [(7, 25_250, 0, OK)]
