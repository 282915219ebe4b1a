"""The processor of edgeuk.emulation against the Armv7-M Architecture Reference Manual (Arm DDI
0403E; sections in parentheses): exceptions, sleep, stops. Programs: see core_rig.py."""

import threading

import pytest
from core_rig import STACK

from edgeuk.emulation import system


def test_an_exception_saves_eight_words_and_gives_them_back(program):
    """B1.5.6 to B1.5.8: the frame, EXC_RETURN, IPSR, and flags that survive the handler."""
    world = program("""
start:
    movs r0, #10
    movs r1, #11
    movs r2, #12
    movs r3, #13
    mov r12, #22
    mov lr, #33
    cmp r0, r0          // Z
    svc 0
back:
    say r0
    mrs r0, ipsr
    say r0
    ite eq
    moveq r0, #1
    movne r0, #2
    say r0
    mov r0, sp
    say r0
    end
svc:
    mrs r0, ipsr
    say r0
    say lr
    mov r4, sp
    movs r5, #8
1:  ldr r0, [r4], #4
    say r0
    subs r5, #1
    bne 1b
    movs r0, #99        // not what thread mode gets
    bx lr
""")
    said = world.run()
    number, back_to, *frame, kept, thread, flag, stack = said
    assert (number, back_to) == (11, 0xFFFF_FFF9)
    assert frame[:6] == [10, 11, 12, 13, 22, 33]
    assert frame[7] >> 24 == 0x61  # Z and C of the comparison, T
    assert frame[7] & 0x3FF == 0
    assert world.core.read(frame[6] - 2, 2) == b"\x00\xdf"  # behind the SVC
    assert (kept, thread, flag, stack) == (10, 0, 1, STACK)


def test_a_stack_at_an_odd_word_is_aligned_and_comes_back(program):
    """B1.5.7: bit 9 of the saved xPSR says so."""
    said = program("""
start:
    sub sp, #4
    svc 0
    mov r0, sp
    say r0
    end
svc:
    mov r0, sp
    say r0
    ldr r0, [sp, #28]
    and r0, #0x200
    say r0
    bx lr
""").run()
    assert said == [STACK - 40, 0x200, STACK - 4]


def test_the_way_back_sets_bit_2_of_the_stack_pointer_and_adds_nothing(program):
    """B1.5.7, PopStack(): a frame at an odd word, which was made without STKALIGN."""
    said = program("""
start:
    write 0xe000ed14, 0
    sub sp, #4
    svc 0
    mov r0, sp
    say r0
    end
svc:
    ldr r0, [sp, #28]
    orr r0, #0x200
    str r0, [sp, #28]
    write 0xe000ed14, 0x200
    bx lr
""").run()
    assert said == [STACK - 4]


def test_only_what_is_enabled_is_the_pending_vector(program):
    """B3.2.4: VECTPENDING, whatever PRIMASK is; ISRPENDING has them all."""
    said = program("""
start:
    cpsid i
    write 0xe000e200, 6
    ldr r7, =0xe000ed04
    ldr r0, [r7]
    say r0
    write 0xe000e100, 4
    ldr r7, =0xe000ed04
    ldr r0, [r7]
    say r0
    end
""").run()
    assert said == [1 << 22 | 1 << 11, 1 << 22 | 18 << 12 | 1 << 11]


def test_the_process_stack_is_left_for_the_main_one(program):
    """B1.4.1, B1.5.8: EXC_RETURN ends in D, the frame is on the process stack."""
    said = program("""
start:
    ldr r0, =0x20000400
    msr psp, r0
    movs r0, #2
    msr control, r0
    isb
    svc 0
    mov r0, sp
    say r0
    mrs r0, control
    say r0
    end
svc:
    say lr
    mov r0, sp
    say r0
    mrs r0, psp
    say r0
    bx lr
""").run()
    assert said == [0xFFFF_FFFD, STACK, 0x2000_0400 - 32, 0x2000_0400, 2]


def test_a_higher_priority_goes_first_and_in_between(program):
    """B1.5.4: pending together, the lower number goes first; only a higher one interrupts."""
    said = program("""
start:
    write 0xe000e400, 0x40208060    // priorities of irq 0 to 3: 0x60, 0x80, 0x20, 0x40
    write 0xe000e100, 0xf
    cpsid i
    write 0xe000e200, 0x3           // 0 and 1 pend
    movs r0, #1
    say r0
    cpsie i
    movs r0, #2
    say r0
    end
irq0:
    movs r0, #100
    say r0
    write 0xe000e200, 0x4           // irq 2 is above
    movs r0, #101
    say r0
    bx lr
irq1:
    movs r0, #110
    say r0
    bx lr
irq2:
    push {r0, lr}
    movs r0, #120
    say r0
    write 0xe000e200, 0x8           // irq 3 is not
    mrs r0, ipsr
    say r0
    pop {r0, pc}
irq3:
    movs r0, #130
    say r0
    bx lr
""").run()
    assert said == [1, 100, 120, 18, 130, 101, 110, 2]


def test_basepri_holds_back_its_own_priority_and_lower_ones(program):
    """B1.4.3."""
    said = program("""
start:
    write 0xe000e400, 0x00002040    // irq 0: 0x40, irq 1: 0x20
    write 0xe000e100, 0x3
    movs r0, #0x40
    msr basepri, r0
    write 0xe000e200, 0x3
    movs r0, #1
    say r0
    movs r0, #0
    msr basepri, r0
    movs r0, #2
    say r0
    end
irq0:
    movs r0, #100
    say r0
    bx lr
irq1:
    movs r0, #101
    say r0
    bx lr
""").run()
    assert said == [101, 1, 100, 2]


def test_the_end_of_a_handler_clears_faultmask_except_of_the_nmi(program):
    """B1.5.8, DeActivate()."""
    said = program("""
start:
    cpsid f
    write 0xe000ed04, 0x80000000
    nop
    mrs r0, faultmask
    say r0
    cpsie f
    write 0xe000e100, 1
    write 0xe000e200, 1
    nop
    mrs r0, faultmask
    say r0
    end
nmi:
    movs r0, #50
    say r0
    bx lr
irq0:
    cpsid f
    bx lr
""").run()
    assert said == [50, 1, 0]


def test_a_line_that_stays_up_interrupts_again(program):
    """B3.4: level-sensitive; and a store that raises it is done once."""
    world = program("""
start:
    write 0xe000e100, 0x2
    movs r4, #0
    write 0x40000008, 3             // irq 1 goes up
    ldr r0, [r7]
    say r0
    end
irq1:
    adds r4, #1
    say r4
    cmp r4, #3
    bne 1f
    write 0x40000008, 2
1:  bx lr
""")
    assert world.run() == [1, 2, 3, 2]


def test_a_masked_interrupt_ends_a_sleep_and_is_taken_when_it_is_let_through(program):
    """B1.5.19; SysTick of B3.3 counts down to 0 and begins again with the reload value."""
    world = program("""
start:
    write 0xe000e014, 999           // 1000 clocks: 1 ms
    write 0xe000e018, 0
    write 0xe000e010, 7
    cpsid i
    wfi
    movs r0, #1
    say r0
    cpsie i
    isb
    movs r0, #2
    say r0
    wfi
    ldr r7, =0xe000e010
    ldr r0, [r7]
    lsrs r0, #16                    // COUNTFLAG, once
    say r0
    ldr r7, =0xe000e010
    ldr r0, [r7]
    lsrs r0, #16
    say r0
    end
tick:
    movs r0, #50
    say r0
    bx lr
""")
    assert world.run() == [1, 50, 2, 50, 1, 0]
    assert world.ns == pytest.approx(2_000_000, abs=5000)


def test_a_breakpoint_without_a_debugger_is_a_hard_fault(program):
    """C1.6; HFSR.DEBUGEVT."""
    world = program("start: bkpt 0\nhard: movs r0, #7\n say r0\n end\n")
    assert world.run() == [7]
    assert world.scs.hfsr == 1 << 31


def test_a_program_that_touches_nothing_is_interrupted_all_the_same(program):
    """Its time is this machine's here: somebody has to look at the clock."""
    world = program("start: write 0xe000e100, 1\n movs r0, #1\n say r0\n b .\nirq0: end\n")
    for _ in range(3):
        world.core.between.append(lambda: None)
        world.core.step(world.sleep, lambda: None)
    world.scs.line(0, True)
    world.core.poke(stop=False)
    world.run()
    assert world.ended


def test_a_stop_at_any_time_repeats_and_loses_nothing(program):
    """Unicorn stops behind an access, in the middle of its instruction, which is then run again: a
    register is not written twice, and LDRD into its own base still has its base."""
    count = 20_000
    world = program(f"""
    start: ldr r9, =0x20000100
        ldr r1, =0x11111111
        strd r1, r1, [r9]
        ldr r8, ={count}
        movs r4, #0
    loop: mov r0, r9
        adds r4, #1
        ldrd r0, r1, [r0]
        say r4
        cmp r4, r8
        bne loop
        end
    .ltorg
    hard: ldr r0, =0xfa17
        say r0
        end
    """)
    over = threading.Event()

    def poke():
        while not over.wait(0.00005):
            world.core.poke(stop=True)

    thread = threading.Thread(target=poke)
    thread.start()
    try:
        for _ in range(100 * count):
            if world.ended:
                break
            world.core.step(world.sleep, lambda: None)
    finally:
        over.set()
        thread.join()
    assert world.said == list(range(1, count + 1))


def test_what_the_core_says_of_itself(program):
    """B3.2.3, B3.5.1: a Cortex-M4 whose MPU has no regions."""
    world = program("start: end\n")
    assert world.scs.read(0xD00, 4) >> 4 & 0xFFF == 0xC24
    assert world.scs.read(0xD90, 4) == 0
    assert world.scs.read(system.AIRCR, 4) >> 16 == 0xFA05
