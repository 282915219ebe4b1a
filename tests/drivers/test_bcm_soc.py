"""Pins of BCM2711 (bcm_soc) against its function and pull registers, BCM2711 ARM Peripherals, 5."""

from driver_harness import BASE


class Model:
    """Registers with what the firmware may have left: every pin ALT3, pulled up."""

    def __init__(self):
        self.regs = {4 * i: 0x3FFF_FFFF for i in range(6)} | {
            0xE4 + 4 * i: 0x5555_5555 for i in range(4)
        }

    def read(self, offset):
        return self.regs[offset]

    def write(self, offset, value):
        self.regs[offset] = value

    def pin(self, pin):
        pull = self.regs[0xE4 + 4 * (pin // 16)] >> pin % 16 * 2 & 3
        return self.regs[4 * (pin // 10)] >> pin % 10 * 3 & 7, pull


def test_the_boards_pins_change_and_no_others(load):
    model = Model()
    wanted = {2: (4, 0), 9: (4, 1), 10: (5, 2), 14: (4, 0), 15: (4, 1), 16: (0, 2), 57: (1, 0)}
    rows = [n for pin, (function, pull) in wanted.items() for n in (pin, function, pull)]
    assert load("bcm_soc", model, gpio=BASE, pins=rows).init() == 0
    assert {p: model.pin(p) for p in range(58)} == {p: wanted.get(p, (7, 1)) for p in range(58)}


def test_an_empty_table_changes_nothing(load):
    model = Model()
    before = dict(model.regs)
    assert load("bcm_soc", model, gpio=BASE, pins=[]).init() == 0
    assert model.regs == before
