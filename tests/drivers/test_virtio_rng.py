"""virtio_rng over virtio_mmio against a model of VIRTIO 1.2 (virtio_model.py)."""

import pytest
from virtio_model import DRIVER_OK, VERSION_1, WRITE, Bus, Slot, memory, poke

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
BYTES = bytes(range(1, 65))


def answer(slot, data=BYTES, *, head=None, length=None):
    """The device answers the requests that are there."""
    for number, addr, room, flags in slot.queues[0].pop():
        assert flags == WRITE
        assert room == 64
        slot.addr = addr
        poke(addr, data[:room])
        used = len(data) if length is None else length
        slot.queues[0].push(number if head is None else head, used)


@pytest.fixture(params=[False, True], ids=["modern", "legacy"])
def pair(request, load):
    slot = Slot(4, legacy=request.param, queues=1)
    rng = load("virtio_rng", Bus(None, slot), bus=("virtio_mmio", {"slots": 2}))
    assert rng.init() == OK
    return rng, slot


def test_init_negotiates_nothing_and_starts(pair):
    _, slot = pair
    assert slot.accepted == (0 if slot.legacy else VERSION_1)
    assert slot.status & DRIVER_OK
    assert not slot.queues[0].interrupts_wanted()


def test_init_without_a_device_says_so_and_read_fails(load):
    rng = load("virtio_rng", Bus(Slot(1)), bus=("virtio_mmio", {"slots": 1}))
    assert rng.init() == ENOENT
    assert rng.read(rng.room(8), 8) == EIO


def test_init_gives_up_on_a_device_without_its_queue(load):
    rng = load("virtio_rng", Bus(Slot(4, queues=0)), bus=("virtio_mmio", {"slots": 1}))
    assert rng.init() == EIO
    assert rng.read(rng.room(8), 8) == EIO


@pytest.mark.parametrize(
    ("asked", "given", "got"), [(16, 64, 16), (64, 64, 64), (64, 5, 5), (200, 64, 64)]
)
def test_read_returns_what_there_is_and_no_more_than_asked(pair, asked, given, got):
    rng, slot = pair
    slot.on_notify = lambda queue: answer(slot, BYTES[:given])
    room = rng.room(asked + 8)
    assert rng.read(room, asked) == got
    assert room.raw == BYTES[:got] + b"\xee" * (asked + 8 - got)


def test_read_keeps_no_copy(pair):
    rng, slot = pair
    slot.on_notify = lambda queue: answer(slot)
    assert rng.read(rng.room(8), 8) == 8
    assert memory(slot.addr, 64) == b"\0" * 64


def test_read_gives_up_in_time_and_takes_the_late_answer_next(pair):
    rng, slot = pair
    start = rng.now_us
    assert rng.read(rng.room(8), 8) == ETIMEDOUT
    assert 100_000 < rng.now_us - start < 1_000_000
    assert rng.read(rng.room(8), 8) == ETIMEDOUT
    assert slot.notified == [0]  # the first request is still out; there is no second
    answer(slot)
    room = rng.room(8)
    assert rng.read(room, 8) == 8
    assert room.raw == BYTES[:8]


def test_an_interrupt_that_nobody_asked_for_is_acknowledged(pair):
    rng, slot = pair

    def both(queue):
        answer(slot)
        slot.isr = 1

    slot.on_notify = both
    assert rng.read(rng.room(8), 8) == 8
    assert slot.isr == 0


def test_read_of_an_answer_without_bytes_fails(pair):
    rng, slot = pair
    slot.on_notify = lambda queue: answer(slot, b"", length=0)
    assert rng.read(rng.room(8), 8) == EIO


def test_a_length_beyond_the_buffer_is_cut_to_the_buffer(pair):
    rng, slot = pair
    slot.on_notify = lambda queue: answer(slot, length=0xFFFFFFFF)
    room = rng.room(100)
    assert rng.read(room, 100) == 64
    assert room.raw == BYTES + b"\xee" * 36


@pytest.mark.parametrize("head", [1, 16, 0xFFFFFFFF])
def test_a_wrong_id_fails_and_is_no_random_number(pair, head):
    rng, slot = pair
    slot.on_notify = lambda queue: answer(slot, head=head)
    room = rng.room(8)
    assert rng.read(room, 8) == EIO
    assert room.raw == b"\xee" * 8
