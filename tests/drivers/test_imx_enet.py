"""ENET driver (i.MX, Kinetis) against a model of MAC, descriptor rings, PHY and an incoherent
cache: see imx_enet_model.py."""

import ctypes
import random

import pytest
from driver_harness import BASE
from imx_enet_model import (
    CR,
    EBERR,
    ECR,
    EIMR,
    EIR,
    FUSES,
    LG,
    MRBR,
    MSCR,
    NO,
    OV,
    PALR,
    PAUR,
    RCR,
    RXF,
    TCR,
    TR,
    Model,
    ksz8081,
    rtl8211f,
)

OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("001ab6001234")
RX_BUFFERS, BUFFER, LINE_COUNT = 32, 256, 8


@pytest.fixture(params=[False, True], ids=["early", "late"])
def nic(load, request, monkeypatch):
    monkeypatch.setattr(Model, "late", request.param)

    def make(model, mac=MAC, status=OK, **props):
        props = {"clock_hz": 66_000_000, "phy": 2, "mac_fuses": 0} | props
        eth = load("imx_enet", model, **props)
        model.attach(eth.state_address)
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


def pattern(length, seed=0):
    return bytes((i * 7 + length + seed) & 0xFF for i in range(length))


def test_init_programs_the_mac(nic):
    model = Model(ksz8081())
    nic(model)
    assert model.regs[PALR] == 0x001AB600  # the first byte on the wire on top
    assert model.regs[PAUR] >> 16 == 0x1234
    assert model.regs[RCR] == 1518 << 16 | 1 << 8 | 1 << 2  # RMII; no loop, not promiscuous
    assert model.regs[TCR] == 4  # full duplex
    assert model.regs[EIMR] & RXF
    assert model.regs[EIMR] & EBERR
    assert 256 <= model.regs[MRBR] == BUFFER


def test_mii_instead_of_rmii(nic):
    model = Model(ksz8081())
    nic(model, rmii=False)
    assert model.regs[RCR] & 0x104 == 4


@pytest.mark.parametrize("clock_hz", [50_000_000, 60_000_000, 66_000_000, 120_000_000, 133_000_000])
def test_the_phys_clock_stays_below_its_limit(nic, clock_hz):
    model = Model(ksz8081())
    nic(model, clock_hz=clock_hz)
    mdc = clock_hz / (2 * ((model.regs[MSCR] >> 1 & 0x3F) + 1))
    assert 1_500_000 < mdc <= 2_500_000
    assert ((model.regs[MSCR] >> 8 & 7) + 1) * 1e9 / clock_hz >= 10 - 1e-6  # HOLDTIME, ns


def test_the_address_of_the_fuses(nic):
    model = Model(ksz8081(), fuses=(0xB600_1234, 0xFFFF_001A), left=(0x01020304, 0x0506_8808))
    assert nic(model, mac=bytes(6), mac_fuses=BASE + FUSES).mac == MAC
    assert (model.regs[PALR], model.regs[PAUR] >> 16) == (0x001AB600, 0x1234)


@pytest.mark.parametrize("fuses", [0, BASE + FUSES])
def test_the_address_that_a_boot_loader_left(nic, fuses):
    model = Model(ksz8081(), left=(0x001AB600, 0x1234_8808))
    assert nic(model, mac=bytes(6), mac_fuses=fuses).mac == MAC


def test_an_address_made_of_the_chips_number_is_a_local_one(nic):
    """Of K64 (SIM_UIDML, SIM_UIDL): individual, locally administered."""
    model = Model(ksz8081(), left=(0, 0x8808))
    model.regs |= {0x805C: 0x1234_FFA5, 0x8060: 0xDEAD_BEEF}
    mac = nic(model, mac=bytes(6), mac_id=BASE + 0x805C, clock_hz=120_000_000, phy=2).mac
    assert mac == bytes.fromhex("fea5deadbeef")


def test_an_address_of_a_boot_loader_comes_before_the_chips_number(nic):
    model = Model(ksz8081(), left=(0x001AB600, 0x1234_8808))
    model.regs |= {0x805C: 0x1234_FFA5, 0x8060: 0xDEAD_BEEF}
    assert nic(model, mac=bytes(6), mac_id=BASE + 0x805C).mac == MAC


def test_without_any_address_init_says_so(nic):
    nic(Model(ksz8081(), left=(0, 0)), mac=bytes(6), status=ENOENT)


def test_a_mac_that_stays_in_reset_is_said(nic):
    model = Model(ksz8081())
    model.reset_stuck = True
    nic(model, status=ETIMEDOUT)


@pytest.mark.parametrize("length", [14, 15, 59, 60, 61, 63, 64, 65, 1513, 1514])
def test_a_frame_is_sent_and_short_ones_are_padded_with_zeros(nic, length):
    model = Model(ksz8081())
    eth = nic(model)
    assert send(eth, b"\xaa" * 1514) == OK
    assert send(eth, pattern(length)) == OK
    assert send(eth, pattern(100)) == OK
    assert model.sent == [b"\xaa" * 1514, pattern(length).ljust(60, b"\0"), pattern(100)]


def test_a_transmitter_that_stops_is_restarted(nic):
    model = Model(ksz8081())
    eth = nic(model)
    model.tx_stuck = True
    assert send(eth, pattern(60)) == OK
    assert not eth.frame()
    assert model.resets == 2
    assert counters(eth) == [0, 1, 0]
    model.tx_stuck = False
    assert send(eth, pattern(61)) == OK
    assert model.sent == [pattern(61)]
    assert model.arrive(pattern(62))
    assert receive(eth) == pattern(62)


def test_a_frame_whose_start_was_lost_is_started_again_at_the_next_look(nic):
    model = Model(ksz8081())
    eth = nic(model)
    model.tx_ignored = True
    assert send(eth, pattern(60)) == OK
    assert model.sent == []
    assert receive(eth) == 0
    assert model.sent == [pattern(60)]
    assert model.resets == 1


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 10])
def test_a_transmitter_that_looks_for_more_is_not_disturbed_and_sends_the_next(nic, lag):
    model = Model(ksz8081())
    eth = nic(model)
    model.lag = lag
    frames = [pattern(60, i) for i in range(3)]
    for frame in frames:
        assert send(eth, frame) == OK
        for _ in range(lag):
            assert receive(eth) == 0
    assert model.sent == frames
    assert model.resets == 1


@pytest.mark.parametrize("qemu", [False, True])
@pytest.mark.parametrize(
    "length", [14, 60, 251, 252, 253, 256, 257, 508, 509, 1020, 1276, 1277, 1513, 1514]
)
def test_frames_are_received_without_their_check_sequence(nic, length, qemu):
    model = Model(ksz8081(), qemu=qemu)
    eth = nic(model)
    assert model.arrive(pattern(length))
    assert model.arrive(pattern(60))
    assert receive(eth) == pattern(length)
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0


@pytest.mark.parametrize("qemu", [False, True])
def test_the_ring_wraps_with_frames_of_all_lengths(nic, qemu):
    model = Model(ksz8081(), qemu=qemu)
    eth = nic(model)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    numbers = random.Random(seed)
    waiting = []
    for count in range(600):
        frame = pattern(numbers.randrange(14, 1515), count)
        room = sum(-(-(len(f) + 4) // BUFFER) for f in waiting) + -(-(len(frame) + 4) // BUFFER)
        if room <= RX_BUFFERS - LINE_COUNT:  # what the driver promises to leave to the device
            assert model.arrive(frame)
            waiting.append(frame)
        if numbers.random() < 0.5 or room > RX_BUFFERS - LINE_COUNT:
            assert receive(eth) == waiting.pop(0)
            if numbers.random() < 0.2:
                send(eth, pattern(numbers.randrange(14, 1515)))
    for frame in waiting:
        assert receive(eth) == frame
    assert receive(eth) == 0


def test_a_full_ring_recovers(nic):
    model = Model(ksz8081())
    eth = nic(model)
    count = 0
    while model.arrive(pattern(60, count)):
        count += 1
    assert count == RX_BUFFERS
    assert not model.active
    for i in range(count):
        assert receive(eth) == pattern(60, i)
    assert model.arrive(pattern(99))
    assert receive(eth) == pattern(99)


def test_a_frame_whose_end_was_lost_takes_only_the_next_with_it(nic):
    model = Model(ksz8081(), qemu=True)
    eth = nic(model)
    for i in range(RX_BUFFERS - 2):
        assert model.arrive(pattern(60, i))
    assert model.arrive(pattern(1514), cut=True)  # room for two of its buffers
    for i in range(RX_BUFFERS - 2):
        assert receive(eth) == pattern(60, i)
    received = []
    for i in range(4):
        assert model.arrive(pattern(70, i))
        received.append(receive(eth))
    assert received[1:] == [pattern(70, 1), pattern(70, 2), pattern(70, 3)]


@pytest.mark.parametrize("flag", [LG, NO, CR, OV, TR])
@pytest.mark.parametrize("length", [60, 600])
def test_a_damaged_frame_is_dropped_and_the_next_one_taken(nic, flag, length):
    model = Model(ksz8081())
    eth = nic(model)
    assert model.arrive(pattern(length), flags=flag)
    assert model.arrive(pattern(61))
    assert receive(eth) == EIO
    assert receive(eth) == pattern(61)


@pytest.mark.parametrize("length", [1515, 2000])
def test_an_oversized_frame_is_dropped(nic, length):
    model = Model(ksz8081())
    eth = nic(model)
    assert model.arrive(pattern(length))
    assert model.arrive(pattern(61))
    assert receive(eth) == EIO
    assert receive(eth) == pattern(61)


def test_nothing_left_means_the_interrupt_is_acknowledged(nic):
    model = Model(ksz8081())
    eth = nic(model)
    model.arrive(pattern(60))
    receive(eth)
    assert receive(eth) == 0
    assert not model.regs[EIR] & RXF


def test_a_frame_that_comes_with_the_acknowledgement_is_not_lost(nic):
    model = Model(ksz8081())
    eth = nic(model)

    def late():
        model.on_ack = None
        model.arrive(pattern(60))
        model.regs[EIR] &= ~RXF  # its interrupt went with the acknowledgement

    model.on_ack = late
    assert receive(eth) == pattern(60)


def test_a_bus_error_restarts_the_mac_with_its_settings(nic):
    model = Model(ksz8081())
    eth = nic(model)
    model.arrive(pattern(60))
    before = {reg: model.regs[reg] for reg in (PALR, PAUR, RCR, TCR, MSCR, EIMR)}
    model.running = False  # it clears ETHEREN itself
    model.regs[EIR] |= EBERR
    assert receive(eth) == EIO
    assert model.running
    assert counters(eth) == [0, 1, 0]
    assert {reg: model.regs[reg] for reg in before} == before
    assert model.arrive(pattern(61))
    assert receive(eth) == pattern(61)
    assert send(eth, pattern(62)) == OK


def test_a_restart_in_the_middle_of_the_ring_begins_at_its_start(nic):
    model = Model(ksz8081())
    eth = nic(model)
    for i in range(11):
        model.arrive(pattern(60, i))
        assert receive(eth) == pattern(60, i)
    model.running = False
    model.regs[EIR] |= EBERR
    assert receive(eth) == EIO
    for i in range(40):
        assert model.arrive(pattern(600, i))
        assert receive(eth) == pattern(600, i)


# The PHY.


def test_the_phy_is_reset_once_and_negotiates(nic):
    model = Model(ksz8081())
    nic(model, phy_setup=[31, 0x8000, 0x80])
    assert model.phy_resets == 1
    assert model.phy[0] == 0x1200  # negotiation, restarted
    assert model.phy[4] == 0x01E1  # 10 and 100 Mbit/s, both duplex, IEEE 802.3
    assert model.phy[31] == 0x0180  # the reset's value, changed as the board wants, after the reset


@pytest.mark.parametrize(
    ("partner", "full", "ten"),  # priority: 802.3, Annex 28B.3
    [
        (0x45E1, True, False),
        (0x4181, True, False),
        (0x4081, False, False),
        (0x40E1, False, False),  # 100 half comes before 10 full
        (0x4061, True, True),
        (0x4021, False, True),
        (0x0081, False, False),  # does not negotiate: speed alone is known
    ],
)
def test_the_mac_follows_what_was_negotiated(nic, partner, full, ten):
    model = Model(ksz8081(partner=partner))
    eth = nic(model)
    assert eth.link() == 1
    assert bool(model.regs[TCR] & 4) == full
    assert bool(model.regs[RCR] & 2) != full  # DRT: hears itself in half duplex
    assert bool(model.regs[RCR] & 1 << 9) == ten
    resets = model.resets
    assert eth.link() == 1
    assert model.resets == resets  # no change, no restart
    assert model.arrive(pattern(60))
    assert receive(eth) == pattern(60)


@pytest.mark.parametrize("phy", [ksz8081(up=False), ksz8081(negotiated=False)])
def test_no_link_or_no_agreement_yet(nic, phy):
    assert nic(Model(dict(phy))).link() == 0


def test_a_link_that_comes_back_is_seen_at_the_first_look(nic):
    model = Model(ksz8081(up=False))
    eth = nic(model)
    assert eth.link() == 0
    model.phy["up"] = True  # the register still shows the loss, once
    assert eth.link() == 1
    model.phy |= {"up": False, 1: model.phy[1] & ~4}
    assert eth.link() == 0


def test_no_phy_is_said_and_frames_pass_and_one_that_comes_later_is_used(nic):
    model = Model(None)
    eth = nic(model)
    assert eth.link() == ENOENT
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    model.phy = ksz8081(partner=0x0021)
    assert eth.link() == 0  # it begins to negotiate
    assert model.phy_resets == 1
    assert eth.link() == 1
    assert model.regs[RCR] & 1 << 9  # 10 Mbit/s


def test_a_phy_at_another_address_is_not_ours(nic):
    assert nic(Model(ksz8081() | {"address": 3})).link() == ENOENT


def test_a_phy_that_vanishes_is_said_and_set_up_again_when_it_is_back(nic):
    model = Model(ksz8081())
    eth = nic(model, phy_setup=[31, 0x8000, 0x80])
    assert eth.link() == 1
    phy, model.phy = model.phy, None
    assert [eth.link(), eth.link()] == [ENOENT, ENOENT]
    # It has had no power for a while.
    model.phy = phy | {0: 0x3100, 4: 0x0001, 31: 0x8100, "reset_reads": 3}
    assert [eth.link(), eth.link()] == [0, 1]
    assert (model.phy[4], model.phy[31]) == (0x01E1, 0x0180)
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_a_phy_that_never_answers_does_not_hang(nic):
    model = Model(ksz8081())
    model.mii_stuck = True
    eth = nic(model)
    assert eth.link() == ETIMEDOUT
    assert send(eth, pattern(60)) == OK
    model.mii_stuck = False
    assert [eth.link(), eth.link()] == [0, 1]


def test_a_phy_that_stays_in_reset_does_not_hang(nic):
    model = Model(ksz8081() | {"reset_reads": 10**9})
    eth = nic(model)
    assert eth.link() == ETIMEDOUT


# 1000 Mbit/s.

RGMII = {"rgmii": True, "phy": 1}


def test_rgmii_instead_of_rmii(nic):
    model = Model(rtl8211f())
    nic(model, **RGMII)
    assert model.regs[RCR] == 1518 << 16 | 1 << 6 | 1 << 2
    assert not model.gigabit  # before anything is agreed on


def test_gigabit_is_offered_in_full_duplex_only(nic):
    model = Model(rtl8211f())
    nic(model, **RGMII)
    assert model.phy[9] == 0x0200  # the half duplex that the reset offers is taken back
    assert model.phy[4] == 0x01E1


@pytest.mark.parametrize(
    ("partner", "gigabit", "fast", "full", "ten"),  # register 10: 802.3, 40.5.1.1
    [
        (0x45E1, 0x0800, True, True, False),
        (0x0001, 0x0C00, True, True, False),
        (0x45E1, 0x0400, False, True, False),  # in half duplex only, which is not offered
        (0x45E1, 0x0000, False, True, False),
        (0x4021, 0x0000, False, False, True),
    ],
)
def test_the_mac_follows_a_gigabit_phy(nic, partner, gigabit, fast, full, ten):
    model = Model(rtl8211f(partner=partner, gigabit=gigabit))
    eth = nic(model, **RGMII)
    assert eth.link() == 1
    assert model.gigabit == fast  # ECR.SPEED
    assert bool(model.regs[TCR] & 4) == full
    assert bool(model.regs[RCR] & 1 << 9) == ten
    assert model.regs[RCR] & 0x144 == 0x44
    resets = model.resets
    assert eth.link() == 1
    assert model.resets == resets
    assert model.arrive(pattern(60))
    assert receive(eth) == pattern(60)


def test_a_partner_that_changes_speed_takes_the_mac_along(nic):
    model = Model(rtl8211f())
    eth = nic(model, **RGMII)
    assert eth.link() == 1
    assert model.gigabit
    model.phy[10] = 0
    assert eth.link() == 1
    assert not model.gigabit


def test_a_gigabit_phy_on_narrow_wires_is_not_offered_gigabit(nic):
    model = Model(rtl8211f())
    eth = nic(model, phy=1)
    assert eth.link() == 1
    assert not model.gigabit
    assert model.phy[9] == 0x0100  # untouched: nor does it matter


def test_a_phy_without_gigabit_on_rgmii(nic):
    eth = nic(Model(ksz8081()), rgmii=True)  # the model has no registers 9 and 10
    assert eth.link() == 1


def test_the_boards_registers_of_the_phy_are_changed_in_order(nic):
    writes = []

    class Watched(Model):
        def phy_write(self, reg, value):
            writes.append((reg, value))
            super().phy_write(reg, value)

    nic(Watched(rtl8211f() | {0x11: 0x0009}), **RGMII, phy_setup=[31, 0xFFFF, 0xD08, 17, 1, 256])
    assert writes[:3] == [(0, writes[0][1]), (31, 0xD08), (17, 0x0108)]
    assert writes[0][1] & 0x8000  # after the reset


def test_the_registers_are_those_of_the_manual():
    assert (ECR, EIR, RCR, TCR) == (0x24, 0x04, 0x84, 0xC4)
