"""A Cortex-M4 on Unicorn: reset, execution, sleep (Arm DDI 0403E, sections in parentheses)."""

import threading
from collections.abc import Callable
from typing import Any

from unicorn import arm_const as arm

from edgeuk.emulation import system
from edgeuk.emulation.clock import Clock
from edgeuk.emulation.exceptions import INVSTATE, XPSR_T, Exceptions
from edgeuk.emulation.memory import Memory, unicorn
from edgeuk.emulation.system import SystemControl

END = 0xFFFFFFFF  # no program gets there
WFI = 0xBF30
WIDE_ACCESSES = (0x74, 0x7C)  # of 32 bits, by the first seven (A5.3)
IT, BLOCK_MAX = 0xBF, 5  # opcode; instructions with the IT itself (A7.7.38)
TRIES_MAX = 1000  # to end an instruction


class Core(Exceptions):
    """The processor. It stands once `stopped` is set."""

    def __init__(self, memory: tuple[Memory, ...], scs: SystemControl, clock: Clock) -> None:
        super().__init__(memory, scs)
        self._clock = clock
        self.stopped = False
        self._started = 0  # where Unicorn last was
        self._attention = threading.Event()
        self._counting = False  # instructions: not to be stopped
        self._pair: tuple[int, int, int] | None = None  # address, register, what it was
        self._breaks: set[int] = set()  # a debugger's
        self._break_hooks: list[Any] = []
        self._walks = False
        self.map(system.BASE, system.SIZE, scs)
        self._uc.hook_add(unicorn.UC_HOOK_INTR, self._on_exception)

    def load(self, address: int, data: bytes) -> None:
        """A piece of an image."""
        self._uc.mem_write(address, data)
        for at in _unmasking(data):
            self._uc.hook_add(
                unicorn.UC_HOOK_CODE, self._on_unmasked, None, address + at, address + at
            )
        for at in _overwriting(data):
            for where, hook in ((at, self._on_pair), (at + 4, self._on_pair_done)):
                place = address + where
                self._uc.hook_add(unicorn.UC_HOOK_CODE, hook, None, place, place)

    def reset(self) -> None:
        """B1.5.5: the stack pointer and the entry come from the vector table."""
        self.scs.reset()
        self.between.clear()
        self._walks = False
        self.protect_nothing()
        self.set(arm.UC_ARM_REG_XPSR, XPSR_T)
        for name in ("PRIMASK", "FAULTMASK", "BASEPRI", "CONTROL"):
            self.set(getattr(arm, f"UC_ARM_REG_{name}"), 0)
        self._uc.ctl_flush_tb()
        stack, entry = (int.from_bytes(self.read(o, 4), "little") for o in (0, 4))
        self.set(arm.UC_ARM_REG_SP, stack & ~3)
        self.set(arm.UC_ARM_REG_LR, 0xFFFFFFFF)
        self._set_thumb(entry)
        self._pc = entry & ~1

    def poke(self, stop: bool) -> None:
        """From another thread: the clock and what came want attention; `stop`: even of a program
        that touches no register."""
        self._attention.set()
        if stop and not self._counting:
            self._uc.emu_stop()

    def single(self) -> None:
        """One instruction, and the way into what it raises. Nothing else interrupts it, and a WFI
        ends at once: a debugger is an event that wakes (B1.5.19)."""
        started = self._pc
        # Both, as Unicorn does not count within an IT block, from where only its end branches.
        self._uc.ctl_flush_tb()
        self._counting = True
        try:
            self._execute(1, started + _size(self._halfword(started)))
        finally:
            self._counting = False
        self._uc.ctl_flush_tb()
        if self._pc == started and self._done is not None:
            self._finish()
        self._done = None
        self._clock.run()
        self._end_instruction()

    def settle(self) -> None:
        """To the end of the instruction that was left without one."""
        if self._done is not None:
            self._finish()
        self._end_instruction()

    def break_at(self, addresses: set[int]) -> None:
        """`broke` before the instructions there, and nowhere else."""
        if addresses == self._breaks:
            return
        for hook in self._break_hooks:
            self._uc.hook_del(hook)
        kind, self._breaks = unicorn.UC_HOOK_CODE, set(addresses)
        blocks = {self._block(a) for a in addresses} - {0}
        hooks = [(self._on_block, a) for a in blocks]
        hooks += [(self._on_break, a) for a in addresses]
        self._break_hooks = [self._uc.hook_add(kind, hook, None, a, a) for hook, a in hooks]
        self._uc.ctl_flush_tb()

    def _block(self, at: int) -> int:
        """The IT whose block this instruction is in, where Unicorn does not stop; 0: none."""
        for start in range(at - 2, max(0, at - 18), -2):
            one = self._halfword(start)
            here, mask = start + 2, one & 15 if one >> 8 == IT else 0
            while mask:
                if here == at:
                    return start
                here, mask = here + _size(self._halfword(here)), mask << 1 & 15
        return 0

    def _conditional(self) -> int:
        """ITSTATE<3:0> (A7.3.2): one bit is left of the last instruction of an IT block."""
        return (
            self.get(arm.UC_ARM_REG_XPSR) >> 10 << 2 & 15 | self.get(arm.UC_ARM_REG_XPSR) >> 25 & 3
        )

    def _walk(self) -> None:
        """Through an IT block with a breakpoint in it."""
        self._walks = False
        for _ in range(BLOCK_MAX):
            self.single()
            self.broke = self.broke or self._pc in self._breaks
            if self.broke or self.stopped or not self._conditional():
                return

    def step(self, sleep: Callable[[], None], outside: Callable[[], None]) -> None:
        """Until the next thing happens that is not an instruction. `outside` takes what came;
        `sleep` waits for that, or for the clock."""
        if self._attention.is_set():
            self._attention.clear()
            outside()
        if self._done is not None:
            self._finish()
        self._clock.run()
        if self._walks:
            self._walk()
            return
        if self.between or self.stopped:
            self._end_instruction()
            return
        exception = self._next()
        if exception:
            self._enter(exception, self._pc)
        elif self._execute(0):
            self._sleep(sleep)

    def _sleep(self, sleep: Callable[[], None]) -> None:
        self._end_instruction()
        self._read_masks()
        while not (self.scs.wakes() or self.stopped or self.broke):
            sleep()
            self._clock.run()
            self._end_instruction()

    def _end_instruction(self) -> None:
        while self.between:
            self.between.pop(0)()

    def _finish(self) -> None:
        """The instruction that was left without its end: exceptions come after it."""
        at, done = self._pc, self._done
        one = self._halfword(at)
        self._done = None
        if at in self._breaks:  # then it has not begun
            return
        if 0x5000 <= one < 0xA000 or 0xC000 <= one < 0xD000 or one >> 9 in WIDE_ACCESSES:
            size = _size(one)
            for _ in range(TRIES_MAX):  # a stop from outside may come before it has begun
                self._done = done
                self._uc.ctl_remove_cache(at, at + size)
                self._execute(0, at + size)
                done = self._last or done
                if self._pc != at or self.stopped:
                    break
            if self._pc == at + size:
                self._done = None

    def _execute(self, count: int, until: int = END) -> bool:
        """Whether it ended with a WFI."""
        started = self._started = self._pc
        self._fault, self._exception, self._last = None, 0, None
        if not self.get(arm.UC_ARM_REG_XPSR) & XPSR_T:
            self._usage(INVSTATE)
            return False
        error, self._pair = 0, None
        try:
            self._uc.emu_start(started | 1, until, count=count)
        except unicorn.UcError as e:
            error = e.errno
        self._pc = self.get(arm.UC_ARM_REG_PC) & ~1
        if self._pair and self._pair[0] == self._pc:
            self.set(*self._pair[1:])  # it is executed again, from the start
        waits = self._pc != started and self._halfword(self._pc - 2) == WFI
        ended = waits or error or self._fault or self._exception
        self._done = None if ended else self._last
        if self._exception or error or self._fault:
            self._end_instruction()
            self._happened(error)
            return False
        return waits

    def _on_exception(self, _uc: Any, number: int, _: Any) -> None:
        self._exception = number
        self._uc.emu_stop()

    def _on_pair(self, _uc: Any, address: int, _size: int, _: Any) -> None:
        register = arm.UC_ARM_REG_R0 + (self._halfword(address) & 15)
        self._pair = (address, register, self.get(register))

    def _on_pair_done(self, *_: Any) -> None:
        self._pair = None

    def _on_break(self, *_: Any) -> None:
        if not self._counting:
            self.broke, self._last = True, None
            self._uc.emu_stop()

    def _on_block(self, *_: Any) -> None:
        if not self._counting:
            self._walks, self._last = True, None
            self._uc.emu_stop()

    def _on_unmasked(self, _uc: Any, address: int, _size: int, _: Any) -> None:
        """Behind an instruction that lets interrupts through: before the next one."""
        due = self._attention.is_set() or self._clock.next() <= self._clock.now()
        if address != self._started and (due or self.scs.pending):
            self._last = None
            self._uc.emu_stop()


def _size(first: int) -> int:
    """Of the instruction that begins with this halfword (A5.1)."""
    return 4 if first >> 11 in (0x1D, 0x1E, 0x1F) else 2


def _unmasking(data: bytes) -> list[int]:
    """Offsets of instructions behind a CPSIE or an MSR to PRIMASK, BASEPRI or FAULTMASK, after
    which a pending interrupt may be taken at once (A7.7.35, B5.2.3). Data that looks like one does
    no harm."""
    found = []
    for at in range(0, len(data) - 3, 2):
        one = int.from_bytes(data[at : at + 2], "little")
        two = int.from_bytes(data[at + 2 : at + 4], "little")
        if one & 0xFFF8 == 0xB660:
            found.append(at + 2)
        elif one & 0xFFF0 == 0xF380 and two & 0xF0FF in (0x8010, 0x8011, 0x8012, 0x8013):
            found.append(at + 4)
    return found


def _overwriting(data: bytes) -> list[int]:
    """Offsets of LDRD whose first register is its base: a stop in its middle leaves it without."""
    return [
        at
        for at in range(0, len(data) - 3, 2)
        if int.from_bytes(data[at : at + 2], "little") & 0xFF70 == 0xE950
        and data[at] & 15 == data[at + 3] >> 4
    ]
