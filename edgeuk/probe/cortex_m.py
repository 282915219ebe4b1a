"""The debug logic that Arm puts beside a Cortex-M core, as a debugger sees it on the bus.

Follows the Armv6-M and Armv7-M Architecture Reference Manuals (DDI 0419E chapter C1, DDI 0403E.e
chapter C1): DHCSR, DCRSR, DCRDR, DEMCR, DFSR, AIRCR, the breakpoint unit (FPB), two comparators of
the DWT and the ROM table. Every other address is the engine's. Left out: trace, FPU registers.
"""

from collections.abc import Callable

from edgeuk.probe.engine import XPSR, BusFault, Engine

ROM, SCS, DWT, FPB = 0xE00FF000, 0xE000E000, 0xE0001000, 0xE0002000
CPUID, VTOR, AIRCR = 0xE000ED00, 0xE000ED08, 0xE000ED0C
DFSR, DHCSR, DCRSR, DCRDR, DEMCR = 0xE000ED30, 0xE000EDF0, 0xE000EDF4, 0xE000EDF8, 0xE000EDFC
DEBUG_REGISTERS = (AIRCR, DFSR, DHCSR, DCRSR, DCRDR, DEMCR)

DBGKEY = 0xA05F
C_DEBUGEN, C_HALT, C_STEP, C_MASKINTS, C_SNAPSTALL = 1, 2, 4, 8, 32
S_REGRDY, S_HALT, S_LOCKUP, S_RETIRE, S_RESET = 1 << 16, 1 << 17, 1 << 19, 1 << 24, 1 << 25
DFSR_HALTED, DFSR_BKPT, DFSR_DWTTRAP, DFSR_VCATCH = 1, 2, 4, 8
VC_CORERESET, VC_HARDERR, TRCENA = 1, 1 << 10, 1 << 24
DEMCR_WRITABLE = 0x010F07F1
VECTKEY = 0x05FA
SYSRESETREQ_OR_VECTRESET = 5
THUMB = 1 << 24  # xPSR.T

BREAKPOINTS, WATCHPOINTS = 6, 2
WATCH = {5: 3, 6: 2, 7: 4}  # DWT_FUNCTION -> kind of engine breakpoint (C1-31)
POLL_S = 0.002  # a debugger asks in a loop; this is its wait

# CPUID part number -> AHB-AP IDR, part of the ROM table, of SCS, DWT and FPB. (Technical Reference
# Manuals of the cores: "ROM table identification values".)
CORES = {
    0xC20: (0x04770021, 0x471, 0x008, 0x00A, 0x00B),  # Cortex-M0
    0xC60: (0x04770031, 0x4C0, 0x008, 0x00A, 0x00B),  # Cortex-M0+
    0xC23: (0x24770011, 0x4C3, 0x000, 0x002, 0x003),  # Cortex-M3
    0xC24: (0x24770011, 0x4C4, 0x00C, 0x002, 0x003),  # Cortex-M4
}
ARMV6M = (0xC20, 0xC60)

_WANT = tuple[int, int, int]  # kind, address, size


class CortexM:
    """One core's debug registers; `engine` does what they say."""

    def __init__(self, engine: Engine, part: int, reset: Callable[[], None] | None = None) -> None:
        """`reset` resets the chip around the core as well."""
        self.engine = engine
        self._reset = reset or engine.reset
        self.armv6m = part in ARMV6M
        self.idr, rom, scs, dwt, fpb = CORES[part]
        self._ids = {
            ROM: _identification(rom, 1),
            SCS: _identification(scs, 0xE),
            DWT: _identification(dwt, 0xE),
            FPB: _identification(fpb, 0xE),
        }
        self._table = {4 * i: ((b - ROM) & 0xFFFFF000) | 3 for i, b in enumerate((SCS, DWT, FPB))}
        self.power_on()

    def power_on(self) -> None:
        """As after a power cycle: the core will run from its reset vector, nothing is armed."""
        self.lockup = False
        self.sticky_reset = True
        self._control = self._demcr = self._dfsr = self._dcrdr = 0
        self._fp_enabled, self._fp_comp = 0, [0] * BREAKPOINTS
        self._dwt: dict[int, int] = {}
        self._armed: set[_WANT] = set()
        self._written: set[int] = set()  # BKPT instructions that the debugger wrote
        self._guard: int | None = None  # where the core would lock up next

    @property
    def debugged(self) -> bool:
        """Whether a debugger holds it."""
        return bool(self._control & C_DEBUGEN)

    def lock_up(self, like: "CortexM") -> None:
        """Be locked up, under the debugger of another one."""
        self._control, self._demcr = like._control & ~C_HALT, like._demcr
        self.lockup = True

    def reset(self) -> None:
        """System reset; goes on from the reset vector unless that is caught."""
        self._reset()
        self.sticky_reset, self.lockup = True, False
        if self._demcr & VC_CORERESET and self.debugged:
            self._control |= C_HALT
            self._dfsr |= DFSR_VCATCH
        else:
            self._control &= ~C_HALT
            self.resume()

    def look(self, wait_s: float = 0.0) -> bool:
        """Whether it is halted; takes notice of what stopped it."""
        engine = self.engine
        if engine.running and not engine.poll(wait_s):
            if engine.fault or (self._guard is not None and engine.get(15) == self._guard):
                self.lockup = True
            elif self.debugged:
                self._control |= C_HALT
                watched = engine.watched
                self._dfsr |= DFSR_BKPT if watched is None else DFSR_DWTTRAP
                self._match(watched)
            else:  # a stop that nobody is there to see
                self.resume()
        return not engine.running and not self.lockup

    def resume(self) -> None:
        """Let it run, or lock up where a core without a usable HardFault handler would."""
        if self.engine.running or self.lockup:
            return
        self._arm()
        if self._would_lock_up():
            self.lockup = True
        else:
            self.engine.run()

    # what the access port sees
    def read(self, address: int, width: int = 32) -> int:
        """One access of 8, 16 or 32 bits."""
        word = address & ~3
        if _is_ours(word):
            return self._read(word) >> 8 * (address & 3) & (1 << width) - 1
        return self.engine.read(address, width)

    def write(self, address: int, value: int, width: int = 32) -> None:
        """One access of 8, 16 or 32 bits."""
        value &= (1 << width) - 1
        if width == 32 and _is_ours(address):
            self._write(address, value)
            return
        self.engine.write(address, value, width)
        if width == 16:
            (self._written.add if value & 0xFF00 == 0xBE00 else self._written.discard)(address)

    def read_block(self, address: int, size: int) -> bytes:
        """Memory; word by word where registers are."""
        if address < 0xE0000000:
            return self.engine.read_block(address, size)
        words = (self.read(address + i).to_bytes(4, "little") for i in range(0, size, 4))
        return b"".join(words)[:size]

    def write_block(self, address: int, data: bytes) -> None:
        """The same the other way round."""
        if address < 0xE0000000:
            self.engine.write_block(address, data)
            return
        for i in range(0, len(data), 4):
            self.write(address + i, int.from_bytes(data[i : i + 4], "little"))

    # registers
    def _read(self, address: int) -> int:
        page, offset = address & ~0xFFF, address & 0xFFF
        if offset >= 0xFD0:
            return self._ids[page].get(offset, 0)
        if page == ROM:
            return self._table.get(offset, 0)
        if page == FPB:
            if offset == 0:
                return BREAKPOINTS << 4 | self._fp_enabled
            index = (offset - 8) // 4
            return self._fp_comp[index] if 0 <= index < BREAKPOINTS else 0
        if page == DWT:
            return WATCHPOINTS << 28 | 0x0F000000 if offset == 0 else self._dwt.get(offset, 0)
        if address == DHCSR:
            return self._read_dhcsr()
        if address == AIRCR:
            return self.engine.read(AIRCR, 32)
        return {DCRDR: self._dcrdr, DEMCR: self._demcr, DFSR: self._dfsr}.get(address, 0)

    def _write(self, address: int, value: int) -> None:
        page, offset = address & ~0xFFF, address & 0xFFF
        if page == FPB:
            if offset == 0 and value & 2:  # FP_CTRL.KEY
                self._fp_enabled = value & 1
            elif 8 <= offset < 8 + 4 * BREAKPOINTS:
                self._fp_comp[(offset - 8) // 4] = value
        elif page == DWT:
            self._dwt[offset] = value
        elif address == DHCSR:
            self._write_dhcsr(value)
        elif address == DCRSR:
            self._write_dcrsr(value)
        elif address == DCRDR:
            self._dcrdr = value
        elif address == DEMCR:
            self._demcr = value & DEMCR_WRITABLE
        elif address == DFSR:
            self._dfsr &= ~value
        elif address == AIRCR:
            if value >> 16 == VECTKEY and value & SYSRESETREQ_OR_VECTRESET:
                self.reset()
            else:
                self.engine.write(AIRCR, value, 32)

    def _read_dhcsr(self) -> int:
        halted = self.look(POLL_S)
        value = self._control | S_REGRDY | S_RETIRE
        if halted:
            value |= C_HALT | S_HALT
        if self.lockup:
            value |= S_LOCKUP
        if self.sticky_reset:
            value |= S_RESET
            self.sticky_reset = False
        return value

    def _write_dhcsr(self, value: int) -> None:
        if value >> 16 != DBGKEY:
            return
        control = value & (C_DEBUGEN | C_HALT | C_STEP | C_MASKINTS | C_SNAPSTALL)
        if not control & C_DEBUGEN:
            control = 0
        halted = self.look()
        before, self._control = self._control, control
        if control & C_HALT:
            if self.lockup or not halted:
                self.lockup = False
                self.engine.halt()
                self._dfsr |= DFSR_HALTED
        elif halted and (before & C_HALT or not control):
            if control & C_STEP:
                self._arm()
                self.engine.step(bool(control & C_MASKINTS))
                self._control |= C_HALT
                self._dfsr |= DFSR_HALTED
            else:
                self.resume()
        elif not halted and before & C_DEBUGEN and not control and not self.lockup:
            self.engine.halt()  # to disarm what was the debugger's
            self.resume()

    def _write_dcrsr(self, value: int) -> None:
        if not self.look():
            return
        selected, write = value & 0x7F, bool(value >> 16 & 1)
        if selected == 20:
            self._special(write)
            return
        names: dict[int, int | str] = {16: XPSR, 17: "msp", 18: "psp"}
        register = selected if selected < 16 else names.get(selected)
        if register is None:
            self._dcrdr = self._dcrdr if write else 0
        elif write:
            self.engine.set(register, self._dcrdr & ~1 if register == 15 else self._dcrdr)
        else:
            self._dcrdr = self.engine.get(register)

    def _special(self, write: bool) -> None:
        """CONTROL, FAULTMASK, BASEPRI and PRIMASK are one word of DCRDR (C1.6.3)."""
        names = ("primask", "basepri", "faultmask", "control")
        have = [(8 * i, n) for i, n in enumerate(names) if n in self.engine.system]
        if write:
            for shift, name in have:
                self.engine.set(name, self._dcrdr >> shift & 255)
        else:
            self._dcrdr = sum((self.engine.get(name) & 255) << shift for shift, name in have)

    # breakpoints and lockup
    def _arm(self) -> None:
        """Make the engine's breakpoints what the registers ask for."""
        want = self._comparators() | self._watchpoints()
        if self.debugged:
            want |= self._instructions()
            if self._demcr & VC_HARDERR:
                vector, bad = self._hard_fault()
                if not bad:
                    want.add((0, vector & ~1, 2))
        vector, bad = self._hard_fault()
        self._guard = vector & ~1 if bad else None
        if self._guard is not None:  # a stop just before the emulator would give up
            want.add((0, self._guard, 2))
        for gone in self._armed - want:
            self.engine.breakpoint(False, *gone)
        new = {w for w in want - self._armed if self.engine.breakpoint(True, *w)}
        self._armed = (self._armed & want) | new

    def _comparators(self) -> set[_WANT]:
        """FP_COMPn of version 1: one or both halves of a word below 0x20000000 (C1.11.5)."""
        found: set[_WANT] = set()
        for comparator in self._fp_comp if self._fp_enabled else ():
            if comparator & 1:
                word, halves = comparator & 0x1FFFFFFC, comparator >> 30
                found |= {(1, word | 2 * h, 2) for h in (0, 1) if halves >> h & 1}
        return found

    def _watchpoints(self) -> set[_WANT]:
        found: set[_WANT] = set()
        if self._demcr & TRCENA:
            for n in range(WATCHPOINTS):
                address, mask, function = (self._dwt.get(o + 16 * n, 0) for o in (32, 36, 40))
                if function & 15 in WATCH:
                    found.add((WATCH[function & 15], address, 1 << (mask & 31)))
                elif function & 15 == 4:
                    found.add((1, address, 2))
        return found

    def _match(self, watched: int | None) -> None:
        """DWT_FUNCTIONn.MATCHED, of the comparator that saw the access."""
        for n in range(WATCHPOINTS):
            address, mask, function = (self._dwt.get(o + 16 * n, 0) for o in (32, 36, 40))
            if watched is not None and function and watched - address in range(1 << (mask & 31)):
                self._dwt[40 + 16 * n] = function | 1 << 24

    def _instructions(self) -> set[_WANT]:
        """BKPT in memory. Emulators take it for an exception, so a breakpoint is put there: where
        the debugger wrote one, and where a flash algorithm returns to one."""
        back = self.engine.get(14) & ~1
        found: set[_WANT] = set()
        for address in self._written | ({back} if back < 0xE0000000 else set()):
            if self._halfword(address) & 0xFF00 == 0xBE00:
                found.add((0, address, 2))
            else:
                self._written.discard(address)
        return found

    def _halfword(self, address: int) -> int:
        try:
            return self.engine.read(address, 16)
        except BusFault:
            return 0

    def _hard_fault(self) -> tuple[int, bool]:
        """The HardFault vector, and whether it leads nowhere."""
        table = 0 if self.armv6m else self.engine.read(VTOR, 32)
        try:
            vector = self.engine.read(table + 12, 32)
        except BusFault:
            vector = 0
        return vector, not vector & 1 or vector == 0xFFFFFFFF

    def _would_lock_up(self) -> bool:
        if not self._hard_fault()[1]:
            return False
        pc = self.engine.get(15)
        if not self.engine.get(XPSR) & THUMB or pc >= 0xF0000000:
            return True
        return self._halfword(pc) & 0xFF00 == 0xBE00 and (0, pc, 2) not in self._armed


def _is_ours(address: int) -> bool:
    if address & ~0xFFF == SCS:
        return address in DEBUG_REGISTERS or address >= SCS + 0xFD0
    return address & ~0xFFF in (DWT, FPB, ROM)


def _identification(part: int, component_class: int) -> dict[int, int]:
    """PIDR and CIDR bytes (CoreSight Architecture, B2.2); JEP106 code 4, 0x3b is Arm."""
    peripheral = part | 0x3B << 12 | 1 << 19 | 4 << 32
    component = 0xB105000D | component_class << 12
    ids = {0xFD0: peripheral >> 32}
    for i in range(4):
        ids[0xFE0 + 4 * i] = peripheral >> 8 * i & 255
        ids[0xFF0 + 4 * i] = component >> 8 * i & 255
    return ids
