"""Kinetis watchdog against a model of its locks and its counter, from K64P144M120SF5RM, chapters
WDOG and RCM. The model resets the board for everything that the manual says it does so for."""

import pytest
from driver_harness import BASE

STCTRLH, TOVALH, TOVALL, REFRESH, UNLOCK, PRESC = 0x00, 0x04, 0x06, 0x0C, 0x0E, 0x16
SRS0 = 0x2000
OK, EINVAL = 0, -1


class Model:
    """Counts when `pass_ms` says so, at 1 kHz or the bus clock. An interrupt may come at every
    access that is not protected, and takes longer than the watchdog allows."""

    def __init__(self, srs0=0):
        self.srs0 = srs0
        # As the soc driver leaves it.
        self.regs = {STCTRLH: 0x01D2, TOVALH: 0x004C, TOVALL: 0x4B4C, PRESC: 0x0400}
        self.left, self.unlocked, self.held, self.pending = 0, set(), False, None
        self.open = False  # within the 256 clocks after an unlock
        self.fresh = False  # the very next clock after an unlock
        self.resets = 0

    def critical(self, enter):
        assert enter != self.held
        self.held = enter
        if not enter:
            assert self.pending is None, "left in the middle of a sequence"
            self.close()

    def close(self):
        """The 256 clocks after an unlock are over."""
        if self.open:
            assert self.unlocked != set(self.regs), "unlocked, and nothing was set: reset"
            self.reload()
        self.open, self.unlocked = False, set()

    def reload(self):
        self.left = self.regs[TOVALH] << 16 | self.regs[TOVALL]

    def read8(self, offset):
        assert offset == SRS0
        return self.srs0

    def read16(self, offset):
        self.fresh = False
        return self.regs[offset]

    def write16(self, offset, value):
        if offset in (REFRESH, UNLOCK):
            self.word(offset, value)
            return
        assert self.pending is None
        assert not self.fresh, "lost: a clock must pass after an unlock"
        assert offset in self.unlocked, f"{offset:#x}: locked, or written twice"
        self.unlocked.remove(offset)
        self.regs[offset] = value

    def word(self, offset, value):
        assert self.held, "an interrupt between two words"
        first, second = {REFRESH: (0xA602, 0xB480), UNLOCK: (0xC520, 0xD928)}[offset]
        if self.pending is None:
            assert value == first
            self.pending = offset
            return
        assert (offset, value) == (self.pending, second)
        self.pending = None
        if offset == REFRESH:
            self.reload()
        else:
            assert self.regs[STCTRLH] & 1 << 4, "ALLOWUPDATE is off"
            self.open, self.fresh, self.unlocked = True, True, set(self.regs)

    def pass_ms(self, ms):
        control = self.regs[STCTRLH]
        if not control & 1:
            return
        assert not control & 2, "the bus's clock is not the watchdog's own"
        assert not self.regs[PRESC], "divided"
        assert control & 1 << 7, "stands while the processor sleeps"
        self.left -= ms
        if self.left <= 0:
            self.resets += 1
            self.reload()


@pytest.fixture
def watchdog(load):
    return lambda model: load("kinetis_wdog", model, reset_status=BASE + SRS0)


@pytest.mark.parametrize("timeout_ms", [4, 1000, 8000, 70_000, 0xFFFF_FFFF])
def test_unfed_it_resets_then(watchdog, timeout_ms):
    model = Model()
    assert watchdog(model).start(timeout_ms) == OK
    model.pass_ms(timeout_ms - 1)
    assert model.resets == 0
    model.pass_ms(1)
    assert model.resets == 1


def test_fed_it_keeps_quiet(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    for _ in range(10):
        model.pass_ms(999)
        device.feed()
    assert model.resets == 0


def test_starting_again_changes_the_time(watchdog):
    model = Model()
    device = watchdog(model)
    assert device.start(1000) == OK
    assert device.start(4000) == OK
    model.pass_ms(3999)
    assert model.resets == 0


def test_the_registers_reserved_bit_stays_set(watchdog):
    model = Model()
    assert watchdog(model).start(1000) == OK
    assert model.regs[STCTRLH] & 0x0100  # its value after reset is 0x01D3
    assert not model.regs[STCTRLH] & 0x4C0C  # no test, no window, no interrupt before the reset


@pytest.mark.parametrize("timeout_ms", [0, 3])
def test_a_time_too_short_for_the_device_is_refused(watchdog, timeout_ms):
    model = Model()
    assert watchdog(model).start(timeout_ms) == EINVAL
    assert not model.regs[STCTRLH] & 1


@pytest.mark.parametrize(
    ("srs0", "expired"),
    # Power, watchdog, pin, software (which is in SRS1), wake-up.
    [(0x82, 0), (0x20, 1), (0x40, 0), (0x00, 0), (0x01, 0)],
)
def test_the_cause_of_the_last_reset(watchdog, srs0, expired):
    assert watchdog(Model(srs0)).expired() == expired
