"""A model of NXP's CAAM as far as its random numbers go: job ring, job commands, noise source,
state handle, and a cache that is not coherent. Written from what Linux (drivers/crypto/caam:
regs.h, desc.h, error.c, ctrl.c, jr.c), U-Boot and OP-TEE know of it; its manuals are not public."""

import ctypes
import random

LINE, STATE = 64, 256
# Of a job ring.
IRBA, IRS, IRJA, ORBA, ORS, ORJR, ORSF = 0x04, 0x0C, 0x1C, 0x24, 0x2C, 0x34, 0x3C
JRINT, JRCFG_LS, JRCR, CHAVID_LS = 0x4C, 0x54, 0x6C, 0xFEC
UPPER = {0x00: 0x04, 0x20: 0x24}  # halves of IRBA and ORBA: on i.MX the upper one comes first
# Of page 0.
RTMCTL, RTSCMISC, RTSDCTL, RTFRQMIN, RTFRQMAX, RTSCML, RDSTA = (
    *(0x600, 0x604, 0x610, 0x618, 0x61C, 0x620, 0x6C0),
)
PRGM, ERR, ACC, IF0, PR0 = 1 << 16, 1 << 12, 1 << 5, 1 << 0, 1 << 4
# Why a job failed (error.c): the generator, in the job's command 2.
NO_HANDLE, NOT_FRESH, HARDWARE = 4, 6, 0xB
CCB_RNG = 0x2000_0050
# ctrl.c (kick_trng) and OP-TEE's hal_rng.c: limits of the tests for 512 samples.
MISC_POKER = [2 << 16 | 32, 570, 1600]
ONES_RUNS = [0x7A013D, 0x50006B, 0x39003E, 0x270027, 0x1B001A, 0x130012, 0x120011]
SEED = 20260321


class Model:
    """Job ring `ring` of a CAAM. `handle`: None, or whether it was set up for fresh seeds. Noise is
    good from `delay` clocks a sample on. `page0` is "open", or "closed" (zeros), or "fatal"."""

    def __init__(self, *, handle=True, ring=0, delay=3200, page0="open", evicts=False):
        self.handle, self.first, self.need, self.page0 = handle, 0x1000 * (ring + 1), delay, page0
        self.evicts = evicts  # dirty lines are written back at the worst of times
        self.now = 0
        self.chavid = 0x1004_0000  # RNG: version 4
        self.jr = {IRBA: 0x1234, IRS: 4, ORBA: 0x5678, ORS: 4, JRCFG_LS: 0x0A00_0002}
        self.halt, self.flushed = 0, False
        self.at_in = self.at_out = 0
        self.pending = None  # a job and when it ends
        self.done = 0
        self.noise = {RTMCTL: PRGM | ERR | ACC | 0x2002, RTSDCTL: 3200 << 16 | 2500}
        self.kicks, self.jobs, self.resets = [], [], 0
        self.numbers = random.Random(SEED)
        self.given = b""
        self.errors = []  # for the next draws
        self.silent = self.never_halts = self.never_resets = False
        self.unwritten = self.repeats = self.forgets = False
        self.alien = ""  # what the output ring gets: "another" job, or nothing ("silent")
        self.last_dma = ""

    def attach(self, state):
        self.state = state
        self.dram = bytearray(b"\x5a" * STATE)
        assert state % LINE == 0

    # The cache: what the processor wrote is in memory only after "clean", and the other way about.
    def cached(self):
        return ctypes.string_at(self.state, STATE)

    def dma(self, what, addr, length):
        self.last_dma = what
        if what == "barrier":
            return
        start = (addr - self.state) // LINE * LINE
        end = -(-(addr - self.state + length) // LINE) * LINE
        assert 0 <= start < end <= STATE
        if what == "clean":
            self.dram[start:end] = self.cached()[start:end]
        else:
            ctypes.memmove(self.state + start, bytes(self.dram[start:end]), end - start)

    def load(self, addr, count):
        at = addr - self.state
        assert 0 <= at <= STATE - 4 * count, hex(addr)
        assert at % 4 == 0
        return [
            int.from_bytes(self.dram[at + 4 * i : at + 4 * i + 4], "little") for i in range(count)
        ]

    def store(self, addr, data):
        at = addr - self.state
        assert 0 <= at <= STATE - len(data), hex(addr)
        lines = range(at // LINE * LINE, at + len(data), LINE)
        cached = self.cached()
        dirty = [x for x in lines if cached[x : x + LINE] != self.dram[x : x + LINE]]
        self.dram[at : at + len(data)] = data
        for x in dirty if self.evicts else []:
            self.dram[x : x + LINE] = cached[x : x + LINE]

    def clock_us(self):
        self.now += 500
        return self.now

    # Registers.
    def read(self, offset):
        if offset < 0x1000:
            return self.read_page0(offset)
        reg = offset - self.first
        assert 0 <= reg < 0x1000, f"another's job ring: {offset:#x}"
        if reg == CHAVID_LS:
            return self.chavid
        assert self.chavid, "an access to what is not there"
        if reg == JRINT:
            self.halt = 2 if self.halt == 1 and not self.never_halts else self.halt
            return self.halt << 2 | 1
        if reg == JRCR:
            return 1 if self.never_resets else 0
        if reg == ORSF:
            if self.pending and not self.silent and self.now >= self.pending[1]:
                job, self.pending = self.pending[0], None
                self.finish(job)
            return self.done
        return self.jr[reg]

    def write(self, offset, value):
        if offset < 0x1000:
            self.write_page0(offset, value)
            return
        reg = offset - self.first
        assert 0 <= reg < 0x1000
        if reg == JRCR:
            assert value == 1
            self.reset()
        elif reg in UPPER:
            assert value == 0
        elif reg == IRJA:
            assert value == 1
            assert self.last_dma == "barrier"
            assert self.jr[IRS] == self.jr[ORS] > self.done, "no slot is free"
            assert self.pending is None
            self.start()
        elif reg == ORJR:
            assert value == 1 == self.done
            self.done = 0
        else:
            assert reg in self.jr
            self.jr[reg] = value

    def reset(self):
        """Once to end the jobs, once more for the ring (jr.c, caam_reset_hw_jr)."""
        assert self.jr[JRCFG_LS] & 1, "interrupts are not masked"
        if not self.flushed:
            self.flushed, self.halt, self.pending = True, 1, None
            return
        assert self.halt == 2, "reset before it has halted"
        self.flushed, self.halt, self.done = False, 0, 0
        self.at_in = self.at_out = 0
        self.jr |= {IRBA: 0, IRS: 0, ORBA: 0, ORS: 0}
        self.resets += 1

    def start(self):
        (job,) = self.load(self.jr[IRBA] + 4 * self.at_in, 1)
        self.at_in = (self.at_in + 1) % self.jr[IRS]
        uses_noise = self.load(job, 2)[1] & 6
        samples, delay = self.noise[RTSDCTL] & 0xFFFF, self.noise[RTSDCTL] >> 16
        self.pending = (job, self.now + (samples * delay // 66 if uses_noise else 10))

    def finish(self, job):
        status = self.execute(job)
        if self.alien != "silent":
            name = job ^ 64 if self.alien else job
            entry = name.to_bytes(4, "little") + status.to_bytes(4, "little")
            self.store(self.jr[ORBA] + 8 * self.at_out, entry)
        self.at_out = (self.at_out + 1) % self.jr[ORS]
        self.done = 1

    # Commands (desc.h).
    def execute(self, job):
        (header,) = self.load(job, 1)
        assert header >> 27 == 0x16, "no job header"
        assert header >> 23 & 1, "the bit that is always one"
        assert header & 0x077F_FF80 == 0, "options"
        length = header & 0x7F
        words = self.load(job, length)
        operation = words[1]
        assert operation >> 24 == 0x82, "no operation of class 1"
        assert operation >> 16 & 0xFF == 0x50, "not the generator"
        assert operation & 0xFFF1 == 0, "another handle, test mode, secure keys"
        state, fresh = operation >> 2 & 3, bool(operation & 2)
        self.jobs.append((state, fresh))
        if state == 1:
            assert length == 2
            return self.instantiate(fresh)
        assert (state, length) == (0, 4)
        assert words[2] >> 27 == 0x0C, "no FIFO store"
        assert words[2] >> 16 & 0x7FF == 0x34, "not of random numbers to memory"
        return self.generate(fresh, words[3], words[2] & 0xFFFF)

    def instantiate(self, fresh):
        if self.handle is not None:
            return CCB_RNG | 1 << 8 | 3
        if not self.good_noise():
            self.noise[RTMCTL] |= ERR
            return CCB_RNG | 1 << 8 | HARDWARE
        if self.forgets:
            self.forgets = False
        else:
            self.handle = fresh
        return 0

    def good_noise(self):
        n, delay = self.noise, self.noise[RTSDCTL] >> 16
        return (
            n[RTMCTL] == 0x2001  # raw samples for entropy and tests; the rest as it was
            and n[RTSDCTL] & 0xFFFF == 512
            and delay >= self.need
            and (n[RTFRQMIN], n[RTFRQMAX]) == (delay // 4, 1 << 20)
            and [n[RTSCMISC + 4 * i] for i in range(3)] == MISC_POKER
            and [n[RTSCML + 4 * i] for i in range(7)] == ONES_RUNS
        )

    def generate(self, fresh, pointer, length):
        assert length == 16  # with a fresh seed, no more is all entropy (SP 800-90C)
        if self.errors:
            return self.errors.pop(0)
        if self.handle is None:
            return CCB_RNG | 2 << 8 | NO_HANDLE
        if fresh and not self.handle:
            return CCB_RNG | 2 << 8 | NOT_FRESH
        if not self.unwritten:
            data = self.given[-16:] if self.repeats and self.given else self.numbers.randbytes(16)
            self.given += data
            self.store(pointer, data)
        return 0

    def read_page0(self, offset):
        assert self.page0 != "fatal", "page 0 is another world's"
        if self.page0 == "closed":
            return 0
        if offset == RDSTA:
            return 0 if self.handle is None else IF0 | PR0 * self.handle
        return self.noise[offset]

    def write_page0(self, offset, value):
        assert self.page0 != "fatal"
        if self.page0 == "closed":
            return
        if offset != RTMCTL:
            assert self.noise[RTMCTL] & PRGM, "written only in program mode"
            self.noise[offset] = value
            return
        before = self.noise[RTMCTL]
        if before & PRGM and not value & PRGM:
            self.kicks.append(self.noise[RTSDCTL] >> 16)
        clears = value & ~before & PRGM == 0 and not before & PRGM  # ones do, while it runs
        self.noise[RTMCTL] = (value & ~ERR) | (before & ERR & ~(value if clears else 0))
