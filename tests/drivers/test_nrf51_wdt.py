"""nRF51 watchdog against a model of its counter, from the reference manual (WDT, POWER)."""

import pytest

START, INTENCLR, RUNSTATUS, CRV, RREN, CONFIG, RR = 0x000, 0x308, 0x400, 0x504, 0x508, 0x50C, 0x600
POWER = 0x2000
RESETREAS = POWER + 0x400
BASE = 0x1000_0000
OK, EINVAL = 0, -1


class Model:
    def __init__(self, causes=0):
        self.causes = causes
        self.regs = {CRV: 0xFFFF_FFFF, RREN: 1, CONFIG: 1}
        self.running, self.left, self.asked, self.resets = False, 0.0, set(), 0

    def read(self, offset):
        if offset == RESETREAS:
            return self.causes
        return int(self.running) if offset == RUNSTATUS else self.regs[offset]

    def write(self, offset, value):
        if offset == RESETREAS:
            self.causes &= ~value
        elif RR <= offset < RR + 32:
            if value == 0x6E524635 and self.running:
                self.asked.add((offset - RR) // 4)
                if self.asked >= {i for i in range(8) if self.regs[RREN] >> i & 1}:
                    self.reload()
        elif offset == START:
            if not self.running:
                self.running = True
                self.reload()
        elif offset == INTENCLR:
            assert value == 0xFFFF_FFFF
        elif not self.running:  # else they are locked
            self.regs[offset] = value

    def reload(self):
        self.left, self.asked = (self.regs[CRV] + 1) / 32768, set()

    def pass_s(self, seconds):
        self.left -= seconds if self.running else 0
        self.resets += self.left < 0


@pytest.fixture
def watchdog(load):
    return lambda model: load("nrf51_wdt", model, base=BASE, power=BASE + POWER)


def test_unfed_it_resets_in_time(watchdog):
    model = Model()
    assert watchdog(model).start(8000) == OK
    assert model.regs == {CRV: 8 * 32768 - 1, RREN: 1, CONFIG: 1}  # also while the core sleeps
    model.pass_s(7.999)
    assert model.resets == 0
    model.pass_s(0.002)
    assert model.resets == 1


def test_fed_it_does_not(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(5):
        model.pass_s(0.9)
        device.feed()
    assert model.resets == 0


@pytest.mark.parametrize("rren", [0x01, 0x02, 0x81, 0xFF])
def test_one_that_runs_already_is_fed_with_all_its_requests(watchdog, rren):
    model = Model()
    model.regs |= {RREN: rren, CRV: 2 * 32768 - 1}
    model.write(START, 1)
    device = watchdog(model)
    model.pass_s(1.5)
    assert device.start(8000) == OK
    for _ in range(3):
        model.pass_s(1.5)
        device.feed()
    assert model.resets == 0
    model.pass_s(2.1)
    assert model.resets == 1


def test_started_again_it_goes_on(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    model.pass_s(0.9)
    assert device.start(2000) == OK
    model.pass_s(0.9)
    assert model.resets == 0


@pytest.mark.parametrize(
    ("timeout_ms", "status"),
    [(0, EINVAL), (1, OK), (131_072_000, OK), (131_072_001, EINVAL)],  # 2^32 / 32768 Hz
)
def test_a_time_it_cannot_count_is_refused(watchdog, timeout_ms, status):
    assert watchdog(Model()).start(timeout_ms) == status


def test_too_few_ticks_are_refused(watchdog):
    model = Model()
    assert watchdog(model).start(1) == OK
    assert model.regs[CRV] >= 15  # the least


@pytest.mark.parametrize(("causes", "expired"), [(0, 0), (1, 0), (2, 1), (7, 1), (0x7000C, 0)])
def test_the_cause_of_the_last_reset_is_told_once(watchdog, causes, expired):
    model = Model(causes)
    device = watchdog(model)
    assert device.expired() == expired
    assert model.causes == 0
    assert device.expired() == 0
