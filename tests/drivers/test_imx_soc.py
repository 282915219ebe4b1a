"""i.MX clock and pin driver against registers of the i.MX6UL reference manual: Ethernet PLL, and
the board's table."""

import pytest
from driver_harness import BASE

OK, ETIMEDOUT = 0, -3
PLL, SET, CLEAR = 0x100, 0x104, 0x108
POWERDOWN, ENABLE, ENABLE2, BYPASS, LOCK = 1 << 12, 1 << 13, 1 << 20, 1 << 16, 1 << 31


class Model:
    def __init__(self, locks_after=5):
        self.regs = {PLL: 0x0001_1000, 0x200: 0xFFFF_00FF, 0x204: 0}  # PLL: bypassed, off
        self.locks_after, self.order = locks_after, []

    def read(self, reg):
        if reg == PLL:
            self.locks_after -= 1
            on = not self.regs[PLL] & POWERDOWN and self.locks_after < 0
            return self.regs[PLL] | (LOCK if on else 0)
        return self.regs[reg]

    def write(self, reg, value):
        before = self.regs[PLL]
        if reg == SET:
            self.regs[PLL] |= value
        elif reg == CLEAR:
            self.regs[PLL] &= ~value
        else:
            self.regs[reg] = value
            self.order.append((reg, value))
        changed = before ^ self.regs[PLL]
        if changed & (ENABLE | ENABLE2 | BYPASS):
            assert self.locks_after < 0, "used before it is locked"


def test_the_table_is_done_in_order_and_keeps_other_bits(load):
    model = Model()
    setup = [BASE + 0x200, 0xF, 0x3, BASE + 0x204, 0, 0x8000_0000, BASE + 0x200, 0xFFFF_0000, 0]
    assert load("imx_soc", model, clock_hz=8_000_000, enet_pll=0, setup=setup).init() == OK
    assert model.order == [(0x200, 0xFFFF_00F3), (0x204, 0x8000_0000), (0x200, 0xF3)]
    assert model.regs[PLL] == 0x0001_1000  # not asked for


def test_an_empty_table_changes_nothing(load):
    model = Model()
    assert load("imx_soc", model, clock_hz=1, enet_pll=0, setup=[]).init() == OK
    assert model.order == []


def test_the_ethernet_pll_gives_50_mhz_once_it_is_locked(load):
    model = Model()
    device = load("imx_soc", model, clock_hz=1, enet_pll=BASE + PLL, setup=[])
    assert device.init() == OK
    assert model.regs[PLL] == ENABLE | ENABLE2 | 0b0101  # ENET1 and ENET2 at 50 MHz each


def test_a_pll_that_does_not_lock_is_said_and_the_rest_is_done(load):
    model = Model(locks_after=10**9)
    device = load("imx_soc", model, clock_hz=1, enet_pll=BASE + PLL, setup=[BASE + 0x204, 0, 5])
    assert device.init() == ETIMEDOUT
    assert model.regs[0x204] == 5


def test_waking_up_is_the_processors_own(load):
    model = Model()
    load("imx_soc", model, clock_hz=1, enet_pll=0, setup=[]).wake_in(1000)
    assert model.order == []


@pytest.mark.parametrize("dividers", [0b0000, 0b1111, 0b1010])
def test_dividers_that_a_boot_loader_left_are_replaced(load, dividers):
    model = Model()
    model.regs[PLL] |= dividers
    load("imx_soc", model, clock_hz=1, enet_pll=BASE + PLL, setup=[]).init()
    assert model.regs[PLL] & 0xF == 0b0101
