"""The models behind virtual boards, from the manuals: flash controllers register by register, the
ports of the debug interface, and Arm's debug registers over a core that only exists in the test."""

import itertools

import pytest

from edgeuk.probe import cortex_m, swd
from edgeuk.probe.controllers import Ftfe, Nvmc, Rp2040Rom, Stm32F4
from edgeuk.probe.cortex_m import CortexM
from edgeuk.probe.engine import XPSR, BusFault
from edgeuk.probe.parts import PARTS, find_part


class Flash:
    """The memory that a controller works on."""

    def __init__(self, base, size):
        self.base, self.bytes = base, bytearray(b"\xff" * size)

    def erase(self, address, size):
        at = address - self.base
        self.bytes[at : at + size] = b"\xff" * size

    def program(self, address, data):
        for i, byte in enumerate(data, address - self.base):
            self.bytes[i] &= byte

    def erase_all(self):
        self.erase(self.base, len(self.bytes))

    def ram(self, address, size):
        return bytes(range(size))


def launch(ftfe, flash, *fccob):
    """FCCOB0 is at 7, FCCOB4 at 0xB (K64 manual, FTFE): words of bytes the other way round."""
    for number, byte in enumerate(fccob):
        ftfe.write(flash, 4 + (number & ~3) + 3 - (number & 3), 1, byte)
    ftfe.write(flash, 0, 1, 0x80)
    return ftfe.read(0, 1)


def test_ftfe_programs_a_phrase_and_erases_a_sector():
    ftfe, flash = Ftfe(), Flash(0, 0x4000)
    # Bytes 4 to 7 are the word at the address with the most significant byte first.
    assert launch(ftfe, flash, 7, 0, 0x10, 0x08, 4, 3, 2, 1, 8, 7, 6, 5) == 0x80
    assert flash.bytes[0x1008:0x1010] == bytes([1, 2, 3, 4, 5, 6, 7, 8])
    assert launch(ftfe, flash, 9, 0, 0x1F, 0xF0) == 0x80
    assert set(flash.bytes) == {0xFF}


def test_ftfe_refuses_what_it_does_not_know_until_the_error_is_cleared():
    ftfe, flash = Ftfe(), Flash(0, 0x2000)
    assert launch(ftfe, flash, 0xEE, 0, 0, 0) == 0xA0
    assert launch(ftfe, flash, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) == 0xA0
    assert set(flash.bytes) == {0xFF}
    ftfe.write(flash, 0, 1, 0x70)
    assert launch(ftfe, flash, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) == 0x80
    assert flash.bytes[:9] == bytes(8) + b"\xff"


def test_ftfe_takes_no_phrase_off_its_boundary():
    ftfe, flash = Ftfe(), Flash(0, 0x2000)
    assert launch(ftfe, flash, 7, 0, 0, 4, *bytes(8)) & 0x20
    assert set(flash.bytes) == {0xFF}


def test_nvmc_writes_only_when_enabled_and_only_zeros():
    nvmc, flash = Nvmc(), Flash(0, 0x2000)
    assert nvmc.store(0xFF, 0x12, 1) == 0xFF
    nvmc.write(flash, 0x504, 4, 1)
    assert nvmc.store(0xF0, 0x1F, 1) == 0x10
    flash.bytes[0x1000] = 0
    nvmc.write(flash, 0x508, 4, 0x1000)  # erasing is another mode
    assert flash.bytes[0x1000] == 0
    nvmc.write(flash, 0x504, 4, 2)
    nvmc.write(flash, 0x508, 4, 0x1234)
    assert flash.bytes[0x1000] == 0xFF
    flash.bytes[5] = 0
    nvmc.write(flash, 0x50C, 4, 1)
    assert set(flash.bytes) == {0xFF}


def unlocked_f4():
    f4, flash = Stm32F4(), Flash(0x08000000, 0x100000)
    for key in (0x45670123, 0xCDEF89AB):
        f4.write(flash, 4, 4, key)
    return f4, flash


def test_stm32f4_is_locked_until_both_keys_came_in_order():
    f4, flash = Stm32F4(), Flash(0x08000000, 0x100000)
    for key in (0xCDEF89AB, 0x45670123):
        f4.write(flash, 4, 4, key)
    f4.write(flash, 0x10, 4, 1)
    assert f4.read(0x10, 4) == 1 << 31
    assert unlocked_f4()[0].read(0x10, 4) == 0


@pytest.mark.parametrize(
    ("sector", "start", "size"),
    [(0, 0, 0x4000), (3, 0xC000, 0x4000), (4, 0x10000, 0x10000), (5, 0x20000, 0x20000)],
)
def test_stm32f4_erases_the_sector_of_that_number(sector, start, size):
    f4, flash = unlocked_f4()
    flash.bytes[:] = bytes(len(flash.bytes))
    f4.write(flash, 0x10, 4, 2 | sector << 3 | 1 << 16)
    assert set(flash.bytes[start : start + size]) == {0xFF}
    assert flash.bytes.count(0xFF) == size


def test_stm32f4_checks_the_width_of_a_store():
    f4, flash = unlocked_f4()
    assert f4.store(0xFFFFFFFF, 0, 4) == 0xFFFFFFFF
    assert f4.read(0xC, 4) == 0x80  # PGSERR
    f4.write(flash, 0x10, 4, 1 | 2 << 8)
    assert f4.store(0xFF, 0, 1) == 0xFF
    assert f4.read(0xC, 4) == 0xC0  # and PGPERR
    f4.write(flash, 0xC, 4, 0xC0)
    assert f4.read(0xC, 4) == 0
    assert f4.store(0xFFFFFFFF, 0x1234, 4) == 0x1234


def test_rp2040_finds_its_routines_by_two_letters():
    rom, flash = Rp2040Rom(), Flash(0x10000000, 0x2000)
    base, image = rom.rom()
    assert (base, image[0x10:0x13]) == (0, b"Mu\x01")
    erase = rom.call(flash, rom.LOOKUP, (0, int.from_bytes(b"RE", "little"), 0, 0))
    program = rom.call(flash, rom.LOOKUP, (0, int.from_bytes(b"RP", "little"), 0, 0))
    assert erase & program & 1
    assert rom.call(flash, rom.LOOKUP, (0, 0x5A5A, 0, 0)) == 0
    rom.call(flash, program & ~1, (0x100, 0x20000000, 4, 0))
    assert flash.bytes[0x100:0x105] == bytes([0, 1, 2, 3, 0xFF])
    rom.call(flash, erase & ~1, (0, 0x1000, 0, 0))
    assert set(flash.bytes) == {0xFF}


class Core:
    """An engine without instructions: it runs until the test says that it stopped."""

    def __init__(self):
        self.running, self.fault, self.asleep, self.watched = False, "", False, None
        self.console, self.system = bytearray(), frozenset({"primask", "control"})
        self.memory = {12: 0x101, 0xE000ED08: 0}  # HardFault has a handler
        self.registers = dict.fromkeys([*range(16), XPSR, "msp", "primask", "control"], 0)
        self.registers[XPSR], self.registers[14] = 1 << 24, 0xFFFFFFFF
        self.points, self.resets = set(), 0
        self.stops = False  # the next look finds it stopped

    def read(self, address, width):
        if address >= 0xF0000000:
            raise BusFault(address)
        return self.memory.get(address, 0)

    def write(self, address, value, width):
        self.memory[address] = value

    def get(self, register):
        return self.registers[register]

    def set(self, register, value):
        self.registers[register] = value

    def breakpoint(self, on, kind, address, size):
        (self.points.add if on else self.points.discard)((kind, address, size))
        return True

    def reset(self):
        self.running, self.resets = False, self.resets + 1

    def run(self):
        self.running = True

    def halt(self):
        self.running = False

    def step(self, mask_interrupts):
        self.registers[15] += 2

    def poll(self, wait_s=0.0):
        self.running = self.running and not self.stops
        self.stops = False
        return self.running


@pytest.fixture
def core():
    engine = Core()
    debug = CortexM(engine, 0xC24)
    debug.resume()
    return engine, debug


def dhcsr(debug, bits):
    debug.write(cortex_m.DHCSR, 0xA05F0000 | bits)


def test_halt_and_resume(core):
    engine, debug = core
    debug.write(cortex_m.DHCSR, 3)  # without the key
    assert engine.running
    dhcsr(debug, 3)
    assert not engine.running
    assert debug.read(cortex_m.DHCSR) & 0xFFFFFF == 0x030003  # S_REGRDY, S_HALT
    assert debug.read(cortex_m.DFSR) == 1
    dhcsr(debug, 1)
    assert engine.running
    assert not debug.read(cortex_m.DHCSR) & 1 << 17


def test_the_reset_flag_is_read_once(core):
    _, debug = core
    assert debug.read(cortex_m.DHCSR) >> 25 & 1
    assert not debug.read(cortex_m.DHCSR) >> 25 & 1


def test_registers_go_through_dcrdr(core):
    engine, debug = core
    dhcsr(debug, 3)
    debug.write(cortex_m.DCRDR, 0x20001001)
    debug.write(cortex_m.DCRSR, 1 << 16 | 15)
    assert engine.registers[15] == 0x20001000
    engine.registers["control"], engine.registers["primask"] = 2, 1
    debug.write(cortex_m.DCRSR, 20)
    assert debug.read(cortex_m.DCRDR) == 0x02000001


def test_a_comparator_becomes_a_breakpoint_and_a_stop_there_is_told(core):
    engine, debug = core
    dhcsr(debug, 3)
    debug.write(cortex_m.FPB, 3)
    debug.write(cortex_m.FPB + 8, 2 << 30 | 0x1000 | 1)  # the upper halfword
    dhcsr(debug, 1)
    assert (1, 0x1002, 2) in engine.points
    engine.stops = True
    assert debug.read(cortex_m.DHCSR) & (1 << 17 | 2) == 1 << 17 | 2
    assert debug.read(cortex_m.DFSR) & 2
    dhcsr(debug, 3)
    debug.write(cortex_m.FPB + 8, 0)
    dhcsr(debug, 1)
    assert engine.points == set()


def test_a_watchpoint_says_which_comparator_saw_it(core):
    engine, debug = core
    dhcsr(debug, 3)
    debug.write(cortex_m.DEMCR, 1 << 24)
    for offset, value in ((0x30, 0x20000100), (0x34, 2), (0x38, 6)):  # comparator 1, 4 bytes, write
        debug.write(cortex_m.DWT + offset, value)
    dhcsr(debug, 1)
    assert (2, 0x20000100, 4) in engine.points
    engine.stops, engine.watched = True, 0x20000102
    assert debug.read(cortex_m.DHCSR) >> 17 & 1
    assert debug.read(cortex_m.DFSR) == 1 | 4
    assert debug.read(cortex_m.DWT + 0x38) == 1 << 24 | 6


def test_a_bkpt_that_the_debugger_wrote_stops_only_while_it_is_there(core):
    engine, debug = core
    dhcsr(debug, 3)
    debug.write(0x20000000, 0xBE00, 16)
    dhcsr(debug, 1)
    assert (0, 0x20000000, 2) in engine.points
    dhcsr(debug, 0)
    assert engine.running
    assert engine.points == set()


def test_reset_is_caught_where_that_is_asked_for(core):
    engine, debug = core
    dhcsr(debug, 1)
    debug.write(cortex_m.DEMCR, 1)
    debug.write(cortex_m.AIRCR, 0x05FA0004)
    assert engine.resets == 1
    assert not engine.running
    assert debug.read(cortex_m.DFSR) & 8
    debug.write(cortex_m.DEMCR, 0)
    debug.write(cortex_m.AIRCR, 0x05FA0004)
    assert engine.running


@pytest.mark.parametrize("vector", [0, 0xFFFFFFFF, 0x100])
def test_a_core_without_a_fault_handler_locks_up_instead_of_running(vector, core):
    engine, debug = core
    dhcsr(debug, 3)
    engine.memory[12], engine.registers[XPSR] = vector, 0
    dhcsr(debug, 1)
    assert not engine.running
    assert debug.read(cortex_m.DHCSR) & (1 << 19 | 1 << 17) == 1 << 19
    dhcsr(debug, 3)
    assert debug.read(cortex_m.DHCSR) & (1 << 19 | 1 << 17) == 1 << 17


def test_an_engine_that_gives_up_is_a_lockup(core):
    engine, debug = core
    engine.stops, engine.fault = True, "no such instruction"
    assert not debug.look()
    assert debug.lockup


def test_the_rom_table_names_what_is_there(core):
    _, debug = core
    seen = [(debug.read(cortex_m.ROM + 4 * i) & ~0xFFF) + cortex_m.ROM for i in range(3)]
    assert [s & 0xFFFFFFFF for s in seen] == [cortex_m.SCS, cortex_m.DWT, cortex_m.FPB]
    component = [debug.read(cortex_m.SCS + 0xFF0 + 4 * i) for i in range(4)]
    assert component == [0x0D, 0xE0, 0x05, 0xB1]


@pytest.fixture
def ports(core):
    engine, debug = core
    return engine, swd.Swd(debug, swd.KinetisMdm(lambda: engine.memory.clear()))


def test_the_debug_port_acknowledges_power(ports):
    _, port = ports
    assert port.read_dp(0) == 0x2BA01477
    assert port.read_dp(4) == 0
    port.write_dp(4, 0x50000000)
    assert port.read_dp(4) == 0xF0000000


def test_the_access_port_moves_words_and_counts_up_within_a_kilobyte(ports):
    engine, port = ports
    port.write_ap(0, 0x12)  # words, single increment
    port.write_ap(4, 0x200003FC)
    port.write_ap(0xC, 0x11111111)
    port.write_ap(0xC, 0x22222222)
    assert engine.memory[0x200003FC] == 0x11111111
    assert engine.memory[0x20000000] == 0x22222222
    port.write_ap(4, 0x200003FC)
    assert port.read_ap(0xC) == 0x11111111
    assert port.read_dp(0xC) == 0x11111111  # RDBUFF


def test_bytes_travel_in_the_lane_of_their_address(ports):
    engine, port = ports
    port.write_ap(0, 0x10)
    port.write_ap(4, 0x20000002)
    port.write_ap(0xC, 0x00AB0000)
    assert engine.memory[0x20000002] == 0xAB


def test_a_locked_part_answers_with_faults_until_it_is_erased(ports):
    engine, port = ports
    port.vendor.locked = True
    port.write_ap(4, 0x20000000)
    with pytest.raises(BusFault):
        port.read_ap(0xC)
    with pytest.raises(BusFault):
        port.block_write(0, b"1234")
    port.write_dp(8, 1 << 24)  # select port 1
    assert port.read_ap(0) & 4
    port.write_ap(4, 1)
    assert port.read_ap(0) & 5 == 1
    assert engine.memory == {}
    port.write_dp(8, 0)
    port.read_ap(0xC)


def test_the_ports_of_nordic_parts_say_whether_they_are_open():
    erased = []
    port = swd.NordicCtrl(lambda: erased.append(True))
    assert (port.read(0xC), port.read(0xFC)) == (1, 0x12880000)
    port.locked = True
    assert port.read(0xC) == 0
    port.write(4, 1)
    assert port.read(0xC) == 1
    assert erased


def test_parts_do_not_overlap_and_have_other_names():
    assert find_part("nrf51822") is PARTS["nrf51"]
    assert find_part("z80") is None
    for part in PARTS.values():
        areas = sorted((a.base, a.base + a.size) for a in (*part.flash, *part.ram, part.devices))
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(areas))
