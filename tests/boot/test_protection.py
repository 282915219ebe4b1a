"""Protections, each violated on purpose by the driver of boot_wild: the processor or the compiler's
check stops it, and the panic says what was done."""

import re
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from boot_rig import LIMIT_S, WAVE
from boot_wild import wild_image
from elftools.elf.elffile import ELFFile

EXIT_PANIC = 101  # firmware/include/ek/panic.h
# What the compiler checks, the same everywhere.
COMPILER = {
    "smash stack": r"stack smashed in 0x[0-9a-f]+$",
    "bounds": r"undefined behaviour: array bounds in 0x[0-9a-f]+$",
    "shift": r"undefined behaviour: shift in 0x",
    "overflow": r"undefined behaviour: overflow in 0x",
    "division": r"undefined behaviour: division in 0x",
}
X86_64 = {
    "read null": r"read forbidden: .*address 0x0$",
    "write null": r"write forbidden: .*address 0x0$",
    "call null": r"execution forbidden: .*rip 0x0, .*address 0x0$",
    "write code": r"write forbidden: ",
    "write constant": r"write forbidden: ",
    "call constant": r"execution forbidden: ",
    "call data": r"execution forbidden: ",
    "call stack": r"execution forbidden: ",
    "call device": r"execution forbidden: .*address 0xfee00000$",
    "overflow stack": r"fault, stack overflow: exception 8, ",
}
AARCH64 = {
    "write nowhere": r"data abort: .* far 0x(100000000|90000000)$",
    "instruction": r"undefined instruction: ",
    "read null": r"data abort: .* far 0x0$",
    "write null": r"data abort: .* far 0x0$",
    "call null": r"instruction abort: .* far 0x0$",
    "write code": r"data abort: ",
    "write constant": r"data abort: ",
    "call constant": r"instruction abort: ",
    "call data": r"instruction abort: ",
    "call stack": r"instruction abort: ",
    "call device": r"instruction abort: ",
    "overflow stack": r"data abort, stack overflow: ",
}
ARMV7A = {
    "write nowhere": r"data abort: .* address 0x70000000$",
    "instruction": r"undefined instruction: ",
    "read null": r"data abort: .* address 0x00000000$",
    "write null": r"data abort: .* address 0x00000000$",
    "call null": r"instruction abort: .* address 0x00000000$",
    "write code": r"data abort: ",
    "write constant": r"data abort: ",
    "call constant": r"instruction abort: ",
    "call data": r"instruction abort: ",
    "call stack": r"instruction abort: ",
    "call device": r"instruction abort: ",
    "overflow stack": r"data abort, stack overflow: ",
}
ARMV7M = {
    "read null": r"access forbidden: .* address 0x00000000$",
    "write null": r"access forbidden: .* address 0x00000000$",
    "call null": r"execution forbidden: .* pc 0x00000000 ",
    "write code": r"access forbidden: ",
    "write constant": r"access forbidden: ",
    "call constant": r"execution forbidden: ",
    "call data": r"execution forbidden: ",
    "call stack": r"execution forbidden: ",
    "call device": r"execution forbidden: ",
    "overflow stack": r"(access forbidden|fault), stack overflow: ",
}
KINETIS = {  # bus faults, by CFSR; stores pass through a buffer, and their address is lost
    "read null": r"fault: .* cfsr 0x00008200 .* address 0x00000000$",
    "write null": r"fault: .* cfsr 0x00000400 ",
    "call null": r"fault: .* pc 0x00000000 .* cfsr 0x00000100 ",
    "write code": r"fault: .* cfsr 0x00000400 ",
    "write constant": r"fault: .* cfsr 0x00000400 ",
    "call constant": r"fault: .* cfsr 0x00000100 ",
    "call data": r"fault: .* cfsr 0x00000100 ",
    "call stack": r"fault: .* cfsr 0x00000100 ",
    "call device": r"execution forbidden: .* pc 0x4006a000 ",
    "overflow stack": r"fault, stack overflow: .* cfsr 0x00001400 ",
}
BOARDS = {  # board -> what the processor stops
    "x86-microvm": X86_64,
    "x86-pc": X86_64,
    "virt-aarch64": AARCH64,
    "imx8mp-evk": AARCH64,
    "rpi4": AARCH64,
    "imx6ul-evk": ARMV7A,
    "lm3s6965evb": ARMV7M,
    "mps2-an385": ARMV7M,
    "frdm-k64f": KINETIS,
    "microbit": {},  # a Cortex-M0 has no memory protection
}
WAYS = [(b, how) for b, stops in BOARDS.items() for how in stops]
# The second and third of their architectures: the compiler is the same.
SECOND = ("x86-pc", "imx8mp-evk", "rpi4", "mps2-an385", "frdm-k64f")
WAYS += [(b, how) for b in BOARDS if b not in SECOND for how in COMPILER]


@pytest.fixture
def wild(gateways, tmp_path_factory):
    return lambda board: wild_image(board, gateways, tmp_path_factory)


@pytest.mark.parametrize(("board", "how"), WAYS)
def test_what_no_program_may_do_ends_in_a_panic_that_says_so(wild, boot, board, how):
    stops = BOARDS[board]
    values = {"mqtt.host": "", "mqtt.user": how, "exit.on_panic": "1"}
    machine = boot(wild(board), values)
    status = machine.wait(LIMIT_S)
    text = "\n".join(machine.lines)
    assert f"wild: {how}" in text, text
    assert "survived" not in text, text
    assert text.count("panic: ") == 1, text
    assert re.search("panic: " + (stops | COMPILER)[how], text, re.M), text
    # A Cortex-M whose stack is full could not save where it was.
    if not (stops in (ARMV7M, KINETIS) and how == "overflow stack"):
        assert re.search(r"^.*  at 0x[0-9a-f]+$", text, re.M), text
    if stops is KINETIS:  # nobody there to be told: it resets the chip, which ends the emulation
        assert status == 0, text
        return
    # isa-debug-exit cannot say it plainly: QEMU ends with 2 * code + 1.
    assert status == (2 * EXIT_PANIC + 1 if board.startswith("x86-") else EXIT_PANIC), text


def test_a_panic_resets_the_chip_where_nobody_asked_for_an_exit(wild, boot):
    machine = boot(wild("imx6ul-evk"), {"mqtt.host": "", "mqtt.user": "instruction"})
    assert machine.wait(LIMIT_S) == 0  # QEMU ends at a reset: -no-reboot
    assert "panic: undefined instruction" in "\n".join(machine.lines)


class Mpu:
    """PMSAv7's answer to an access (Arm DDI 0403E, B3.5), from the regions in an image's flash."""

    READS, WRITES = (1, 2, 3, 5, 6, 7), (1, 2, 3)  # AP, privileged (B3.5.9, table B3-15)

    def __init__(self, program: Path) -> None:
        with program.open("rb") as file:
            elf = ELFFile(file)
            text = elf.get_section_by_name(".text")
            table = elf.get_section_by_name(".symtab")
            self.at = {s.name: s["st_value"] for s in table.iter_symbols()}
            start, end = self.at["__mpu_regions"], self.at["__mpu_regions_end"]
            data = text.data()[start - text["sh_addr"] : end - text["sh_addr"]]
        words = struct.unpack(f"<{len(data) // 4}I", data)
        self.regions = {
            base & 15: (base & ~31, rasr)
            for base, rasr in zip(words[::2], words[1::2], strict=True)
        }
        for base, rasr in self.regions.values():
            size = 2 << (rasr >> 1 & 31)
            assert rasr & 1
            assert size >= 256, "a region without subregions"
            assert base % size == 0, f"{base:#x} is not at a multiple of {size:#x}"

    def allows(self, address: int) -> str:
        """Some of "rwx"."""
        found = ""
        for _, (base, rasr) in sorted(self.regions.items()):
            size = 2 << (rasr >> 1 & 31)
            if base <= address < base + size and not rasr >> (8 + (address - base) * 8 // size) & 1:
                ap = rasr >> 24 & 7
                found = "r" * (ap in self.READS) + "w" * (ap in self.WRITES)
                found += "x" * (ap in self.READS and not rasr >> 28 & 1)
        return found


@pytest.mark.parametrize("board", ["lm3s6965evb", "mps2-an385"])
def test_the_regions_of_a_cortex_m_are_exact(gateways, board):
    built = gateways(board, WAVE)
    mpu = Mpu(next(built.result.image.parent.glob("*.debug.elf")))
    memory = built.image.board.memory
    ram, config = memory["ram"], memory["config"]
    code, code_end = 256, -(-mpu.at["__text_end"] // 128) * 128  # ends at a multiple of 128
    assert mpu.at["__text_start"] >= code
    assert mpu.at["__rodata_start"] == code_end < 1 << 16
    ends = {
        0: "",
        code: "rx",
        code_end: "r",
        config.base + config.size: "",
        ram.base: "rw",
        ram.base + ram.size: "",
        0x4000_0000: "rw",
        0x6000_0000: "",
        1 << 32: "",
    }
    for start, end in pairwise(ends):
        allowed = ends[start]
        step = 32 if allowed == "rx" or start < ram.base else 1 << 12
        wrong = [
            a for a in range(start, min(end, start + (1 << 20)), step) if mpu.allows(a) != allowed
        ]
        assert not wrong, f"{wrong[0]:#x}: {mpu.allows(wrong[0])}, not {allowed}"
        assert mpu.allows(end - 1) == allowed
