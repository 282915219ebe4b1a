"""82574, with firmware/pci below it, against a model of Intel 316080: reset, legacy descriptors,
what may be written when. Breaking its rules is an AssertionError.
"""

import ctypes as c
import struct

import pytest
from driver_harness import DriverFault
from pci_model import WAKE, Bar, Function, Pci
from virtio_model import memory, poke

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("525400123456")
CTRL, STATUS, EECD, CTRL_EXT, ICR, IMS, IMC, IVAR = 0, 8, 0x10, 0x18, 0xC0, 0xD0, 0xD8, 0xE4
RCTL, TCTL, RD, TD, RXDCTL, TXDCTL = 0x100, 0x400, 0x2800, 0x3800, 0x2828, 0x3828
MTA, RAL, RAH = 0x5200, 0x5400, 0x5404
NO_MASTER, RST, MASTER_ON, AUTO_RD = 1 << 2, 1 << 26, 1 << 19, 1 << 9
TCTL_RESERVED = 0x3003F008  # what it holds after power-up (10.2.6.1)
RECEIVED, DONE, END = 1 << 7, 1, 2
FRAME = bytes(range(100))


class Card(Function):
    def __init__(self, *, messages=True, device=0x10D3, address=0xFEB0_0000, mac=MAC):
        super().__init__(0x8086, device)
        self.bars[0] = Bar(0x2_0000, address)
        if messages:
            self.bars[3] = Bar(0x4000, 0xFEBC_0000)
            self.add_msix(3)
        self.mac, self.stuck_reset, self.busy, self.eeprom = mac, False, False, True
        self.up = True
        self.regs = {MTA + 4 * i: 0xFFFF_FFFF for i in range(128)}
        self.power_up()
        self.ims, self.icr, self.sent, self.resets = 0xFFFF, 0xFF, [], 0

    def power_up(self):
        keep = {k: v for k, v in self.regs.items() if MTA <= k < MTA + 512}
        low, high = struct.unpack("<IH", self.mac)
        self.regs = keep | {CTRL: 0x0018_0241, CTRL_EXT: 0, RCTL: 0, TCTL: TCTL_RESERVED}
        self.regs |= {RAL: low, RAH: high | (1 << 31 if any(self.mac) else 0)}
        self.regs |= {base + o: 0 for base in (RD, TD) for o in (0, 4, 8, 0x10, 0x18)}
        self.ims, self.icr = 0, 4  # the link changes

    def structure(self, bar, offset, bits, value):
        assert (bar, bits) == (0, 32)
        if value is None:
            if offset == STATUS:
                master = self.busy or not self.regs[CTRL] & NO_MASTER
                return 0x80 | (2 if self.up and self.regs[CTRL] & 0x40 else 0) | master << 19
            if offset == EECD:
                return AUTO_RD if self.eeprom else 0
            return self.regs[offset]
        if offset == CTRL and value & RST:
            assert self.regs[CTRL] & NO_MASTER, "reset with the bus in use"
            assert not self.ims, "reset with interrupts"
            assert not (self.regs[RCTL] | self.regs[TCTL]) & 2, "reset while it runs"
            self.resets += 1
            self.power_up()
            self.regs[CTRL] |= RST if self.stuck_reset else 0
        elif offset == IMC:
            self.ims &= ~value
        elif offset == IMS:
            self.ims |= value
        elif offset == ICR:
            self.icr &= ~value
        elif offset in (RD + 0x18, TD + 0x18):
            ring = offset & ~0xFF
            assert self.regs[RCTL if ring == RD else TCTL] & 2, "tail moved before it runs"
            assert value < self.regs[ring + 8] // 16
            self.regs[offset] = value
            if ring == TD:
                self.send()
        else:
            if offset in (RD, TD, RD + 8, TD + 8):
                assert value % 128 == 0 or offset not in (RD + 8, TD + 8)
                assert value % 16 == 0
            if offset == RXDCTL:
                assert value >> 24 & 1
            if offset == TXDCTL:
                assert value >> 22 & 1, "bit 22 must be 1 (10.2.6.8)"
            self.regs[offset] = value
        return 0

    def ring(self, base):
        address = self.regs[base] | self.regs[base + 4] << 32
        return address, self.regs[base + 8] // 16

    def send(self, *, status=DONE):
        address, count = self.ring(TD)
        if self.regs[CTRL] & NO_MASTER or self.hold:
            return
        while self.regs[TD + 0x10] != self.regs[TD + 0x18]:
            at = address + 16 * self.regs[TD + 0x10]
            data, word = struct.unpack("<QQ", bytes(memory(at, 16)))
            assert word >> 24 & 0xFF == 0x0B, "EOP, IFCS, RS"
            self.sent.append(bytes(memory(data, word & 0xFFFF)))
            poke(at + 12, bytes([status]))
            self.regs[TD + 0x10] = (self.regs[TD + 0x10] + 1) % count

    hold = False

    def receive(self, data, *, status=DONE | END, errors=0):
        """Whether there was room."""
        address, count = self.ring(RD)
        head = self.regs[RD + 0x10]
        if not self.regs[RCTL] & 2 or head == self.regs[RD + 0x18]:
            return False
        at = address + 16 * head
        target, word = struct.unpack("<QQ", bytes(memory(at, 16)))
        assert word >> 32 & 0xFF == 0, "a descriptor was given back with its old status"
        poke(target, data[:2048])
        poke(at + 8, struct.pack("<HHBBH", len(data), 0xFFFF, status, errors, 0))
        self.regs[RD + 0x10] = (head + 1) % count
        self.icr |= RECEIVED
        return True


@pytest.fixture
def make(load):
    def go(card=None, *, mac=bytes(6), start=True, place=(0, 3, 0), others=None, nth=0):
        card = card or Card()
        machine = Pci({place: card, (0, 0, 0): Function(0x8086, 0x1237), **(others or {})})
        eth = load("e1000e", machine, nth=nth)
        eth.mac = eth.room(6)
        eth.mac[:] = mac
        if start:
            assert eth.init(eth.mac) == OK
        return eth, card

    return go


def send(eth, data):
    place = eth.frame()
    if place is None:
        return None
    poke(place, data)
    return eth.send(len(data))


def receive(eth):
    room = eth.room(1600)
    size = eth.receive(room, 1514)
    return room.raw[:size] if size > 0 else size


@pytest.mark.parametrize("device", [0x10D3, 0x10F6])
def test_frames_go_both_ways(make, device):
    eth, card = make(Card(device=device))
    assert eth.mac.raw == MAC
    assert send(eth, FRAME) == OK
    assert card.sent == [FRAME]
    assert card.receive(FRAME)
    assert receive(eth) == FRAME
    assert receive(eth) == 0


@pytest.mark.parametrize("card", [Function(0x8086, 0x100E), Function(0x1AF4, 0x10D3)])
def test_other_cards_are_left_alone(make, card):
    eth, _ = make(card, start=False)
    assert eth.init(eth.mac) == ENOENT
    assert card.command == 0
    assert eth.frame() is None
    assert receive(eth) == 0
    assert eth.link() == 0


def test_the_second_of_two_is_found(make):
    first, second = Card(), Card(address=0xFEA0_0000, messages=False)
    eth, _ = make(first, others={(0, 4, 0): second}, nth=1)
    assert (first.resets, second.resets) == (0, 1)
    assert send(eth, FRAME) == OK


def test_messages_wake_this_processor(make):
    _, card = make()
    assert struct.unpack("<QII", card.msix_table) == (*WAKE, 0)
    assert card.messages_on
    assert card.regs[IVAR] == 0x0008_0808  # receive, send, other: valid, entry 0 (10.2.4.9)
    assert card.regs[CTRL_EXT] >> 31 == 1
    assert card.ims & (1 << 20 | 1 << 24) == 1 << 20 | 1 << 24


def test_a_card_without_messages_has_its_line(make):
    eth, card = make(Card(messages=False))
    assert card.ims & 0x80
    assert card.receive(FRAME)
    assert receive(eth) == FRAME
    assert receive(eth) == 0
    assert card.icr == 0, "the line stays raised"


def test_a_frame_that_comes_while_the_interrupt_is_acknowledged_is_not_lost(make):
    eth, card = make()
    inner = card.structure

    def structure(bar, offset, bits, value):
        result = inner(bar, offset, bits, value)
        if offset == ICR and value is not None:
            card.structure = inner
            assert card.receive(FRAME)
            card.icr = 0
        return result

    card.structure = structure
    assert receive(eth) == FRAME


def test_the_address_of_the_caller_is_taken(make):
    own = bytes.fromhex("021122334455")
    eth, card = make(mac=own)
    assert (card.regs[RAL], card.regs[RAH]) == (0x33221102, 0x80005544)
    assert eth.mac.raw == own


@pytest.mark.parametrize("mac", [bytes(6), bytes.fromhex("010203040506"), b"\xff" * 6])
def test_a_card_without_an_address_is_refused(make, mac):
    eth, _ = make(Card(mac=mac), start=False)
    assert eth.init(eth.mac) == EIO
    assert send(eth, FRAME) in (None, EIO)


def test_the_receiver_takes_frames_of_usual_length_for_us_and_all(make):
    _, card = make()
    assert card.regs[RCTL] == 1 << 1 | 1 << 15 | 1 << 26  # EN, BAM, SECRC; buffers of 2048 bytes
    assert all(card.regs[MTA + 4 * i] == 0 for i in range(128))


def test_the_senders_reserved_bits_are_kept(make):
    _, card = make()
    assert card.icr == 0
    assert {RXDCTL, TXDCTL} <= set(card.regs)  # what they hold after power-up delays reports
    tctl = card.regs[TCTL]
    assert tctl & 0x3000_0000 == TCTL_RESERVED & 0x3000_0000
    assert (tctl >> 4 & 0xFF, tctl >> 12 & 0x3FF, tctl & 0xF) == (15, 63, 0xA)


def test_speed_and_duplex_are_left_to_negotiation(make):
    eth, card = make()
    ctrl = card.regs[CTRL]
    assert ctrl & (1 << 6 | 1 << 5) == 1 << 6 | 1 << 5  # SLU, ASDE
    assert ctrl & (3 << 11 | NO_MASTER) == 0
    assert eth.link() == 1
    card.up = False
    assert eth.link() == 0


@pytest.mark.parametrize("size", [14, 59, 60, 61, 1514])
def test_short_frames_are_filled_up_with_zeros(make, size):
    eth, card = make()
    for _ in range(9):
        assert send(eth, b"\xee" * 1514) == OK
    assert send(eth, b"x" * size) == OK
    assert card.sent[-1] == (b"x" * size).ljust(60, b"\0")


@pytest.mark.parametrize("size", [13, 1515])
def test_impossible_lengths_are_a_bug(make, size):
    eth, _ = make()
    assert eth.frame()
    with pytest.raises(DriverFault):
        eth.send(size)


def test_many_frames_keep_their_order(make):
    eth, card = make()
    for number in range(100):
        data = struct.pack("<I", number) * 20
        assert card.receive(data)
        if number % 7 == 6:
            for past in range(number - 6, number + 1):
                assert receive(eth) == struct.pack("<I", past) * 20
    for number in range(100):
        assert send(eth, struct.pack("<I", number) * 20) == OK
    assert card.sent == [struct.pack("<I", n) * 20 for n in range(100)]


def test_a_full_receive_ring_gives_all_its_frames_and_goes_on(make):
    eth, card = make()
    for _ in range(3):
        count = 0
        while card.receive(FRAME + bytes([count])):
            count += 1
        assert count == 15
        for number in range(count):
            assert receive(eth) == FRAME + bytes([number])
        assert receive(eth) == 0


def test_a_full_send_ring_says_so_until_the_card_goes_on(make):
    eth, card = make()
    card.hold = True
    sent = 0
    while (status := send(eth, FRAME)) is not None:
        assert status == OK
        sent += 1
    assert sent == 7
    assert eth.frame() is None
    card.hold = False
    card.send()
    assert send(eth, FRAME) == OK
    assert len(card.sent) == 8


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (FRAME, {"errors": 0x80}),
        (FRAME, {"errors": 0x01}),
        (FRAME, {"status": DONE}),  # not its end
        (bytes(1515), {}),
        (bytes(13), {}),
    ],
)
def test_a_bad_frame_is_dropped_and_the_next_is_taken(make, data, how):
    eth, card = make()
    assert card.receive(data, **how)
    assert card.receive(FRAME)
    assert receive(eth) == EIO
    assert receive(eth) == FRAME


@pytest.mark.parametrize(("status", "errors"), [(DONE, 0), (DONE | 2, 1), (DONE | 4, 1)])
def test_frames_that_went_down_in_collisions_are_counted(make, status, errors):
    eth, card = make()
    card.hold = True
    assert send(eth, FRAME) == OK
    card.hold = False
    card.send(status=status)
    assert eth.frame()
    counters = (c.c_uint32 * 3).in_dll(eth.lib, "ek_counters")
    assert counters[2] == errors  # device_errors


def test_a_checksum_that_was_not_asked_for_is_no_error(make):
    eth, card = make()
    assert card.receive(FRAME, errors=0x60)  # TCPE, IPE: of offloads
    assert receive(eth) == FRAME


@pytest.mark.parametrize("fault", ["stuck_reset", "eeprom"])
def test_a_card_that_does_not_come_back_ends_the_wait(make, fault):
    card = Card()
    setattr(card, fault, fault == "stuck_reset")
    eth, _ = make(card, start=False)
    assert eth.init(eth.mac) == ETIMEDOUT
    assert eth.frame() is None
    setattr(card, fault, fault != "stuck_reset")
    card.power_up()
    assert eth.init(eth.mac) == OK


def test_a_bus_that_stays_busy_does_not_keep_it_from_a_reset(make):
    card = Card()
    card.busy = True
    make(card)
    assert card.resets == 1


def test_init_again_repairs_a_card_that_stopped(make):
    eth, card = make()
    card.hold = True
    while send(eth, FRAME) is not None:
        pass
    for _ in range(5):
        assert card.receive(FRAME)
    card.hold, card.sent, card.stuck_reset = False, [], True
    assert eth.init(eth.mac) == ETIMEDOUT
    assert eth.frame() is None
    assert eth.link() == 0
    assert receive(eth) == 0
    card.stuck_reset = False
    card.power_up()
    assert eth.init(eth.mac) == OK
    assert receive(eth) == 0
    assert send(eth, FRAME) == OK
    assert card.sent == [FRAME]
    assert card.receive(FRAME * 2)
    assert receive(eth) == FRAME * 2


def test_the_link_goes_and_comes_and_a_card_that_vanishes_is_said(make, monkeypatch):
    eth, card = make()
    assert eth.link() == 1
    card.up = False
    assert eth.link() == 0
    card.up = True
    with monkeypatch.context() as patch:
        patch.setattr(card, "structure", lambda *_: 0xFFFF_FFFF)
        assert eth.link() == ENOENT
    assert eth.link() == 1
    assert send(eth, FRAME) == OK
    assert card.sent == [FRAME]
