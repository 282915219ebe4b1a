"""CMSDK watchdog against a model of its counter and lock, from Arm DDI 0479, 4.4."""

import pytest

LOAD, VALUE, CONTROL, INTCLR, LOCK = 0x00, 0x04, 0x08, 0x0C, 0xC00
RESET_INFO = 0x2000
KEY = 0x1ACCE551
BASE = 0x1000_0000
OK, EINVAL, ENOENT = 0, -1, -5


class Model:
    """Counts when `pass_ms` says so, at `khz`. `events`: what it did to the board, in order."""

    def __init__(self, khz=25_000, causes=0):
        self.khz, self.causes = khz, causes
        self.load = self.value = 0xFFFF_FFFF
        self.control, self.locked, self.warned = 0, True, False
        self.events = []

    def read(self, offset):
        assert offset == RESET_INFO
        return self.causes

    def write(self, offset, value):
        if offset == RESET_INFO:
            self.causes &= ~value  # ones clear
            return
        if offset == LOCK:
            self.locked = value != KEY
            return
        assert not self.locked, "written while locked"
        if offset == LOAD:
            self.load = self.value = value
        elif offset == INTCLR:
            self.warned, self.value = False, self.load
        else:
            assert offset == CONTROL
            self.control = value

    def pass_ms(self, ms):
        ticks = ms * self.khz if self.control & 1 else 0  # INTEN also starts the counter
        while ticks >= self.value > 0:
            ticks -= self.value
            self.value = self.load
            if self.warned and self.control & 2:
                self.events.append("reset")
                return
            self.events.append("warning")
            self.warned = True
        self.value -= ticks


@pytest.fixture
def watchdog(load):
    def make(model, clock_hz=25_000_000, **props):
        return load("cmsdk_watchdog", model, clock_hz=clock_hz, **props)

    return make


def test_unfed_it_warns_half_way_and_resets_in_the_end(watchdog):
    model = Model()
    assert watchdog(model).start(8000) == OK
    model.pass_ms(3999)
    assert model.events == []
    model.pass_ms(1)
    assert model.events == ["warning"]
    model.pass_ms(3999)
    assert model.events == ["warning"]
    model.pass_ms(1)
    assert model.events == ["warning", "reset"]


def test_fed_it_keeps_quiet(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(10):
        model.pass_ms(499)
        device.feed()
    assert model.events == []


def test_feeding_takes_back_a_warning(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(3):
        model.pass_ms(600)
        device.feed()
    assert model.events == ["warning"] * 3


def test_it_is_locked_whenever_the_driver_is_done(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    assert model.locked
    device.feed()
    assert model.locked


def test_a_warning_to_an_earlier_owner_does_not_halve_the_time(watchdog):
    model = Model()
    model.warned = True
    assert watchdog(model).start(1000) == OK
    model.pass_ms(999)
    assert model.events == ["warning"]


def test_starting_again_changes_the_time(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    assert device.start(4000) == OK
    model.pass_ms(1999)
    assert model.events == []


@pytest.mark.parametrize(
    ("clock_hz", "timeout_ms", "status"),
    [
        (25_000_000, 343_597, OK),  # 2 * 2^32 / 25 MHz = 343.5974 s
        (25_000_000, 343_598, EINVAL),
        (1_000, 1, EINVAL),  # not one whole tick for each half
        (1_000, 2, OK),
        (1_000_000_000, 0xFFFF_FFFF, EINVAL),
    ],
)
def test_a_time_it_cannot_count_is_refused(watchdog, clock_hz, timeout_ms, status):
    assert watchdog(Model(), clock_hz).start(timeout_ms) == status


@pytest.mark.parametrize(("causes", "expired"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 0)])
def test_the_cause_of_the_last_reset_is_told_once(watchdog, causes, expired):
    model = Model(causes=causes)
    device = watchdog(model, reset_info=BASE + RESET_INFO)
    assert device.expired() == expired
    assert device.expired() == 0


def test_without_a_system_controller_it_cannot_tell(watchdog):
    assert watchdog(Model()).expired() == ENOENT
