"""A model of the ENET of i.MX and Kinetis, its PHY, and a cache that nothing keeps coherent.

Written from IMX6ULRM, chapter ENET, and IEEE 802.3, 22.2.4. The device sees `memory`, not what the
processor wrote: that gets there when the driver cleans a line, and when the cache evicts the lines
written since: at every register access, or (`Model.late`) only after the device has written a
frame, over which it then goes. What the device writes, the processor sees when the driver
invalidates the line, and not before.
"""

import ctypes

EIR, EIMR, RDAR, TDAR, ECR, MMFR, MSCR = 0x004, 0x008, 0x010, 0x014, 0x024, 0x040, 0x044
RCR, TCR, PALR, PAUR, TFWR, RDSR, TDSR, MRBR = (
    *(0x084, 0x0C4, 0x0E4, 0x0E8, 0x144),
    *(0x180, 0x184, 0x188),
)
RXF, RXB, MII, EBERR = 1 << 25, 1 << 24, 1 << 23, 1 << 22
RESET, ETHEREN, SPEED, DBSWP = 1, 2, 1 << 5, 1 << 8
E, R, W, L, TC = 1 << 15, 1 << 15, 1 << 13, 1 << 11, 1 << 10
LG, NO, CR, OV, TR = 1 << 5, 1 << 4, 1 << 2, 1 << 1, 1 << 0
GIGABIT = (9, 10, 15)  # registers that extended status promises
FUSES = 0x1000
LINE = 64
FCS = b"\xf1\xf2\xf3\xf4"
SPAN = 16384  # bytes of memory that the model follows, from the driver's state on


class Model:
    """`phy`: registers of the PHY, None for no PHY. `qemu`: lengths as QEMU's model gives them."""

    late = False  # when the cache evicts

    def __init__(self, phy=None, qemu=False, fuses=(0, 0), left=(0, 0x8808)):
        self.regs = {EIR: 0, ECR: 0xF000_0000, MSCR: 0, PALR: left[0], PAUR: left[1]}
        self.fuses = {FUSES: fuses[0], FUSES + 0x10: fuses[1]}
        self.left = left
        self.phy, self.qemu = phy, qemu
        self.mii_stuck = self.tx_stuck = self.reset_stuck = False
        self.tx_ignored = self.tx_again = False  # erratum ERR006358: a write to TDAR has no effect
        # Reads for which TDAR stays set after a frame: until then, the device looks for another
        # one, and a write hangs it (erratum ERR007885).
        self.lag = self.looking = 0
        self.mii_ready = 0
        self.phy_resets = 0
        self.sent = []
        self.rx_at = self.tx_at = 0
        self.running = self.gigabit = False
        self.resets, self.on_ack = 0, None
        self.active, self.last_dma = False, ""
        self.base, self.memory, self.synced = 0, bytearray(), bytearray()

    def attach(self, address):
        """The driver's state is at `address`; memory holds what a boot loader left."""
        self.base = address
        self.memory = bytearray(b"\xa5" * SPAN)
        self.synced = bytearray(self.memory)  # the cache holds what cleared the memory

    # The cache.

    def cpu(self):
        return ctypes.string_at(self.base, SPAN)

    def lines(self, addr, length):
        start = (addr - self.base) // LINE * LINE
        return range(max(start, 0), min(addr - self.base + length, SPAN), LINE)

    def dma(self, what, addr, length):
        self.last_dma = what
        if not self.base or what == "barrier":
            return
        for at in self.lines(addr, length):
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
        cpu = self.cpu()
        for at in range(0, SPAN, LINE):
            if cpu[at : at + LINE] != self.synced[at : at + LINE]:
                self.write_back(at, cpu[at : at + LINE])

    # Descriptors and buffers, as the device sees them.

    def get(self, addr, length):
        at = addr - self.base
        assert 0 <= at <= SPAN - length, "outside the driver's memory"
        return bytes(self.memory[at : at + length])

    def put(self, addr, data):
        at = addr - self.base
        assert 0 <= at <= SPAN - len(data), "outside the driver's memory"
        self.memory[at : at + len(data)] = data

    def descriptor(self, addr):
        raw = self.get(addr, 8)
        return (
            int.from_bytes(raw[:2], "little"),
            int.from_bytes(raw[2:4], "little"),
            int.from_bytes(raw[4:], "little"),
        )

    def finish(self, addr, length, control):
        self.put(addr, length.to_bytes(2, "little") + control.to_bytes(2, "little"))

    # Receiving.

    def arrive(self, frame, flags=0, cut=False):
        """A frame comes in; False if there is no room. `cut`: room ends in the middle of it, and
        the model of QEMU then forgets its end."""
        assert self.running
        assert self.active, "it looks for descriptors only when RDAR says so"
        raw = frame + FCS
        size = self.regs[MRBR] & 0x3FF0
        start, done = self.rx_at, []
        for at in range(0, len(raw), size):
            _, control, buffer = self.descriptor(self.rx_at)
            if not control & E:
                self.active = False
                if not cut:
                    assert not done, "room ends in the middle of a frame"
                    return False
                break
            assert buffer % 64 == 0
            part = raw[at : at + size]
            self.put(buffer, part)
            done.append((self.rx_at, control & ~E, len(part)))
            self.rx_at = self.regs[RDSR] if control & W else self.rx_at + 8
        for addr, control, length in done[:-1]:
            self.finish(addr, length, control)
        addr, control, length = done[-1]
        if self.late:
            self.evict()
        if cut:
            self.finish(addr, length, control)
            return True
        self.finish(addr, length if self.qemu else len(raw), control | L | flags)
        assert start != self.rx_at
        self.regs[EIR] |= RXF
        return True

    # Registers.

    def read(self, offset):
        if not self.late:
            self.evict()
        if offset in self.fuses:
            return self.fuses[offset]
        if offset == EIR:
            if self.mii_ready:
                self.mii_ready -= 1
                if not self.mii_ready:
                    self.regs[EIR] |= MII
            return self.regs[EIR]
        if offset == ECR and self.reset_stuck:
            return self.regs[ECR] | RESET
        if offset == TDAR:
            if self.looking:
                self.looking -= 1
                if not self.looking and self.descriptor(self.tx_at)[1] & R:
                    self.transmit()
                return 1 << 24
            return 1 << 24 if self.tx_stuck else 0
        return self.regs[offset]

    def write(self, offset, value):
        if not self.late:
            self.evict()
        if offset == EIR:
            self.regs[EIR] &= ~value
            if value & RXF and self.on_ack:
                self.on_ack()
        elif offset == ECR:
            self.control(value)
        elif offset == MMFR:
            self.management(value)
        elif offset == TDAR:
            assert self.running
            assert not self.looking, "written while the device clears it"
            if not self.descriptor(self.tx_at)[1] & R:
                return
            assert self.last_dma == ("invalidate" if self.tx_again else "barrier")
            self.transmit()
        elif offset == RDAR:
            assert self.running
            assert self.last_dma == "barrier"
            self.active = True
        else:
            assert not self.running or offset in (EIMR, MSCR), f"{offset:#x} written while running"
            self.regs[offset] = value

    def control(self, value):
        if value & RESET:
            self.resets += 1
            self.running = self.active = False
            self.regs = {
                EIR: self.regs[EIR],
                ECR: 0xF000_0000,
                MSCR: 0,
                PALR: self.left[0],
                PAUR: self.left[1],
            }
        elif value & ETHEREN and not self.running:
            assert value & DBSWP, "descriptors would be big-endian"
            assert self.regs[RDSR] % 64 == 0
            assert self.regs[TDSR] % 64 == 0
            self.running = True
            self.gigabit = bool(value & SPEED)
            self.rx_at, self.tx_at = self.regs[RDSR], self.regs[TDSR]

    def transmit(self):
        length, control, buffer = self.descriptor(self.tx_at)
        assert control & R
        assert control & L
        assert control & TC
        assert self.regs[TFWR] & 0x100  # store and forward
        self.tx_again = self.tx_ignored
        if self.tx_stuck or self.tx_ignored:
            self.tx_ignored = False
            return
        self.looking = self.lag
        self.sent.append(self.get(buffer, length))
        self.finish(self.tx_at, length, control & ~R)
        self.tx_at = self.regs[TDSR] if control & W else self.tx_at + 8

    def management(self, value):
        assert self.regs[MSCR] & 0x7E, "no clock for the PHY"
        assert value >> 30 == 1
        assert value >> 16 & 3 == 2
        assert not self.regs[EIR] & MII
        phy, reg = value >> 23 & 31, value >> 18 & 31
        answer = 0xFFFF  # nobody drives the line
        if self.phy is not None and phy == self.phy["address"]:
            if value >> 28 & 3 == 2:
                answer = self.phy_read(reg)
            else:
                assert value >> 28 & 3 == 1
                self.phy_write(reg, value & 0xFFFF)
        self.regs[MMFR] = value & 0xFFFF_0000 | answer
        self.mii_ready = 0 if self.mii_stuck else 2

    def phy_read(self, reg):
        assert reg not in GIGABIT or self.phy[1] & 0x100, "no such register"
        value = self.phy.get(reg, 0)
        if reg == 0 and value & 0x8000:
            self.phy["reset_reads"] = self.phy.get("reset_reads", 3) - 1
            if self.phy["reset_reads"] == 0:
                self.phy[0] &= ~0x8000
        if reg == 1:  # a loss of the link is shown once
            self.phy[1] = value & ~4 | (4 if self.phy["up"] else 0)
        return value

    def phy_write(self, reg, value):
        assert reg not in GIGABIT or self.phy[1] & 0x100, "no such register"
        if reg == 0 and value & 0x8000:
            self.phy_resets += 1
            self.phy |= {4: 0x0001, 31: 0x8100}  # what a reset gives back; 4 by straps
        self.phy[reg] = value


def ksz8081(up=True, partner=0x45E1, negotiated=True):
    """Registers of a PHY at address 2, linked to a partner with those abilities."""
    status = 0x7849 | (4 if up else 0) | (0x20 if negotiated else 0)
    return {"address": 2, "up": up, 0: 0x3100, 1: status, 2: 0x22, 3: 0x1560, 4: 0x1E1, 5: partner}


def rtl8211f(partner=0x45E1, gigabit=0x0800):
    """One of 1000BASE-T; `gigabit`: register 10, what the partner can of it. Behind register 31 are
    pages; two registers of page 0xd08 delay the clocks."""
    phy = ksz8081(partner=partner) | {"address": 1, 9: 0x0100, 10: gigabit, 31: 0}
    phy[1] |= 0x0100  # extended status
    return phy
