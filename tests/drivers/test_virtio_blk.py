"""virtio_blk over virtio_mmio against a model of VIRTIO 1.2, 5.2 (virtio_model.py): one request is
a chain of three parts, header, data and status."""

import struct

import pytest
from virtio_model import DRIVER_OK, VERSION_1, WRITE, Bus, Slot, memory, poke, u16

OK, EIO, ETIMEDOUT, ENOENT, EREFUSED, ERANGE = 0, -2, -3, -5, -8, -10
NEXT = 1  # VIRTQ_DESC_F_NEXT
RO, FLUSH_BIT = 1 << 5, 1 << 9
IN, OUT, FLUSH = 0, 1, 4
SECTOR = 512


class Disk(Slot):
    """A disk of `sectors`; `log` has (type, sector) of each request."""

    def __init__(self, sectors=8, legacy=False, features=FLUSH_BIT, read_only=False):
        offered = VERSION_1 | features | (RO if read_only else 0)
        config = struct.pack("<Q", sectors) + bytes(56)
        super().__init__(2, legacy=legacy, features=offered, config=config, queues=1)
        self.bytes = bytearray(i % 251 for i in range(sectors * SECTOR))
        self.log: list[tuple[int, int]] = []
        self.answering, self.result, self.head = True, 0, None
        self.on_notify = lambda queue: self.serve() if self.answering else None

    def chain(self):
        """The parts of the next request, or None."""
        queue = self.queues[0]
        if queue.seen == u16(queue.available + 2):
            return None
        head = at = u16(queue.available + 4 + 2 * (queue.seen % queue.size))
        queue.seen = (queue.seen + 1) & 0xFFFF
        parts = []
        while True:
            raw = memory(queue.descriptors + 16 * at, 16)
            addr, length, flags, after = struct.unpack("<QIHH", raw)
            assert flags & ~(NEXT | WRITE) == 0
            parts.append((addr, length, flags & WRITE))
            assert len(parts) <= 3
            if not flags & NEXT:
                return head, parts
            at = after

    def serve(self):
        while (request := self.chain()) is not None:
            head, parts = request
            (header, length, write), *data, (status, one, back) = parts
            assert (length, write, one, back) == (16, 0, 1, WRITE)
            kind, reserved, sector = struct.unpack("<IIQ", memory(header, 16))
            assert reserved == 0
            self.log.append((kind, sector))
            if kind == FLUSH:
                assert not data
                assert sector == 0
                assert self.accepted & FLUSH_BIT
            else:
                ((addr, size, into),) = data
                assert (size, bool(into)) == (SECTOR, kind == IN)
                start = sector * SECTOR
                assert start + size <= len(self.bytes)
                if kind == IN:
                    poke(addr, bytes(self.bytes[start : start + size]))
                elif self.result == 0:
                    self.bytes[start : start + size] = memory(addr, size)
            if self.result is not None:
                poke(status, bytes([self.result]))
            self.queues[0].push(head if self.head is None else self.head, 1)


def start(load, disk):
    blk = load("virtio_blk", Bus(None, disk), bus=("virtio_mmio", {"slots": 2}))
    size, unit = blk.room(8), blk.room(4)
    status = blk.init(size, unit)
    if status == OK:
        blk.size = int.from_bytes(size.raw, "little")
        assert int.from_bytes(unit.raw, "little") == SECTOR
    return status, blk


@pytest.fixture(params=[False, True], ids=["modern", "legacy"])
def pair(request, load):
    disk = Disk(legacy=request.param)
    status, blk = start(load, disk)
    assert status == OK
    return blk, disk


def read(blk, at, length):
    room = blk.room(length)
    return blk.read(at, room, length), room.raw


def test_init_takes_what_it_can_use_and_starts(pair):
    blk, disk = pair
    assert blk.size == 8 * SECTOR
    assert disk.accepted == FLUSH_BIT | (0 if disk.legacy else VERSION_1)
    assert disk.status & DRIVER_OK
    assert not disk.queues[0].interrupts_wanted()


def test_sectors_are_read_where_they_are(pair):
    blk, disk = pair
    for at, length in [(0, 512), (512, 512), (1024, 2048), (0, 4096)]:
        assert read(blk, at, length) == (OK, bytes(disk.bytes[at : at + length]))
    assert disk.log[:4] == [(IN, 0), (IN, 1), (IN, 2), (IN, 3)]


def test_what_is_written_is_there_and_flushed_once(pair):
    blk, disk = pair
    before = bytes(disk.bytes)
    data = bytes(range(256)) * 4
    assert blk.write(1024, data, len(data)) == OK
    assert bytes(disk.bytes) == before[:1024] + data + before[2048:]
    assert disk.log == [(OUT, 2), (OUT, 3), (FLUSH, 0)]


def test_a_disk_that_writes_through_is_not_flushed(load):
    disk = Disk(features=0)
    _, blk = start(load, disk)
    assert blk.write(0, bytes(512), 512) == OK
    assert disk.log == [(OUT, 0)]


def test_a_read_only_disk_is_read_and_refuses(load):
    disk = Disk(read_only=True)
    _, blk = start(load, disk)
    assert disk.accepted & RO
    assert read(blk, 0, 512)[0] == OK
    assert blk.write(0, bytes(512), 512) == EREFUSED
    assert disk.log == [(IN, 0)]


@pytest.mark.parametrize(
    ("at", "length"), [(4096, 512), (3584, 1024), (2**64 - 512, 1024), (0, 4608)]
)
def test_nothing_beyond_the_end_is_asked_for(pair, at, length):
    blk, disk = pair
    assert blk.read(at, blk.room(length), length) == ERANGE
    assert blk.write(at, bytes(length), length) == ERANGE
    assert disk.log == []


@pytest.mark.parametrize("result", [1, 2, 77, None])
def test_a_failed_request_is_an_error_and_the_next_one_works(pair, result):
    blk, disk = pair
    disk.result = result  # None: the device leaves the status alone
    assert read(blk, 0, 512)[0] == EIO
    assert blk.write(0, bytes(1024), 1024) == EIO
    assert disk.log == [(IN, 0), (OUT, 0)]  # no second sector, no flush
    disk.result = 0
    assert read(blk, 512, 512) == (OK, bytes(disk.bytes[512:1024]))


def test_a_silent_device_ends_the_wait_and_its_late_answer_harms_nobody(pair):
    blk, disk = pair
    disk.answering = False
    start = blk.now_us
    room = blk.room(512)
    assert blk.read(0, room, 512) == ETIMEDOUT
    assert 3_000_000 <= blk.now_us - start < 3_200_000
    assert blk.read(0, room, 512) == ETIMEDOUT
    assert blk.write(0, bytes(512), 512) == ETIMEDOUT
    assert blk.now_us - start < 3_300_000  # the first request is still out: no second wait
    disk.serve()
    assert room.raw == b"\xee" * 512
    disk.answering = True
    assert read(blk, 512, 512) == (OK, bytes(disk.bytes[512:1024]))


def test_a_wrong_id_breaks_the_queue_until_init(pair):
    blk, disk = pair
    disk.head = 5
    assert read(blk, 0, 512)[0] == EIO
    disk.head = None
    assert read(blk, 0, 512)[0] in (EIO, ETIMEDOUT)
    assert blk.init(blk.room(8), blk.room(4)) == OK
    assert read(blk, 0, 512) == (OK, bytes(disk.bytes[:512]))


def test_no_disk_no_queue_and_absurd_sizes_are_refused(load):
    bus = ("virtio_mmio", {"slots": 1})
    blk = load("virtio_blk", Bus(Slot(1)), bus=bus)
    assert blk.init(blk.room(8), blk.room(4)) == ENOENT
    assert blk.read(0, blk.room(512), 512) == EIO
    assert start(load, Slot(2, queues=0))[0] == EIO
    short = Disk()
    short.queue_max = [2]
    assert start(load, short)[0] == EIO
    huge = Disk()
    huge.config[:8] = b"\xff" * 8
    assert start(load, huge)[0] == EIO


def test_a_disk_that_is_gone_at_the_next_init_is_not_used(pair):
    blk, disk = pair
    disk.id = 1
    assert blk.init(blk.room(8), blk.room(4)) == ENOENT
    assert read(blk, 0, 512)[0] == EIO
    assert disk.log == []


def test_a_late_write_has_the_bytes_that_it_was_given(pair):
    blk, disk = pair
    disk.answering = False
    assert blk.write(0, b"a" * 512, 512) == ETIMEDOUT
    assert blk.write(512, b"b" * 512, 512) == ETIMEDOUT
    disk.serve()
    assert disk.log == [(OUT, 0)]
    assert disk.bytes[:512] == b"a" * 512
