"""PC clock against a model of the MC146818A: both number formats, both hour formats, updates, the
century register; expected times from Python's calendar."""

from datetime import UTC, datetime

import pytest

OK, EAGAIN, ENOENT, ERANGE = 0, -4, -5, -10
PLACES = {0: "second", 2: "minute", 4: "hour", 7: "day", 8: "month", 9: "year", 0x32: "century"}
SET, BINARY, HOURS_24, PM, UPDATING = 0x80, 0x04, 0x02, 0x80, 0x80


class Model:
    """`wait`: reads of register A until an update begins; -1: there is none."""

    def __init__(self, when=None, b=HOURS_24):
        self.index, self.b, self.d, self.wait = 0, b, 0x80, -1
        self.ram, self.writes, self.updating = {}, [], False
        if when:
            self.store(when)

    def encode(self, value):
        return value if self.b & BINARY else int(str(value), 16)

    def hour(self, hour):
        if self.b & HOURS_24:
            return self.encode(hour)
        return self.encode((hour - 1) % 12 + 1) | (PM if hour >= 12 else 0)

    def store(self, w):
        c, y = divmod(w.year, 100)
        for place, value in zip(
            (0, 2, 7, 8, 9, 0x32), (w.second, w.minute, w.day, w.month, y, c), strict=True
        ):
            self.ram[place] = self.encode(value)
        self.ram[4] = self.hour(w.hour)

    def port_out(self, port, bits, value):
        assert bits == 8
        if port == 0x70:
            assert value < 0x80, "NMI was masked"
            self.index = value
            return
        assert port == 0x71
        if self.index == 0x0B:
            self.b = value
        else:
            assert self.b & SET, "written while it counts"
            assert self.index in PLACES
            self.ram[self.index] = value

    def port_in(self, port, bits):
        assert (port, bits) == (0x71, 8)
        if self.index == 0x0A:
            if self.wait > 0:
                self.wait -= 1
            return 0x26 | (UPDATING if self.wait == 0 else 0)
        if self.index in (0x0B, 0x0D):
            return self.b if self.index == 0x0B else self.d
        assert self.wait != 0, "read during an update"
        return self.ram[self.index]


def read(rtc):
    room = rtc.room(8)
    status = rtc.get(room)
    return status, int.from_bytes(room.raw, "little", signed=True)


TIMES = [
    "2026-11-21T00:00:00", "2026-11-21T00:59:59", "2026-11-21T11:59:59", "2026-11-21T12:00:00",
    "2026-11-21T12:30:00", "2026-11-21T13:00:00", "2026-11-21T23:59:59", "2028-02-29T01:02:03",
    "2027-02-28T23:59:59", "2027-03-01T00:00:00", "2000-02-29T10:00:00", "2099-12-31T23:59:59",
    "2100-02-28T20:00:00", "2100-03-01T08:00:00", "1999-12-31T09:09:09", "1970-01-01T00:00:00",
    "2031-02-03T04:05:06", "2026-01-31T19:20:21",
]  # fmt: skip
FORMATS = [HOURS_24, HOURS_24 | BINARY, 0, BINARY]


@pytest.mark.parametrize("b", FORMATS)
@pytest.mark.parametrize("text", TIMES)
def test_it_reads_and_sets_every_format(load, text, b):
    when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    expected = int(when.timestamp())
    model = Model(when, b)
    rtc = load("mc146818", model)
    assert rtc.init() == OK
    assert read(rtc) == (OK, expected)
    held, model.ram = model.ram, {}
    assert rtc.set(expected) == OK
    assert model.ram == held
    assert model.b == b


def test_every_day_of_a_century(load):
    model = Model(b=HOURS_24 | BINARY)
    rtc = load("mc146818", model)
    for day in range(0, 47_000):
        assert rtc.set(day * 86400) == OK
        when = datetime.fromtimestamp(day * 86400, UTC)
        held = tuple(model.ram[p] for p in (0x32, 9, 8, 7))
        assert held == (when.year // 100, when.year % 100, when.month, when.day)
        if day % 97 == 0:
            assert read(rtc) == (OK, day * 86400)


@pytest.mark.parametrize(("wait", "status"), [(0, EAGAIN), (1, EAGAIN), (2, EAGAIN), (3, OK)])
def test_nothing_is_taken_from_an_update(load, wait, status):  # 2: it begins during the reads
    model = Model(datetime(2026, 5, 6, tzinfo=UTC))
    model.wait = wait
    assert read(load("mc146818", model))[0] == status


def test_a_second_that_passed_while_reading_is_seen(load):
    model = Model(datetime(2026, 5, 6, 7, 59, 59, tzinfo=UTC))
    inner = model.port_in

    def port_in(port, bits):
        value = inner(port, bits)
        if model.index == 4:  # the update ran right behind this read
            model.store(datetime(2026, 5, 6, 8, 0, 0, tzinfo=UTC))
        return value

    model.port_in = port_in
    assert read(load("mc146818", model))[0] == EAGAIN


def test_without_a_century_register_it_is_this_one(load):
    model = Model(datetime(2026, 5, 6, tzinfo=UTC))
    for nonsense in (0x00, 0xFF, 0x80):
        model.ram[0x32] = nonsense
        status, seconds = read(load("mc146818", model))
        assert (status, datetime.fromtimestamp(seconds, UTC).year) == (OK, 2026)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, 0x60), (2, 0x60), (4, 0x24), (7, 0x00), (7, 0x32), (8, 0x00), (8, 0x13), (9, 0xA0)],
)
def test_what_is_no_time_is_refused(load, place, value):
    model = Model(datetime(2026, 5, 6, tzinfo=UTC))
    model.ram[place] = value
    assert read(load("mc146818", model))[0] == ERANGE


def test_an_empty_battery_is_told(load):
    model = Model(datetime(2026, 5, 6, tzinfo=UTC))
    model.d = 0
    assert read(load("mc146818", model))[0] == ERANGE


@pytest.mark.parametrize("seconds", [-1, 7_258_118_400, 1 << 60])
def test_a_time_beyond_its_calendar_is_refused(load, seconds):
    model = Model()
    assert load("mc146818", model).set(seconds) == ERANGE
    assert model.ram == {}


def test_a_clock_that_was_being_set_goes_on(load):
    model = Model(b=SET | HOURS_24)
    assert load("mc146818", model).init() == OK
    assert model.b == HOURS_24


def test_a_machine_without_one_is_seen(load):
    model = Model()
    model.port_in = lambda port, bits: 0xFF
    assert load("mc146818", model).init() == ENOENT
