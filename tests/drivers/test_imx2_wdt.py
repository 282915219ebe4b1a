"""i.MX watchdog against a model of IMX6ULRM, chapter WDOG: what can be written once, half seconds,
the service sequence, the power-down counter."""

import pytest

WCR, WSR, WRSR, WICR, WMCR = 0x00, 0x02, 0x04, 0x06, 0x08
WDW, WDA, SRS, WDT, WDE, WDBG, WDZST = 1 << 7, 1 << 5, 1 << 4, 1 << 3, 1 << 2, 1 << 1, 1 << 0
ONCE = WDW | WDBG | WDZST
OK, EINVAL = 0, -1


class Model:
    """Counts when `pass_ms` says so. `events`: what it did to the board, in order."""

    def __init__(self, causes=0):
        self.wcr, self.wrsr, self.wmcr = WDA | SRS, causes, 1
        self.once_written = False
        self.left_ms, self.up_ms, self.half, self.events = 0, 0, False, []

    def read16(self, offset):
        return {WCR: self.wcr, WRSR: self.wrsr, WMCR: self.wmcr}[offset]

    def write16(self, offset, value):
        if offset == WCR:
            if not value & SRS:
                self.events.append("software reset")
            if not value & WDA:
                self.events.append("pin low")
            if self.once_written:
                value = value & ~ONCE | self.wcr & ONCE
            self.once_written = True
            starts = value & ~self.wcr & WDE
            self.wcr = value | self.wcr & (WDE | WDT)  # nothing but a reset clears these
            if starts:
                self.load()
        elif offset == WSR:
            if value == 0xAAAA and self.half:
                self.load()
            self.half = value == 0x5555
        else:
            assert offset == WMCR, f"write to {offset:#x}"
            self.wmcr = value

    def load(self):
        self.left_ms = ((self.wcr >> 8) + 1) * 500

    def pass_ms(self, ms):
        self.up_ms += ms
        if self.up_ms >= 16_000 and self.wmcr & 1:
            self.events.append("pin low")
        if self.wcr & WDE:
            self.left_ms -= ms
            if self.left_ms <= 0:
                self.events.append("reset with pin" if self.wcr & WDT else "reset")


def test_unfed_it_resets_the_chip_and_what_is_around_it(load):
    model = Model()
    assert load("imx2_wdt", model).start(8000) == OK
    model.pass_ms(7999)
    assert model.events == []
    model.pass_ms(1)
    assert model.events == ["reset with pin"]


def test_fed_it_keeps_quiet(load):
    model = Model()
    device = load("imx2_wdt", model)
    assert device.start(1000) == OK
    for _ in range(40):
        model.pass_ms(999)
        device.feed()
    assert model.events == []  # nor the power-down counter's, after 16 s


def test_it_goes_on_in_low_power_modes_and_waits_for_a_debugger(load):
    model = Model()
    assert load("imx2_wdt", model).start(1000) == OK
    assert model.wcr & ONCE == WDBG


@pytest.mark.parametrize(("first", "then"), [(1000, 4000), (8000, 500)])
def test_starting_again_changes_the_time(load, first, then):
    model = Model()
    device = load("imx2_wdt", model)
    assert device.start(first) == OK
    assert device.start(then) == OK
    model.pass_ms(then - 1)
    assert model.events == []
    model.pass_ms(1)
    assert model.events == ["reset with pin"]


@pytest.mark.parametrize(
    ("timeout_ms", "status", "resets_ms"),
    [
        (0, EINVAL, 0),
        (499, EINVAL, 0),
        (500, OK, 500),
        (1499, OK, 1000),
        (128_000, OK, 128_000),
        (128_499, OK, 128_000),
        (128_500, EINVAL, 0),
        (0xFFFF_FFFF, EINVAL, 0),
    ],
)
def test_it_resets_at_the_time_or_the_step_before(load, timeout_ms, status, resets_ms):
    model = Model()
    assert load("imx2_wdt", model).start(timeout_ms) == status
    if status == OK:
        model.wmcr = 0
        assert model.left_ms == resets_ms
    else:
        assert not model.wcr & WDE


@pytest.mark.parametrize(("causes", "expired"), [(0, 0), (1, 0), (2, 1), (0x10, 0), (0x12, 1)])
def test_the_cause_of_the_last_reset_is_told(load, causes, expired):
    assert load("imx2_wdt", Model(causes)).expired() == expired
