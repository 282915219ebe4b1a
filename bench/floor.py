"""QEMU's own floor: the smallest image per machine; it writes one byte to its serial port and ends.

What an image needs beyond this is the image's own time.
"""

import subprocess
from pathlib import Path

from edgeuk.toolchain import cross_compiler, environment, linker

X86 = (
    ("-target", "x86_64-freestanding-none"),
    """
    .section .note.pvh, "a", @note
        .long 4, 4, 18
        .asciz "Xen"
        .long _start
        .section .text, "ax"
        .code32
        .globl _start
        _start: mov $0x3f8, %dx
        mov $0x2e, %al
        out %al, %dx
        out %al, $0xf4
        1: hlt
        jmp 1b
    """,
    """
        ENTRY(_start)
        PHDRS { text PT_LOAD FLAGS(5); note PT_NOTE FLAGS(4); }
        SECTIONS { . = 0x100000; .text : { *(.text) } :text 
        .note : { KEEP(*(.note.pvh)) } :text :note
        /DISCARD/ : { *(.comment) } }
    """,
)
# Board -> target, assembly, linker script. The byte, then the emulator's exit.
SOURCES = {
    "x86-microvm": X86,
    "x86-pc": X86,
    "virt-aarch64": (
        ("-target", "aarch64-freestanding-none"),
        """
        .globl _start
        _start: mov x1, #0x09000000
        mov w0, #0x2e
        strb w0, [x1]
        mov x0, #0x18
        adr x1, block
        hlt #0xf000
        1: b 1b
        .balign 8
        block: .quad 0x20026, 0
        """,
        "ENTRY(_start) SECTIONS { . = 0x40200000; .text : { *(.text) } }",
    ),
    "lm3s6965evb": (
        ("-target", "thumb-freestanding-eabi", "-mcpu=cortex_m3"),
        """
        .syntax unified
        .thumb
        .section .text, "ax"
        .word 0x20010000
        .word _start
        .globl _start
        .thumb_func
        _start: ldr r1, =0x4000c000
        movs r0, #0x2e
        str r0, [r1]
        movs r0, #0x18
        ldr r1, =0x20026
        bkpt 0xab
        1: b 1b
        .ltorg
        """,
        "ENTRY(_start) SECTIONS { . = 0; .text : { *(.text) } }",
    ),
}


def build_floor(board: str, folder: Path) -> Path:
    """The floor image of a board, in `folder`."""
    flags, assembly, script = SOURCES[board]
    source, ld, obj = (folder / f"floor-{board}{end}" for end in (".S", ".ld", ".o"))
    source.write_text(assembly)
    ld.write_text(script)
    out = folder / f"floor-{board}.elf"
    compile_it = [*cross_compiler().command, *flags, "-c", str(source), "-o", str(obj)]
    link_it = [*linker(), "-z", "max-page-size=4096", "-T", str(ld), str(obj), "-o", str(out)]
    for argv in (compile_it, link_it):
        subprocess.run(argv, check=True, env=environment(), timeout=120)
    return out
