"""Exceptions of an emulated Cortex-M4: what an instruction can end with, the way in and out.

Follows Arm DDI 0403E (Armv7-M Architecture Reference Manual), sections in parentheses. Left out:
the FPU's part of a frame (the firmware has no floating point), tail-chaining and late arrival (same
result, other timing), and what Unicorn's core does not do: the traps for a division by zero and for
unaligned LDM and LDRD.
"""

from unicorn import arm_const as arm

from edgeuk.emulation import system
from edgeuk.emulation.memory import AddressSpace, Memory, unicorn
from edgeuk.emulation.system import SystemControl

# Exceptions as Unicorn numbers them.
SVC, PREFETCH, BKPT, EXCEPTION_EXIT = 2, 3, 7, 8
XPSR_T, XPSR_ALIGNED, XPSR_NUMBER = 1 << 24, 1 << 9, 0x1FF
IACCVIOL = 1 << 0  # CFSR (B3.2.15)
IBUSERR, PRECISERR, IMPRECISERR, UNSTKERR, STKERR = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
UNDEFINSTR, INVSTATE, INVPC = 1 << 16, 1 << 17, 1 << 18
HANDLER, THREAD, PROCESS = 0xFFFFFFF1, 0xFFFFFFF9, 0xFFFFFFFD  # EXC_RETURN (table B1-8)
FRAME = 32  # bytes: r0 to r3, r12, lr, return address, xPSR (B1.5.6)
STACKED = (*(arm.UC_ARM_REG_R0 + i for i in range(4)), arm.UC_ARM_REG_R12, arm.UC_ARM_REG_LR)


class LockupError(Exception):
    """A fault where no handler can be entered any more: the processor stands (B1.5.15)."""


class UnknownError(Exception):
    """Unicorn ended as no processor would."""


class Exceptions(AddressSpace):
    """The processor between two instructions."""

    def __init__(self, memory: tuple[Memory, ...], scs: SystemControl) -> None:
        super().__init__(memory)
        self.scs = scs
        self._exception = 0  # as Unicorn numbers them: what ended the last instruction
        self._pc = 0
        self.debugged = False  # whether anybody is there to see a BKPT
        self.broke = False  # for whom the processor stops now

    @property
    def pc(self) -> int:
        return self._pc

    @pc.setter
    def pc(self, value: int) -> None:
        self._pc = value & ~1

    def _set_thumb(self, vector: int) -> None:
        xpsr = self.get(arm.UC_ARM_REG_XPSR)
        self.set(arm.UC_ARM_REG_XPSR, xpsr | XPSR_T if vector & 1 else xpsr & ~XPSR_T)

    def _interrupted(self) -> bool:
        return bool(self.scs.pending) and self._next() != 0

    def _next(self) -> int:
        self._read_masks()
        return self.scs.next()

    def _read_masks(self) -> None:
        self.scs.primask = self.get(arm.UC_ARM_REG_PRIMASK) & 1
        self.scs.faultmask = self.get(arm.UC_ARM_REG_FAULTMASK) & 1
        self.scs.basepri = self.get(arm.UC_ARM_REG_BASEPRI) & 255

    def _happened(self, error: int) -> None:
        if self._exception == EXCEPTION_EXIT:
            odd = bool(self.get(arm.UC_ARM_REG_XPSR) & XPSR_T)
            self._return(self._pc | odd)  # Unicorn keeps the lowest bit there
        elif self._exception == SVC:
            self._synchronous(system.SVCALL)
        elif self._exception == BKPT and self.debugged:
            self.broke = True
        elif self._exception == BKPT:
            self._hard(system.HFSR_DEBUGEVT)  # no debugger is there (C1.6)
        elif self._exception == PREFETCH:
            self._fetch(self._pc)
        elif self._fault:
            self._access(*self._fault)
        elif error == unicorn.UC_ERR_INSN_INVALID:
            thumb = self.get(arm.UC_ARM_REG_XPSR) & XPSR_T
            self._usage(UNDEFINSTR if thumb else INVSTATE)
        elif error:
            raise UnknownError(f"unknown trouble: {self._exception}, {error}")

    def _access(self, access: int, address: int) -> None:
        if access in (unicorn.UC_MEM_FETCH_PROT, unicorn.UC_MEM_FETCH_UNMAPPED):
            self._fetch(address)
        elif access in (unicorn.UC_MEM_READ_PROT, unicorn.UC_MEM_READ_UNMAPPED):
            self.scs.bfar = address
            self._bus(PRECISERR | system.CFSR_BFARVALID)
        else:
            # Stores pass through a buffer: their address is not known any more (Cortex-M4 TRM,
            # "Bus interfaces"). On the chip the stacked address may be further on.
            self._bus(IMPRECISERR)

    def _fetch(self, address: int) -> None:
        """Devices and the system space never execute, whatever else allows it (B3.1, table)."""
        if 0x40000000 <= address < 0x60000000 or address >= 0xA0000000:
            self._configurable(system.MEM_MANAGE, IACCVIOL)
        else:
            self._bus(IBUSERR)

    def _usage(self, bits: int) -> None:
        self._configurable(system.USAGE_FAULT, bits)

    def _bus(self, bits: int) -> None:
        self._configurable(system.BUS_FAULT, bits)

    def _configurable(self, exception: int, bits: int) -> None:
        self._read_masks()
        self.scs.cfsr |= bits
        if self.scs.enabled(exception):
            self._enter(exception, self._pc)
        else:
            self._hard(system.HFSR_FORCED)  # escalates (B1.5.4)

    def _synchronous(self, exception: int) -> None:
        self._read_masks()
        if self.scs.enabled(exception):
            self._enter(exception, self._pc)
        else:
            self._hard(system.HFSR_FORCED)

    def _hard(self, bits: int) -> None:
        self._escalate(bits)
        self._enter(system.HARD_FAULT, self._pc)

    def _escalate(self, bits: int) -> None:
        """To a HardFault, which pends; the last resort has none of its own."""
        self._read_masks()
        self.scs.hfsr |= bits
        if self.scs.running_priority() <= -1:
            raise LockupError(f"locked up at 0x{self._pc:08x}, cfsr 0x{self.scs.cfsr:08x}")
        self.scs.pending.add(system.HARD_FAULT)

    def _derive(self, exception: int, bits: int) -> None:
        """A fault of the way in or out (B1.5.7, B1.5.8) pends, or escalates at once."""
        self._read_masks()
        self.scs.cfsr |= bits
        if self.scs.enabled(exception):
            self.scs.pending.add(exception)
        else:
            self._escalate(system.HFSR_FORCED)

    # The way in (B1.5.6).

    def _enter(self, exception: int, back: int) -> None:
        self.scs.pending.add(exception)
        thread = not self.get(arm.UC_ARM_REG_XPSR) & XPSR_NUMBER
        control = self.get(arm.UC_ARM_REG_CONTROL)
        if not self._push(back):
            self._derive(system.BUS_FAULT, STKERR)
        self.set(arm.UC_ARM_REG_CONTROL, control & ~2)
        self._take(HANDLER if not thread else PROCESS if control & 2 else THREAD)

    def _push(self, back: int) -> bool:
        """The stack moves even where nothing could be written."""
        stack = self.get(arm.UC_ARM_REG_SP)
        aligned = bool(stack & 4) and bool(self.scs.ccr & system.CCR_STKALIGN)
        frame = (stack - FRAME) & (~7 if self.scs.ccr & system.CCR_STKALIGN else ~3) & 0xFFFFFFFF
        saved = self.get(arm.UC_ARM_REG_XPSR) & ~XPSR_ALIGNED | (XPSR_ALIGNED if aligned else 0)
        values = [*(self.get(r) for r in STACKED), back, saved]
        written = self._may(frame, FRAME, "w")
        if written:
            self.write(frame, b"".join(v.to_bytes(4, "little") for v in values))
        self.set(arm.UC_ARM_REG_SP, frame)
        return written

    def _take(self, how: int) -> None:
        """The first of those that pend, which may be one that the way there brought about; what was
        to come then waits. `how`: the way back."""
        exception = self.scs.next()
        at = self.scs.vtor + 4 * exception
        if not self._may(at, 4, "r"):  # none but a HardFault's can stand in for it (B1.5.15)
            if exception <= system.HARD_FAULT:
                self.scs.hfsr |= system.HFSR_VECTTBL
                raise LockupError(f"no vector at 0x{at:08x}")
            self._escalate(system.HFSR_VECTTBL)
            self._take(how)
            return
        self.scs.entered(exception)
        self.set(arm.UC_ARM_REG_XPSR, exception | XPSR_T)  # and no IT block
        self.set(arm.UC_ARM_REG_LR, how)
        vector = int.from_bytes(self.read(at, 4), "little")
        self._set_thumb(vector)
        self._pc = vector & ~1

    # The way out (B1.5.8).

    def _return(self, how: int) -> None:
        number = self.get(arm.UC_ARM_REG_XPSR) & XPSR_NUMBER
        if not number:  # an ordinary branch to where nothing executes
            self._fetch(how)
            return
        nested = len(self.scs.active) > 1 and not self.scs.ccr & system.CCR_NONBASETHRDENA
        known = number in self.scs.active and how in (HANDLER, THREAD, PROCESS)
        self.scs.left(number)
        if number != system.NMI:
            self.set(arm.UC_ARM_REG_FAULTMASK, 0)
        if not known or (nested and how != HANDLER):
            self._refuse_return(system.USAGE_FAULT, INVPC, how)
        else:
            self._pop(how)

    def _refuse_return(self, exception: int, bits: int, how: int) -> None:
        """Its fault takes the frame that is there, and so has the same way back."""
        self._derive(exception, bits)
        self._take(how)

    def _pop(self, how: int) -> None:
        process = how == PROCESS
        frame = self.get(arm.UC_ARM_REG_PSP if process else arm.UC_ARM_REG_MSP)
        if not self._may(frame, FRAME, "r"):
            self._refuse_return(system.BUS_FAULT, UNSTKERR, how)
            return
        data = self.read(frame, FRAME)
        values = [int.from_bytes(data[i : i + 4], "little") for i in range(0, FRAME, 4)]
        for register, value in zip(STACKED, values[:6], strict=True):
            self.set(register, value)
        back, xpsr = values[6:]
        if (how == HANDLER) != bool(xpsr & XPSR_NUMBER):
            # The manual pops and pushes again, which leaves the frame as it is.
            self._refuse_return(system.USAGE_FAULT, INVPC, how)
            return
        self.set(arm.UC_ARM_REG_XPSR, xpsr & ~XPSR_ALIGNED)
        control = self.get(arm.UC_ARM_REG_CONTROL) & ~2
        self.set(arm.UC_ARM_REG_CONTROL, control | (2 if process else 0))
        padding = 4 if xpsr & XPSR_ALIGNED and self.scs.ccr & system.CCR_STKALIGN else 0
        self.set(arm.UC_ARM_REG_SP, frame + FRAME | padding)
        self._pc = back & ~1
