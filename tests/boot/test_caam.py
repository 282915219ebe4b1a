"""The images of the boards with a CAAM, which QEMU lacks: the code that a chip would run, on
Unicorn, from the start of C to the end of the banner, with the CAAM's model of tests/drivers. All
other registers read as what was written, but for what the images wait for."""

import pytest
from elftools.elf.elffile import ELFFile
from test_machine import QUIET
from unicorn import UC_ARCH_ARM, UC_ARCH_ARM64, UC_MODE_ARM, Uc, UcError
from unicorn.arm64_const import UC_ARM64_REG_CPACR_EL1, UC_ARM64_REG_PC, UC_ARM64_REG_SP
from unicorn.arm_const import UC_ARM_REG_SP

from tests.drivers.caam_rng_model import Model

INSTRUCTIONS_MAX = 100_000_000
CAAM = {"imx6ul-evk": (0x0214_0000, 0), "imx8mp-evk": (0x3090_0000, 1)}  # and its job ring
UART = {"imx6ul-evk": 0x0202_0000, "imx8mp-evk": 0x3089_0000}
UTXD, READY = 0x40, {0x94: 0x2000, 0x98: 0x4008}  # USR1.TRDY; USR2.TXFE, TXDC
PLL_ENET, CCGR0, GATES = 0x020C_80E0, 0x020C_4068, 0x3F00
TICK_US = 20_000  # by which each access moves the CAAM's time


class Machine:
    def __init__(self, board, built, caam):
        self.base, self.uart, self.caam = CAAM[board][0], UART[board], caam
        self.written, self.console, self.raised = {}, b"", None
        with built.result.debug.open("rb") as file:
            elf = ELFFile(file)
            self.wide = elf.elfclass == 64
            self.uc = Uc(UC_ARCH_ARM64 if self.wide else UC_ARCH_ARM, UC_MODE_ARM)
            ram = built.image.board.memory["ram"]
            self.uc.mem_map(ram.base, 0x100_0000)
            for segment in elf.iter_segments("PT_LOAD"):
                self.uc.mem_write(segment["p_paddr"], segment.data())
            (main,) = elf.get_section_by_name(".symtab").get_symbol_by_name("ek_main")
            self.start = main["st_value"]
        self.uc.reg_write(UC_ARM64_REG_SP if self.wide else UC_ARM_REG_SP, ram.base + ram.size - 64)
        if self.wide:
            self.uc.reg_write(UC_ARM64_REG_CPACR_EL1, 3 << 20)  # as the image's entry has it
        self.uc.mmio_map(0, 1 << 30, self.guarded(self.read), None, self.guarded(self.write), None)
        # No cache here: the processor's memory is the device's.
        caam.load = lambda addr, count: [
            int.from_bytes(self.uc.mem_read(addr + 4 * i, 4), "little") for i in range(count)
        ]
        caam.store = lambda addr, data: self.uc.mem_write(addr, bytes(data))
        caam.last_dma = "barrier"

    def guarded(self, access):
        def call(_uc, offset, _size, *value):
            try:
                return access(offset, *value[:-1])
            except AssertionError as e:
                self.raised = e
                self.uc.emu_stop()
                return 0

        return call

    def read(self, addr):
        self.caam.now += TICK_US
        if self.base <= addr < self.base + 0x4000:
            assert self.wide or self.written.get(CCGR0, 0) & GATES == GATES, "no clock"
            return self.caam.read(addr - self.base)
        if self.uart <= addr < self.uart + 0x100:
            return READY.get(addr - self.uart, 0)
        return 1 << 31 if addr == PLL_ENET else self.written.get(addr, 0)  # it has locked

    def write(self, addr, value):
        if self.base <= addr < self.base + 0x4000:
            self.caam.write(addr - self.base, value)
        elif addr == self.uart + UTXD:
            self.console += bytes([value & 0xFF])
            if value == ord("\n"):
                self.uc.emu_stop()
        else:
            self.written[addr] = value

    def run(self):
        """To the end of the console's first line. Unicorn's processors have no GICv3: accesses to
        its system registers do nothing."""
        at = self.start
        while not self.console.endswith(b"\n"):
            try:
                self.uc.emu_start(at, 0, count=INSTRUCTIONS_MAX)
                break
            except UcError:
                at = self.uc.reg_read(UC_ARM64_REG_PC) if self.wide else 0
                word = int.from_bytes(self.uc.mem_read(at, 4), "little") if at else 0
                if word >> 20 != 0xD51:  # MSR
                    raise
                at += 4
        if self.raised:
            raise self.raised
        return self.console.decode()


@pytest.mark.parametrize("board", CAAM)
@pytest.mark.parametrize("handle", [True, None], ids=["set-up", "untouched"])
def test_where_there_is_a_caam_the_seed_is_its(gateways, board, handle):
    caam = Model(handle=handle, ring=CAAM[board][1], delay=6400)
    assert Machine(board, gateways(board, QUIET), caam).run().endswith(": entropy CAAM\n")
    assert len(caam.given) == 32
    assert caam.kicks == ([] if handle else [3200, 6400])


@pytest.mark.parametrize("board", CAAM)
def test_noise_that_never_passes_its_tests_is_no_seed(gateways, board):
    caam = Model(handle=None, ring=CAAM[board][1], delay=12_801)
    line = Machine(board, gateways(board, QUIET), caam).run()
    assert line.endswith(": entropy clock jitter (weak)\n")
    assert caam.given == b""
