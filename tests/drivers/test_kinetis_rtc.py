"""Kinetis RTC against a model of its registers, written from K64P144M120SF5RM, chapter RTC."""

import pytest

TSR, TPR, CR, SR, IER = 0x00, 0x04, 0x10, 0x14, 0x1C
TIF, TOF, TCE = 1, 2, 16
OSCE = 1 << 8
OK, ETIMEDOUT, ERANGE = 0, -3, -10


class Model:
    """Out of a power-up of VBAT, or as `left` behind: seconds, status, control."""

    def __init__(self, left=(0, TIF, 0)):
        self.tsr, self.sr, self.cr = left
        self.tpr, self.ier = 0x1234, 0x7
        self.steps = []  # what the next reads of the seconds add

    def read(self, offset):
        if offset == TSR:
            if self.sr & (TIF | TOF):
                return 0
            self.tsr += self.steps.pop(0) if self.steps else 0
            return self.tsr
        return {CR: self.cr, SR: self.sr, TPR: self.tpr, IER: self.ier}[offset]

    def write(self, offset, value):
        if offset == SR:
            assert not value & ~TCE
            assert not value or self.cr & OSCE, "counts without an oscillator"
            self.sr = self.sr & ~TCE | value
        elif offset == TSR:
            assert not self.sr & TCE, "written while it counts"
            assert self.tpr == 0, "the prescaler goes first"
            self.tsr = value
            self.sr &= ~(TIF | TOF)
        elif offset == TPR:
            assert not self.sr & TCE, "written while it counts"
            self.tpr = value
        elif offset == IER:
            self.ier = value
        else:
            assert offset == CR
            assert not value & 1, "software reset"
            self.cr = value


@pytest.fixture
def rtc(load):
    def make(model, load_pf=10):
        device = load("kinetis_rtc", model, load_pf=load_pf)
        assert device.init() == OK
        return device

    return make


def get(device):
    room = device.room(8)
    status = device.get(room)
    return status, int.from_bytes(room.raw, "little", signed=True)


@pytest.mark.parametrize(
    ("load_pf", "bits"),  # SC16P 10, SC8P 11, SC4P 12, SC2P 13
    [(0, 0), (2, 1 << 13), (10, 1 << 13 | 1 << 11), (16, 1 << 10), (30, 15 << 10)],
)
def test_the_oscillator_is_started_with_its_capacitors(rtc, load_pf, bits):
    model = Model()
    rtc(model, load_pf)
    assert model.cr == OSCE | bits
    assert model.ier == 0


def test_an_oscillator_that_runs_is_left_alone(rtc):
    model = Model((1_800_000_000, TCE, OSCE | 1 << 10))
    device = rtc(model)
    assert model.cr == OSCE | 1 << 10
    assert get(device) == (OK, 1_800_000_000)


@pytest.mark.parametrize("status", [TIF, TOF | TCE, TIF | TCE, 0])
def test_a_time_that_was_lost_is_said(rtc, status):
    assert get(rtc(Model((1_800_000_000, status, OSCE))))[0] == ERANGE


@pytest.mark.parametrize("unix_s", [1, 1_800_000_000, 2**31, 2**32 - 1])
def test_a_time_that_is_set_is_kept_and_counts(rtc, unix_s):
    model = Model()
    device = rtc(model)
    assert device.set(unix_s) == OK
    assert model.sr == TCE
    assert get(device) == (OK, unix_s)


def test_a_time_may_be_set_again(rtc):
    model = Model()
    device = rtc(model)
    assert device.set(1_800_000_000) == OK
    model.tpr = 77
    assert device.set(1_800_000_100) == OK
    assert get(device) == (OK, 1_800_000_100)


@pytest.mark.parametrize("unix_s", [0, -1, 2**32, 2**62])
def test_a_time_beyond_the_counter_is_refused(rtc, unix_s):
    model = Model((5, TCE, OSCE))
    assert rtc(model).set(unix_s) == ERANGE
    assert (model.tsr, model.sr) == (5, TCE)


def test_a_second_that_passes_while_it_is_read(rtc):
    model = Model((1_800_000_000, TCE, OSCE))
    device = rtc(model)
    model.steps = [0, 1, 0]
    assert get(device) == (OK, 1_800_000_001)


def test_a_counter_that_never_holds_still_does_not_hang(rtc):
    model = Model((1_800_000_000, TCE, OSCE))
    device = rtc(model)
    model.steps = [1] * 1000
    assert get(device)[0] == ETIMEDOUT
