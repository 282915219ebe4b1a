"""The private key of a Raspberry Pi against a model of the firmware behind the mailboxes, after the
wiki of github.com/raspberrypi/firmware and rpi-otp-private-key. It sees memory, not the cache."""

import ctypes

import pytest
from driver_harness import BASE

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
FULL, EMPTY = 1 << 31, 1 << 30
GET_PRIVATE_KEY = 0x0003_0081
KEY = bytes.fromhex("0011223344556677 8899aabbccddeeff 102030405060708090a0b0c0d0e0f001")
SIZE = 64  # bytes of memory that the message may have


class Firmware:
    def __init__(
        self, key=KEY, stale=(), busy=0, result=0x8000_0000, dead=False, long=True, late=0
    ):
        self.rows = [int.from_bytes(key[i : i + 4], "big") for i in range(0, 32, 4)]
        self.box, self.busy, self.result, self.dead = list(stale), busy, result, dead
        self.long, self.known, self.now, self.asked = long, True, 0, 0
        self.late, self.own_mail, self.answered = late, False, FULL
        self.memory, self.last_dma = bytearray(SIZE), ""

    def attach(self, device):
        self.device = device
        self.at = device.state_address
        if self.own_mail:
            self.box.append(0xC000_0000 | self.at & 0x3FFF_FFF0 | 8)

    def clock_us(self):
        self.now += 10
        return self.now

    def dma(self, what, addr, length):
        self.last_dma = what
        if what == "barrier":
            return
        assert addr % 64 == 0
        assert length % 64 == 0, "whole lines"
        start = addr - self.at
        if what == "clean":
            self.memory[start : start + length] = ctypes.string_at(addr, length)
        else:
            ctypes.memmove(addr, bytes(self.memory[start : start + length]), length)

    def read(self, offset):
        if offset == 0x18:
            self.late -= bool(self.box)
            return 0 if self.box and self.late < 0 else EMPTY
        if offset == 0x00:
            return self.box.pop(0)
        assert offset == 0x38
        self.busy -= 1
        return FULL if self.busy >= 0 else EMPTY

    def write(self, offset, value):
        assert offset == 0x20
        assert self.busy <= 0, "the mailbox is full"
        assert not self.box, "an answer may be lost"
        assert self.last_dma == "barrier"
        assert value & 15 == 8, "the property channel"
        assert value >> 30 == 3, "past its cache"
        assert (value & 0x3FFF_FFF0) == self.at & 0x3FFF_FFFF
        self.asked += 1
        if self.dead:
            return
        words = [int.from_bytes(self.memory[i : i + 4], "little") for i in range(0, SIZE, 4)]
        assert words[0] == 4 * 16, "length, request, one property with its value, the end"
        assert words[1] == 0
        assert words[2:7] == [GET_PRIVATE_KEY, 40, 0, 0, 8], "eight rows from the first"
        assert words[7:] == [0] * 9, "room for the key, the end"
        if self.known:
            words[4] = self.answered | (40 if self.long else 32)
            words[7:15] = self.rows
        words[1] = self.result
        self.memory[:] = b"".join(word.to_bytes(4, "little") for word in words)
        self.box.append(value)


@pytest.fixture
def ask(load):
    def make(model):
        device = load("bcm_otp_key", model, mailbox=BASE)
        model.attach(device)
        room = device.room(32)
        status = device.read(room)
        return status, room.raw

    return make


@pytest.mark.parametrize("long", [True, False])
def test_the_key_is_what_the_makers_tool_prints(ask, long):
    model = Firmware(long=long)
    assert ask(model) == (OK, KEY)
    assert model.asked == 1


def test_no_copy_stays_in_memory(ask):
    model = Firmware()
    ask(model)
    assert model.memory == bytes(SIZE)
    assert ctypes.string_at(model.at, SIZE) == bytes(SIZE)


def test_the_mailbox_may_hold_old_mail_and_be_full(ask):
    assert ask(Firmware(stale=[0x1238, 0x8000_0001], busy=20)) == (OK, KEY)


def test_a_board_without_a_key_has_none(ask):
    assert ask(Firmware(bytes(32)))[0] == ENOENT
    assert ask(Firmware(bytes(31) + b"\1"))[0] == OK


def test_a_firmware_that_does_not_know_the_property_is_an_error(ask):
    model = Firmware()
    model.known = False
    assert ask(model)[0] == EIO
    assert ask(Firmware(result=0x8000_0001))[0] == EIO


def test_a_firmware_that_is_silent_ends_the_wait(ask):
    model = Firmware(dead=True)
    assert ask(model)[0] == ETIMEDOUT
    assert 1_000_000 <= model.now < 1_100_000


def test_its_own_old_mail_is_no_answer(ask):
    model = Firmware()
    model.own_mail = True
    assert ask(model) == (OK, KEY)


def test_a_late_answer_is_waited_for_and_not_asked_for_twice(ask):
    model = Firmware(late=50)
    assert ask(model) == (OK, KEY)
    assert model.asked == 1


def test_a_length_without_the_mark_of_an_answer_is_none(ask):
    model = Firmware()
    model.answered = 0
    assert ask(model)[0] == EIO
