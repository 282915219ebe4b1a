"""virtio_net over virtio_mmio against a model of VIRTIO 1.2 (virtio_model.py), both versions.

The model asserts the order of initialisation and every rule about who may write what when, so that
each test checks them along the way.
"""

from itertools import pairwise

import pytest
from driver_harness import DriverFault
from virtio_model import (
    ACKNOWLEDGE,
    ANY_LAYOUT,
    DRIVER,
    DRIVER_OK,
    FAILED,
    FEATURES_OK,
    VERSION_1,
    WRITE,
    Bus,
    Slot,
    StrictBus,
    memory,
    poke,
)

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
F_MAC, F_STATUS = 1 << 5, 1 << 16
MAC = bytes.fromhex("525400123456")
RECEIVE, SEND = 0, 1
FRAME_MAX = 1514
ALL = (1 << 33) - 1  # every feature bit there was in 1.2, VERSION_1 among them
FRAME = bytes(range(60))


def make(load, *, legacy=False, features=ALL, mac=b"\0" * 6, bus=Bus, start=True):
    slot = Slot(1, legacy=legacy, features=features, config=MAC + b"\x01\x00")
    net = load("virtio_net", bus(slot), bus=("virtio_mmio", {"slots": 1}))
    net.mac = net.room(6)
    net.mac[:] = mac
    if start:
        assert net.init(net.mac) == OK
    return net, slot


def deliver(slot, data, *, length=None):
    """The device receives `data` and raises its interrupt."""
    queue = slot.queues[RECEIVE]
    slot.buffers = [*getattr(slot, "buffers", []), *queue.pop()]
    head, addr, room, flags = slot.buffers.pop(0)
    assert flags == WRITE
    header = 10 if slot.legacy else 12
    poke(addr, (b"\0" * header + data)[:room])
    queue.push(head, header + len(data) if length is None else length)
    slot.isr |= 1
    return head


def received(net):
    room = net.room(FRAME_MAX + 64)
    count = net.receive(room, FRAME_MAX)
    assert room.raw[max(count, 0) :] == b"\xee" * (FRAME_MAX + 64 - max(count, 0))
    return room.raw[:count] if count > 0 else count


def send(net, data):
    at = net.frame()
    assert at is not None
    poke(at, data)
    return net.send(len(data))


@pytest.fixture(params=[False, True], ids=["modern", "legacy"])
def pair(request, load):
    return make(load, legacy=request.param)


def test_modern_init_goes_through_every_status_in_order(load):
    net, slot = make(load)
    a, b, c = ACKNOWLEDGE, ACKNOWLEDGE | DRIVER, ACKNOWLEDGE | DRIVER | FEATURES_OK
    assert slot.status_log == [0, a, b, c, c | DRIVER_OK]  # (3.1.1)
    assert bytes(net.mac) == MAC


def test_legacy_init_has_no_features_ok(load):
    _, slot = make(load, legacy=True)
    a, b = ACKNOWLEDGE, ACKNOWLEDGE | DRIVER
    assert slot.status_log == [0, a, b, b | DRIVER_OK]  # (3.1.2)


def test_init_accepts_no_feature_that_it_does_not_implement(load):
    assert make(load)[1].accepted & ~ANY_LAYOUT == F_MAC | F_STATUS | VERSION_1
    assert make(load, legacy=True)[1].accepted == F_MAC | F_STATUS | ANY_LAYOUT


def test_init_gives_the_device_sixteen_whole_buffers_and_says_so(pair):
    _, slot = pair
    buffers = slot.queues[RECEIVE].pop()
    assert sorted(b[0] for b in buffers) == list(range(16))
    header = 10 if slot.legacy else 12
    assert {(length, flags) for _, _, length, flags in buffers} == {(header + FRAME_MAX, WRITE)}
    spans = sorted((addr, addr + length) for _, addr, length, _ in buffers)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert slot.notified == [RECEIVE]
    assert slot.queues[RECEIVE].interrupts_wanted()
    assert not slot.queues[SEND].interrupts_wanted()


def test_init_takes_the_address_of_the_board_before_the_device_s(load):
    mine = bytes.fromhex("02aabbccddee")
    net, _ = make(load, mac=mine)
    assert bytes(net.mac) == mine


def test_init_needs_an_address_from_somewhere(load):
    net, slot = make(load, features=VERSION_1, start=False)
    assert net.init(net.mac) == EIO
    assert not slot.status & DRIVER_OK
    assert make(load, features=VERSION_1, mac=b"\x02edgek")[0].link() == 1


def test_init_finds_the_nth_device_among_empty_and_other_slots(load):
    first = Slot(1, features=ALL, config=b"\x02first\x00\x00")
    second = Slot(1, features=ALL, config=MAC + b"\x01\x00")
    model = Bus(None, Slot(4), first, None, second, stride=0x1000)
    below = ("virtio_mmio", {"slots": 5, "stride": 0x1000})
    net = load("virtio_net", model, bus=below, nth=1)
    mac = net.room(6)
    mac[:] = b"\0" * 6
    assert net.init(mac) == OK
    assert bytes(mac) == MAC
    assert first.status_log == []


@pytest.mark.parametrize("wrong", ["none", "entropy", "no magic"])
def test_init_without_a_device_says_so_and_the_driver_stays_quiet(load, wrong):
    slot = {"none": None, "entropy": Slot(4), "no magic": Slot(1)}[wrong]
    if wrong == "no magic" and slot:
        slot.magic = 0xFFFFFFFF
    net = load("virtio_net", Bus(slot, None), bus=("virtio_mmio", {"slots": 2}))
    assert net.init(net.room(6)) == ENOENT
    assert net.frame() is None
    assert received(net) == 0
    assert net.link() == 0
    assert net.send(60) == EIO


def test_init_gives_up_on_an_unknown_version(load):
    net, slot = make(load, start=False)
    slot.version = 3
    assert net.init(net.mac) == EIO
    assert slot.status_log == []


def test_init_gives_up_when_the_device_refuses_the_features(load):
    net, slot = make(load, start=False)
    slot.refuses = True
    assert net.init(net.mac) == EIO
    assert slot.status_log[-1] & FAILED
    assert slot.queues == {}


def test_init_gives_up_on_a_modern_device_without_version_1(load):
    net, slot = make(load, features=F_MAC, start=False)
    assert net.init(net.mac) == EIO
    assert slot.status_log[-1] & FAILED


def test_init_gives_up_on_a_legacy_device_that_wants_split_headers(load):
    net, _ = make(load, legacy=True, features=F_MAC | F_STATUS, start=False)
    assert net.init(net.mac) == EIO  # (5.1.6.6)


def test_init_comes_to_an_end_when_the_device_never_resets(load):
    net, slot = make(load, start=False)
    slot.never_resets = True
    assert net.init(net.mac) == ETIMEDOUT


@pytest.mark.parametrize("fault", ["none", "small", "in use"])
@pytest.mark.parametrize("legacy", [False, True])
def test_init_gives_up_on_a_queue_it_cannot_use(load, fault, legacy):
    net, slot = make(load, legacy=legacy, start=False)
    slot.queue_max[SEND] = {"none": 0, "small": 8, "in use": 1024}[fault]
    slot.in_use = fault == "in use"
    assert net.init(net.mac) == EIO
    assert not slot.status & DRIVER_OK


def test_init_again_starts_from_nothing(pair):
    net, slot = pair
    deliver(slot, FRAME)
    assert send(net, FRAME) == OK
    slot.buffers.clear()
    assert net.init(net.mac) == OK
    assert received(net) == 0
    assert len(slot.queues[RECEIVE].pop()) == 16


def test_send_writes_a_zero_header_and_the_frame(pair):
    net, slot = pair
    data = bytes(i & 0xFF for i in range(FRAME_MAX))
    assert send(net, data) == OK
    ((_, addr, length, flags),) = slot.queues[SEND].pop()
    header = 10 if slot.legacy else 12
    assert flags == 0
    assert memory(addr, length) == b"\0" * header + data
    assert slot.notified[-1] == SEND


def test_send_pads_a_short_frame_with_zeros_not_with_old_bytes(pair):
    net, slot = pair
    for _ in range(8):
        assert send(net, b"\xff" * 100) == OK
    for head, *_ in slot.queues[SEND].pop():
        slot.queues[SEND].push(head, 0)
    assert send(net, b"\x01" * 42) == OK
    ((_, addr, length, _),) = slot.queues[SEND].pop()
    assert memory(addr, length)[-60:] == b"\x01" * 42 + b"\0" * 18


def test_send_does_not_notify_a_device_that_is_at_work(pair):
    net, slot = pair
    slot.queues[SEND].no_notify(True)
    before = list(slot.notified)
    assert send(net, FRAME) == OK
    assert slot.notified == before
    slot.queues[SEND].no_notify(False)
    assert send(net, FRAME) == OK
    assert slot.notified == [*before, SEND]
    assert len(slot.queues[SEND].pop()) == 2


def test_eight_frames_may_be_on_their_way_then_the_first_done_makes_room_and_wakes(pair):
    net, slot = pair
    queue = slot.queues[SEND]
    for _ in range(8):
        assert send(net, FRAME) == OK
        assert not queue.interrupts_wanted()
    assert net.frame() is None
    assert queue.interrupts_wanted()
    sent = queue.pop()
    assert len({addr for _, addr, _, _ in sent}) == 8
    queue.push(sent[5][0], 0)
    assert send(net, FRAME) == OK
    assert not queue.interrupts_wanted()
    assert queue.pop()[0][1] == sent[5][1]  # that very buffer
    assert net.frame() is None


@pytest.mark.parametrize("length", [13, FRAME_MAX + 1])
def test_send_of_an_impossible_length_is_a_bug_of_the_caller(pair, length):
    net, _ = pair
    net.frame()
    with pytest.raises(DriverFault, match="ek_assert"):
        net.send(length)


def test_receive_takes_frames_in_order_and_gives_the_buffers_back(pair):
    net, slot = pair
    frames = [bytes([i]) * (60 + i) for i in range(16)]
    for data in frames:
        deliver(slot, data)
    assert slot.queues[RECEIVE].pop() == []
    assert [received(net) for _ in range(17)] == [*frames, 0]
    assert len(slot.queues[RECEIVE].pop()) == 16


def test_receive_takes_the_longest_frame_whole(pair):
    net, slot = pair
    data = bytes(i * 7 & 0xFF for i in range(FRAME_MAX))
    deliver(slot, data)
    assert received(net) == data


def test_receive_gives_buffers_back_while_frames_keep_coming(pair):
    net, slot = pair
    for _ in range(100):  # the ring is never empty, so that nothing else publishes them
        while len(slot.buffers if hasattr(slot, "buffers") else range(16)) > 1:
            deliver(slot, FRAME)
        for _ in range(8):
            assert received(net) == FRAME
        slot.buffers += slot.queues[RECEIVE].pop()
        assert len(slot.buffers) >= 8


def test_receive_notifies_once_for_eight_buffers_and_only_if_asked(pair):
    net, slot = pair
    before = len(slot.notified)
    for quiet, more in ((True, 0), (False, 1)):
        slot.queues[RECEIVE].no_notify(quiet)
        for _ in range(8):
            deliver(slot, FRAME)
        while received(net):
            pass
        assert len(slot.notified) - before == more


def test_receive_of_nothing_acknowledges_the_interrupt_and_costs_one_read_without(pair):
    net, slot = pair
    deliver(slot, FRAME)
    slot.isr = 3  # and the configuration changed
    assert received(net) == FRAME
    assert slot.acknowledged == []
    assert received(net) == 0
    assert slot.acknowledged == [3]
    assert received(net) == 0
    assert slot.acknowledged == [3]


def test_a_frame_that_comes_just_before_the_acknowledgement_is_not_left_asleep(pair):
    net, slot = pair
    slot.isr = 1

    def late():
        slot.on_interrupt_read = lambda: None
        deliver(slot, FRAME)

    slot.on_interrupt_read = late
    assert received(net) == FRAME


@pytest.mark.parametrize("short", [0, 9, 12, 12 + 13])
def test_receive_drops_what_is_too_short_for_a_frame_and_goes_on(load, short):
    net, slot = make(load)
    deliver(slot, FRAME, length=short)
    deliver(slot, FRAME)
    assert received(net) == EIO
    assert received(net) == FRAME
    assert received(net) == 0
    assert len(slot.queues[RECEIVE].pop()) == 2  # the buffer of the bad one as well


def test_receive_drops_what_does_not_fit_the_caller_s_room(load):
    net, slot = make(load)
    deliver(slot, b"x" * 200)
    room = net.room(200)
    assert net.receive(room, 199) == EIO
    assert room.raw == b"\xee" * 200


def test_a_length_beyond_the_buffer_is_cut_to_the_buffer(pair):
    net, slot = pair
    deliver(slot, b"y" * FRAME_MAX, length=0xFFFFFFFF)
    assert received(net) == b"y" * FRAME_MAX


@pytest.mark.parametrize("bad", [16, 0x10000, 0xFFFFFFFF])
def test_an_id_out_of_range_breaks_the_link_not_the_memory(pair, bad):
    net, slot = pair
    slot.queues[RECEIVE].push(bad, 100)
    assert received(net) == EIO
    assert net.link() == 0
    deliver(slot, FRAME)
    assert received(net) == 0


def test_an_id_given_back_twice_breaks_the_link(pair):
    net, slot = pair
    head = deliver(slot, FRAME)
    slot.queues[RECEIVE].push(head, 72)
    slot.queues[RECEIVE].pop()
    assert received(net) == FRAME  # which makes `head` the device's again
    slot.queues[RECEIVE].push(head, 72)
    assert isinstance(received(net), bytes)
    slot.queues[SEND].push(0, 0)  # never sent
    assert net.frame() is not None
    assert net.link() == 0
    assert net.send(60) == EIO


def test_more_used_than_there_are_buffers_breaks_the_link(pair):
    net, slot = pair
    slot.queues[RECEIVE].set_index(17)
    assert received(net) == EIO
    assert received(net) == 0
    assert net.link() == 0


def test_link_follows_the_device_and_is_up_where_it_cannot_tell(load):
    net, slot = make(load)
    assert net.link() == 1
    slot.config[6] = 2  # only ANNOUNCE
    assert net.link() == 0
    net, slot = make(load, features=VERSION_1 | F_MAC)
    slot.config[6] = 0  # not a field of this device
    assert net.link() == 1


@pytest.mark.parametrize("legacy", [False, True])
def test_entries_are_in_memory_before_their_index_says_so(load, legacy):
    net, slot = make(load, legacy=legacy, bus=StrictBus)
    for _ in range(20):
        deliver(slot, FRAME)
        assert received(net) == FRAME
        assert received(net) == 0
        for _ in range(3):  # buffers 0, 1, 2 in ever other places of the ring
            assert send(net, FRAME) == OK
        for head, *_ in slot.queues[SEND].pop():
            slot.queues[SEND].push(head, 0)


def test_indexes_wrap_at_65536(load):
    net, slot = make(load)
    out, into = slot.queues[SEND], slot.queues[RECEIVE]
    header = 12
    room = net.room(FRAME_MAX)
    buffers = into.pop()
    for number in range(65536 // 8 + 3):  # eight at a time
        frames = number.to_bytes(4, "big") * 15
        for _ in range(8):
            poke(net.frame(), frames)
            assert net.send(60) == OK
            head, addr, _, _ = buffers.pop(0)
            poke(addr + header, frames)
            into.push(head, header + 60)
        for head, addr, _, _ in out.pop():
            assert memory(addr + header, 4) == frames[:4]
            out.push(head, 0)
        for _ in range(8):
            assert net.receive(room, FRAME_MAX) == 60
            assert room.raw[:4] == frames[:4]
        assert net.receive(room, FRAME_MAX) == 0
        buffers += into.pop()
    assert len(buffers) == 16
    assert net.link() == 1
