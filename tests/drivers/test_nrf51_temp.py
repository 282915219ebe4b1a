"""nRF51 thermometer against a model with the anomalies 28 to 31 of Nordic's PAN 028."""

import ctypes

import pytest

START, STOP, DATARDY, INTENCLR, OFFSET, TEMP = 0x000, 0x004, 0x100, 0x308, 0x504, 0x508
OK, ETIMEDOUT = 0, -3


class Model:
    def __init__(self, quarters=0, dead=False):
        self.quarters, self.dead, self.now = quarters, dead, 0
        self.powered = self.ready = False
        self.value, self.offset, self.due = 0, None, 0

    def clock_us(self):
        self.now += 5
        return self.now

    def read(self, offset):
        if offset == DATARDY:
            if self.powered and not self.dead and self.now >= self.due and not self.ready:
                assert self.offset == 0, "31: the offset has to be loaded by hand"
                self.ready, self.value = True, self.quarters & 0x3FF  # 28: ten bits, no sign
            return int(self.ready)
        assert offset == TEMP
        return self.value

    def write(self, offset, value):
        if offset == START:
            self.powered, self.due = True, self.now + 35
        elif offset == STOP:
            self.powered, self.value = False, 0  # 29: it clears the value; 30: nothing else does
        elif offset == DATARDY:
            self.ready = bool(value)
        elif offset == OFFSET:
            self.offset = value
        else:
            assert (offset, value) == (INTENCLR, 0xFFFF_FFFF)


@pytest.fixture
def sensor(load):
    def make(model):
        device = load("nrf51_temp", model, base=0x1000_0000, channel=3)
        assert device.init() == OK
        return device

    return make


@pytest.mark.parametrize("celsius", [0, 25, 25.25, 21.5, 84.75, 127.75, -0.25, -10.5, -25, -128])
def test_a_reading_is_the_temperature_in_hundredths(sensor, celsius):
    device = sensor(Model(int(celsius * 4)))
    device.poll()
    assert device.reports == [(3, int(celsius * 100), 0, OK)]
    assert not device.model.powered


def test_every_poll_measures_anew(sensor):
    device = sensor(Model(100))
    device.poll()
    device.model.quarters = 104
    device.poll()
    assert [value for _, value, _, _ in device.reports] == [2500, 2600]


def test_a_dead_one_is_reported_once_a_poll_and_tried_again(sensor):
    device = sensor(Model(100, dead=True))
    device.poll()
    assert [r[3] for r in device.reports] == [ETIMEDOUT]
    assert not device.model.powered
    device.model.dead = False
    device.poll()
    assert device.reports[1:] == [(3, 2500, 0, OK)]


@pytest.mark.parametrize(
    ("raw", "hundredths"), [(0x1FF, 12775), (0x200, -12800), (0x3FF, -25), (0xFFFF_FC64, 2500)]
)
def test_decoding_believes_ten_bits(sensor, raw, hundredths):
    decode = sensor(Model()).lib.nrf51_temp_decode
    decode.argtypes, decode.restype = [ctypes.c_uint32], ctypes.c_int32
    assert decode(raw) == hundredths
