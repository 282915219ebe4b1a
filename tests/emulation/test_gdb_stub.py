"""gdb's remote protocol at a board of edgeuk.emulation, as raw packets: what gdb itself never
sends, and what `tests/boot/test_debug.py`, where a real gdb does, does not look at."""

import contextlib
import re
import select
import socket
import threading
import time

import pytest
from core_rig import DEVICE, RAM, STACK

from edgeuk.emulation import debugger
from edgeuk.emulation.debugger import Debugger
from edgeuk.emulation.gdb_packets import PACKET_MAX, Packets, framed
from edgeuk.emulation.inspection import description

LIMIT_S = 10.0
PROGRAM = """
start:
    movs r0, #1
    movs r1, #2
loop:
    adds r0, #1
    cmp r0, #200
    it eq
    moveq r0, #0
    ldr r7, =0x20000100
    ldr r6, =0x40000000
    ldr r3, [r6]
    str r0, [r7]
    b loop
"""
R0, SP, PC, XPSR, PRIMASK = 0, 13, 15, 25, 28


class Session:
    """A board that runs on a thread, and a client of its stub."""

    def __init__(self, world, tmp_path):
        self.core, self.clock, self.ended = world.core, world.clock, False
        path = str(tmp_path / "gdb")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(1)
        self.listener.setblocking(False)
        self.stub = Debugger(self, self.listener, self._idle)
        self._world = world
        self.thread = threading.Thread(target=self._run)
        self.thread.start()
        self._path = path
        self.connect()

    def _idle(self):
        select.select(self.stub.sockets, [], [], 0.05)

    def _run(self):
        over = threading.Event()

        def poke():
            while not over.wait(0.002):
                self.core.poke(stop=True)

        poker = threading.Thread(target=poke)
        poker.start()
        try:
            while not self.core.stopped:
                if self.stub.stands():
                    self.core.single()
                elif not self.core.stopped:
                    self.core.step(self._world.sleep, self.stub.hear)
            self.stub.ended(0)
        finally:
            over.set()
            poker.join()

    def end(self):
        self.core.stopped = True

    def connect(self):
        self.client = socket.socket(socket.AF_UNIX)
        self.client.settimeout(LIMIT_S)
        self.client.connect(self._path)
        self._packets, self._heard = Packets(), []
        self.raw = b""

    def send(self, data):
        self.client.sendall(data)

    def next(self):
        """The next packet from the board; what is between them is in `raw`."""
        while not self._heard:
            data = self.client.recv(65536)
            assert data, "it hung up"
            self.raw += data
            self._heard += [p for p in self._packets.feed(data) if isinstance(p, bytes)]
        packet = self._heard.pop(0)
        with contextlib.suppress(BrokenPipeError):
            self.client.sendall(b"+")
        return packet.decode()

    def ask(self, body):
        self.send(framed(body.encode()))
        return self.next()

    def get(self, number):
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def close(self):
        self.core.stopped = True
        self.thread.join(LIMIT_S)
        self.client.close()
        self.listener.close()
        assert not self.thread.is_alive()


@pytest.fixture
def session(program, tmp_path):
    session = Session(program(PROGRAM), tmp_path)
    yield session
    session.close()


def test_the_board_waits_before_its_first_instruction(session):
    assert session.ask("?") == "S05"
    first = session.get(PC)
    assert session.core.read(first, 2) == b"\x01\x20"  # movs r0, #1
    assert (session.get(R0), session.get(SP)) == (0, STACK)


def test_registers_are_those_that_the_description_names(session):
    assert "qXfer:features:read+" in session.ask("qSupported:xmlRegisters=arm")
    text, at = "", 0
    while True:
        part = session.ask(f"qXfer:features:read:target.xml:{at:x},40")
        text, at = text + part[1:], at + 0x40
        if part[0] == "l":
            break
    assert text == description()
    numbers = [int(n) for n in re.findall(r'regnum="(\d+)"', text)]
    assert numbers[:17] == [*range(16), 25]  # as GDB has m-profile
    for i, number in enumerate(numbers):
        value = 0x20000210 + 16 * i if number < PRIMASK else 1
        if number == XPSR:
            value = 0x61000000
        assert session.ask(f"P{number:x}={value.to_bytes(4, 'little').hex()}") == "OK"
        assert session.get(number) == value
    everything = session.ask("g")
    assert len(everything) == 8 * len(numbers)
    assert everything[:8] == "10020020"
    assert session.ask("G" + everything) == "OK"
    assert session.ask("g") == everything


def test_the_exception_that_runs_is_no_debuggers_to_choose(session):
    assert session.ask(f"P{XPSR:x}=03000021") == "OK"
    assert session.get(XPSR) == 0x21000000


def test_single_steps_and_breakpoints_are_exact(session):
    first = session.get(PC)
    assert session.ask("s") == "S05"
    assert (session.get(PC), session.get(R0)) == (first + 2, 1)
    loop = first + 4
    assert session.ask(f"Z0,{loop:x},2") == "OK"
    assert session.ask("c") == "S05"
    assert (session.get(PC), session.get(R0), session.get(1)) == (loop, 1, 2)
    for count in (2, 3):
        assert session.ask("s") == "S05"  # a breakpoint there is no reason to stay
        assert session.get(PC) == loop + 2
        assert session.ask("c") == "S05"
        assert (session.get(PC), session.get(R0)) == (loop, count)
    assert session.ask(f"P{R0:x}=c7000000") == "OK"
    for at, r0 in ((2, 200), (4, 200), (6, 200), (8, 0)):  # through the IT block
        assert session.ask("s") == "S05"
        assert (session.get(PC), session.get(R0)) == (loop + at, r0)
    inside = loop + 6
    assert session.ask(f"Z1,{inside:x},2") == "OK"
    assert session.ask(f"z0,{loop:x},2") == "OK"
    assert session.ask("c") == "S05"
    assert session.get(PC) == inside
    assert session.ask("s") == "S05"
    assert session.get(R0) == 1  # the condition was not met
    assert session.ask("c") == "S05"
    assert (session.get(PC), session.get(R0)) == (inside, 2)
    assert session.ask(f"z1,{inside:x},2") == "OK"


def test_a_step_over_an_access_makes_it_once(session):
    """Unicorn is in the middle of the instruction when the device stops it."""
    at = session.core.read(0, 0x100).index(b"\x33\x68")  # ldr r3, [r6]
    assert session.ask(f"Z0,{at:x},2") == "OK"
    assert session.ask("c") == "S05"
    before = session.core.accesses
    assert session.ask("s") == "S05"
    assert session.get(PC) == at + 2
    assert session.core.accesses == before + 1


def test_ctrl_c_wakes_a_program_that_sleeps(program, tmp_path):
    session = Session(program("start: wfi\n b start\n"), tmp_path)
    session._world.sleep = lambda: (session._idle(), session.stub.hear())
    try:
        session.send(framed(b"c"))
        session.send(b"\x03")
        assert session.next() == "S02"
    finally:
        session.close()


def test_a_stop_in_the_middle_of_an_access_is_behind_it(session):
    """A Ctrl-C may come at any time."""
    at, core = session.core.read(0, 0x100).index(b"\x33\x68"), session.core

    def read(_offset, _size):
        session.stub._stop("S02")
        core.poke(stop=True)
        return 7

    session._world.read = read
    assert session.ask("c") == "S02"
    assert (session.get(PC), session.get(3), core.accesses) == (at + 2, 7, 1)


def test_ctrl_c_stops_a_program_that_runs_for_ever(session):
    session.send(framed(b"c"))
    session.send(b"\x03")
    assert session.next() == "S02"
    assert session.ask("?") == "S02"


def test_time_stands_as_long_as_the_board_does(session):
    session.ask("?")
    before = session.clock.now()
    session._world.ns += 5_000_000
    assert session.clock.now() == before
    assert session.ask("s") == "S05"
    assert session.clock.now() == before


def test_memory_is_what_the_bus_reaches(session):
    assert session.ask("M20000100,4:01020304") == "OK"
    assert session.ask("m20000100,4") == "01020304"
    assert session.ask("m20000101,2") == "0203"
    assert session.ask("m0,4") == STACK.to_bytes(4, "little").hex()
    end = RAM.base + RAM.size
    assert len(session.ask(f"m{end - 2:x},4")) == 4  # as much as there is
    for nothing in ("m60000000,4", f"m{end:x},1", "mffffffff,4", "M60000000,1:00", "M0,1:00"):
        assert session.ask(nothing) == "E14", nothing
    assert session.ask("me000ed00,4") == "41c20f41"  # CPUID
    assert session.ask(f"m{DEVICE + 12:x},4") == "E14"  # a device that refuses
    assert session.ask(f"M{DEVICE + 4:x},4:2a000000") == "OK"
    assert session._world.said == [42]
    assert len(session.ask("m0,ffffffff")) <= PACKET_MAX


def test_registers_of_devices_are_read_as_wide_as_they_lie(session):
    reads = []
    session._world.read = lambda offset, size: reads.append((offset, size)) or 0
    assert session.ask(f"m{DEVICE + 1:x},8") == "00" * 8
    assert reads == [(1, 1), (2, 2), (4, 4), (8, 1)]


def test_code_in_ram_that_was_changed_is_what_runs(session):
    assert session.ask("Z0,20000202,2") == "OK"
    for add in (7, 9):
        assert session.ask(f"M20000200,4:{add:02x}30fee7") == "OK"  # adds r0, #add; b .
        session.ask("P0=00000000")
        session.ask("Pf=00020020")
        assert session.ask("c") == "S05"
        assert (session.get(PC), session.get(R0)) == (0x2000_0202, add)


MALFORMED = [
    *("p", "pzz", "p63", "p-1", "P0", "P0=", "P0=1", "P0=zz", "P63=00000000", "G00", "Gzz"),
    *("m", "m,", "m0", "mzz,4", "m0,zz", "m0,4,4", "m-4,4", "M0", "M0,4", "M20000100,4:00"),
    *("M20000100,1:zz", "cxx", "sxx", "Z0", "Z0,zz,2", "Z0,0", "z1"),
    *("qXfer:features:read:target.xml:", "qXfer:features:read:target.xml:z,1"),
    "qXfer:features:read:target.xml:-1,1",
]


def test_malformed_packets_are_errors_and_change_nothing(session):
    before = session.ask("g")
    for body in MALFORMED:
        assert re.fullmatch("E[0-9]{2}", session.ask(body)), body
    for body in ("", "!", "vMustReplyEmpty", "vCont?", "Z2,0,4", "qC", "Qx", "X0,0:", "bs", "\x80"):
        assert session.ask(body) == "", body
    assert session.ask("g") == before
    for at in range(1024):
        assert session.ask(f"Z0,{2 * at:x},2") == "OK"
    assert session.ask("Z0,10000,2") == "E28"
    assert session.ask("Z0,0,2") == "OK"  # it is one of them


def test_a_broken_packet_is_asked_for_again_and_a_lost_answer_sent_again(session):
    session.send(b"$?#00")
    session.send(framed(b"?"))
    assert session.next() == "S05"
    assert session.raw == b"-+$S05#b8"
    session.send(b"-")
    assert session.next() == "S05"
    session.raw = b""
    assert session.ask("QStartNoAckMode") == "OK"
    assert session.raw == b"+$OK#9a"
    session.raw = b""
    session.send(b"$?#00")
    assert session.ask("?") == "S05"
    assert session.raw == b"$S05#b8"


def test_gdb_may_go_and_come_again(session):
    first = session.get(PC)
    session.ask(f"Z0,{first + 4:x},2")
    assert session.ask("D") == "OK"
    end = time.monotonic() + LIMIT_S
    while session.core.accesses < 3:
        assert time.monotonic() < end  # it runs, and past the breakpoint
    session.client.close()
    session.connect()
    assert session.ask("?") == "S05"
    count = session.core.read(0x2000_0100, 4)
    assert session.ask("m20000100,4") == count.hex()
    assert session.ask("QStartNoAckMode") == "OK"
    session.send(b"$m0,")
    session.client.close()  # without a word
    session.connect()
    assert session.ask("?") == "S05"
    assert session.raw == b"+$S05#b8"
    assert session.get(PC) >= first
    session.send(framed(b"c") + b"\x03")
    session.client.close()
    before = session.core.accesses
    while session.core.accesses < before + 3:
        assert time.monotonic() < end  # nobody is there for whom it would stand


def test_a_client_that_does_not_read_is_hung_up_on(session, monkeypatch):
    """At once: not once more for each packet that it has sent, as the board stands meanwhile."""
    monkeypatch.setattr(debugger, "SEND_S", 0.2)
    assert session.ask("QStartNoAckMode") == "OK"
    began = time.monotonic()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(5000):
            session.send(framed(b"m20000000,800"))
    assert time.monotonic() - began < LIMIT_S
    session.client.close()
    session.connect()
    assert session.ask("?") == "S05"


def test_a_kill_ends_the_board(session):
    session.send(framed(b"k"))
    session.thread.join(LIMIT_S)
    assert session.core.stopped
    assert session.next() == "W00"


def test_a_bkpt_is_the_debuggers_if_there_is_one(program, tmp_path):
    """C1.6; without one see test_core.py."""
    session = Session(program("start: movs r0, #3\n bkpt 1\n end\n"), tmp_path)
    try:
        assert session.ask("c") == "S05"
        assert session.core.read(session.get(PC), 2) == b"\x01\xbe"
    finally:
        session.close()


def test_a_step_is_one_instruction_that_no_interrupt_gets_into(program, tmp_path):
    """And a WFI that ends at once (B1.5.19), though nothing wakes it."""
    session = Session(
        program("""
start:
    write 0xe000e100, 1
    write 0xe000e200, 1
    movs r0, #1
    wfi
    movs r0, #2
    end
irq0:
    movs r5, #9
    bx lr
"""),
        tmp_path,
    )
    try:
        for _ in range(6 + 3):
            assert session.ask("s") == "S05"
        assert (session.get(R0), session.get(5)) == (2, 0)
        assert session.get(XPSR) & 0x1FF == 0
    finally:
        session.close()
