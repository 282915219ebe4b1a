"""Stellaris watchdog against a model of counter, lock and gate, from the LM3S6965 datasheet."""

import pytest

LOAD, CTL, ICR, TEST, LOCK = 0x00, 0x08, 0x0C, 0x418, 0xC00
SYSCTL = 0x2000
RESC, RCGC0 = SYSCTL + 0x05C, SYSCTL + 0x100
KEY = 0x1ACCE551
BASE = 0x1000_0000
OK, EINVAL = 0, -1


class Model:
    """Counts when `pass_ms` says so, at 50 MHz. The datasheet's order of initialisation is
    load, RESEN, INTEN; INTEN starts it and cannot be taken back."""

    def __init__(self, causes=0):
        self.gates, self.causes = 0x0040, causes
        self.load = self.value = 0xFFFF_FFFF
        self.ctl, self.test, self.locked, self.warned = 0, 0, False, False
        self.settled = False
        self.events = []

    def read(self, offset):
        if offset == RCGC0:
            self.settled = True
            return self.gates
        assert offset == RESC
        return self.causes

    def write(self, offset, value):
        if offset == RESC:
            self.causes = value  # keeps what is written until the next reset
        elif offset == RCGC0:
            self.gates, self.settled = value, False
        else:
            assert self.gates & 8, "a bus fault: no clock"
            assert self.settled, "the gate needs three clocks"
            self.watchdog(offset, value)

    def watchdog(self, offset, value):
        if offset == LOCK:
            self.locked = value != KEY
            return
        assert not self.locked, "written while locked"
        if offset == LOAD:
            self.load = self.value = value
        elif offset == ICR:
            self.warned, self.value = False, self.load
        elif offset == TEST:
            self.test = value
        else:
            assert offset == CTL
            assert not value & 1 or self.ctl & 2, "RESEN comes before INTEN"
            self.ctl |= value

    def pass_ms(self, ms):
        ticks = ms * 50_000 if self.ctl & 1 else 0
        while ticks >= self.value > 0:
            ticks -= self.value
            self.value = self.load
            if self.warned and self.ctl & 2:
                self.events.append("reset")
                return
            self.events.append("warning")
            self.warned = True
        self.value -= ticks


@pytest.fixture
def watchdog(load):
    def make(model, clock_hz=50_000_000):
        return load("luminary_watchdog", model, clock_hz=clock_hz, sysctl=BASE + SYSCTL, base=BASE)

    return make


def test_unfed_it_resets_in_time(watchdog):
    model = Model()
    assert watchdog(model).start(8000) == OK
    model.pass_ms(7999)
    assert "reset" not in model.events
    model.pass_ms(1)
    assert model.events[-1] == "reset"


def test_fed_it_does_not_reset(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(10):
        model.pass_ms(999)
        device.feed()
    assert "reset" not in model.events


def test_it_is_locked_whenever_the_driver_is_done(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    assert model.locked
    device.feed()
    assert model.locked


def test_other_clock_gates_stay_as_they_are(watchdog):
    model = Model()
    assert watchdog(model).start(1000) == OK
    assert model.gates == 0x0048


def test_it_stands_still_while_a_debugger_halts_the_core(watchdog):
    model = Model()
    assert watchdog(model).start(1000) == OK
    assert model.test == 0x100


def test_an_earlier_owners_warning_is_forgotten_and_its_lock_opened(watchdog):
    model = Model()
    model.warned = model.locked = True
    assert watchdog(model).start(1000) == OK
    model.pass_ms(999)
    assert "reset" not in model.events


@pytest.mark.parametrize(
    ("clock_hz", "timeout_ms", "status"),
    [
        (50_000_000, 171_798, OK),  # 2 * 2^32 / 50 MHz = 171.7987 s
        (50_000_000, 171_799, EINVAL),
        (1_000, 1, EINVAL),
        (1_000, 2, OK),
    ],
)
def test_a_time_it_cannot_count_is_refused(watchdog, clock_hz, timeout_ms, status):
    assert watchdog(Model(), clock_hz).start(timeout_ms) == status


@pytest.mark.parametrize(("causes", "expired"), [(0, 0), (1, 0), (8, 1), (0x1B, 1), (0x10, 0)])
def test_the_cause_of_the_last_reset_is_told_once(watchdog, causes, expired):
    model = Model(causes)
    device = watchdog(model)
    assert device.expired() == expired
    assert model.causes == 0
    assert device.expired() == 0
