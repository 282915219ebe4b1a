"""6300ESB watchdog, with firmware/pci below it, against a model of its two counters and its locks,
from the Intel 6300ESB's datasheet (300641) as Linux' driver states it."""

import pytest
from pci_model import Bar, Function, Pci

OK, EINVAL, ENOENT = 0, -1, -5
TICK_MS = 0.98304
FREE_RUN, ENABLE, LOCKED = 4, 2, 1


class Watchdog(Function):
    def __init__(self, *, timed_out=False, address=0xFEBF_0000):
        super().__init__(0x8086, 0x25AB)
        self.bars[0] = Bar(16, address)
        self.wdt_config, self.lock = 0x00, 0
        self.preload = [0xFFFFF, 0xFFFFF]
        self.unlocked = 0
        self.timed_out = timed_out
        self.ticks, self.stage, self.events = 0, 0, []

    def write_config_part(self, at, bits, value):
        if (at, bits) == (0x60, 16):
            self.wdt_config = value
        else:
            assert (at, bits) == (0x68, 8), f"{bits} bits at {at:#x}"
            if value & ~self.lock & ENABLE:
                self.ticks, self.stage = self.preload[0], 0
            self.lock = value

    def structure(self, bar, offset, bits, value):
        if value is None:
            assert (offset, bits) == (0x0C, 16)
            return 0x200 if self.timed_out else 0
        if offset == 0x0C and bits == 16 and value == (0x80, 0x86, -1)[self.unlocked]:
            self.unlocked += 1
            return 0
        assert self.unlocked == 2, "written while locked"
        self.unlocked = 0
        if offset == 0x0C:
            assert bits == 16
            self.timed_out = self.timed_out and not value & 0x200
            if value & 0x100:
                self.ticks, self.stage = self.preload[0], 0
        else:
            assert bits == 32
            assert value <= 0xFFFFF
            self.preload[offset // 4] = value
        return 0

    def pass_ms(self, ms):
        assert self.wdt_config & 4 == 0, "counts microseconds"
        if not self.lock & ENABLE:
            return
        assert not self.lock & FREE_RUN
        self.ticks -= ms / TICK_MS
        while self.ticks <= 0 and "reset" not in self.events:
            if self.stage == 1:
                self.events.append("output" if self.wdt_config & 0x20 else "reset")
                return
            if self.wdt_config & 3 != 3:
                self.events.append("interrupt")
            self.ticks += self.preload[1]
            self.stage = 1


class Machine(Pci):
    """Configuration registers narrower than 32 bits."""

    def port_out(self, port, bits, value):
        if 0xCFC <= port < 0xD00 and bits < 32:
            function = self.functions[self.address & ~0xFF]
            function.write_config_part((self.address & 0xFF) + port - 0xCFC, bits, value)
        else:
            super().port_out(port, bits, value)


def make(load, card, place=(0, 6, 0)):
    others = {(0, 0, 0): Function(0x8086, 0x1237), (0, 7, 0): Function(0x1AF4, 0x1041)}
    return load("i6300esb", Machine({place: card, **others}))


def test_unfed_it_resets_in_time_and_without_an_interrupt(load):
    card = Watchdog()
    device = make(load, card)
    assert device.expired() == 0
    assert device.start(8000) == OK
    card.pass_ms(7990)
    assert card.events == []
    card.pass_ms(10)
    assert card.events == ["reset"]


def test_fed_it_keeps_quiet(load):
    card = Watchdog()
    device = make(load, card)
    assert device.start(1000) == OK
    for _ in range(10):
        card.pass_ms(990)
        device.feed()
    assert card.events == []


def test_starting_again_changes_the_time(load):
    card = Watchdog()
    device = make(load, card)
    assert device.start(1000) == OK
    assert device.start(4000) == OK
    card.pass_ms(3990)
    assert card.events == []
    card.pass_ms(10)
    assert card.events == ["reset"]


def test_one_that_another_program_left_running_gets_our_time(load):
    card = Watchdog()
    card.lock, card.preload, card.ticks = ENABLE, [50, 50], 3
    assert make(load, card).start(8000) == OK
    card.pass_ms(7990)
    assert card.events == []


@pytest.mark.parametrize(
    ("timeout_ms", "status"),
    [(1, EINVAL), (2, OK), (2_061_582, OK), (2_061_586, EINVAL), (0xFFFF_FFFF, EINVAL)],
)
def test_a_time_it_cannot_count_is_refused(load, timeout_ms, status):
    assert make(load, Watchdog()).start(timeout_ms) == status


@pytest.mark.parametrize("timed_out", [False, True])
def test_the_cause_of_the_last_reset_is_told_once(load, timed_out):
    card = Watchdog(timed_out=timed_out)
    assert make(load, card).expired() == timed_out
    assert make(load, card).expired() == 0


def test_registers_that_nobody_gave_an_address_get_one(load):
    card = Watchdog(address=0)
    assert make(load, card).start(1000) == OK
    assert card.bars[0].address == 0xE800_0000


def test_a_machine_without_one_says_so_and_is_searched_once(load):
    machine = Machine({(0, 0, 0): Function(0x8086, 0x1237)})
    device = load("i6300esb", machine)
    assert device.expired() == ENOENT
    reads = machine.config_reads
    assert device.start(8000) == ENOENT
    assert machine.config_reads == reads
