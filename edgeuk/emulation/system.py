"""The system control space of a Cortex-M4: NVIC, SysTick, SCB; and which exception comes next.

Follows Arm DDI 0403E (Armv7-M Architecture Reference Manual), sections in parentheses. Left out:
the MPU (a K64 has none: its registers read as zero), debug, STIR, SysTick's calibration value.
"""

from collections.abc import Callable

from edgeuk.emulation.clock import Clock

BASE, SIZE = 0xE000E000, 0x1000
RESET, NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT = 1, 2, 3, 4, 5, 6
SVCALL, PENDSV, SYSTICK, FIRST_IRQ = 11, 14, 15, 16
LOWEST = 256  # execution priority of thread mode (B1.5.4)
CPUID = 0x410FC241  # Cortex-M4 r0p1 (TRM, table 4-1)
AIRCR_KEY, AIRCR_KEY_READ = 0x05FA, 0xFA05
SYSRESETREQ, VECTRESET = 1 << 2, 1 << 0
CCR_NONBASETHRDENA, CCR_STKALIGN, CCR_WRITABLE = 1 << 0, 1 << 9, 0x31B
PRIORITY_BITS = 4  # of a K64
SYST_CSR, SYST_RVR, SYST_CVR = 0x010, 0x014, 0x018
CSR_ENABLE, CSR_TICKINT, CSR_CLKSOURCE, CSR_COUNTFLAG = 1, 2, 4, 1 << 16
ICSR, VTOR, AIRCR, SCR, CCR, SHCSR = 0xD04, 0xD08, 0xD0C, 0xD10, 0xD14, 0xD24
CFSR, HFSR, MMFAR, BFAR, CPACR = 0xD28, 0xD2C, 0xD34, 0xD38, 0xD88
CFSR_BFARVALID = 1 << 15
HFSR_VECTTBL, HFSR_FORCED, HFSR_DEBUGEVT = 1 << 1, 1 << 30, 1 << 31
# SHCSR (B3.2.13): active, pending and enable bits, by exception.
ACTIVE_BITS = {MEM_MANAGE: 0, BUS_FAULT: 1, USAGE_FAULT: 3, SVCALL: 7, 12: 8, PENDSV: 10, 15: 11}
PENDING_BITS = {USAGE_FAULT: 12, MEM_MANAGE: 13, BUS_FAULT: 14, SVCALL: 15}
ENABLE_BITS = {MEM_MANAGE: 16, BUS_FAULT: 17, USAGE_FAULT: 18}


class SystemControl:
    """Registers, and the state of every exception. `hz`: the processor's clock at this moment."""

    def __init__(self, irqs: int, clock: Clock, hz: Callable[[], int]) -> None:
        self._irqs, self._clock, self._hz = irqs, clock, hz
        self.on_reset: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        self.pending: set[int] = set()
        self.active: list[int] = []  # innermost last
        self._enabled: set[int] = set()
        self._lines: set[int] = set()
        self._priority: dict[int, int] = {}
        self._group = 0
        self._scr = self._shcsr = self._cpacr = 0
        self.vtor = 0
        self.ccr = CCR_STKALIGN
        self.cfsr = self.hfsr = self.mmfar = self.bfar = 0
        self.primask = self.faultmask = self.basepri = 0  # as the processor last had them
        self._csr = self._reload = 0
        self._zero_at = 0  # when SysTick last was, or will be, at 0
        self._counted = False
        self._value = 0  # while it stands
        self._clock.cancel("systick")

    # Priorities (B1.5.4).

    def priority(self, exception: int) -> int:
        """Of an exception; lower ones go first."""
        if exception <= HARD_FAULT:
            return {RESET: -3, NMI: -2}.get(exception, -1)
        return self._priority.get(exception, 0)

    def _group_priority(self, exception: int) -> int:
        value = self.priority(exception)
        return value if value < 0 else value & ~((2 << self._group) - 1) & 255

    def running_priority(self) -> int:
        """What an exception must be above, with the masks in force."""
        found = min((self._group_priority(e) for e in self.active), default=LOWEST)
        if self.basepri:
            found = min(found, self.basepri & ~((2 << self._group) - 1) & 255)
        if self.primask:
            found = min(found, 0)
        return min(found, -1) if self.faultmask else found

    def _usable(self, exception: int) -> bool:
        if exception >= FIRST_IRQ:
            return exception in self._enabled
        bit = ENABLE_BITS.get(exception)
        return bit is None or bool(self._shcsr >> bit & 1)

    def _first(self, threshold: int) -> int:
        found = [e for e in self.pending if self._usable(e)]
        found = [e for e in found if self._group_priority(e) < threshold]
        return min(found, key=lambda e: (self.priority(e), e), default=0)

    def next(self) -> int:
        """The pending exception that is taken now; 0: none."""
        return self._first(self.running_priority()) if self.pending else 0

    def wakes(self) -> bool:
        """Whether WFI ends: something would be taken but for PRIMASK (B1.5.19)."""
        if not self.pending:
            return False
        masked, self.primask = self.primask, 0
        found = self.next()
        self.primask = masked
        return found != 0

    def enabled(self, fault: int) -> bool:
        """Whether a configurable fault has its own handler, and that can be entered now."""
        return self._usable(fault) and self._group_priority(fault) < self.running_priority()

    # Lines.

    def line(self, irq: int, level: bool) -> None:
        """A device's interrupt line, which is level-sensitive (B3.4)."""
        exception = FIRST_IRQ + irq
        if level and exception not in self._lines:
            self._lines.add(exception)
            if exception not in self.active:
                self.pending.add(exception)
        elif not level:
            self._lines.discard(exception)

    def entered(self, exception: int) -> None:
        self.pending.discard(exception)
        self.active.append(exception)

    def left(self, exception: int) -> None:
        """A line that is still up interrupts again."""
        if exception in self.active:
            self.active.remove(exception)
        if exception in self._lines:
            self.pending.add(exception)

    # SysTick (B3.3).

    def _ticks(self, ns: int) -> int:
        return ns * self._hz() // 1_000_000_000

    def _ns(self, ticks: int) -> int:
        return ticks * 1_000_000_000 // self._hz() + 1

    def _start_tick(self, value: int) -> None:
        self._zero_at = self._clock.now() + self._ns(value or self._reload + 1)
        self._clock.alarm("systick", self._zero_at, self._tick)

    def _tick(self) -> None:
        self._counted = True
        if self._csr & CSR_TICKINT:
            self.pending.add(SYSTICK)
        if self._reload:
            period = self._ns(self._reload + 1)
            behind = self._clock.now() - self._zero_at
            # Periods that this machine slept through count as one, as they do on a processor
            # that is stopped.
            self._zero_at += period * (1 + max(0, behind) // period)
            self._clock.alarm("systick", self._zero_at, self._tick)

    def systick_value(self) -> int:
        if not self._csr & CSR_ENABLE:
            return self._value
        left = self._zero_at - self._clock.now()
        if left <= 0:
            self._clock.run()
            left = self._zero_at - self._clock.now()
        return min(max(0, self._ticks(left)), self._reload)

    def clock_changed(self, value: int) -> None:
        """The processor's clock is another one; `value`: SysTick's just before."""
        if self._csr & CSR_ENABLE:
            self._start_tick(value)

    # Registers.

    def read(self, offset: int, size: int) -> int:
        word = self._read(offset & ~3)
        return word >> 8 * (offset & 3) & (1 << 8 * size) - 1

    def _read(self, offset: int) -> int:
        if 0x100 <= offset < 0x400:
            return self._nvic_read(offset)
        if 0x400 <= offset < 0x4F0 or 0xD18 <= offset < 0xD24:
            first = FIRST_IRQ + offset - 0x400 if offset < 0x4F0 else 4 + offset - 0xD18
            return sum(self._priority.get(first + i, 0) << 8 * i for i in range(4))
        if offset == SYST_CSR:
            counted, self._counted = self._counted, False
            return self._csr | (CSR_COUNTFLAG if counted else 0)
        if offset == ICSR:
            return self._icsr()
        if offset == SHCSR:
            return self._shcsr_now()
        return {
            0x004: (self._irqs - 1) // 32,
            SYST_RVR: self._reload,
            SYST_CVR: self.systick_value() if offset == SYST_CVR else 0,
            0xD00: CPUID,
            VTOR: self.vtor,
            AIRCR: AIRCR_KEY_READ << 16 | self._group << 8,
            SCR: self._scr,
            CCR: self.ccr,
            CFSR: self.cfsr,
            HFSR: self.hfsr,
            MMFAR: self.mmfar,
            BFAR: self.bfar,
            CPACR: self._cpacr,
        }.get(offset, 0)

    def _icsr(self) -> int:
        vector = self.active[-1] if self.active else 0
        value = vector | (1 << 11 if len(self.active) <= 1 else 0)
        value |= self._first(LOWEST) << 12
        value |= (1 << 22) if any(e >= FIRST_IRQ for e in self.pending) else 0
        for exception, bit in ((SYSTICK, 26), (PENDSV, 28), (NMI, 31)):
            value |= (exception in self.pending) << bit
        return value

    def _shcsr_now(self) -> int:
        value = self._shcsr
        for exceptions, bits in ((self.active, ACTIVE_BITS), (self.pending, PENDING_BITS)):
            value |= sum(1 << bit for exception, bit in bits.items() if exception in exceptions)
        return value

    def write(self, offset: int, size: int, value: int) -> None:
        if 0x400 <= offset < 0x4F0 or 0xD18 <= offset < 0xD24:
            first = FIRST_IRQ + offset - 0x400 if offset < 0x4F0 else 4 + offset - 0xD18
            for i in range(size):
                kept = value >> 8 * i & (0x100 - (1 << 8 - PRIORITY_BITS))
                self._priority[first + i] = kept
        elif 0x100 <= offset < 0x400:
            self._nvic_write(offset, value)
        elif SYST_CSR <= offset <= SYST_CVR:
            self._systick_write(offset, value)
        elif (offset == CFSR and size < 4) or offset in (CFSR + 1, CFSR + 2):
            self.cfsr &= ~(value << 8 * (offset & 3))  # its parts can be written alone (B3.2.15)
        else:
            self._scb_write(offset, value)

    def _scb_write(self, offset: int, value: int) -> None:
        if offset == ICSR:
            for exception, set_bit, clear_bit in ((NMI, 31, 0), (PENDSV, 28, 27), (15, 26, 25)):
                if value >> set_bit & 1:
                    self.pending.add(exception)
                elif clear_bit and value >> clear_bit & 1:
                    self.pending.discard(exception)
        elif offset == AIRCR:
            if value >> 16 == AIRCR_KEY:
                self._group = value >> 8 & 7
                if value & (SYSRESETREQ | VECTRESET):
                    self.on_reset()
        elif offset == VTOR:
            self.vtor = value & 0xFFFFFF80
        elif offset == SCR:
            self._scr = value & 0x16
        elif offset == CCR:
            self.ccr = value & CCR_WRITABLE
        elif offset == SHCSR:
            self._shcsr = value & 0x70000
        elif offset == CFSR:
            self.cfsr &= ~value  # a one clears
        elif offset == HFSR:
            self.hfsr &= ~value
        elif offset == MMFAR:
            self.mmfar = value
        elif offset == BFAR:
            self.bfar = value
        elif offset == CPACR:
            self._cpacr = value & 0x00F00000

    def _bits(self, offset: int, value: int) -> set[int]:
        first = FIRST_IRQ + 32 * ((offset & 0x3F) // 4)
        found = {first + i for i in range(32) if value >> i & 1}
        return {e for e in found if e < FIRST_IRQ + self._irqs}

    def _nvic_read(self, offset: int) -> int:
        of = (self._enabled, self.pending, set(self.active))[offset - 0x100 >> 8]
        first = FIRST_IRQ + 32 * ((offset & 0x3F) // 4)
        return sum(1 << e - first for e in of if first <= e < first + 32)

    def _nvic_write(self, offset: int, value: int) -> None:
        bits = self._bits(offset, value)
        kind = offset & 0x380
        if kind == 0x100:
            self._enabled |= bits
        elif kind == 0x180:
            self._enabled -= bits
        elif kind == 0x200:
            self.pending |= bits
        elif kind == 0x280:  # a line that is up sets it again
            self.pending -= bits - (self._lines - set(self.active))

    def _systick_write(self, offset: int, value: int) -> None:
        if offset == SYST_RVR:
            self._reload = value & 0xFFFFFF
        elif offset == SYST_CVR:  # any write clears it; it reloads at the next clock
            self._value, self._counted = 0, False
            if self._csr & CSR_ENABLE:
                self._start_tick(0)
        else:
            before = self._csr
            standing = self.systick_value()
            self._csr = value & 7
            if value & CSR_ENABLE and not before & CSR_ENABLE:
                self._start_tick(self._value)
            elif not value & CSR_ENABLE and before & CSR_ENABLE:
                self._value = standing
                self._clock.cancel("systick")
