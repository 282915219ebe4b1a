"""Kinetis RNGA against a model of its registers, written from K64P144M120SF5RM, chapter RNGA."""

import random

import pytest

CR, SR, OR = 0x00, 0x04, 0x0C
GO, HA, INTM, CLRI = 1, 2, 4, 8
OK, EIO, ETIMEDOUT = 0, -2, -3
SEED = 20140101


class Model:
    """Makes a word after `lag` looks at the status; reading one before that is a violation."""

    def __init__(self, lag=2, words=None):
        self.lag, self.looks, self.level, self.violation = lag, 0, 0, False
        self.control = 0
        numbers = random.Random(SEED)
        self.words = words or [numbers.randrange(1 << 32) for _ in range(4096)]
        self.taken = 0

    def read(self, offset):
        if offset == SR:
            self.looks += 1
            if self.control & GO and self.lag and self.looks % self.lag == 0:
                self.level = 1
            return 1 << 16 | self.level << 8 | (1 if self.violation else 0)
        assert offset == OR
        if not self.level:
            self.violation = True
            return 0
        self.level = 0
        self.taken += 1
        return self.words[(self.taken - 1) % len(self.words)]

    def write(self, offset, value):
        assert offset == CR
        if self.control & HA:
            value |= HA  # until the next reset of the chip
        self.control = value & ~CLRI


@pytest.fixture
def rng(load):
    def make(model):
        device = load("kinetis_rng", model)
        assert device.init() == OK
        return device

    return make


def take(device, size=32):
    room = device.room(size + 4)
    status = device.read(room, size)
    assert room.raw[max(status, 0) :] == b"\xee" * (size + 4 - max(status, 0))
    return room.raw[:status] if status >= 0 else status


def test_init_starts_it_with_its_self_checks_and_without_interrupts(rng):
    model = Model()
    rng(model)
    assert model.control == GO | HA | INTM


@pytest.mark.parametrize("lag", [1, 2, 9])
def test_no_word_is_read_before_it_is_there(rng, lag):
    model = Model(lag)
    assert len(take(rng(model))) > 0
    assert not model.violation


def test_each_word_given_is_several_of_the_devices(rng):
    model = Model()
    device = rng(model)
    first, second = take(device), take(device)
    assert model.taken >= 16 * (len(first) + len(second)) // 4
    assert first != second
    assert int.from_bytes(first, "little") not in model.words


def test_every_bit_of_the_device_counts(rng, load):
    words = Model().words
    plain = take(rng(Model(words=words)))
    for place in range(16):
        changed = [w ^ (0x8000_0001 if i == place else 0) for i, w in enumerate(words)]
        assert take(rng(Model(words=changed))) != plain


@pytest.mark.parametrize("size", [1, 3])
def test_no_more_is_written_than_asked_for(rng, size):
    assert len(take(rng(Model()), size)) == size


@pytest.mark.parametrize("word", [0, 0xFFFF_FFFF, 0x1234_5678])
def test_a_device_that_is_stuck_is_refused(rng, word):
    assert take(rng(Model(words=[word]))) == EIO


def test_a_security_violation_is_refused(rng):
    model = Model()
    device = rng(model)
    model.violation = True
    assert take(device) == EIO


def test_a_device_that_makes_nothing_times_out(rng):
    assert take(rng(Model(lag=0))) == ETIMEDOUT
