"""A model of the GENET v5 of a BCM2711, its BCM54213PE, the wire, and a cache that nothing keeps
coherent.

Written from how Linux (bcmgenet.c, bcmmii.c, broadcom.c) and U-Boot (bcmgenet.c) programme it, and
IEEE 802.3, 22.2.4. A frame is lost unless everything on its way is set as it must be; what only a
wrong driver does is an assertion. The device sees `memory`: what the driver has cleaned, or what
the cache evicts, at every register access or (`Model.late`) just after the device has written a
frame.
"""

import ctypes

REV, PORT, FLUSH, OOB = 0x000, 0x004, 0x008, 0x08C
INTR, INTR_1 = 0x200, 0x240
RBUF, CHK, TBUF_SIZE, TBUF, HFB = 0x300, 0x314, 0x3B4, 0x600, 0xFC00
CMD, MAC0, MAC1, MAX_LEN, TX_FLUSH, MDIO, MDF = (
    *(0x808, 0x80C, 0x810, 0x814),
    *(0xB34, 0xE14, 0xE50),
)
RDMA, TDMA = 0x2000, 0x4000
RING = 0xC00 + 16 * 0x40
ENGINE = 0xC00 + 17 * 0x40
DEV_PTR, DEV_INDEX, OUR_INDEX, SIZE, START, END, DONE, FLOW, OUR_PTR = (
    *(0x00, 0x08, 0x0C, 0x10, 0x14),
    *(0x1C, 0x24, 0x28, 0x2C),
)
CFG, CTRL, STATUS, BURST = 0x00, 0x04, 0x08, 0x0C
EOP, SOP, CRC = 1 << 14, 1 << 13, 1 << 6
LG, NO, RXER, CRC_ERROR, OV = 1 << 4, 1 << 3, 1 << 2, 1 << 1, 1 << 0
RX_DONE = 1 << 13
LINE, SPAN = 64, 84 * 1024
BROADCAST = b"\xff" * 6
M10, M100, M1000 = 0, 1, 2


class Cache:
    """The processor's view of `SPAN` bytes from the driver's state on, and the device's."""

    late = False  # when the cache evicts

    def __init__(self):
        self.base, self.memory, self.synced, self.last_dma = 0, bytearray(), bytearray(), ""

    def attach(self, address):
        self.base = address
        self.memory = bytearray(b"\xa5" * SPAN)
        self.synced = bytearray(self.memory)  # the cache holds what cleared the memory

    def dma(self, what, addr, length):
        self.last_dma = what
        if what == "barrier":
            return
        start = (addr - self.base) // LINE * LINE
        for at in range(max(start, 0), min(addr - self.base + length, SPAN), LINE):
            if what == "clean":
                self.write_back(at, ctypes.string_at(self.base + at, LINE))
            else:
                line = bytes(self.memory[at : at + LINE])
                ctypes.memmove(self.base + at, line, LINE)
                self.synced[at : at + LINE] = line

    def write_back(self, at, line):
        self.memory[at : at + LINE] = line
        self.synced[at : at + LINE] = line

    def evict(self):
        """The worst that a cache may do: every line that the processor wrote goes to memory."""
        cpu = ctypes.string_at(self.base, SPAN) if self.base else b""
        if cpu != self.synced:
            for at in range(0, SPAN, LINE):
                if cpu[at : at + LINE] != self.synced[at : at + LINE]:
                    self.write_back(at, cpu[at : at + LINE])

    def at(self, addr, length):
        start = addr - self.base
        assert 0 <= start <= SPAN - length, "outside the driver's memory"
        return slice(start, start + length)


class Phy:
    """A BCM54213PE at `address`, linked to a partner with those abilities."""

    def __init__(self, address=1, up=True, negotiated=True, partner=0x45E1, gigabit=0x0800):
        self.address, self.up, self.negotiated = address, up, negotiated
        self.lost, self.resets, self.reset_reads = not up, 0, 3
        self.misc, self.clock, self.selected = 0x0010, 0x201, {0x18: 0, 0x1C: 0}
        self.regs = {0: 0x1140, 2: 0x600D, 3: 0x84A2, 4: 0x0001, 5: partner, 9: 0, 10: gigabit}

    def read(self, reg):
        if reg == 0 and self.regs[0] & 0x8000:
            self.reset_reads -= 1
            if self.reset_reads <= 0:
                self.regs[0] &= ~0x8000
                self.reset_reads = 3
        if reg == 1:  # a loss of the link is shown once
            status = 0x7949 | (4 if self.up and not self.lost else 0)
            self.lost = not self.up
            return status | (0x20 if self.negotiated else 0)
        if reg == 0x18:
            return self.misc if self.selected[reg] == 0x7007 else 0xDEAD
        if reg == 0x1C:
            return 0x0C00 | self.clock if self.selected[reg] == 0x0C00 else 0xDEAD
        return self.regs.get(reg, 0)

    def write(self, reg, value):
        assert not self.regs[0] & 0x8000 or value == 0x8000, "written during reset"
        if reg == 0 and value & 0x8000:
            self.resets += 1
            self.misc, self.clock = 0x0010, 0x201
            self.regs |= {4: 0x0001, 9: 0}
        if reg == 0x18 and value & 0x8000:
            assert value & 7 == 7
            self.misc = value & 0x7FF8 | 7
        elif reg == 0x1C and value & 0x8000:
            assert value >> 10 & 31 == 3
            self.clock = value & 0x3FF
        elif reg in self.selected:
            self.selected[reg] = value
        else:
            self.regs[reg] = value

    def delays(self):
        """The receive clock is delayed here, the transmit clock by the MAC."""
        return self.misc & 0x180 == 0x180 and not self.clock & 0x200


class Model(Cache):
    """`speed`, `full`: of the link, as the partner sees it. `index`: where the device's indices are
    at the start."""

    def __init__(self, phy=None, left=(0xDCA6_3201, 0x0203), index=0, revision=0x0600_0000):
        super().__init__()
        self.phy, self.speed, self.full = phy, M1000, True
        self.revision = revision
        self.regs = dict.fromkeys((PORT, FLUSH, RBUF, CHK, TBUF_SIZE, TBUF, HFB, CMD, MDF), 0)
        self.regs |= {MAC0: left[0], MAC1: left[1], MAX_LEN: 1518, OOB: 0x20, TX_FLUSH: 0, MDIO: 0}
        for engine in (RDMA, TDMA):
            self.regs |= {engine + at: 0 for at in range(0, 0xC00, 4)}
            ring = (DEV_PTR, OUR_INDEX, SIZE, START, END, DONE, FLOW, OUR_PTR)
            self.regs |= {engine + RING + at: 0x155 for at in ring}  # an earlier owner's
            self.regs |= {engine + ENGINE + at: 0 for at in (CFG, CTRL, BURST)}
        self.produced = self.consumed = index
        self.drops = index
        self.intr, self.masked, self.masked_1, self.on_ack = 0, 0, 0, None
        self.now, self.changed, self.flushed, self.tx_flushed = 0, {}, False, False
        self.stopping = {RDMA: 0, TDMA: 0}
        self.mdio_busy, self.mdio_stuck, self.mdio_fails, self.silent = 0, False, 0, False
        self.tx_stuck = self.dma_stuck = False
        self.resets, self.sent, self.answer = 0, [], None

    def clock_us(self):
        self.now += 1
        return self.now

    # The way of a frame.

    def connected(self):
        """Nothing between MAC and wire is set wrongly."""
        cmd, oob = self.regs[CMD], self.regs[OOB]
        rgmii = oob & 0x70 == 0x50 and not oob & 1 << 16 and self.regs[PORT] == 3
        mac = not cmd & (1 << 13 | 1 << 15) and (cmd >> 2 & 3) == self.speed
        pauses = cmd & 1 << 8 and cmd & 1 << 28  # none is negotiated
        duplex = bool(cmd & 1 << 10) != self.full
        up = self.phy is not None and self.phy.up and self.phy.delays()
        return bool(rgmii and mac and pauses and duplex and up)

    def ring(self, engine):
        """The number of descriptors of ring 16, 0 if it does not run."""
        get = lambda at: self.regs[engine + RING + at]  # noqa: E731
        if not self.runs(engine) or self.regs[engine + ENGINE + CFG] != 1 << 16:
            return 0
        size = get(SIZE) >> 16
        assert 65536 % size == 0
        assert get(START) == 0
        return size if get(END) == 3 * size - 1 else 0

    def runs(self, engine):
        control = self.regs[engine + ENGINE + CTRL]
        return control & 1 and control >> 17 & 1

    def transmit(self):
        size = self.ring(TDMA)
        wanted = self.regs[TDMA + RING + OUR_INDEX]
        while size and self.consumed != wanted and self.regs[CMD] & 1 and not self.tx_stuck:
            assert (wanted - self.consumed) & 0xFFFF <= size, "more than the ring holds"
            at = TDMA + self.consumed % size * 12
            status, low, high = (self.regs[at + i] for i in (0, 4, 8))
            length = status >> 16
            assert high == self.base >> 32
            data = bytes(self.memory[self.at(low, length)])
            self.consumed = (self.consumed + 1) & 0xFFFF
            whole = status & (SOP | EOP | CRC) == SOP | EOP | CRC and status >> 7 & 0x3F == 0x3F
            buffers = not self.regs[TBUF] & 1 and self.regs[TBUF_SIZE] == 1
            buffers = buffers and not self.regs[TX_FLUSH]
            if whole and 60 <= length <= 1514 and self.connected() and buffers:
                self.sent.append(data)
                if self.answer:
                    self.arrive(self.answer)

    def arrive(self, frame, flags=0, whole=SOP | EOP):
        """A frame comes in; whether it reached the ring."""
        mac = self.regs[MAC0].to_bytes(4, "big") + self.regs[MAC1].to_bytes(2, "big")
        ours = frame[:6] == mac or frame[0] & 1 or self.regs[CMD] & 1 << 4
        if not (self.connected() and self.regs[CMD] & 2 and ours):
            return False
        if self.regs[HFB] or self.regs[MDF] or self.regs[FLUSH] or self.regs[RBUF] & 1:
            return False
        raw = (b"\xf1\xf2" if self.regs[RBUF] & 2 else b"") + frame
        raw += b"\xfc" * 4 if self.regs[CMD] & 1 << 6 else b""
        size = self.ring(RDMA)
        room = self.regs[RDMA + RING + SIZE] & 0xFFFF
        if not size or len(frame) + 4 > self.regs[MAX_LEN] or len(raw) > room:
            return False
        if (self.produced - self.regs[RDMA + RING + OUR_INDEX]) & 0xFFFF >= size:
            self.drops = (self.drops + 1) & 0xFFFF
            return False
        at = RDMA + self.produced % size * 12
        low, high = self.regs[at + 4], self.regs[at + 8]
        assert high == self.base >> 32
        assert low % LINE == 0
        self.at(low, room)
        self.memory[self.at(low, len(raw))] = raw
        if self.late:
            self.evict()
        self.regs[at] = len(raw) << 16 | 0x8000 | whole | flags
        self.produced = (self.produced + 1) & 0xFFFF
        if self.regs[RDMA + RING + DONE] == 1:
            self.intr |= RX_DONE
        return True

    def interrupts(self):
        return self.intr & ~self.masked

    # Registers.

    def read(self, offset):
        if not self.late:
            self.evict()
        if offset == REV:
            return self.revision
        if offset == RDMA + RING + DEV_INDEX:
            return self.drops << 16 | self.produced
        if offset == TDMA + RING + DEV_INDEX:
            return self.consumed
        for engine in (RDMA, TDMA):
            if offset == engine + ENGINE + STATUS:
                self.stopping[engine] = max(self.stopping[engine] - 1, 0)
                stopped = not self.runs(engine) and not self.stopping[engine]
                return int(stopped and not self.dma_stuck)
        if offset == MDIO:
            self.mdio_busy = max(self.mdio_busy - 1, int(self.mdio_stuck))
            return self.regs[MDIO] & ~(1 << 29) | (1 << 29 if self.mdio_busy else 0)
        return self.regs[offset]

    def write(self, offset, value):
        if not self.late:
            self.evict()
        if offset == INTR + 0x08:
            self.intr &= ~value
            if self.on_ack:
                self.on_ack()
        elif offset == INTR + 0x10:
            self.masked |= value
        elif offset == INTR + 0x14:
            self.masked &= ~value
        elif offset == INTR_1 + 0x10:
            self.masked_1 |= value
        elif offset == MDIO:
            self.management(value)
        else:
            assert offset in self.regs, f"{offset:#x}"
            self.check(offset, value)
            self.times(offset, value)
            self.regs[offset] = value
            if offset == CMD:
                self.resets += value >> 13 & 1
            self.transmit()

    def times(self, offset, value):
        """Each step of a reset needs its 10 us, and the flush comes before the MAC's reset."""
        if offset in (FLUSH, TX_FLUSH, CMD):
            before = self.regs[offset]
            stepped = before & (1 << 13 if offset == CMD else 3)
            assert not stepped or self.now - self.changed[offset] >= 10, "too quick"
            self.changed[offset] = self.now
            if offset == FLUSH:
                self.flushed = bool(before & 2) and value == 0
            if offset == TX_FLUSH:
                self.tx_flushed = before == 1 and value == 0
            if offset == CMD and value & 1 << 13:
                self.tx_flushed = False
                assert self.flushed
                assert self.now - self.changed[FLUSH] >= 10, "too quick"

    def check(self, offset, value):
        if offset == CMD and value & 1 << 13:
            assert value & 1 << 15, "without its loop the reset needs the PHY's clock"
            assert not self.runs(RDMA)
            assert not self.runs(TDMA)
        for engine in (RDMA, TDMA):
            if offset == engine + ENGINE + CTRL:
                if self.runs(engine) and not value & 1:
                    self.stopping[engine] = 4
                if value & 1:
                    assert self.last_dma == "barrier"
                    self.starts(engine)
            elif offset == engine + RING + OUR_INDEX:
                assert value <= 0xFFFF
                assert not self.runs(engine) or self.last_dma == "barrier"
            elif engine + RING <= offset < engine + ENGINE + 0x40:
                assert not self.runs(engine), f"{offset:#x} written while it runs"
        if RDMA <= offset < RDMA + 0xC00:
            assert not self.runs(RDMA)

    def starts(self, engine):
        """The place of an index in the ring is the index modulo its size."""
        assert not self.regs[CMD] & 1 << 13
        assert self.flushed
        assert self.tx_flushed
        index = self.produced if engine == RDMA else self.consumed
        get = lambda at: self.regs[engine + RING + at]  # noqa: E731
        assert get(OUR_INDEX) == index
        assert get(DEV_PTR) == get(OUR_PTR) == index % (get(SIZE) >> 16) * 3
        assert self.regs[engine + ENGINE + BURST] in range(1, 9)

    def management(self, value):
        if not value & 1 << 29:
            self.regs[MDIO] = value
            return
        assert not self.mdio_busy, "busy"
        assert value == self.regs[MDIO] | 1 << 29, "first the command, then its start"
        self.mdio_busy = 3
        phy, reg = value >> 21 & 31, value >> 16 & 31
        present = self.phy is not None and phy == self.phy.address
        failed = self.mdio_fails > 0 or not present
        self.mdio_fails = max(self.mdio_fails - 1, 0)
        if value >> 26 & 3 == 2:
            answer = 0xFFFF if failed else self.phy.read(reg)
            fail = 1 << 28 if failed and not self.silent else 0
            self.regs[MDIO] = value & 0xEFFF_0000 | answer | fail
        else:
            assert value >> 26 & 3 == 1
            if not failed:
                self.phy.write(reg, value & 0xFFFF)
