"""GICv2 driver against a model of its registers (Arm IHI 0048B)."""

import pytest
from driver_harness import BASE, DriverFault

DISTRIBUTOR, CPU = 0x0, 0x10000
GICD_CTLR, GICD_TYPER, GICD_ISENABLER, GICD_ICENABLER = 0x000, 0x004, 0x100, 0x180
GICD_IPRIORITYR, GICD_ITARGETSR, GICD_ICFGR = 0x400, 0x800, 0xC00
GICC_CTLR, GICC_PMR, GICC_IAR, GICC_EOIR = (CPU + r for r in (0x00, 0x04, 0x0C, 0x10))


class Model:
    """Registers, and lines that are pending."""

    def __init__(self, lines=96):
        self.regs = {
            GICD_TYPER: lines // 32 - 1,
            **{GICD_ICFGR + 4 * i: 0xFFFFFFFF for i in range(64)},
        }
        self.bytes = {GICD_ITARGETSR: 0x04}  # we are processor 2
        self.enabled = set(range(lines))
        self.pending, self.ended, self.order = [], [], []

    def read(self, reg):
        if reg == GICC_IAR:
            return self.pending.pop(0) if self.pending else 1023
        return self.regs.get(reg, 0)

    def write(self, reg, value):
        self.order.append(reg)
        self.regs[reg] = value
        bits = [32 * (reg % 0x80 // 4) + i for i in range(32) if value >> i & 1]
        if reg == GICC_EOIR:
            self.ended.append(value)
        elif GICD_ICENABLER <= reg < GICD_ICENABLER + 0x80:
            self.enabled -= set(bits)
        elif GICD_ISENABLER <= reg < GICD_ISENABLER + 0x80:
            self.enabled |= set(bits)

    def read8(self, reg):
        return self.bytes.get(reg, 0)

    def write8(self, reg, value):
        self.bytes[reg] = value


def make(load, **kwargs):
    model = Model(**kwargs)
    return load("gicv2", model, distributor=BASE, cpu_interface=BASE + CPU), model


def test_init_masks_every_line_and_starts_both_halves(load):
    gic, model = make(load, lines=160)
    assert gic.init() == 0
    assert model.enabled == set()
    assert model.regs[GICC_PMR] == 0xFF
    assert model.regs[GICD_CTLR] == model.regs[GICC_CTLR] == 1
    assert model.order[0] == GICD_CTLR  # off while it is programmed
    assert model.order[-1] == GICD_CTLR


def test_enable_of_a_shared_line_aims_it_at_this_processor_by_level(load):
    gic, model = make(load)
    gic.init()
    gic.enable(79)
    assert model.enabled == {79}
    assert model.bytes[GICD_ITARGETSR + 79] == 0x04
    assert model.bytes[GICD_IPRIORITYR + 79] < 0xFF  # above the priority mask, else never seen
    assert model.regs[GICD_ICFGR + 4 * (79 // 16)] == 0xFFFFFFFF & ~(0b10 << 30)


def test_enable_of_a_private_line_leaves_targets_and_trigger_alone(load):
    gic, model = make(load)
    gic.init()
    gic.enable(27)
    assert model.enabled == {27}
    assert GICD_ITARGETSR + 27 not in model.bytes
    assert model.regs[GICD_ICFGR + 4] == 0xFFFFFFFF


def test_enable_of_a_number_that_is_no_line_is_a_bug_of_the_caller(load):
    gic, _ = make(load)
    with pytest.raises(DriverFault, match="ek_assert"):
        gic.enable(1020)


def test_clear_ends_exactly_what_it_acknowledged(load):
    gic, model = make(load)
    model.pending = [0x400 | 5, 48]  # a software interrupt names its sender (4.4.4)
    gic.clear()
    assert model.ended == [0x405]
    gic.clear()
    gic.clear()
    assert model.ended == [0x405, 48]


@pytest.mark.parametrize("spurious", [1020, 1022, 1023])
def test_clear_does_not_end_what_was_not_pending(load, spurious):
    gic, model = make(load)
    model.pending = [spurious]
    gic.clear()
    assert model.ended == []
