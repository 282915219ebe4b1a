"""GICv3 driver against a model of its registers (Arm IHI 0069), in the three views that a processor
at EL1 may have of them: secure, secure with a controller that knows one state only,
non-secure, and with one security state only.

The interface to the processor is system registers; the model has them at ICC (tests/fake/ek/icc.h).
"""

import pytest
from driver_harness import BASE, DriverFault

OK, ETIMEDOUT = 0, -3
REDIST = 0x80000
PRIVATE = REDIST + 0x10000
ICC = 0x100000
GROUP, PMR, IAR, EOIR = (ICC + 4 * i for i in range(4))
CTLR, TYPER, IROUTER, WAKER = 0x0000, 0x0004, 0x6000, REDIST + 0x14
IGROUPR, ISENABLER, ICENABLER, ICPENDR = 0x080, 0x100, 0x180, 0x280
IPRIORITYR, ICFGR, IGRPMODR = 0x400, 0xC00, 0xD00
RWP, ARE = 1 << 31, 1 << 4
# What group signals us, bits of GICD_CTLR that are there and the one that enables it (12.9.4), and
# which of the registers of groups are writable.
VIEWS = {
    "secure": (0, 0x37, 1 << 0, (IGROUPR, IGRPMODR)),
    "secure, one state": (0, 0x13, 1 << 0, (IGROUPR,)),
    "non-secure": (1, 0x13, 1 << 1, ()),
    "one state": (1, 0x13, 1 << 1, (IGROUPR,)),
}


class Model:
    def __init__(self, view="non-secure", lines=160, asleep=3, busy=2):
        self.view, self.lines = view, lines
        self.group, self.ctlr_bits, self.group_bit, self.writable = VIEWS[view]
        self.regs = {TYPER: lines // 32 - 1, CTLR: 3, WAKER: 6, GROUP: self.group}
        self.config = {}
        self.words, self.priority, self.route = {}, {}, {}
        self.enabled = set(range(lines))
        self.pending = []
        self.ended, self.asleep, self.busy, self.busy_left = [], asleep, busy, 0

    def line(self, reg):
        """(name, first line) of a register with a bit for each line."""
        private = reg >= PRIVATE
        offset = reg - PRIVATE if private else reg
        if private == (offset % 0x80 == 0):  # word 0 is in the redistributor, others are not
            return offset & ~0x7F, 32 * (offset % 0x80 // 4)
        raise AssertionError(f"{reg:#x} is reserved")

    def read(self, reg):
        if reg == CTLR:
            self.busy_left -= self.busy_left > 0
            return self.regs[CTLR] | (RWP if self.busy_left else 0)
        if reg == WAKER and not self.regs[WAKER] & 2:
            self.asleep -= self.asleep > 0
            if not self.asleep:
                self.regs[WAKER] &= ~4
        if reg == IAR:
            assert PMR in self.regs
            return self.pending.pop(0) if self.pending else 1023
        if ICFGR <= reg < ICFGR + 0x100:
            return self.config.get(reg, 0xFFFFFFFF)
        return self.regs[reg]

    def write(self, reg, value):
        if reg == CTLR:
            self.control(value)
        elif reg == EOIR:
            self.ended.append(value)
        elif IROUTER <= reg < IROUTER + 8 * 1020:
            assert self.regs[CTLR] & ARE, "RAZ/WI without affinity routing"
            self.route[reg] = value
        elif ICFGR <= reg < ICFGR + 0x100:
            self.config[reg] = value
        elif reg in (PMR, WAKER):
            self.regs[reg] = value
        else:
            self.bits(reg, value)

    def control(self, value):
        value &= self.ctlr_bits
        if (value ^ self.regs[CTLR]) & ARE:
            assert not (value | self.regs[CTLR]) & 7, "unpredictable while a group is on (12.9.4)"
            assert not self.busy_left, "the last change is still on its way"
        self.regs[CTLR] = value
        self.busy_left = self.busy

    def bits(self, reg, value):
        name, first = self.line(reg)
        if reg >= PRIVATE:
            assert not self.regs[WAKER] & 4, "the redistributor sleeps"
        lines = {first + i for i in range(32) if value >> i & 1}
        if name == ICENABLER:
            self.enabled -= lines
        elif name == ISENABLER:
            self.enabled |= lines
        elif (name == IGROUPR and self.view != "non-secure") or (
            name == IGRPMODR and self.view == "secure"
        ):
            self.words[reg] = value
        else:
            assert name in (ICPENDR, IGROUPR, IGRPMODR)

    def write8(self, reg, value):
        line = reg - PRIVATE - IPRIORITYR if reg >= PRIVATE else reg - IPRIORITYR
        assert (line < 32) == (reg >= PRIVATE)
        self.priority[line] = value

    def group_of(self, line):
        """As IGROUPR and IGRPMODR say (4.6): 2 is the secure group 1."""
        if self.view == "non-secure":
            return 1  # or nothing would work at all
        base = PRIVATE if line < 32 else 0
        group = self.words.get(base + IGROUPR + 4 * (line // 32), 0) >> line % 32 & 1
        modifier = self.words.get(base + IGRPMODR + 4 * (line // 32), 0xFFFFFFFF) >> line % 32 & 1
        return 2 if self.view == "secure" and modifier and not group else group


def make(load, **kwargs):
    model = Model(**kwargs)
    return load("gicv3", model, distributor=BASE, redistributor=BASE + REDIST), model


@pytest.mark.parametrize("view", VIEWS)
def test_init_masks_every_line_and_turns_on_our_group(load, view):
    gic, model = make(load, view=view)
    assert gic.init() == OK
    assert model.enabled == set()
    assert {model.group_of(line) for line in range(160)} == {model.group}
    assert model.regs[CTLR] & model.group_bit
    assert model.regs[CTLR] & ARE
    assert model.regs[PMR] == 0xFF
    assert not model.regs[WAKER] & 6


def test_init_may_be_called_again(load):
    gic, model = make(load)
    assert gic.init() == OK
    gic.enable(150)
    assert gic.init() == OK
    assert model.enabled == set()


@pytest.mark.parametrize("never", [{"asleep": 10**9}, {"busy": 10**9}])
def test_a_controller_that_does_not_answer_is_said(load, never, monkeypatch):
    monkeypatch.setattr("driver_harness.ACCESSES_MAX", 10**7)
    monkeypatch.setattr(Model, "control", lambda self, value: self.regs.update({CTLR: value}))
    monkeypatch.setattr(Model, "bits", lambda self, reg, value: None)
    gic, model = make(load, **never)
    model.busy_left = model.busy
    assert gic.init() == ETIMEDOUT


def test_enable_of_a_shared_line_aims_it_at_this_processor_by_level(load):
    gic, model = make(load)
    gic.init()
    gic.enable(150)
    assert model.enabled == {150}
    assert model.route == {IROUTER + 8 * 150: 0, IROUTER + 8 * 150 + 4: 0}
    assert model.priority == {150: 0x80}  # below the mask, else never seen
    assert model.config == {ICFGR + 4 * (150 // 16): 0xFFFFFFFF & ~(2 << 2 * (150 % 16))}


def test_enable_of_a_private_line_is_in_the_redistributor(load):
    gic, model = make(load)
    gic.init()
    gic.enable(27)
    assert model.enabled == {27}
    assert model.priority == {27: 0x80}
    assert model.route == {}
    assert model.config == {}


def test_enable_of_a_number_that_is_no_line_is_a_bug_of_the_caller(load):
    gic, _ = make(load)
    with pytest.raises(DriverFault, match="ek_assert"):
        gic.enable(1020)


def test_clear_ends_exactly_what_it_acknowledged(load):
    gic, model = make(load)
    gic.init()
    model.pending = [27, 150]
    for _ in range(3):
        gic.clear()
    assert model.ended == [27, 150]


@pytest.mark.parametrize("spurious", [1020, 1022, 1023])
def test_clear_does_not_end_what_was_not_pending(load, spurious):
    gic, model = make(load)
    gic.init()
    model.pending = [spurious]
    gic.clear()
    assert model.ended == []
