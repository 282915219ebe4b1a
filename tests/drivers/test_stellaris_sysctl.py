"""Stellaris system control against a model of its registers, from the LM3S6965 datasheet."""

import pytest

SYSCTL, TIMER, PORT_A, PORT_B = 0x400F_E000, 0x4003_0000, 0x4000_4000, 0x4000_5000
BASE = 0x1000_0000  # the model sees offsets from it
RIS, MISC, RCC, RCGC1, RCGC2 = (SYSCTL + o for o in (0x50, 0x58, 0x60, 0x104, 0x108))
AFSEL, ODR, DEN = 0x420, 0x50C, 0x51C
CFG, TAMR, CTL, IMR, ICR, TAILR = (TIMER + o for o in (0x00, 0x04, 0x0C, 0x18, 0x24, 0x28))
OK, EINVAL, ETIMEDOUT = 0, -1, -3
BYPASS, PWRDN, USESYSDIV, LOCK = 1 << 11, 1 << 13, 1 << 22, 1 << 6
RCC_RESET = 0x078E_3AD1  # LM3S6965: internal oscillator, PLL off and bypassed


class Model:
    def __init__(self, locks=True):
        self.regs = {RCC: RCC_RESET, RIS: 0, RCGC1: 0x40, RCGC2: 0}
        self.locks, self.polls, self.order = locks, 5, []

    def read(self, offset):
        addr = offset + BASE
        self.check(addr)
        if addr == RIS and self.locks and not self.regs[RCC] & PWRDN:
            self.polls -= 1
            return LOCK if self.polls < 0 else 0
        return self.regs.get(addr, 0)

    def write(self, offset, value):
        addr = offset + BASE
        self.check(addr)
        if addr == RCC and not value & BYPASS:
            assert self.polls < 0, "the PLL is used before it locked"
            assert self.regs[RCC] & BYPASS
        self.regs[addr] = value
        self.order.append((addr, value))

    def check(self, addr):
        """A device without its clock must not be touched: it would be a bus fault."""
        for base, gate, bit in ((TIMER, RCGC1, 16), (PORT_A, RCGC2, 0), (PORT_B, RCGC2, 1)):
            assert not base <= addr < base + 0x1000 or self.regs[gate] >> bit & 1, hex(addr)


@pytest.fixture
def soc(load):
    def make(model, clock_hz=50_000_000, **props):
        wanted = {"base": SYSCTL, "timer": TIMER, "rcgc1": 0x1001, "rcgc2": 3, **props}
        return load("stellaris_sysctl", model, clock_hz=clock_hz, **wanted)

    return make


@pytest.mark.parametrize(
    ("clock_hz", "sysdiv"),  # the datasheet's table of PLL divisors: 200 MHz / (SYSDIV + 1)
    [(50_000_000, 3), (40_000_000, 4), (25_000_000, 7), (20_000_000, 9), (12_500_000, 15)],
)
def test_init_runs_from_the_pll_of_the_crystal(soc, clock_hz, sysdiv):
    model = Model()
    assert soc(model, clock_hz).init() == OK
    rcc = model.regs[RCC]
    assert rcc >> 23 & 15 == sysdiv
    assert rcc & USESYSDIV
    assert not rcc & (BYPASS | PWRDN)
    assert rcc >> 6 & 15 == 14  # XTAL: 8 MHz
    assert rcc >> 4 & 3 == 0  # OSCSRC: main oscillator
    assert not rcc & 1  # which is on


@pytest.mark.parametrize("clock_hz", [100_000_000, 66_666_667, 30_000_000, 8_000_000])
def test_init_refuses_a_frequency_that_the_pll_cannot_make(soc, clock_hz):
    assert soc(Model(), clock_hz).init() == EINVAL


def test_without_a_lock_the_chip_stays_on_its_crystal(soc):
    model = Model(locks=False)
    assert soc(model).init() == ETIMEDOUT
    assert model.regs[RCC] & BYPASS


def test_gates_are_opened_beside_those_that_are(soc):
    model = Model()
    assert soc(model).init() == OK
    assert model.regs[RCGC1] == 0x1_1041  # the wake-up timer, I2C0, UART0, and what was on
    assert model.regs[RCGC2] == 3


def test_pins_go_to_their_peripherals(soc):
    model = Model()
    pins = {"alternate_a": 0x03, "alternate_b": 0x0C, "open_drain_b": 0x0C}
    assert soc(model, **pins).init() == OK
    assert [model.regs[PORT_A + r] for r in (AFSEL, ODR, DEN)] == [3, 0, 3]
    assert [model.regs[PORT_B + r] for r in (AFSEL, ODR, DEN)] == [0x0C, 0x0C, 0x0C]


def test_a_port_without_pins_to_change_is_not_touched(soc):
    assert soc(Model(), rcgc2=0).init() == OK  # the model objects to an access


@pytest.mark.parametrize(("us", "ticks"), [(1, 50), (10_000, 500_000), (1_000_000, 50_000_000)])
def test_wake_in_starts_the_timer_once(soc, us, ticks):
    model = Model()
    device = soc(model)
    assert device.init() == OK
    model.order.clear()
    device.wake_in(us)
    assert model.regs[CFG] == 0  # 32 bits
    assert model.regs[TAMR] & 3 == 1  # one-shot
    assert model.regs[IMR] & 1
    # Stopped, the old timeout forgotten, loaded, started.
    assert model.order == [(CTL, 0), (ICR, 1), (TAILR, ticks), (CTL, 1)]
