"""Watchdog and reset of BCM2711 (bcm_pm, bcm_power) against a model of the power manager: password,
count in 1/65536 s, causes of the last reset as the next boot finds them."""

import pytest
from driver_harness import BASE

OK, EINVAL, ENOENT = 0, -1, -5
RSTC, RSTS, WDOG = 0x1C, 0x20, 0x24
BRIDGE = 0x1000
WATCHDOG, SOFTWARE, POWER = 1 << 5, 1 << 9, 1 << 12
PARTITION = 0x555


class Model:
    """`causes`: PM_RSTS. `resets`: how many there were; each sets the watchdog's bit."""

    def __init__(self, causes=POWER, bridge=0x62726467):
        self.regs = {RSTC: 0x102, RSTS: causes, WDOG: 0}
        self.bridge, self.resets, self.calls = bridge, 0, []

    def read(self, offset):
        if offset == BRIDGE + 0x20:
            return self.bridge
        return self.regs[offset]

    def write(self, offset, value):
        assert value >> 24 == 0x5A, "without the password"
        value &= 0xFF_FFFF
        if offset == WDOG:
            assert value <= 0xF_FFFF
        if offset == RSTC:
            assert value & 0x102 == 0x102  # other bits stay
        self.regs[offset] = value

    def semihosting(self, operation, argument):
        self.calls.append(operation)
        return -1

    def pass_ms(self, ms):
        if self.regs[RSTC] >> 4 & 3 != 2:
            return
        self.regs[WDOG] -= ms * 65536 // 1000
        if self.regs[WDOG] <= 0:
            self.resets += 1
            self.regs = {RSTC: 0x102, RSTS: self.regs[RSTS] & ~POWER | WATCHDOG, WDOG: 0}


@pytest.fixture
def watchdog(load):
    def make(model, bridge=BASE + BRIDGE):
        return load("bcm_pm", model, bridge=bridge)

    return make


def test_unfed_it_resets(watchdog):
    model = Model()
    assert watchdog(model).start(8000) == OK
    model.pass_ms(7990)
    assert model.resets == 0
    model.pass_ms(11)
    assert model.resets == 1


def test_fed_it_keeps_quiet(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(10):
        model.pass_ms(900)
        device.feed()
    assert model.resets == 0
    model.pass_ms(1001)
    assert model.resets == 1


def test_starting_again_changes_the_time(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    assert device.start(4000) == OK
    device.feed()
    model.pass_ms(3990)
    assert model.resets == 0


@pytest.mark.parametrize(
    ("timeout_ms", "status"),
    [(0, EINVAL), (1, OK), (15_999, OK), (16_000, EINVAL), (0xFFFF_FFFF, EINVAL)],
)
def test_a_time_it_cannot_count_is_refused(watchdog, timeout_ms, status):
    assert watchdog(Model()).start(timeout_ms) == status


def test_before_it_is_started_feeding_does_nothing(watchdog):
    model = Model()
    watchdog(model).feed()
    assert model.regs == {RSTC: 0x102, RSTS: POWER, WDOG: 0}


@pytest.mark.parametrize(("bridge", "status"), [(BASE + BRIDGE, ENOENT), (0, OK)])
def test_a_chip_that_is_none_is_left_alone(watchdog, bridge, status):
    model = Model(bridge=0)
    device = watchdog(model, bridge)
    assert device.start(8000) == status
    device.feed()
    assert (model.regs[RSTC] == 0x102) == (status == ENOENT)


@pytest.mark.parametrize(
    ("causes", "expired"),
    [(POWER, 0), (WATCHDOG, 1), (WATCHDOG | SOFTWARE, 0), (WATCHDOG | PARTITION, 1), (0, ENOENT)],
)
def test_the_cause_of_the_last_reset_is_told_once(watchdog, causes, expired):
    model = Model(causes)
    device = watchdog(model)
    assert device.expired() == expired
    assert device.expired() == ENOENT
    assert model.regs[RSTS] == causes & PARTITION  # the partition to boot from stays


def test_a_hang_is_told_from_a_reset_on_purpose(watchdog, load):
    model = Model()
    device = watchdog(model)
    power = load("bcm_power", model, base=BASE)
    assert device.expired() == 0
    assert device.start(8000) == OK
    power.reset()
    model.pass_ms(1)
    assert model.resets == 1
    assert device.expired() == 0
    assert device.start(8000) == OK
    model.pass_ms(8001)
    assert model.resets == 2
    assert device.expired() == 1


def test_exit_asks_the_emulator_and_returns_on_hardware(load):
    model = Model()
    load("bcm_power", model, base=BASE).exit(7)
    assert model.calls == [0x20]  # SYS_EXIT_EXTENDED
    assert model.resets == 0
