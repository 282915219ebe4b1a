"""Pins of BCM2711 (bcm_soc) against its function and pull registers, BCM2711 ARM Peripherals, 5."""

from driver_harness import BASE

SPIN_TABLE = BASE + 0x1000  # in the models, instead of at 0xd8


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


class Stub(Model):
    """The loop of armstub8.S: a core leaves for the first address in its slot that is not 0."""

    def __init__(self):
        super().__init__()
        self.table, self.gone = bytearray(32), {}

    def write(self, offset, value):
        if offset < 0x1000:
            return super().write(offset, value)
        at = offset - 0x1000
        self.table[at : at + 4] = value.to_bytes(4, "little")
        core = at // 8
        address = int.from_bytes(self.table[8 * core : 8 * core + 8], "little")
        if address:
            self.gone.setdefault(core, address)


def test_the_other_cores_are_sent_to_the_entry(load):
    model = Stub()
    model.table[8:] = b"\0\0\0\0junk" * 3
    device = load("bcm_soc", model, gpio=BASE, pins=[], spin_table=SPIN_TABLE, entry=0x80000)
    device.at_reset()
    assert model.gone == dict.fromkeys((1, 2, 3), 0x80000)
    assert model.table[:8] == bytes(8)  # this core's


def test_without_an_entry_the_other_cores_stay(load):
    model = Stub()
    load("bcm_soc", model, gpio=BASE, pins=[], spin_table=SPIN_TABLE).at_reset()
    assert model.gone == {}
