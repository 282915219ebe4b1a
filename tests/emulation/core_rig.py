"""A processor of edgeuk.emulation with a small program, assembled here, that says what it sees to a
register of the test's, at 0x40000000. Time is the test's own."""

import subprocess
import sys

from elftools.elf.elffile import ELFFile

from edgeuk.emulation.clock import Clock
from edgeuk.emulation.core import Core
from edgeuk.emulation.memory import DeviceError, Memory
from edgeuk.emulation.system import SystemControl

FLASH, RAM = Memory(0, 0x10000, writable=False), Memory(0x2000_0000, 0x1000)
STACK, DEVICE, IRQS, HZ = 0x2000_0800, 0x4000_0000, 40, 1_000_000
STEPS_MAX = 2000
END, SAY, LINE, REFUSED = 0, 4, 8, 12  # registers of the device
VECTORS = ["start", "nmi", "hard", "mem", "bus", "usage", *["other"] * 4, "svc"]
VECTORS += ["other", "other", "pendsv", "tick", *(f"irq{i}" for i in range(4))]
HEAD = """
.syntax unified
.thumb
.section .text
.global _start
_start:
.word {stack}
{vectors}
.macro say r
    ldr r7, =0x40000004
    str \\r, [r7]
.endm
.macro end
    ldr r7, =0x40000000
    str r7, [r7]
    b .
.endm
.macro write address, value
    ldr r7, =\\address
    ldr r6, =\\value
    str r6, [r7]
.endm
"""


class World:
    """A processor, its program, the device, and the test's time."""

    def __init__(self, code):
        self.ns = 0
        self.said, self.line_writes, self.ended = [], 0, False
        self.clock = Clock(lambda: self.ns)
        self.scs = SystemControl(IRQS, self.clock, lambda: HZ)
        self.core = Core((FLASH, RAM), self.scs, self.clock)
        self.core.map(DEVICE, 0x1000, self)
        self.core.load(0, code)
        self.core.reset()

    def read(self, offset, size):
        if offset == REFUSED:
            raise DeviceError
        return self.line_writes

    def write(self, offset, size, value):
        if offset == END:
            self.ended = True
            self.core.later(lambda: setattr(self.core, "stopped", True))
        elif offset == SAY:
            self.said.append(value)
        elif offset == LINE:
            self.line_writes += 1
            self.scs.line(value >> 1, bool(value & 1))
        else:
            raise DeviceError

    def sleep(self):
        """To the next alarm."""
        at = self.clock.next()
        assert at < 1 << 62, "it sleeps for ever"
        self.ns = max(self.ns, at)

    def run(self):
        for _ in range(STEPS_MAX):
            self.core.step(self.sleep, lambda: None)
            if self.core.stopped:
                return self.said
        raise AssertionError(f"no end: at {self.core.pc:#x}, said {self.said}")


def assembled(text, folder):
    """`start:` and the handlers in it; the others end it."""
    source = folder / f"{abs(hash(text))}.s"
    used = {name for name in VECTORS if f"{name}:" in text}
    table = "".join(
        f".word {n if n in used else 'unexpected'}\n" for n in [*VECTORS[:11], *VECTORS[11:]]
    )
    rest = "unexpected: ldr r0, =0xdead\n say r0\n end\n.ltorg\n"
    source.write_text(HEAD.format(stack=STACK, vectors=table) + text + rest)
    made, built = source.with_suffix(".o"), source.with_suffix(".elf")
    assemble = ["cc", "-target", "thumb-freestanding-eabi", "-mcpu=cortex_m4", "-c", source]
    link = ["ld.lld", "--image-base=0", "-Ttext=0", made, "-o", built]
    for step in ([*assemble, "-o", made], link):
        subprocess.run([sys.executable, "-m", "ziglang", *step], check=True, timeout=120)
    with built.open("rb") as file:
        code = bytearray(ELFFile(file).get_section_by_name(".text").data())
    for number in range(1, len(VECTORS) + 1):
        code[4 * number] |= 1  # Thumb
    return bytes(code)
