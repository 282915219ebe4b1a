"""Stellaris Ethernet driver against a model of MAC, FIFOs and PHY, from the LM3S6965 datasheet."""

import ctypes

import pytest

RIS, IM, RCTL, TCTL, DATA, IA0, IA1 = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
MCTL, MDV, MTXD, MRXD, NP, TR = 0x20, 0x24, 0x2C, 0x30, 0x34, 0x38
USER0, USER1 = 0x1000, 0x1004  # where this test puts the user registers
RX, TXER, TXEMP, FOV, RXER = 1, 2, 4, 8, 16
BASE = 0x1000_0000
OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("001ab6001234")


class Model:
    """Receive FIFO, transmit FIFO, and an MII whose PHY may be missing."""

    def __init__(self, phy=None):
        self.regs = {RIS: 0, IM: 0x7F, RCTL: 0x08, TCTL: 0, MDV: 0x80, USER0: 0xFFFFFFFF}
        self.regs |= {USER1: 0xFFFFFFFF, IA0: 0, IA1: 0}
        self.frames = []  # words of each waiting frame
        self.tx, self.sent, self.tx_stuck, self.mii_stuck = [], [], False, False
        self.phy = phy or {}
        self.mii = 0
        self.on_ack = None

    def arrive(self, frame, length=None):
        """Frame length (with itself and the FCS), the frame, the FCS; whole words."""
        length = len(frame) + 6 if length is None else length
        raw = length.to_bytes(2, "little") + frame + b"\xf1\xf2\xf3\xf4"
        raw += bytes(-len(raw) % 4)
        self.frames.append(
            [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
        )
        self.regs[RIS] |= RX

    def read(self, offset):
        if offset == DATA:
            assert self.frames, "read from an empty FIFO"
            word = self.frames[0].pop(0)
            if not self.frames[0]:
                del self.frames[0]
            return word
        if offset == NP:
            return len(self.frames)
        if offset == TR:
            return int(self.tx_stuck)
        if offset == MCTL:
            return self.mii | self.mii_stuck
        if offset == MRXD:
            return self.phy.get(self.mii >> 3, 0)
        return self.regs[offset]

    def write(self, offset, value):
        if offset == RIS:
            self.regs[RIS] &= ~value
            if value & TXER:
                self.tx = []
            if value & RX and self.on_ack:
                self.on_ack()
        elif offset == RCTL:
            assert not (value & 0x10 and value & 1), "the FIFO is reset while receiving"
            self.regs[RCTL] = value
            if value & 0x10:
                self.frames = []
        elif offset == DATA:
            self.tx.append(value)
        elif offset == TR and value & 1:
            raw = b"".join(w.to_bytes(4, "little") for w in self.tx)
            length = int.from_bytes(raw[:2], "little") + 14  # the header is not counted
            assert len(raw) == -(-(length + 2) // 4) * 4, "words written"
            assert self.regs[TCTL] & 7 == 7  # enabled, padding, CRC
            self.sent.append(raw[2 : 2 + length])
            self.tx = []
        elif offset == MCTL:
            assert value & 7 == 1  # START, reading
            self.mii = value & 0xF8
        else:
            self.regs[offset] = value


@pytest.fixture
def nic(load):
    def make(model, mac=MAC, status=OK):
        eth = load("stellaris_enet", model, clock_hz=50_000_000, mac_registers=BASE + USER0)
        room = eth.room(6)
        room.raw = mac
        assert eth.init(room) == status
        eth.mac = room.raw
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


def counters(eth):
    """struct ek_counters: bus_recoveries, device_restarts, device_errors."""
    return list((ctypes.c_uint32 * 3).in_dll(eth.lib, "ek_counters"))


def pattern(length):
    return bytes((i * 7 + length) & 0xFF for i in range(length))


def test_init_programs_the_address_and_both_directions(nic):
    model = Model()
    nic(model)
    assert model.regs[IA0] == 0x00B61A00  # octet 1 in bits 7:0
    assert model.regs[IA1] == 0x3412
    assert model.regs[RCTL] == 0x09  # RXEN, bad CRCs refused; neither promiscuous nor multicast
    assert model.regs[TCTL] & 7 == 7
    assert model.regs[IM] & RX


def test_init_keeps_the_phys_clock_below_its_limit(nic):
    model = Model()
    nic(model)
    assert 50_000_000 / (2 * (model.regs[MDV] + 1)) <= 2_500_000


def test_init_takes_the_makers_address(nic):
    model = Model()
    model.regs |= {USER0: 0x00B61A00, USER1: 0x00341200}  # three octets each
    assert nic(model, mac=bytes(6)).mac == MAC
    assert (model.regs[IA0], model.regs[IA1]) == (0x00B61A00, 0x3412)


def test_init_without_any_address_says_so(nic):
    nic(Model(), mac=bytes(6), status=ENOENT)


@pytest.mark.parametrize("length", [14, 15, 16, 17, 18, 59, 60, 61, 1511, 1512, 1513, 1514])
def test_a_frame_is_packed_behind_its_length(nic, length):
    model = Model()
    eth = nic(model)
    assert send(eth, pattern(length)) == OK
    assert send(eth, pattern(14)) == OK
    assert model.sent == [pattern(length), pattern(14)]


def test_the_word_layout_of_the_datasheet(nic):
    model = Model()
    eth = nic(model)
    words = []
    write = model.write
    model.write = lambda o, v: (words.append(v) if o == DATA else None, write(o, v))[1]
    send(eth, MAC + MAC + b"\x08\x00" + b"ABC")
    # length LSB, MSB, DA octet 1, 2; DA 3 to 6; SA 1 to 4; SA 5, 6, type MSB, LSB; data
    assert words[:4] == [0x1A000003, 0x341200B6, 0x00B61A00, 0x00083412]
    assert words[4] & 0xFFFFFF == 0x434241


def test_a_stuck_transmitter_is_restarted(nic):
    model = Model()
    eth = nic(model)
    model.tx_stuck = True
    model.tx = [1, 2, 3]
    assert not eth.frame()
    assert counters(eth) == [0, 1, 0]
    assert model.tx == []
    assert model.regs[TCTL] & 1
    model.tx_stuck = False
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_a_transmit_error_does_not_harm_the_next_frame(nic):
    model = Model()
    eth = nic(model)
    model.regs[RIS] |= TXER
    model.tx = [0xBAD]
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    assert not model.regs[RIS] & TXER


@pytest.mark.parametrize("length", [14, 15, 16, 17, 60, 61, 62, 63, 1511, 1512, 1513, 1514])
def test_frames_are_received_without_their_check_sequence(nic, length):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(length))
    model.arrive(pattern(60))
    assert receive(eth) == pattern(length)
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0


def test_nothing_left_means_the_interrupt_is_acknowledged(nic):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(60))
    receive(eth)
    assert receive(eth) == 0
    assert not model.regs[RIS] & RX


def test_a_frame_that_comes_with_the_acknowledgement_is_not_lost(nic):
    model = Model()
    eth = nic(model)

    def late():
        model.on_ack = None
        model.arrive(pattern(60))
        model.regs[RIS] &= ~RX  # its interrupt went with the acknowledgement

    model.on_ack = late
    assert receive(eth) == pattern(60)


def test_an_oversized_frame_is_dropped_whole(nic):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(1600))
    model.arrive(pattern(60))
    assert receive(eth) == EIO
    assert receive(eth) == pattern(60)


@pytest.mark.parametrize("length", [0, 5, 19, 2049, 0xFFFF])
def test_a_length_that_cannot_be_resets_the_fifo(nic, length):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(60), length=length)
    assert receive(eth) == EIO
    assert model.frames == []
    assert model.regs[RCTL] == 0x09
    model.arrive(pattern(61))
    assert receive(eth) == pattern(61)


@pytest.mark.parametrize("error", [FOV, RXER])
def test_an_overflow_or_bad_crc_resets_the_fifo(nic, error):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(60))
    model.regs[RIS] |= error
    assert receive(eth) == EIO
    assert counters(eth) == [0, 0, 1]
    assert not model.regs[RIS] & error
    assert model.regs[RCTL] == 0x09
    model.arrive(pattern(61))
    assert receive(eth) == pattern(61)


PHY_ID = {2: 0x161}


@pytest.mark.parametrize(("status", "up"), [(0x786D, 1), (0x7849, 0)])  # MR1, bit 2 is the link
def test_the_link_is_the_phys(nic, status, up):
    assert nic(Model(PHY_ID | {1: status})).link() == up


@pytest.mark.parametrize(("diagnostic", "duplex"), [(0x0C00, 0x10), (0x0400, 0)])  # MR18.DPLX
def test_the_mac_follows_the_negotiated_duplex(nic, diagnostic, duplex):
    model = Model(PHY_ID | {1: 0x786D, 18: diagnostic})
    assert nic(model).link() == 1
    assert model.regs[TCTL] & 0x10 == duplex


def test_in_qemu_where_every_register_is_0_the_link_counts_as_up(nic):
    assert nic(Model()).link() == 1


def test_no_phy_is_said_and_frames_pass_and_one_that_comes_back_is_used(nic):
    model = Model({2: 0xFFFF, 1: 0xFFFF, 18: 0xFFFF})
    eth = nic(model)
    before = model.regs[TCTL]
    assert eth.link() == ENOENT
    assert model.regs[TCTL] == before
    assert send(eth, pattern(60)) == OK
    model.phy = PHY_ID | {1: 0x7849}
    assert eth.link() == 0
    model.phy = PHY_ID | {1: 0x786D}
    assert eth.link() == 1
    assert model.regs[TCTL] & 0x10 == 0  # half duplex, as it has it now
    assert send(eth, pattern(61)) == OK
    assert model.sent == [pattern(60), pattern(61)]


def test_a_phy_that_never_answers_does_not_hang(nic):
    model = Model(PHY_ID | {1: 0x786D})
    eth = nic(model)
    model.mii_stuck = True
    assert eth.link() == ETIMEDOUT
    model.mii_stuck = False
    assert eth.link() == 1
