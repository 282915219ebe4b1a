"""RNG200 against a model of its warm-up, its FIFO and its health tests, after Linux's iproc-rng200
and Raspberry Pi's version of it."""

import pytest
from driver_harness import BASE

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
CTRL, RNG_RESET, RBG_RESET, BITS, THRESHOLD = 0x00, 0x04, 0x08, 0x0C, 0x10
INT_STATUS, DATA, COUNT = 0x18, 0x20, 0x24
NIST, LOCKOUT = 1 << 5, 1 << 31


class Model:
    """Words come `word_us` apart once THRESHOLD bits of 1 us each have been thrown away."""

    def __init__(self, word_us=40, present=True, running=False):
        self.word_us, self.present = word_us, present
        self.now, self.started, self.words, self.next = 0, None, 0, 0x0302_0100
        self.regs = {CTRL: 0, THRESHOLD: 0, RNG_RESET: 0, RBG_RESET: 0, INT_STATUS: 0}
        self.resets, self.fail_at, self.failure = 0, None, NIST
        if running:
            self.write(CTRL, 0x7FFF)
            self.now = 10**6

    def clock_us(self):
        self.now += 1
        return self.now

    def age(self):
        warm = self.regs[THRESHOLD] // 1
        return -1 if self.started is None else self.now - self.started - warm

    def available(self):
        if self.regs[INT_STATUS]:
            return 0
        return min(max(self.age() // self.word_us - self.words, 0), 16)

    def read(self, offset):
        self.now += 1
        if not self.present:
            return 0
        if self.fail_at is not None and self.words >= self.fail_at:
            self.regs[INT_STATUS] |= self.failure
            self.fail_at = None
        if offset == BITS:
            return 17 if self.age() >= 0 else 16
        if offset == COUNT:
            return self.available() | 0x200
        if offset == DATA:
            assert self.available(), "read from an empty FIFO"
            self.words += 1
            word, self.next = self.next, (self.next + 0x0404_0404) & 0xFFFF_FFFF
            return word
        return self.regs[offset]

    def write(self, offset, value):
        if not self.present:
            return
        if offset == INT_STATUS:
            assert not self.regs[CTRL] & 0x1FFF
            self.regs[INT_STATUS] &= ~value
        elif offset == CTRL:
            self.regs[CTRL] = value
            if value & 0x1FFF and self.started is None:
                self.started, self.words = self.now, 0
        else:
            if offset in (RNG_RESET, RBG_RESET) and value:
                self.started = None
                self.resets += 1
            self.regs[offset] = value


@pytest.fixture
def rng(load):
    def make(model, status=OK):
        device = load("bcm_rng200", model)
        assert device.init() == status
        return device

    return make


def read(device, length):
    room = device.room(length + 4)
    status = device.read(room, length)
    assert room.raw[max(status, 0) :] == b"\xee" * (length + 4 - max(status, 0))
    return room.raw[:status] if status > 0 else status


@pytest.mark.parametrize("length", [1, 3, 4, 5, 32, 100])
def test_bytes_come_after_the_warm_up(rng, length):
    model = Model()
    device = rng(model)
    assert model.regs[CTRL] >> 13 & 3 == 3  # 1 MHz
    assert read(device, length) == bytes(range(length))
    assert model.now >= 0x40000


def test_what_the_firmware_has_started_is_not_started_again(rng):
    model = Model(running=True)
    device = rng(model)
    assert model.regs[THRESHOLD] == 0
    assert read(device, 4) == bytes(range(4))


def test_where_there_is_none_init_says_so(rng):
    rng(Model(present=False), ENOENT)


@pytest.mark.parametrize(("identity", "status"), [(0x62726467, OK), (0, ENOENT)])
def test_a_chip_that_is_none_is_left_alone(load, identity, status):
    model = Model()
    real = model.read

    def read(offset):
        if offset == 0x1020:
            return identity
        assert identity, "an access to what is not there"
        return real(offset)

    model.read = read
    assert load("bcm_rng200", model, bridge=BASE + 0x1000).init() == status


def test_one_that_gives_nothing_times_out(rng):
    assert read(rng(Model(word_us=10**9)), 8) == ETIMEDOUT


def test_one_that_never_warms_up_times_out(rng):
    model = Model()
    device = rng(model)
    model.regs[THRESHOLD] = 10**9
    assert read(device, 8) == ETIMEDOUT


@pytest.mark.parametrize("failure", [NIST, LOCKOUT])
def test_a_failed_test_restarts_it(rng, failure):
    model = Model()
    device = rng(model)
    model.failure = failure
    model.fail_at = 2
    assert len(read(device, 32)) == 8  # what came before
    assert model.resets == 2
    assert len(read(device, 32)) == 32
    assert model.now >= 2 * 0x40000  # warmed up again
    model.fail_at = model.words
    assert read(device, 32) == EIO
    assert len(read(device, 32)) == 32
