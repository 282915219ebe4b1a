"""LAN9118 driver against a model of its FIFOs, MAC, PHY and interrupts, from the datasheet (SMSC
LAN9118, revision 1.5). Unlike QEMU's, this model is not ready at once, damages frames, stops,
negotiates, and counts what is read from an empty FIFO.
"""

import ctypes

import pytest

RX_DATA, TX_DATA, RX_STATUS, TX_STATUS = 0x00, 0x20, 0x40, 0x48
IRQ_CFG, INT_STS, INT_EN, BYTE_TEST, FIFO_INT, RX_CFG, TX_CFG = (
    0x54,
    0x58,
    0x5C,
    0x64,
    0x68,
    0x6C,
    0x70,
)
HW_CFG, RX_FIFO_INF, TX_FIFO_INF, PMT_CTRL = 0x74, 0x7C, 0x80, 0x84
MAC_CSR_CMD, MAC_CSR_DATA, E2P_CMD = 0xA4, 0xA8, 0xB0
RSFL, TXE, RXE, RXSTOP = 1 << 3, 1 << 13, 1 << 14, 1 << 24
MAC_CR, ADDRH, ADDRL, MII_ACC, MII_DATA = 1, 2, 3, 6, 7
FDPX, TXEN, RXEN, PRMS = 1 << 20, 1 << 3, 1 << 2, 1 << 18
OK, EIO, ETIMEDOUT, ENOENT = 0, -2, -3, -5
MAC = bytes.fromhex("021ab6c31234")
ERROR = 1 << 15  # in a status word of either direction
EVERY_MODE = 0x01E1  # 100 and 10 Mbit/s, full and half duplex, IEEE 802.3


class Model:
    """`mac`: in the EEPROM, None without one. `stuck`: what never ends, by register name."""

    def __init__(self, mac=MAC, partner=EVERY_MODE, linked=True, byte_test=0x87654321, stuck=()):
        self.eeprom, self.partner, self.linked = mac, partner, linked
        self.byte_test, self.stuck = byte_test, set(stuck)
        self.awake, self.polls, self.phy_down = False, 3, True
        self.mac_regs, self.rx, self.sent, self.tx_status = {}, [], [], []
        self.phy = {0: 0x0800, 4: 0x0021}  # powered down, 10 half only: an earlier owner's
        self.reset_tried = False
        self.int_sts = 0
        self.power_on()

    def power_on(self):
        self.regs = {INT_EN: 0, FIFO_INT: 0x4800_0000, RX_CFG: 0, TX_CFG: 0, IRQ_CFG: 0}
        self.hw_cfg, self.int_sts = 0x0005_0000, 0
        self.mac_regs = {MAC_CR: PRMS, ADDRL: 0xFFFF_FFFF, ADDRH: 0xFFFF, MII_ACC: 0, MII_DATA: 0}
        self.rx, self.rx_status, self.rx_words = [], [], []
        self.tx_command, self.tx_words, self.tx_used = [], [], 0
        self.csr_busy = self.mii_busy = self.eeprom_busy = 0
        self.csr_data = 0

    # What happens outside.

    def arrive(self, frame, status=0, length=None):
        if not self.mac_regs[MAC_CR] & RXEN:
            return
        raw = frame + b"\xf1\xf2\xf3\xf4"
        length = len(raw) if length is None else length
        raw += bytes(-len(raw) % 4)
        self.rx_status.append(length << 16 | status)
        self.rx_words += [int.from_bytes(raw[i : i + 4], "little") for i in range(0, len(raw), 4)]
        if len(self.rx_status) > self.regs[FIFO_INT] & 0xFF:
            self.int_sts |= RSFL

    def irq(self):
        """Level of the interrupt pin, as this board's push-pull, active-high wiring shows it."""
        assert self.regs[IRQ_CFG] & 0x11 == 0x11
        return bool(self.int_sts & self.regs[INT_EN]) and bool(self.regs[IRQ_CFG] & 0x100)

    # Registers.

    def busy(self, name):
        """True a few times, or for ever."""
        count = getattr(self, name)
        setattr(self, name, max(count - 1, 0))
        return count > 0 or name in self.stuck

    def read(self, offset):
        if offset == BYTE_TEST:
            return self.byte_test
        assert self.awake, "read before the chip was woken"
        if offset == PMT_CTRL:
            ready = not self.busy("polls") and "ready" not in self.stuck
            return int(ready) | (0x400 if self.busy("phy_polls") else 0)
        assert self.polls == 0 or offset == HW_CFG, "read before READY"
        if offset == HW_CFG:
            return self.hw_cfg | (1 if self.busy("reset_polls") else 0)
        if offset == E2P_CMD:
            return 1 << 31 if self.busy("eeprom_busy") else 0
        if offset == MAC_CSR_CMD:
            return 1 << 31 if self.busy("csr_busy") else 0
        if offset == MAC_CSR_DATA:
            assert self.csr_busy == 0, "read before the access ended"
            return self.csr_data
        if offset == INT_STS:
            self.stopping -= self.stopping > 0
            self.int_sts |= RXSTOP if self.stopping == 1 else 0
            return self.int_sts
        if offset == RX_FIFO_INF:
            return len(self.rx_status) << 16 | len(self.rx_words) * 4
        if offset == TX_FIFO_INF:
            if "tx" not in self.stuck:
                self.tx_used = max(self.tx_used - 400, 0)
            return len(self.tx_status) << 16 | (4608 - self.tx_used)
        if offset == RX_STATUS:
            assert self.rx_status, "empty"
            return self.rx_status.pop(0)
        if offset == TX_STATUS:
            assert self.tx_status, "empty"
            return self.tx_status.pop(0)
        if offset == RX_DATA:
            if not self.rx_words:
                self.int_sts |= RXE
                return 0
            return self.rx_words.pop(0)
        if offset == TX_CFG:
            stop = self.regs[TX_CFG] & 1 and self.busy("stop_polls")
            if not stop and self.regs[TX_CFG] & 1:
                self.regs[TX_CFG] &= ~3
            return self.regs[TX_CFG]
        if offset == RX_CFG:
            if not self.busy("dump_polls"):
                self.regs[RX_CFG] &= ~0x8000
            return self.regs[RX_CFG]
        return self.regs[offset]

    phy_polls = reset_polls = stop_polls = dump_polls = stopping = 0

    def write(self, offset, value):
        if offset == BYTE_TEST:
            self.awake = True
            return
        assert self.awake
        assert self.polls == 0, "written before READY"
        if offset == PMT_CTRL:
            if value & 0x400:
                self.phy_polls = 3
                self.phy = {0: 0x3000, 4: 0x0021}
                self.phy_down = False
        elif offset == HW_CFG:
            self.hardware(value)
        elif offset == INT_STS:
            self.int_sts &= ~value
            # A level interrupt comes again; what arrives with the acknowledgement does not.
        elif offset == TX_DATA:
            self.transmit(value)
        elif offset == MAC_CSR_DATA:
            self.csr_data = value
        elif offset == MAC_CSR_CMD:
            self.csr(value)
        elif offset == TX_CFG:
            self.transmitter(value)
        elif offset == RX_CFG:
            if value & 0x8000:
                assert self.int_sts & RXSTOP, "dumped while receiving"
                self.rx_status, self.rx_words, self.dump_polls = [], [], 3
            self.regs[RX_CFG] = value
        else:
            assert offset in self.regs, hex(offset)
            self.regs[offset] = value

    def hardware(self, value):
        if not value & 1:
            assert not self.reset_polls
            self.hw_cfg = value
            return
        assert self.phy_polls == 0, "the PHY is still in reset"
        self.power_on()
        self.reset_polls, self.eeprom_busy = 3, 5
        self.hw_cfg |= 2 if self.phy_down or "soft_reset" in self.stuck else 0  # SRST_TO
        if self.eeprom:
            self.mac_regs[ADDRL] = int.from_bytes(self.eeprom[:4], "little")
            self.mac_regs[ADDRH] = int.from_bytes(self.eeprom[4:], "little")

    def transmitter(self, value):
        old = self.regs[TX_CFG]
        by_host = old & 2 and not value & 2 and "stop_polls" not in self.stuck
        assert not by_host, "TX_ON is taken back by the chip only"
        self.regs[TX_CFG] = value & 3
        if value & 1 and old & 2:
            self.stop_polls = 3
        if value & 0xC000:
            assert not old & 2 or "stop_polls" in self.stuck, "dumped while sending"
            if value & 0x8000:
                self.tx_status = []
            if value & 0x4000:
                self.tx_command, self.tx_words, self.tx_used = [], [], 0

    def transmit(self, value):
        assert self.regs[TX_CFG] & 2, "TX_ON is missing"
        assert self.mac_regs[MAC_CR] & TXEN, "the MAC does not send"
        self.tx_used += 4
        assert self.tx_used <= 4608, "overrun"
        if len(self.tx_command) < 2:
            self.tx_command.append(value)
            return
        self.tx_words.append(value)
        first, second = self.tx_command
        size = first & 0x7FF
        if len(self.tx_words) * 4 < size:
            return
        assert first & ~0x7FF == 3 << 12, "one segment, first and last, no offset, no alignment"
        assert second & 0x7FF == size, "TXE: packet length"
        assert not second & 0x3000, "padding and check sequence are the chip's"
        raw = b"".join(w.to_bytes(4, "little") for w in self.tx_words)
        self.sent.append(raw[:size])
        self.tx_status.append(second & 0xFFFF0000)
        self.tx_command, self.tx_words = [], []

    def csr(self, value):
        assert value >> 31, "busy starts the access"
        if "csr_busy" in self.stuck:
            return
        assert self.csr_busy == 0, "the access before is under way"
        self.csr_busy = 2
        reg = value & 0xFF
        if value & 1 << 30:
            self.csr_data = self.mac_regs[reg]
            if reg == MII_ACC:
                self.csr_data |= 1 if self.busy("mii_busy") else 0
            if reg == MII_DATA:
                assert self.mii_busy == 0 or "mii_busy" in self.stuck
            if reg in (ADDRL, ADDRH):
                assert self.eeprom_busy == 0, "the EEPROM is still read"
            return
        data = self.csr_data
        if reg == MII_ACC:
            assert self.mii_busy == 0 or "mii_busy" in self.stuck
            self.mii(data)
            data &= ~1
        if reg == MAC_CR and self.mac_regs[MAC_CR] & RXEN and not data & RXEN:
            self.stopping = 5
        if reg == MAC_CR and data & RXEN:
            assert not self.dump_polls, "receiving while the FIFOs are dumped"
        self.mac_regs[reg] = data

    def mii(self, access):
        assert access >> 11 & 31 == 1, "the internal PHY has address 1"
        assert access & 1
        self.mii_busy = 2
        reg = access >> 6 & 31
        if access & 2:
            self.phy[reg] = self.mac_regs[MII_DATA]
            return
        status = 0x7809 | (0x24 if self.linked else 0)
        partner = self.partner if self.linked else 0
        self.mac_regs[MII_DATA] = {1: status, 2: 7, 5: partner, **self.phy}[reg]


@pytest.fixture
def nic(load):
    def make(model, mac=bytes(6), status=OK, **props):
        eth = load("lan9118", model, **{"irq_active_high": True, **props})
        room = eth.room(8)
        room[:6] = mac
        assert eth.init(room) == status
        assert room.raw[6:] == b"\xee" * 2
        eth.mac = room.raw[:6]
        return eth

    return make


def counters(eth):
    """struct ek_counters: bus_recoveries, device_restarts, device_errors."""
    return list((ctypes.c_uint32 * 3).in_dll(eth.lib, "ek_counters"))


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


def pattern(length):
    return bytes((i * 7 + length) & 0xFF for i in range(length))


def test_init_wakes_resets_and_enables_both_directions(nic):
    model = Model()
    assert nic(model).mac == MAC
    assert model.mac_regs[MAC_CR] & (TXEN | RXEN | PRMS) == TXEN | RXEN  # not promiscuous
    assert model.regs[TX_CFG] & 2  # TX_ON
    assert model.hw_cfg == 0x0015_0000  # 5 KB for TX; bit 20 must be one
    assert not model.irq()


def test_nothing_is_waited_for_in_vain(nic):
    model = Model()
    eth = nic(model)
    assert eth.link() == 1
    model.int_sts |= RXE
    assert receive(eth) == EIO
    model.int_sts |= TXE
    assert eth.frame()
    assert eth.now_us < 20_000  # 10 us at every look at the clock; a limit that passes is 100 ms


def test_init_negotiates_every_mode(nic):
    model = Model()
    nic(model)
    assert model.phy[4] == EVERY_MODE
    assert model.phy[0] & 0x1200 == 0x1200  # auto-negotiation, restarted
    assert not model.phy[0] & 0x8C00  # not reset, powered down or isolated


OTHER = bytes.fromhex("020000000001")  # no bit is in both registers


@pytest.mark.parametrize(
    ("mac", "low", "high"), [(MAC, 0xC3B61A02, 0x3412), (OTHER, 0x00000002, 0x0100)]
)
def test_init_programs_a_given_address(nic, mac, low, high):
    model = Model(mac=None)
    assert nic(model, mac=mac).mac == mac
    assert model.mac_regs[ADDRL] == low
    assert model.mac_regs[ADDRH] == high


@pytest.mark.parametrize("mac", [MAC, OTHER])
def test_init_takes_the_address_of_the_eeprom(nic, mac):
    assert nic(Model(mac=mac)).mac == mac


@pytest.mark.parametrize("eeprom", [None, bytes(6), bytes.fromhex("01005e000001")])
def test_init_without_an_address_of_a_station_says_so(nic, eeprom):
    nic(Model(mac=eeprom), status=ENOENT)


@pytest.mark.parametrize("value", [0, 0xFFFFFFFF, 0x43218765, 0x21436587])
def test_a_chip_that_is_not_there_or_wired_otherwise_is_refused(nic, value):
    nic(Model(byte_test=value), status=ENOENT)


@pytest.mark.parametrize("what", ["ready", "phy_polls", "reset_polls", "soft_reset", "eeprom_busy"])
def test_a_chip_that_does_not_come_up_is_given_up(nic, what):
    nic(Model(stuck=[what]), status=ETIMEDOUT)


def test_a_mac_that_does_not_answer_does_not_hang(nic):
    nic(Model(stuck=["csr_busy"]), status=ENOENT)


@pytest.mark.parametrize(("active_high", "pin"), [(True, 0x111), (False, 0x100)])
def test_the_interrupt_pin_is_as_the_board_has_it(nic, active_high, pin):
    model = Model()
    nic(model, irq_active_high=active_high)
    assert model.regs[IRQ_CFG] == pin  # no deassertion interval


@pytest.mark.parametrize("length", [14, 15, 16, 17, 59, 60, 61, 1511, 1512, 1513, 1514])
def test_a_frame_is_sent_behind_its_commands(nic, length):
    model = Model()
    eth = nic(model)
    assert send(eth, pattern(length)) == OK
    assert send(eth, pattern(14)) == OK
    assert model.sent == [pattern(length), pattern(14)]


def test_a_full_fifo_is_waited_for(nic):
    model = Model()
    eth = nic(model)
    for _ in range(10):  # the model asserts that none overruns
        assert send(eth, pattern(1514)) == OK
    assert counters(eth) == [0, 0, 0]


@pytest.mark.parametrize(("free", "enough"), [(1524, True), (1520, False)])
def test_there_must_be_room_for_the_longest_frame_and_its_commands(nic, free, enough):
    model = Model(stuck=["tx"])
    eth = nic(model)
    model.tx_used = 4608 - free
    assert bool(eth.frame()) == enough


def test_statuses_are_taken_out_and_errors_counted(nic):
    model = Model()
    eth = nic(model)
    # no carrier, excessive collisions, underrun (3.12.4); a collision that was got over
    model.tx_status = [ERROR | 1 << 10, ERROR | 1 << 8, ERROR | 1 << 1, 3 << 3, 0]
    assert send(eth, pattern(60)) == OK
    assert len(model.tx_status) == 1  # of the frame just sent
    assert counters(eth) == [0, 0, 3]


def test_a_transmitter_that_stopped_is_restarted(nic):
    model = Model()
    eth = nic(model)
    model.tx_used, model.tx_status = 4000, [ERROR]
    model.stuck.add("tx")
    assert not eth.frame()
    assert model.tx_used == 0
    assert model.regs[TX_CFG] == 2  # on
    assert counters(eth) == [0, 1, 1]
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]


def test_a_transmitter_that_does_not_even_stop_does_not_hang(nic):
    model = Model(stuck=["stop_polls"])
    eth = nic(model)
    model.tx_used = 4000
    model.stuck.add("tx")
    before = eth.now_us
    assert not eth.frame()
    assert eth.now_us - before < 300_000


def test_a_transmit_fifo_out_of_step_is_restarted(nic):
    model = Model()
    eth = nic(model)
    model.tx_command, model.int_sts = [0x1234], TXE
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
    assert not model.int_sts & TXE
    assert counters(eth) == [0, 1, 0]


@pytest.mark.parametrize("length", [14, 15, 16, 17, 60, 61, 62, 63, 1511, 1512, 1513, 1514])
def test_frames_are_received_without_their_check_sequence(nic, length):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(length))
    model.arrive(pattern(60))
    assert receive(eth) == pattern(length)
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0


def test_a_frame_interrupts_and_nothing_left_means_acknowledged(nic):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(60))
    assert model.irq()
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0
    assert not model.irq()
    model.arrive(pattern(61))
    assert model.irq()


def test_a_frame_that_comes_with_the_acknowledgement_is_not_lost(nic):
    model = Model()
    eth = nic(model)
    write = model.write

    def late(offset, value):
        write(offset, value)
        if offset == INT_STS:
            model.write = write
            model.arrive(pattern(60))
            model.int_sts &= ~RSFL  # went with the acknowledgement

    model.write = late
    assert receive(eth) == pattern(60)


@pytest.mark.parametrize(
    ("length", "status"),
    [
        (60, ERROR | 1 << 1),  # CRC
        (60, ERROR | 1 << 11),  # runt
        (60, ERROR | 1 << 6),  # late collision
        (3, ERROR | 1 << 1),
        (13, 0),
        (1515, 1 << 7),  # too long
        (2044, 0),
    ],
)
def test_a_damaged_or_oversized_frame_is_dropped_whole(nic, length, status):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(length), status)
    model.arrive(pattern(60))
    assert receive(eth) == EIO
    assert receive(eth) == pattern(60)
    assert receive(eth) == 0
    assert counters(eth) == [0, 0, 1]
    assert not model.int_sts & RXE


def test_marks_that_are_no_errors_do_no_harm(nic):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(60), 1 << 13 | 1 << 12 | 1 << 10 | 1 << 5 | 1 << 2)
    assert receive(eth) == pattern(60)


def test_a_frame_larger_than_the_room_is_dropped(nic):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(200))
    assert receive(eth, size=199) == EIO


@pytest.mark.parametrize(("length", "restarted"), [(2560, False), (2561, True)])
def test_lengths_that_the_chip_never_has_mean_out_of_step(nic, length, restarted):
    model = Model()
    eth = nic(model)
    model.arrive(pattern(length - 4))  # the receive watchdog cuts at 2560 bytes (3.13.3)
    model.arrive(pattern(60))
    assert receive(eth) == EIO
    assert receive(eth) == (0 if restarted else pattern(60))


@pytest.mark.parametrize("how", ["length", "error"])
def test_a_receiver_out_of_step_is_restarted(nic, how):
    model = Model()
    eth = nic(model)
    assert eth.link() == 1
    before = model.mac_regs[MAC_CR]
    model.arrive(pattern(60), length=0x3000 if how == "length" else None)
    model.int_sts |= RXE if how == "error" else 0
    assert receive(eth) == EIO
    assert model.rx_words == []
    assert model.mac_regs[MAC_CR] == before  # receiving, in the same duplex
    assert not model.int_sts & (RXE | RXSTOP)
    assert counters(eth) == [0, 1, 0]
    model.arrive(pattern(61))
    assert receive(eth) == pattern(61)


def test_an_error_of_the_receiver_interrupts(nic):
    model = Model()
    nic(model)
    model.int_sts |= RXE
    assert model.irq()


def test_the_link_is_the_phys(nic):
    model = Model(linked=False)
    eth = nic(model)
    assert eth.link() == 0
    model.linked = True
    assert eth.link() == 1


@pytest.mark.parametrize(
    ("partner", "full"),
    [
        (EVERY_MODE, True),
        (0x45E1, True),
        (0x0101, True),  # 100 full only
        (0x0081, False),
        (0x00E1, False),  # 100 half comes before 10 full (IEEE 802.3, annex 28B.3)
        (0x0061, True),  # 10 full
        (0x0021, False),
        (0x0080, False),  # seen by parallel detection
    ],
)
def test_the_mac_follows_the_negotiated_duplex(nic, partner, full):
    model = Model(partner=partner)
    eth = nic(model)
    assert eth.link() == 1
    assert model.mac_regs[MAC_CR] == TXEN | RXEN | (FDPX if full else 0)


@pytest.mark.parametrize("what", ["csr_busy", "mii_busy"])
def test_a_phy_that_never_answers_does_not_hang_and_may_come_back(nic, what):
    model = Model()
    eth = nic(model)
    model.stuck.add(what)
    before = eth.now_us
    assert eth.link() == ENOENT
    assert eth.now_us - before < 20_000_000
    model.stuck.clear()
    assert eth.link() == 1


@pytest.mark.parametrize("value", [0, 0xFFFF])
def test_a_phy_that_drives_no_line_is_said_and_may_come_back(nic, value):
    model = Model()
    eth = nic(model)
    model.phy[1] = value  # its status
    assert [eth.link(), eth.link()] == [ENOENT, ENOENT]
    del model.phy[1]
    assert eth.link() == 1
    assert send(eth, pattern(60)) == OK
    assert model.sent == [pattern(60)]
