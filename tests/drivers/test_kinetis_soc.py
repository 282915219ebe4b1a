"""Kinetis K64 watchdog at reset, clocks, pins and wake-up timer against a model of the registers,
written from K64P144M120SF5RM (WDOG, MCG, SIM, MPU, PIT). The model computes every clock at every
step and refuses one that is beyond its limit; at every step, too, the processor must be able to go
on: to fetch vectors, run code and use its stack."""

from itertools import pairwise

import pytest
from driver_harness import BASE, DriverFault

OK, EINVAL, ETIMEDOUT = 0, -1, -3
C1, C2, C5, C6, S = (0x4006_4000 + o for o in (0, 1, 4, 5, 6))
OSC_CR = 0x4006_5000
CESR, SCGC6, CLKDIV1 = 0x4000_D000, 0x4004_803C, 0x4004_8044
STCTRLH, UNLOCK = 0x4005_2000, 0x4005_200E
PIT, PIT_GATE = 0x4003_7000, 1 << 23
MCR, LDVAL, TCTRL, TFLG = PIT, PIT + 0x100, PIT + 0x108, PIT + 0x10C
RGD, RGDAAC = 0x4000_D400, 0x4000_D800
REGIONS, CORE, DEBUGGER, DMA, ENET = 12, 0, 1, 2, 3
VTOR, SRAM_L, SRAM_U, SRAM_U_END = 0xE000_ED08, 0x1FFF_0000, 0x2000_0000, 0x2003_0000
VECTORS = 0x200  # 16 and 86 of them, at a multiple of the next power of two
CODE, FLASH_END = 0x400, 0x10_0000
PLAIN = (0x4004_9000, 0x4004_9004)  # two pin control registers
FLL_HZ = 20_971_520  # the least that the FLL gives, out of reset


class Protection:
    """MPU, "Memory map/register definition" and "Functional description"."""

    SUPERVISOR = ("rwx", "rx", "rw")  # MnSM; 3: as in user mode

    def __init__(self):
        self.on = True
        self.regions = [[0, 0xFFFF_FFFF, 0x0061_F7DF, 1], *([0, 31, 0, 0] for _ in range(11))]

    def write(self, offset, value):
        if offset < RGDAAC:
            number, word = divmod((offset - RGD) // 4, 4)
            region = self.regions[number]
            if word < 3:
                region[3] = region[3] if number == 0 else 0  # VLD
            if word == 2:
                self.rights(number, value)
            elif number != 0:  # "the core cannot write" the first region's limits
                region[word] = (value & ~31, value | 31, 0, value & 1)[word]
        else:
            self.rights((offset - RGDAAC) // 4, value)

    def rights(self, number, value):
        kept = 0xFC0 if number == 0 else 0  # M1SM, M1UM: the debugger's, for ever
        self.regions[number][2] = self.regions[number][2] & kept | value & ~kept

    def allowed(self, master, address):
        """Some of "rwx": what any region that is hit allows."""
        found = set()
        for start, end, rights, valid in self.regions:
            if (valid & 1 and start <= address <= end) or not self.on:
                field = rights >> 6 * master & 63
                mode = field >> 3 & 3
                user = {"rwx"[i] for i in range(3) if field >> (2 - i) & 1}
                found |= user if mode == 3 else set(self.SUPERVISOR[mode])
        return "".join(how for how in "rwx" if how in found)


class Model:
    """The chip with `external_hz` on EXTAL0 (0: nothing), out of reset or where a boot loader left
    it (`left`: C1, C2, C5, C6, dividers). `lag`: how many looks at the status a change takes."""

    def __init__(self, external_hz=50_000_000, lag=3, locks=True, left=None):
        self.external_hz, self.lag, self.locks = external_hz, lag, locks
        left = left or (0x04, 0x80, 0, 0, 0x0001_0000)  # out of reset
        self.mcg = dict(zip((C1, C2, C5, C6), left, strict=False)) | {OSC_CR: 0}
        self.dividers = left[4]
        self.regs = dict.fromkeys(PLAIN, 0xFFFF_00FF) | {CESR: 0x0081_5101, SCGC6: 1, MCR: 2}
        self.unit, self.memory = Protection(), {}
        self.regs |= {VTOR: 0} | {4 * i: 0x1000 + i for i in range(VECTORS // 4)}
        self.regs |= {LDVAL: 0, TCTRL: 3, TFLG: 1}
        self.order, self.watchdog = [], []
        self.looks = self.raised = self.left = 0
        self.status = 0x10
        self.settle()

    # Clocks.

    def settle(self):
        """The status register follows the control registers, as far as clocks are there."""
        c1, c6 = self.mcg[C1], self.mcg[C6]
        present = self.external_hz > 0
        if c1 & 4 or present:
            self.status = self.status & ~0x10 | (0x10 if c1 & 4 else 0)
        pll_on = bool(c6 & 0x40)
        self.status = self.status & ~0x60 | (0x20 if pll_on else 0)
        if pll_on and self.locks and present:
            self.status |= 0x40
        clks = c1 >> 6
        if clks == 2 and present:
            self.status = self.status & ~0xC | 2 << 2
        elif clks == 0:
            engaged = 3 if self.status & 0x20 else 0
            self.status = self.status & ~0xC | engaged << 2
        self.check()

    def pll_hz(self):
        return self.external_hz * ((self.mcg[C6] & 31) + 24) // ((self.mcg[C5] & 31) + 1)

    def core_hz(self):
        selected = self.status >> 2 & 3
        out = {0: FLL_HZ, 2: self.external_hz, 3: self.pll_hz()}[selected]
        return out // ((self.dividers >> 28) + 1)

    def hz(self, shift):
        """Of the bus (24), FlexBus (20), flash (16)."""
        factor = (self.dividers >> 28) + 1
        return self.core_hz() * factor // ((self.dividers >> shift & 15) + 1)

    def check(self):
        assert self.core_hz() <= 120_000_000
        assert self.hz(24) <= 60_000_000
        assert self.hz(20) <= min(50_000_000, self.hz(24))
        assert self.hz(16) <= min(25_000_000, self.hz(24))

    # Registers.

    def read8(self, offset):
        addr = offset + BASE
        if addr == S:
            self.looks += 1
            if self.looks % self.lag == 0:
                self.settle()
            return self.status
        return self.mcg[addr]

    def write8(self, offset, value):
        addr = offset + BASE
        before = self.mcg[addr]
        self.mcg[addr] = value
        if addr == C1 and not value & 4 and self.external_hz:
            assert self.mcg[C2] & 0x30, "a low range divides by 1 to 128 only"
            divider = {6: 1280, 7: 1536}.get(value >> 3 & 7, 32 << (value >> 3 & 7))
            assert 31_250 <= self.external_hz / divider <= 39_063, "reference of the FLL"
        if addr == C1 and value >> 6 == 0 and not value & 4:
            assert self.status & 0x60 == 0x60, "the PLL is not locked"
        if addr == C5 and before != value:
            assert not self.status & 0x20, "the PLL runs"
        if addr == C6 and value & 0x40:
            reference = self.external_hz // ((self.mcg[C5] & 31) + 1)
            assert 2_000_000 <= reference <= 4_000_000
            assert self.status >> 2 & 3 == 2, "the processor runs on what changes"
            assert self.status & 0x20 == 0 or before == value, "the PLL runs with other numbers"
        if addr == C2:
            assert value & 0xC0 == before & 0xC0, "trim and loss-of-clock reset"
            assert not value & 6, "low power, or a crystal"

    def read(self, offset):
        addr = offset + BASE
        if addr == CLKDIV1:
            return self.dividers
        assert not PIT <= addr < PIT + 0x1000 or self.regs[SCGC6] & PIT_GATE, "clock gate closed"
        if addr == CESR:
            return self.regs[CESR] & ~1 | self.unit.on
        return self.regs[addr]

    def write(self, offset, value):
        addr = offset + BASE
        if addr == CLKDIV1:
            self.dividers = value
            self.check()
            return
        if CESR <= addr < CESR + 0x1000:
            if addr == CESR:
                self.unit.on = bool(value & 1)
            else:
                self.unit.write(addr, value)
            self.can_go_on()
            return
        if SRAM_L <= addr < SRAM_U:
            assert "w" in self.unit.allowed(CORE, addr)
            self.memory[addr] = value
            return
        if PIT <= addr < PIT + 0x1000:
            assert self.regs[SCGC6] & PIT_GATE, "clock gate closed"
        if addr == TFLG:
            self.raised = self.raised and not value & 1
        elif addr == LDVAL:
            assert not self.regs[TCTRL] & 1, "a running timer takes it at its end only"
            self.regs[addr] = value
        elif addr == TCTRL:
            if value & 1 and not self.regs[TCTRL] & 1:
                self.left = self.regs[LDVAL] + 1
            self.regs[addr] = value
        else:
            self.regs[addr] = value
            self.order.append((addr, value))

    def can_go_on(self):
        allowed = self.unit.allowed
        assert "r" in allowed(CORE, self.regs[VTOR] + 0xC), "vectors"
        assert {"r", "x"} <= set(allowed(CORE, CODE + 0x20)), "code"
        assert {"r", "w"} <= set(allowed(CORE, SRAM_U)), "stack"
        assert allowed(DEBUGGER, 0xF000_0000) == "rwx", "the debugger"

    def write16(self, offset, value):
        self.watchdog.append((offset + BASE, value))

    def read16(self, offset):
        """Its clock after the unlock takes no write: an access must lie between."""
        self.watchdog.append((offset + BASE, None))
        return 0x01D3

    def pass_us(self, us):
        """Whether the timer's interrupt is up after that time."""
        if self.regs[TCTRL] & 1 and not self.regs[MCR] & 2:
            ticks = us * self.hz(24) // 1_000_000
            if ticks >= self.left:
                self.raised = True
            self.left -= ticks
        return bool(self.raised and self.regs[TCTRL] & 2)


@pytest.fixture
def soc(load):
    def make(model, clock_hz=120_000_000, external_hz=50_000_000, setup=()):
        props = {"clock_hz": clock_hz, "external_hz": external_hz, "setup": list(setup)}
        return load("kinetis_soc", model, **props)

    return make


def test_the_watchdog_is_stopped_first_of_all_and_may_be_set_up_again(soc):
    model = Model()
    soc(model).at_reset()
    assert model.watchdog[:2] == [(UNLOCK, 0xC520), (UNLOCK, 0xD928)]
    between, (addr, value) = model.watchdog[2:]
    assert between == (STCTRLH, None)
    assert addr == STCTRLH
    assert not value & 1  # WDOGEN
    assert value & 1 << 4  # ALLOWUPDATE
    assert value == 0x01D3 & ~1  # all else as out of reset


def test_the_processor_ends_at_120_mhz(soc):
    model = Model()
    assert soc(model).init() == OK
    model.settle()
    assert model.core_hz() == 120_000_000
    assert model.hz(24) == 60_000_000  # what the board's I2C divides
    assert model.mcg[OSC_CR] & 0x80  # the reference goes on to the Ethernet
    assert model.watchdog == []


@pytest.mark.parametrize("lag", [1, 2, 50])
def test_every_step_waits_for_the_one_before(soc, lag):
    model = Model(lag=lag)
    assert soc(model).init() == OK
    assert model.core_hz() == 120_000_000


def test_a_boot_loaders_pll_is_left_for_ours(soc):
    model = Model(left=(0x38, 0xA0, 0x0E, 0x40 | 6, 0x0124_0000))  # 50 / 15 * 30 = 100 MHz
    assert model.core_hz() == 100_000_000
    assert soc(model).init() == OK
    assert model.core_hz() == 120_000_000


@pytest.mark.parametrize(
    ("clock_hz", "bus_hz"),
    [(100_000_000, 50_000_000), (65_000_000, 32_500_000), (60_000_000, 60_000_000)],
)
def test_other_clocks(soc, clock_hz, bus_hz):
    model = Model()
    assert soc(model, clock_hz).init() == OK
    assert model.core_hz() == clock_hz
    assert model.hz(24) == bus_hz


@pytest.mark.parametrize(
    ("clock_hz", "external_hz"), [(121_000_000, 50_000_000), (120_000_000, 1_000_000)]
)
def test_a_clock_out_of_reach_is_refused(soc, clock_hz, external_hz):
    model = Model()
    assert soc(model, clock_hz, external_hz).init() == EINVAL
    assert model.mcg[C1] == 0x04


def test_no_reference_leaves_the_internal_clock_on_and_the_rest_is_done(soc):
    model = Model(external_hz=0)
    assert soc(model, setup=[PLAIN[0], 0xFF, 0x11]).init() == ETIMEDOUT
    model.settle()
    assert model.mcg[C1] == 0x04  # FLL, internal reference
    assert model.core_hz() == FLL_HZ
    assert model.regs[PLAIN[0]] == 0xFFFF_0011


def test_a_pll_that_does_not_lock_is_said(soc):
    model = Model(locks=False)
    assert soc(model).init() == ETIMEDOUT
    assert model.core_hz() == 50_000_000


def test_the_table_is_done_in_order_and_keeps_other_bits(soc):
    model = Model()
    setup = [PLAIN[0], 0xF, 0x3, PLAIN[1], 0, 0x0F00, PLAIN[0], 0xFFFF_0000, 0]
    assert soc(model, setup=setup).init() == OK
    pins = [(a, v) for a, v in model.order if a in PLAIN]
    assert pins == [(PLAIN[0], 0xFFFF_00F3), (PLAIN[1], 0xFFFF_0FFF), (PLAIN[0], 0xF3)]


def test_other_gates_stay(soc):
    model = Model()
    assert soc(model).init() == OK
    assert model.regs[SCGC6] == 1 | PIT_GATE


# What is where from an address on: core, DMA, Ethernet. There is no linker script here that would
# say where the code ends and the stack; tests/boot/test_frdm_k64f.py has one.
ENDS = {
    0: ("", "", ""),
    CODE: ("rx", "", ""),
    FLASH_END: ("", "", ""),
    SRAM_L: ("r", "", ""),
    SRAM_L + VECTORS: ("", "", ""),
    SRAM_U: ("rw", "", "rw"),
    SRAM_U_END: ("", "", ""),
    0x6000_0000: ("", "", ""),
}


@pytest.mark.parametrize("before", [(), range(1, REGIONS)], ids=["reset", "used before"])
def test_every_master_may_do_what_it_needs_and_no_more(soc, before):
    """Also where somebody left regions that allow all."""
    model = Model()
    for number in before:
        model.unit.regions[number] = [0, 0xFFFF_FFFF, 0x0061_F7DF | 7 << 18, 1]
    assert soc(model).init() == OK
    assert model.unit.on
    for start, end in pairwise([*ENDS, 1 << 32]):
        for address in (start, start + 32, (start + end) // 2, end - 32, end - 1):
            found = tuple(model.unit.allowed(m, address) for m in (CORE, DMA, ENET))
            assert found == ENDS[start], f"{address:#x}"
            assert model.unit.allowed(DEBUGGER, address) == "rwx"


def test_the_core_finds_its_vectors_where_it_may_read_them(soc):
    model = Model()
    assert soc(model).init() == OK
    table = model.regs[VTOR]
    assert table % VECTORS == 0
    copied = [model.memory[table + 4 * i] for i in range(VECTORS // 4)]
    assert copied == [0x1000 + i for i in range(VECTORS // 4)]
    assert "r" in model.unit.allowed(CORE, table + VECTORS - 1)


def test_a_unit_that_was_switched_off_is_on_afterwards(soc):
    model = Model()
    model.unit.on = False
    assert soc(model).init() == OK
    assert model.unit.on


def test_init_stops_an_earlier_owners_timer(soc):
    model = Model()
    assert soc(model).init() == OK
    assert not model.regs[TCTRL] & 1
    assert not model.regs[MCR] & 2  # MDIS


@pytest.mark.parametrize("us", [1, 10_000, 1_000_000])
def test_wake_in_raises_the_interrupt_then(soc, us):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    device.wake_in(us)
    assert not model.pass_us(us - 1)
    assert model.pass_us(1)


def test_wake_in_takes_back_the_last(soc):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    device.wake_in(10)
    assert model.pass_us(11)
    device.wake_in(500)
    assert not model.pass_us(499)
    assert model.pass_us(1)


def test_a_clock_of_no_whole_megahertz_is_a_programming_error(soc):
    with pytest.raises(DriverFault):
        soc(Model(), 100_500_000).init()
