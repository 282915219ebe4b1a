"""PL031 against a model of Arm DDI 0224, 3.3."""

import pytest

OK, ENOENT, ERANGE = 0, -5, -10
DR, LR, CR = 0x00, 0x08, 0x0C


class Model:
    def __init__(self, seconds=0, cr=0, part=0x31, designer=0x10):
        self.seconds, self.cr, self.part, self.designer, self.writes = (
            seconds,
            cr,
            part,
            designer,
            [],
        )

    def read(self, offset):
        return {DR: self.seconds, CR: self.cr, 0xFE0: self.part, 0xFE4: self.designer}[offset]

    def write(self, offset, value):
        self.writes.append((offset, value))
        if offset == LR:
            self.seconds = value
        else:
            assert offset == CR
            self.cr |= value & 1


def read(rtc):
    room = rtc.room(8)
    return rtc.get(room), int.from_bytes(room.raw, "little", signed=True)


def test_it_is_started_once_and_keeps_its_time(load):
    model = Model(1_900_000_000)
    rtc = load("pl031", model)
    assert rtc.init() == OK
    assert model.cr == 1
    assert rtc.init() == OK
    assert model.writes == [(CR, 1)]
    assert read(rtc) == (OK, 1_900_000_000)


@pytest.mark.parametrize(("part", "designer"), [(0x11, 0x10), (0x31, 0x11), (0xFF, 0xFF), (0, 0)])
def test_another_device_is_not_taken_for_it(load, part, designer):
    model = Model(part=part, designer=designer)
    assert load("pl031", model).init() == ENOENT
    assert model.writes == []


def test_a_clock_that_begins_at_0_has_lost_its_time(load):
    assert read(load("pl031", Model()))[0] == ERANGE


@pytest.mark.parametrize("seconds", [1, 0x8000_0000, 0xFFFF_FFFF])
def test_it_is_set_and_tells_that(load, seconds):
    rtc = load("pl031", Model())
    assert rtc.set(seconds) == OK
    assert read(rtc) == (OK, seconds)


@pytest.mark.parametrize("seconds", [-1, 1 << 32])
def test_what_it_cannot_count_is_refused(load, seconds):
    model = Model()
    assert load("pl031", model).set(seconds) == ERANGE
    assert model.writes == []
