"""GENET driver against a model of MAC, rings, PHY, incoherent cache: see bcm_genet_model.py."""

import ctypes
import random

import pytest
from bcm_genet_model import (
    BROADCAST,
    CHK,
    CMD,
    CRC_ERROR,
    EOP,
    FLUSH,
    HFB,
    LG,
    M10,
    M100,
    M1000,
    MAC0,
    MAC1,
    MAX_LEN,
    MDF,
    NO,
    OOB,
    OV,
    PORT,
    RBUF,
    RX_DONE,
    RXER,
    SOP,
    TBUF,
    Model,
    Phy,
)
from driver_harness import BASE

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("dca632010203")
RX, TX = 32, 8  # buffers


@pytest.fixture(params=[False, True], ids=["early", "late"])
def nic(load, request, monkeypatch):
    monkeypatch.setattr(Model, "late", request.param)

    def make(model, mac=MAC, status=OK, up=1):
        eth = load("bcm_genet", model, phy=1)
        model.attach(eth.state_address)
        room = eth.room(6)
        room.raw = mac
        assert eth.init(room) == status
        eth.mac = room.raw
        if status == OK:
            assert eth.link() == up
        return eth

    return make


def send(eth, frame):
    at = eth.frame()
    assert at
    ctypes.memmove(at, frame, len(frame))
    return eth.send(len(frame))


def receive(eth, size=1514):
    room = eth.room(size + 8)
    status = eth.receive(room, size)
    assert room.raw[size:] == b"\xee" * 8
    return room.raw[:status] if status > 0 else status


def pattern(length, seed=0, to=MAC):
    return to + bytes((i * 7 + length + seed) & 0xFF for i in range(length - 6))


def counters(eth):
    """Recoveries, restarts, errors."""
    return list((ctypes.c_uint32 * 3).in_dll(eth.lib, "ek_counters"))


@pytest.mark.parametrize("revision", [0, 0x0500_0000, 0x0100_0000, 0xF000_0000])
def test_what_is_no_genet_v5_is_left_alone(nic, revision):
    model = Model(Phy(), revision=revision)
    before = dict(model.regs)
    nic(model, status=ENOENT)
    assert model.regs == before


@pytest.mark.parametrize(("identity", "status"), [(0x62726467, OK), (0, ENOENT)])
def test_a_chip_that_is_none_is_left_alone(load, identity, status):
    model = Model(Phy())
    real = model.read

    def read(offset):
        if offset == 0x2_0020:
            return identity
        assert identity, "an access to what is not there"
        return real(offset)

    model.read = read
    eth = load("bcm_genet", model, phy=1, bridge=BASE + 0x2_0000)
    model.attach(eth.state_address)
    assert eth.init(eth.room(6)) == status


@pytest.mark.parametrize("length", [14, 15, 59, 60, 61, 63, 64, 65, 1513, 1514])
def test_a_frame_is_sent_and_short_ones_are_padded_with_zeros(nic, length):
    model = Model(Phy())
    eth = nic(model)
    for _ in range(TX):
        assert send(eth, b"\xaa" * 1514) == OK
    assert send(eth, pattern(length)) == OK
    assert send(eth, pattern(100)) == OK
    assert model.sent[TX:] == [pattern(length).ljust(60, b"\0"), pattern(100)]


@pytest.mark.parametrize("length", [14, 60, 61, 62, 63, 64, 126, 127, 1513, 1514])
def test_a_frame_is_received(nic, length):
    model = Model(Phy())
    eth = nic(model)
    assert model.arrive(pattern(length))
    assert model.arrive(pattern(60, to=BROADCAST))
    assert receive(eth) == pattern(length)
    assert receive(eth) == pattern(60, to=BROADCAST)
    assert receive(eth) == 0
    assert counters(eth) == [0, 0, 0]


def test_only_the_own_address_and_groups_come_in(nic):
    model = Model(Phy())
    nic(model)
    assert not model.arrive(pattern(60, to=bytes.fromhex("dca632010204")))
    assert model.arrive(pattern(60, to=bytes.fromhex("01005e000001")))


@pytest.mark.parametrize(
    ("register", "value"),
    [
        (RBUF, 1),
        (TBUF, 1),
        (HFB, 1),
        (MDF, 1),
        (FLUSH, 3),
        (CMD, 0x8043),
        (OOB, 0x1_0020),
        (CHK, 1),
    ],
)
def test_what_an_earlier_owner_left_does_no_harm(nic, register, value):
    model = Model(Phy())
    model.regs[register] = value
    model.changed[register] = -100
    model.intr = 0xFFFF_FFFF
    eth = nic(model)
    assert model.interrupts() == 0
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    assert model.arrive(pattern(61))
    assert receive(eth) == pattern(61)
    assert model.regs[CHK] == 0
    assert model.masked == 0xFFFF_FFFF & ~RX_DONE
    assert model.masked_1 == 0xFFFF_FFFF


@pytest.mark.parametrize("index", [0, 1, 37, 0xFFF0, 0xFFFF])
def test_the_rings_wrap_and_so_do_their_indices(nic, index):
    model = Model(Phy(), index=index)
    eth = nic(model)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    numbers = random.Random(seed)
    waiting, sent = [], []
    for count in range(150):
        frame = pattern(numbers.randrange(14, 1515), count)
        if len(waiting) < RX:
            assert model.arrive(frame)
            waiting.append(frame)
        if numbers.random() < 0.5:
            assert receive(eth) == waiting.pop(0)
        if numbers.random() < 0.5:
            sent.append(pattern(numbers.randrange(60, 1515), count))
            assert send(eth, sent[-1]) == OK
    for frame in waiting:
        assert receive(eth) == frame
    assert receive(eth) == 0
    assert model.sent == sent
    assert counters(eth) == [0, 0, 0]


@pytest.mark.parametrize("index", [0, 0xFFF0])
def test_a_full_ring_drops_counts_and_recovers(nic, index):
    model = Model(Phy(), index=index)
    eth = nic(model)
    for i in range(RX):
        assert model.arrive(pattern(60, i))
    for _ in range(20):  # past the end of its 16 bits
        assert not model.arrive(pattern(60))
    for i in range(RX):
        assert receive(eth) == pattern(60, i)
    assert receive(eth) == 0
    assert counters(eth) == [0, 0, 20]
    assert model.arrive(pattern(99))
    assert receive(eth) == pattern(99)


@pytest.mark.parametrize("flags", [LG, NO, RXER, CRC_ERROR, OV])
def test_a_damaged_frame_is_dropped_and_counted(nic, flags):
    model = Model(Phy())
    eth = nic(model)
    assert model.arrive(pattern(60), flags)
    assert model.arrive(pattern(61))
    assert receive(eth) == EIO
    assert receive(eth) == pattern(61)
    assert counters(eth) == [0, 0, 1]


@pytest.mark.parametrize("whole", [0, SOP, EOP])
def test_a_part_of_a_frame_is_dropped(nic, whole):
    model = Model(Phy())
    eth = nic(model)
    assert model.arrive(pattern(60), whole=whole)
    assert receive(eth) == EIO
    assert receive(eth) == 0


@pytest.mark.parametrize(("length", "size"), [(1515, 1514), (1520, 1514), (61, 60), (13, 1514)])
def test_a_frame_that_does_not_fit_is_dropped(nic, length, size):
    model = Model(Phy())
    eth = nic(model)
    assert model.arrive(pattern(length))
    assert receive(eth, size) == EIO
    assert model.arrive(pattern(size))
    assert receive(eth, size) == pattern(size)


def test_the_interrupt_wakes_and_is_acknowledged_when_nothing_is_left(nic):
    model = Model(Phy())
    eth = nic(model)
    assert model.interrupts() == 0
    assert model.arrive(pattern(60))
    assert model.interrupts() == RX_DONE
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0
    assert model.interrupts() == 0
    assert send(eth, pattern(60)) == OK
    assert model.interrupts() == 0


def test_a_frame_that_comes_while_the_interrupt_is_acknowledged_is_not_left(nic):
    model = Model(Phy())
    eth = nic(model)

    def once():
        model.on_ack = None
        assert model.arrive(pattern(70))
        model.intr = 0

    model.on_ack = once
    assert receive(eth) == pattern(70)


def test_an_answer_that_comes_before_the_send_returns_is_not_lost(nic):
    model = Model(Phy())
    eth = nic(model)
    model.answer = pattern(77)
    assert send(eth, pattern(60)) == OK
    assert model.interrupts() == RX_DONE
    assert receive(eth) == pattern(77)


def test_a_transmitter_that_stops_is_restarted(nic):
    model = Model(Phy())
    eth = nic(model)
    model.tx_stuck = True
    for i in range(TX):
        assert send(eth, pattern(60, i)) == OK
    assert not eth.frame()
    assert counters(eth) == [0, 1, 0]
    assert model.resets == 2
    model.tx_stuck = False
    assert send(eth, pattern(61)) == OK
    assert model.sent[-1] == pattern(61)
    assert model.arrive(pattern(62))
    assert receive(eth) == pattern(62)


def test_a_transmitter_that_takes_its_time_is_waited_for(nic):
    model = Model(Phy())
    eth = nic(model)
    model.tx_stuck = True
    for i in range(TX):
        assert send(eth, pattern(60, i)) == OK
    real, late = model.read, model.now + 15_000

    def read(offset):
        if model.now >= late:
            model.tx_stuck = False
            model.transmit()
        return real(offset)

    model.read = read
    assert eth.frame()
    assert counters(eth) == [0, 0, 0]


def test_a_ring_out_of_order_is_restarted(nic):
    model = Model(Phy())
    eth = nic(model)
    model.produced = 1000
    assert receive(eth) == EIO
    assert counters(eth)[1] == 1
    assert model.arrive(pattern(62))
    assert receive(eth) == pattern(62)


def test_engines_that_do_not_stop_are_reset_all_the_same(nic):
    model = Model(Phy())
    model.dma_stuck = True
    eth = nic(model)
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_init_may_come_again(nic):
    model = Model(Phy())
    eth = nic(model)
    for i in range(5):
        assert model.arrive(pattern(60, i))
        assert send(eth, pattern(60, i)) == OK
    room = eth.room(6)
    room.raw = bytes(6)
    assert eth.init(room) == OK
    assert room.raw == MAC
    assert not model.regs[CMD] & 3  # the link may be another now
    assert eth.link() == 1
    assert receive(eth) == 0
    assert model.arrive(pattern(64))
    assert receive(eth) == pattern(64)
    assert send(eth, pattern(65)) == OK
    assert model.sent[-1] == pattern(65)


# The station address.


def test_the_address_that_the_firmware_left(nic):
    assert nic(Model(Phy()), mac=bytes(6)).mac == MAC


def test_an_address_of_the_devices_configuration(nic):
    model = Model(Phy())
    other = bytes.fromhex("020000123456")
    nic(model, mac=other)
    assert (model.regs[MAC0], model.regs[MAC1]) == (0x0200_0012, 0x3456)
    assert model.arrive(pattern(60, to=other))
    assert not model.arrive(pattern(60))


@pytest.mark.parametrize("left", [(0, 0), (0x0100_0000, 1), (0xFFFF_FFFF, 0xFFFF)])
def test_without_any_address_init_says_so(nic, left):
    eth = nic(Model(Phy(), left=left), mac=bytes(6), status=ENOENT)
    assert any("no address" in line for line in eth.logs)


MAILBOX = 0x3_0000
FULL, EMPTY = 1 << 31, 1 << 30


class Firmware(Model):
    """The video processor behind the mailboxes, which sees memory, not the cache. `known`: values
    of its properties."""

    def __init__(self, known=(), stale=(), busy=0, result=0x8000_0000, dead=False):
        super().__init__(Phy(), left=(0, 0))
        self.known, self.box, self.busy = dict(known), list(stale), busy
        self.result, self.dead, self.asked = result, dead, 0

    def clock_us(self):
        self.now += 10
        return self.now

    def read(self, offset):
        if offset == MAILBOX + 0x18:
            return 0 if self.box else EMPTY
        if offset == MAILBOX:
            return self.box.pop(0)
        if offset == MAILBOX + 0x38:
            self.busy -= 1
            return FULL if self.busy >= 0 else EMPTY
        return super().read(offset)

    def write(self, offset, value):
        if offset != MAILBOX + 0x20:
            return super().write(offset, value)
        assert self.busy <= 0, "the mailbox is full"
        assert not self.box, "an answer may be lost"
        assert self.last_dma == "barrier"
        assert value & 15 == 8, "the property channel"
        assert value >> 30 == 3, "past its cache"
        self.asked, self.mail = self.asked + 1, value
        if not self.dead:
            self.answer_at((value & 0x3FFF_FFF0) - (self.base & 0x3FFF_FFFF))
            self.box.append(value)

    def answer_at(self, start):
        get = lambda at: int.from_bytes(self.memory[at : at + 4], "little")  # noqa: E731
        assert get(start + 4) == 0, "a request"
        end, at = start + get(start), start + 8
        while get(at):
            room = get(at + 4)
            assert room % 4 == 0
            assert get(at + 8) == 0
            value = self.known.get(get(at), b"")
            if value:
                assert len(value) <= room
                self.memory[at + 8 : at + 12] = (FULL | len(value)).to_bytes(4, "little")
                self.memory[at + 12 : at + 12 + len(value)] = value
            at += 12 + room
            assert at < end
        assert at + 4 == end
        self.memory[start + 4 : start + 8] = self.result.to_bytes(4, "little")


@pytest.fixture
def boot(load):
    def make(model, mac=bytes(6), mailbox=BASE + MAILBOX):
        eth = load("bcm_genet", model, phy=1, mailbox=mailbox)
        model.attach(eth.state_address)
        room = eth.room(6)
        room.raw = mac
        return eth, eth.init(room), room.raw

    return make


GET_MAC, GET_SERIAL = 0x0001_0003, 0x0001_0004
SERIAL = (0x1000_0012_89AB_CDEF).to_bytes(8, "little")
LOCAL = bytes.fromhex("021289abcdef")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("known", "mac"),
    [
        ({GET_MAC: MAC, GET_SERIAL: SERIAL}, MAC),
        ({GET_MAC: MAC}, MAC),
        ({GET_SERIAL: SERIAL}, LOCAL),
        ({GET_MAC: bytes(6), GET_SERIAL: SERIAL}, LOCAL),
        ({GET_MAC: b"\xff" * 6, GET_SERIAL: SERIAL}, LOCAL),
    ],
)
def test_the_firmware_is_asked_for_an_address(boot, monkeypatch, late, known, mac):
    monkeypatch.setattr(Model, "late", late)
    model = Firmware(known)
    assert boot(model)[1:] == (OK, mac)
    assert model.asked == 1
    assert model.regs[MAC0] == int.from_bytes(mac[:4], "big")


def test_the_mailbox_may_hold_old_mail_and_be_full(boot):
    model = Firmware({GET_MAC: MAC}, stale=[0x1238, 0x8000_0001], busy=20)
    assert boot(model)[1:] == (OK, MAC)


@pytest.mark.parametrize(
    "fault",
    [
        {"dead": True},
        {"busy": 10**9},
        {"known": {GET_MAC: MAC}, "result": 0x8000_0001},
        {"known": {GET_SERIAL: bytes(8)}},
        {},
    ],
)
def test_a_firmware_that_knows_nothing_is_said(boot, fault):
    model = Firmware(**fault)
    eth, status, mac = boot(model)
    assert (status, mac) == (ENOENT, bytes(6))
    assert any("no address" in line for line in eth.logs)
    assert model.now < 1_100_000


def test_an_answer_that_came_too_late_is_not_the_next_one(boot):
    model = Firmware({GET_MAC: MAC}, dead=True)
    eth, status, _ = boot(model)
    assert status == ENOENT
    model.box.append(model.mail)
    model.dead = False
    room = eth.room(6)
    room.raw = bytes(6)
    assert (eth.init(room), room.raw) == (OK, MAC)


def test_a_firmware_is_not_asked_where_there_is_an_address(boot):
    model = Firmware({GET_MAC: LOCAL})
    assert boot(model, MAC)[1:] == (OK, MAC)
    model.regs |= {MAC0: 0xDCA6_3201, MAC1: 0x0203}
    assert boot(model)[1:] == (OK, MAC)
    assert model.asked == 0


# The PHY.


def test_the_phy_is_reset_once_and_negotiates(nic):
    phy = Phy()
    model = Model(phy)
    nic(model)
    assert phy.resets == 1
    assert phy.regs[0] == 0x1200  # negotiation, restarted
    assert phy.regs[4] == 0x01E1  # 10 and 100 Mbit/s, both duplex, IEEE 802.3
    assert phy.regs[9] == 0x0200  # 1000 Mbit/s, full duplex
    assert phy.delays()
    assert (phy.misc & ~0x180, phy.clock) == (0x0017, 0x001)  # and nothing else of these changed
    assert model.regs[PORT] == 3
    assert model.regs[MAX_LEN] >= 1518


@pytest.mark.parametrize(
    ("partner", "gigabit", "speed", "full"),  # priority: 802.3, Annex 28B.3
    [
        (0x45E1, 0x0800, M1000, True),
        (0x45E1, 0x0400, M100, True),  # 1000 in half duplex is not ours
        (0x4181, 0, M100, True),
        (0x4081, 0, M100, False),
        (0x40E1, 0, M100, False),  # 100 half comes before 10 full
        (0x4061, 0, M10, True),
        (0x4021, 0, M10, False),
        (0x0081, 0, M100, False),  # does not negotiate: speed alone is known
    ],
)
def test_the_mac_follows_what_was_negotiated(nic, partner, gigabit, speed, full):
    model = Model(Phy(partner=partner, gigabit=gigabit))
    model.speed, model.full = speed, full
    eth = nic(model)
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    assert model.arrive(pattern(61))
    assert receive(eth) == pattern(61)
    assert model.resets == 1


@pytest.mark.parametrize("phy", [{"up": False}, {"negotiated": False}])
def test_no_link_or_no_agreement_yet(nic, phy):
    model = Model(Phy(**phy))
    eth = nic(model, up=0)
    for _ in range(TX):
        assert send(eth, pattern(60)) == OK
    assert not eth.frame()  # at once, and nothing is restarted for it
    assert counters(eth) == [0, 0, 0]
    model.phy.up = model.phy.negotiated = True
    assert eth.link() == 1
    assert model.sent == [pattern(60)] * TX
    assert eth.frame()


def test_a_link_goes_and_comes_back_at_another_speed(nic):
    model = Model(Phy())
    eth = nic(model)
    model.phy.up = False
    model.phy.lost = True
    assert eth.link() == 0
    assert not model.regs[CMD] & 3
    assert not model.regs[OOB] & 0x10
    model.phy.up = True
    model.phy.regs |= {5: 0x4061, 10: 0}
    model.speed = M10
    assert eth.link() == 1
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    assert model.arrive(pattern(61))
    assert receive(eth) == pattern(61)


def test_a_link_that_was_lost_for_a_moment_is_up(nic):
    model = Model(Phy())
    eth = nic(model)
    model.phy.lost = True  # the register shows it, once
    assert eth.link() == 1


@pytest.mark.parametrize("silent", [False, True])  # whether the failure shows
def test_no_phy_is_said_and_one_that_comes_later_is_used(nic, silent):
    model = Model(None)
    model.silent = silent
    eth = nic(model, up=ENOENT)
    model.phy = Phy()
    assert [eth.link(), eth.link()] == [0, 1]
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_a_phy_at_another_address_is_not_ours(nic):
    nic(Model(Phy(address=3)), up=ENOENT)


def test_a_phy_that_vanishes_is_said_and_set_up_again_when_it_is_back(nic):
    model = Model(Phy())
    eth = nic(model)
    model.phy = None
    assert [eth.link(), eth.link()] == [EIO, ENOENT]
    model.phy = Phy(partner=0x4061, gigabit=0)  # after a loss of power: its delays are off
    model.speed, model.full = M10, True
    assert [eth.link(), eth.link()] == [0, 1]
    assert model.phy.delays()
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_a_phy_that_never_answers_does_not_hang(nic):
    model = Model(Phy())
    model.mdio_stuck = True
    model.mdio_busy = 0
    model.management = lambda value: model.regs.update({0xE14: value})
    nic(model, up=ETIMEDOUT)


def test_a_phy_that_stays_in_reset_does_not_hang(nic):
    phy = Phy()
    phy.reset_reads = 10**9
    nic(Model(phy), up=ETIMEDOUT)


@pytest.mark.parametrize("fails", [1, 2, 3, 4])
def test_reads_that_fail_are_said_and_the_phy_is_set_up_again(nic, fails):
    model = Model(Phy())
    eth = nic(model)
    command = model.regs[CMD]
    model.mdio_fails = fails
    assert eth.link() < 0
    assert model.regs[CMD] == command  # the MAC goes on
    while model.mdio_fails:
        eth.link()
    assert [eth.link() for _ in range(3)][1:] == [1, 1]
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
