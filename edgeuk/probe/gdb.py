"""A client of QEMU's gdb stub: run control and core registers of one CPU.

Follows the GDB remote serial protocol (GDB manual, appendix E). Z packets leave memory as it is.
"""

import re
import select
import socket
import time

from edgeuk.probe.engine import XPSR, EngineError

ANSWER_S = 10.0  # a loaded machine takes a second at worst
GDB_XPSR = 25  # of the org.gnu.gdb.arm.m-profile feature


class Gdb:
    """One connection. The stub stops the CPU when any byte arrives, so nothing is asked while it
    runs."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(ANSWER_S)
        self._socket = connection
        self._buffer = b""
        self.ask("qSupported")
        self.ask("?")
        self.numbers = self._system_registers()

    def fileno(self) -> int:
        return self._socket.fileno()

    def ask(self, body: str) -> bytes:
        """The answer to one packet. Raises `EngineError`."""
        self.send(body)
        answer = self.receive(ANSWER_S)
        while answer is not None and answer[:1] == b"T" and body not in ("?", "s"):
            answer = self.receive(ANSWER_S)  # a stop that crossed the question
        if answer is None:
            raise EngineError(f"no answer from the emulator within {ANSWER_S:g} s")
        return answer

    def send(self, body: str) -> None:
        """A packet without waiting."""
        try:
            self._socket.sendall(f"${body}#{sum(body.encode()) & 255:02x}".encode())
        except OSError as e:
            raise EngineError(f"the emulator has ended ({e.strerror})") from None

    def interrupt(self) -> None:
        """Stop the CPU; the stop reply follows."""
        try:
            self._socket.sendall(b"\x03")
        except OSError as e:
            raise EngineError(f"the emulator has ended ({e.strerror})") from None

    def receive(self, limit_s: float) -> bytes | None:
        """The next packet; None when none comes in time."""
        end = time.monotonic() + limit_s
        while True:
            packet = self._take()
            if packet is not None:
                return packet
            left = max(0.0, end - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return None
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise EngineError("the emulator has ended")
            self._buffer += data

    def get(self, register: int | str) -> int:
        """A register's value; a system register that this QEMU does not show is 0."""
        number = self._number(register)
        if number is None:
            return 0
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}").decode()), "little")

    def set(self, register: int | str, value: int) -> None:
        """The same the other way round."""
        number = self._number(register)
        if number is None:
            return
        size = 1 if register in ("primask", "basepri", "faultmask", "control") else 4
        text = (value & (1 << 8 * size) - 1).to_bytes(size, "little").hex()
        answer = self.ask(f"P{number:x}={text}")
        if answer != b"OK" and size == 1:  # the stub may hold them as words
            answer = self.ask(f"P{number:x}={value.to_bytes(4, 'little').hex()}")
        if answer != b"OK":
            raise EngineError(f"register {register} cannot be set: {answer!r}")

    def _number(self, register: int | str) -> int | None:
        if isinstance(register, int):
            return GDB_XPSR if register == XPSR else register
        if register == "msp" and "msp" not in self.numbers:
            return 13  # of old stubs: the stack pointer in use
        return self.numbers.get(register)

    def _system_registers(self) -> dict[str, int]:
        """QEMU shows them from version 8 on."""
        names = self.ask("qXfer:features:read:target.xml:0,fff")
        if b"arm-m-system.xml" not in names:
            return {}
        text = self.ask("qXfer:features:read:arm-m-system.xml:0,fff").decode()
        found = re.finditer(r'<reg name="(\w+)"[^>]*?regnum="(\d+)"', text)
        return {m[1]: int(m[2]) for m in found}

    def _take(self) -> bytes | None:
        start = self._buffer.find(b"$")
        end = self._buffer.find(b"#", start)
        if start < 0 or end < 0 or len(self._buffer) < end + 3:
            return None
        packet = self._buffer[start + 1 : end]
        self._buffer = self._buffer[end + 3 :]
        try:
            self._socket.sendall(b"+")
        except OSError:
            raise EngineError("the emulator has ended") from None
        return packet
