"""Faults of the processor of edgeuk.emulation against the Armv7-M Architecture Reference Manual
(Arm DDI 0403E; sections in parentheses): of instructions, on the way into a handler and out of
it, and where no handler is left; what the K64 does then. Programs: see core_rig.py."""

import pytest
from core_rig import STACK, assembled

from edgeuk.emulation.exceptions import LockupError
from edgeuk.emulation.kinetis import Board

FAULTS = {  # what is done, the bit of SHCSR that enables its handler, CFSR
    "a read of nothing": ("ldr r1, =0x60000000\n ldr r1, [r1]", "bus", 1 << 17, 0x8200),
    "a write to nothing": ("ldr r1, =0x60000000\n str r1, [r1]", "bus", 1 << 17, 0x0400),
    "a write to flash": ("movs r1, #0\n str r1, [r1]", "bus", 1 << 17, 0x0400),
    "a device that refuses": ("ldr r1, =0x4000000c\n ldr r1, [r1]", "bus", 1 << 17, 0x8200),
    "no memory to run from": ("ldr r1, =0x30000001\n bx r1", "bus", 1 << 17, 0x0100),
    "running a device": ("ldr r1, =0x40000001\n bx r1", "mem", 1 << 16, 0x0001),
    "an undefined instruction": ("udf #0", "usage", 1 << 18, 0x10000),
    "leaving Thumb": ("ldr r1, =0x100\n bx r1", "usage", 1 << 18, 0x20000),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_has_its_handler_or_becomes_a_hard_fault(program, what):
    """B1.5.14, B3.2.15; BFAR where it is valid."""
    code, name, enable, cfsr = FAULTS[what]
    look = """
    mrs r0, ipsr
    say r0
    ldr r7, =0xe000ed28
    ldr r0, [r7]
    say r0
    ldr r7, =0xe000ed2c
    ldr r0, [r7]
    say r0
    end
"""
    number = {"mem": 4, "bus": 5, "usage": 6}[name]
    own = program(f"start: write 0xe000ed24, {enable}\n {code}\n end\n{name}:{look}")
    assert own.run() == [number, cfsr, 0]
    hard = program(f"start: {code}\n end\nhard:{look}")
    assert hard.run() == [3, cfsr, 1 << 30]
    if cfsr & 0x8000:
        assert own.scs.bfar == (0x4000_000C if "device" in what else 0x6000_0000)


def test_a_fault_in_the_hard_fault_handler_locks_up(program):
    """B1.5.15."""
    with pytest.raises(LockupError):
        program("start: udf #0\nhard: udf #0\n").run()


LOOK = """
    mrs r0, ipsr
    say r0
    say lr
    mov r0, sp
    say r0
    ldr r7, =0xe000ed28             // CFSR, HFSR
    ldr r0, [r7]
    say r0
    ldr r7, =0xe000ed2c
    ldr r0, [r7]
    say r0
    end
"""
IN_FRAME = STACK - 32
FORCED = 1 << 30
# What a handler does instead of returning, the bit of CFSR, EXC_RETURN and the stack pointer then.
BAD_RETURNS = {
    "no EXC_RETURN": ("ldr lr, =0xfffffff5\n bx lr", 1 << 18, 0xFFFF_FFF5, IN_FRAME),
    "an even one": ("ldr lr, =0xfffffff8\n bx lr", 1 << 18, 0xFFFF_FFF8, IN_FRAME),
    "to a handler that is none": ("ldr lr, =0xfffffff1\n bx lr", 1 << 18, 0xFFFF_FFF1, IN_FRAME),
    "to a thread in a handler": (
        "ldr r0, [sp, #28]\n orr r0, #16\n str r0, [sp, #28]\n bx lr",
        *(1 << 18, 0xFFFF_FFF9, IN_FRAME),
    ),
    "no frame": ("ldr r0, =0x30000000\n mov sp, r0\n bx lr", 1 << 11, 0xFFFF_FFF9, 0x3000_0000),
    "no frame of the process": (
        "ldr r0, =0x30000000\n msr psp, r0\n ldr lr, =0xfffffffd\n bx lr",
        *(1 << 11, 0xFFFF_FFFD, IN_FRAME),
    ),
}


@pytest.mark.parametrize("what", BAD_RETURNS)
def test_a_return_that_cannot_be_is_a_fault_on_the_same_frame(program, what):
    """B1.5.8: UFSR.INVPC or BFSR.UNSTKERR; the handler has been left, LR is the EXC_RETURN that was
    wrong, nothing is pushed. Without a handler of its own, or above that, it is a HardFault."""
    code, cfsr, back_to, stack = BAD_RETURNS[what]
    number, name = (6, "usage") if cfsr >> 16 else (5, "bus")
    own = program(
        f"start: write 0xe000ed24, 0x60000\n svc 0\n svc: {code}\n .ltorg\n {name}: {LOOK}"
    )
    assert own.run() == [number, back_to, stack, cfsr, 0]
    assert own.scs.active == [number]
    hard = program(f"start: svc 0\n svc: {code}\n .ltorg\n hard: {LOOK}")
    assert hard.run() == [3, back_to, stack, cfsr, FORCED]
    assert hard.scs.active == [3]


def test_a_return_to_thread_mode_past_another_handler_needs_leave(program):
    """B1.5.8, CCR.NONBASETHRDENA (B3.2.8)."""
    text = """
start:
    write 0xe000ed14, {ccr}
    write 0xe000e400, 0x40
    write 0xe000e100, 1
    write 0xe000e200, 1
    nop
    end
irq0:
    svc 0
    end
svc:
    ldr r0, =thread
    orr r0, #1
    str r0, [sp, #24]
    mov r0, #0x01000000             // xPSR of thread mode
    str r0, [sp, #28]
    ldr lr, =0xfffffff9
    bx lr
thread:
    mrs r0, ipsr
    say r0
    end
.ltorg
hard:
"""
    refused = program(text.format(ccr="0x200") + LOOK)
    assert refused.run() == [3, 0xFFFF_FFF9, STACK - 64, 1 << 18, FORCED]
    assert refused.scs.active == [16, 3]
    assert program(text.format(ccr="0x201") + LOOK).run() == [0]


def test_a_handler_that_was_refused_its_return_can_go_back_all_the_same(program):
    said = program("""
start:
    write 0xe000ed24, 0x40000
    movs r0, #5
    svc 0
    say r0
    mrs r0, ipsr
    say r0
    end
svc:
    ldr lr, =0xfffffff2
    bx lr
usage:
    ldr lr, =0xfffffff9
    bx lr
""").run()
    assert said == [5, 0]


LOST = """
start:
    write 0xe000ed24, {enable}
    write 0xe000ed18, {bus}         // priorities of BusFault and of SVCall
    write 0xe000ed1c, {svc}
    ldr r0, =0x30000040
    mov sp, r0
    svc 0
svc:
    mrs r0, ipsr
    say r0
    ldr r0, =0x20000800
    mov sp, r0
    ldr lr, =0xfffffff1
    dsb
    end
"""


def test_a_frame_that_cannot_be_pushed_is_a_fault_that_may_go_first(program):
    """B1.5.6, "derived exceptions": of BusFault (BFSR.STKERR) and what was to be entered the one of
    higher priority is; the other pends. The stack pointer has moved."""
    first = LOST.format(enable="0x20000", bus="0x4000", svc="0x80000000") + f"bus: {LOOK}"
    world = program(first)
    assert world.run() == [5, 0xFFFF_FFF9, 0x3000_0020, 1 << 12, 0]
    assert world.scs.pending == {11}
    later = LOST.format(enable="0x20000", bus="0x8000", svc="0x40000000")
    world = program(f"{later} bus: {LOOK}")
    assert world.run() == [11]
    assert world.scs.pending == {5}
    forced = LOST.format(enable="0", bus="0x8000", svc="0x40000000") + f"hard: {LOOK}"
    world = program(forced)
    assert world.run() == [3, 0xFFFF_FFF9, 0x3000_0020, 1 << 12, FORCED]
    assert world.scs.pending == {11}


def test_a_fault_in_a_handler_goes_to_a_handler_above_or_becomes_a_hard_fault(program):
    """B1.5.14: a fault whose own priority does not suffice escalates."""
    text = """
start:
    write 0xe000ed24, 0x20000
    write 0xe000ed18, {bus}
    write 0xe000e400, 0x40
    write 0xe000e100, 1
    write 0xe000e200, 1
    nop
    end
irq0:
    ldr r1, =0x60000000
    ldr r1, [r1]
    end
.ltorg
"""
    above = program(text.format(bus="0x2000") + f"bus: {LOOK}")
    assert above.run() == [5, 0xFFFF_FFF1, STACK - 64, 0x8200, 0]
    for same_or_below in ("0x4000", "0x8000"):
        world = program(text.format(bus=same_or_below) + f"hard: {LOOK}")
        assert world.run() == [3, 0xFFFF_FFF1, STACK - 64, 0x8200, FORCED]
        assert world.scs.active == [16, 3]


def test_a_vector_that_cannot_be_read_is_a_hard_fault(program):
    """B1.5.15, HFSR.VECTTBL: the table here has room for 32 only."""
    world = program(f"""
start:
    ldr r0, =hard
    orr r0, #1
    ldr r1, =0x20000f8c
    str r0, [r1]
    write 0xe000ed08, 0x20000f80
    write 0xe000e100, 0x10000
    write 0xe000e200, 0x10000       // exception 32
    nop
    end
hard: {LOOK}
""")
    assert world.run() == [3, 0xFFFF_FFF9, STACK - 32, 0, 1 << 1]
    assert world.scs.pending == {32}


LOCKUPS = {
    "an SVC in the HardFault handler": "start: udf #0\nhard: svc 0\n",
    "a fault in the NMI handler": "start: write 0xe000ed04, 0x80000000\n nop\nnmi: udf #0\n",
    "a fault under FAULTMASK": "start: cpsid f\n udf #0\n",
    "an SVC under FAULTMASK": "start: cpsid f\n svc 0\n",
    "no vector of the HardFault": "start: write 0xe000ed08, 0x30000000\n udf #0\n",
}


@pytest.mark.parametrize("what", LOCKUPS)
def test_a_fault_that_no_handler_is_left_for_locks_up(program, what):
    """B1.5.15, "unrecoverable exception cases"."""
    with pytest.raises(LockupError):
        program(LOCKUPS[what]).run()


def test_a_lockup_resets_the_chip_which_says_so(tmp_path):
    """K64P144M120SF5RM, chapters Reset and Boot (lockup reset) and RCM: SRS1.LOCKUP."""
    code = assembled(
        """
start:
    ldr r1, =0x4007f000
    ldrb r0, [r1, #1]               // SRS1
    ldr r1, =0x20000000
    str r0, [r1]
    cbnz r0, 1f
    udf #0
1:  write 0xe000ed0c, 0x05fa0004
    b .
hard:
    udf #0
""",
        tmp_path,
    )
    notices = []

    def made():
        board = Board(lambda _: None, lambda _: None)
        board.load(0, code)
        return board

    board = made()

    def once(what):
        notices.append(what)
        board.reboots = False

    board.notice, board.reboots = once, True
    board.run(lambda: None, lambda: None)
    assert board.core.read(0x2000_0000, 4) == b"\x02\0\0\0"
    assert (board.ended, len(notices)) == ("", 1)
    assert notices[0].startswith("locked up at 0x000000")
    board = made()  # which nothing starts anew
    board.run(lambda: None, lambda: None)
    assert board.ended.startswith("locked up at")
