"""gdb on an emulated board: the target's end of gdb's remote protocol (GDB manual, appendix E).

While gdb has stopped the board, its clock stands, and frames of the network wait. A single step is
one instruction that nothing interrupts. Left out: watchpoints, for which gdb steps by itself, and
flashing.
"""

import socket
import string
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from edgeuk.emulation.clock import Clock
from edgeuk.emulation.core import Core
from edgeuk.emulation.gdb_packets import PACKET_MAX, Event, Packets, framed
from edgeuk.emulation.inspection import NAMES, Inspection, description

CHUNK = 65_536
SEND_S = 5.0  # for a gdb that does not read
BREAKPOINTS_MAX = 1024
TRAP, INTERRUPTED = "S05", "S02"
WRONG, NOWHERE, TOO_MANY = "E01", "E14", "E28"  # EPERM, EFAULT, ENOSPC
OFFERED = f"PacketSize={PACKET_MAX:x};QStartNoAckMode+;qXfer:features:read+"


class Board(Protocol):
    """What is debugged."""

    core: Core
    clock: Clock

    def end(self) -> None: ...


class Debugger:
    """Waits at `listener` for one gdb after the other; with nobody there the board stands at its
    first instruction. `idle` waits until something came at `sockets`, or elsewhere."""

    def __init__(self, board: Board, listener: socket.socket, idle: Callable[[], None]) -> None:
        self._board, self._core, self._idle = board, board.core, idle
        self._listener = listener
        self._connection: socket.socket | None = None
        self._inspection = Inspection(board.core)
        self._breakpoints: set[int] = set()
        self._why = TRAP  # it stopped last
        self._standing = self._single = self._asked = False  # asked: gdb waits for a stop
        self._core.broke = True  # before the first instruction
        self._forget()

    def _forget(self) -> None:
        self._packets, self._acknowledges, self._answer = Packets(), True, b""

    @property
    def sockets(self) -> list[socket.socket]:
        """Where something can come."""
        return [self._connection or self._listener]

    # Running and standing.

    def stands(self) -> bool:
        """See `kinetis.Debugger`."""
        if not self._single and not self._core.broke:
            return False
        self._core.settle()
        self._core.broke = self._single = False
        self._standing = True
        self._board.clock.hold(True)
        if self._asked:
            self._say(self._why)
        while self._standing and not self._core.stopped:
            self._idle()
            self.hear()
        self._board.clock.hold(False)
        if not self._single:
            self._core.break_at(self._breakpoints)
        return self._single

    def hear(self) -> None:
        """What came meanwhile."""
        if self._connection is None:
            self._accept()
            return
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for packet in self._packets.feed(data):
            if self._connection:
                self._take(packet)
        if not data:
            self._leave()

    def _accept(self) -> None:
        with suppress(OSError):  # nobody there, or no more
            self._connection = self._listener.accept()[0]
            self._connection.setblocking(False)
            self._forget()
            self._core.debugged = True
            self._stop(TRAP)

    def _stop(self, why: str) -> None:
        if not self._standing:
            self._core.broke, self._why = True, why

    def _resume(self, single: bool) -> None:
        self._standing, self._single, self._why = False, single, TRAP
        self._asked = self._connection is not None

    def _let_go(self) -> None:
        """gdb has no more to do with the board, which does not notice."""
        self._core.debugged = self._core.broke = False
        self._breakpoints.clear()
        self._core.break_at(set())
        self._resume(False)

    def _leave(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None
        self._let_go()

    def ended(self, status: int) -> None:
        """The board has."""
        self._say(f"W{status:02x}")
        self._leave()

    # Packets.

    def _take(self, packet: bytes | Event) -> None:
        if packet is Event.INTERRUPT:
            self._stop(INTERRUPTED)
        elif packet is Event.AGAIN:
            self._send(self._answer)
        elif isinstance(packet, Event):
            self._send(b"-" if self._acknowledges else b"")
        else:
            self._send(b"+" if self._acknowledges else b"")
            if self._standing:  # else it is none that gdb sends
                answer = self._answer_to(packet.decode("latin-1"))
                if answer is not None:
                    self._say(answer)

    def _say(self, text: str) -> None:
        self._answer = framed(text.encode())
        self._send(self._answer)

    def _send(self, data: bytes) -> None:
        if self._connection is None or not data:
            return
        self._connection.settimeout(SEND_S)
        try:
            self._connection.sendall(data)
        except TimeoutError:  # not again for each packet that it has sent before
            self._leave()
            return
        except OSError:  # it has gone: what it said last is read all the same
            pass
        self._connection.setblocking(False)

    def _answer_to(self, body: str) -> str | None:
        """ "": gdb asks for what is not there; None: the answer comes when the board stops."""
        commands: dict[str, Callable[[str], str | None]] = {
            "?": lambda _: self._why,
            "g": lambda _: "".join(_hex(self._inspection.get(n)) for n in NAMES),
            "G": self._set_all,
            "p": lambda rest: _hex(self._inspection.get(_number(rest))),
            "P": self._set_one,
            "m": self._read,
            "M": self._write,
            "c": lambda rest: self._go(rest, single=False),
            "s": lambda rest: self._go(rest, single=True),
            # A signal is nothing to a board.
            "C": lambda rest: self._go(rest.partition(";")[2], single=False),
            "S": lambda rest: self._go(rest.partition(";")[2], single=True),
            "Z": lambda rest: self._break(rest, insert=True),
            "z": lambda rest: self._break(rest, insert=False),
            "H": lambda _: "OK",
            "T": lambda _: "OK",
            "D": self._detach,
            "k": self._kill,
            "q": self._query,
            "Q": self._no_acknowledgements,
        }
        command = commands.get(body[:1])
        if command is None:
            return ""
        try:
            return command(body[1:])
        except (ValueError, KeyError):
            return WRONG

    def _set_all(self, rest: str) -> str:
        data = bytes.fromhex(rest)
        if len(data) != 4 * len(NAMES):
            return WRONG
        for i, number in enumerate(NAMES):
            self._inspection.set(number, int.from_bytes(data[4 * i : 4 * i + 4], "little"))
        return "OK"

    def _set_one(self, rest: str) -> str:
        number, _, value = rest.partition("=")
        data = bytes.fromhex(value)
        if len(data) != 4:
            return WRONG
        self._inspection.set(_number(number), int.from_bytes(data, "little"))
        return "OK"

    def _read(self, rest: str) -> str:
        address, size = (_number(part) for part in rest.split(","))
        return self._inspection.read(address, min(size, PACKET_MAX // 2)).hex() or NOWHERE

    def _write(self, rest: str) -> str:
        place, _, text = rest.partition(":")
        address, size = (_number(part) for part in place.split(","))
        data = bytes.fromhex(text)
        if len(data) != size:
            return WRONG
        return "OK" if self._inspection.write(address, data) else NOWHERE

    def _go(self, rest: str, single: bool) -> None:
        if rest:
            self._core.pc = _number(rest)
        self._resume(single)

    def _break(self, rest: str, insert: bool) -> str:
        kind, address, _ = rest.split(",", 2)
        if kind not in ("0", "1"):  # in memory, or a comparator: here they are the same
            return ""
        at = _number(address) & ~1
        if not insert:
            self._breakpoints.discard(at)
        elif len(self._breakpoints - {at}) >= BREAKPOINTS_MAX:
            return TOO_MANY
        else:
            self._breakpoints.add(at)
        return "OK"

    def _detach(self, _: str) -> None:
        self._say("OK")
        self._let_go()  # it hangs up itself

    def _kill(self, _: str) -> None:
        self._board.end()

    def _query(self, rest: str) -> str:
        name, _, arguments = rest.partition(":")
        if name == "Supported":
            return OFFERED
        if name == "Attached":
            return "1"  # so that its end leaves the board alone
        if arguments.startswith("features:read:target.xml:"):
            start, size = (_number(part) for part in arguments.rpartition(":")[2].split(","))
            text = description()[start:]
            return "ml"[len(text) <= size] + text[:size]
        return ""

    def _no_acknowledgements(self, rest: str) -> str:
        if rest != "StartNoAckMode":
            return ""
        self._acknowledges = False
        return "OK"


def _number(text: str) -> int:
    """Of hexadecimal digits and nothing else. Raises ValueError."""
    if not all(c in string.hexdigits for c in text):
        raise ValueError(text)
    return int(text, 16)


def _hex(value: int) -> str:
    return value.to_bytes(4, "little").hex()
