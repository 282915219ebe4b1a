"""The MQTT client of firmware/mqtt as a process with sanitizers, driven by lines (mqtt/commands.h).

`Device` has a simulated world: the test plays network, clock and broker. `HostDevice` has the
system's sockets. Packets are built here from the specification, with nothing of the client's code.
"""

import os
import subprocess
from pathlib import Path
from select import select
from time import monotonic
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent / "mqtt"
FIRMWARE = Path(__file__).parents[2] / "firmware"
FLAGS = ["-std=gnu11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
INCLUDE = [f"-I{path}" for path in (FIRMWARE / "include", FIRMWARE, HERE)]


def compile_program(out: Path, *sources: str) -> Path:
    """Compile the client with `sources` of tests/c/mqtt into the program `out`."""
    files = [str(HERE / source) for source in sources]
    files += [str(path) for path in sorted((FIRMWARE / "mqtt").glob("*.c"))]
    command = ["gcc", *FLAGS, *WARNINGS, *INCLUDE, "-o", str(out), *files]
    subprocess.run(command, check=True, timeout=120)
    return out


def varint(value: int) -> bytes:
    """Variable Byte Integer (MQTT 5.0, 1.5.5)."""
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def packet(first: int, body: bytes = b"") -> bytes:
    """A control packet: first byte, Remaining Length, body (2.1)."""
    return bytes([first]) + varint(len(body)) + body


def text(value: str) -> bytes:
    """UTF-8 Encoded String (1.5.4)."""
    raw = value.encode()
    return len(raw).to_bytes(2, "big") + raw


def connack(version: int, session: int = 0, reason: int = 0, properties: bytes = b"") -> bytes:
    """CONNACK (3.2)."""
    tail = varint(len(properties)) + properties if version == 5 else b""
    return packet(0x20, bytes([session, reason]) + tail)


def publish(
    version: int, qos: int, topic: str, payload: bytes, ident: int = 0, flags: int = 0
) -> bytes:
    """PUBLISH without properties (3.3)."""
    head = text(topic) + (ident.to_bytes(2, "big") if qos else b"")
    head += b"\0" if version == 5 else b""
    return packet(0x30 | qos << 1 | flags, head + payload)


def ack(first: int, ident: int, reason: int | None = None) -> bytes:
    """PUBACK, PUBREC, PUBREL or PUBCOMP (3.4 to 3.7)."""
    tail = b"" if reason is None else bytes([reason])
    return packet(first, ident.to_bytes(2, "big") + tail)


class Device:
    """One client in its simulated world; a context manager."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        code = self.process.wait(timeout=10)
        self.process.stdout.close()
        if error is None:
            assert code == 0, "a sanitizer or an assertion ended the client"

    def do(self, command: str) -> list[str]:
        """The events that `command` leads to."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(command + "\n")
        stdin.flush()
        events: list[str] = []
        for line in stdout:
            if line == ".\n":
                return events
            events.append(line.rstrip("\n"))
        raise AssertionError(f"the client ended at {command!r} after {events}")

    def receive(self, data: bytes, *, how: str = "receive") -> list[str]:
        return self.do(f"{how} {data.hex()}")

    def start(self, version: int = 5, options: str = "") -> bytes:
        """From power-on to CONNECT, which is returned."""
        self.do(f"start version={version} {options}")
        self.do("net 1")
        return sent(self.do("opened"))

    def connect(self, version: int = 5, options: str = "", properties: bytes = b"") -> None:
        """From power-on to an accepted CONNACK."""
        self.start(version, options)
        events = self.receive(connack(version, properties=properties))
        assert events[0] == "connected 0"

    def reconnect(self, version: int = 5, session: int = 1) -> bytes:
        """After a loss: what is sent after CONNACK."""
        self.do("advance 64000")
        self.do("opened")
        events = self.receive(connack(version, session))
        assert events[0] == f"connected {session}", events
        return sent(events)

    def publish(self, qos: int, payload: bytes = b"x", topic: str = "t", retain: int = 0) -> int:
        """Publish where that does not lead to anything but bytes; the return value."""
        events = self.do(f"publish {qos} {retain} {topic} {payload.hex() or '-'}")
        return int(next(e for e in events if e.startswith("returned")).split()[1])

    def number(self, name: str) -> list[int]:
        """The numbers of `stats` or `pending`."""
        return [int(n) for n in self.do(name)[0].split()[1:]]


def sent(events: list[str]) -> bytes:
    """All bytes that the client wrote."""
    return b"".join(bytes.fromhex(e.split()[1]) for e in events if e.startswith("sent "))


def others(events: list[str]) -> list[str]:
    """The events besides bytes written."""
    return [e for e in events if not e.startswith("sent ")]


class HostDevice:
    """One client over real sockets; a context manager. Events are waited for, each once."""

    def __init__(self, program: Path, options: str) -> None:
        self.process = subprocess.Popen(
            [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.events: list[str] = []
        self.rest = b""
        self.do(f"start {options}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            code = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait(timeout=10)
        self.process.stdout.close()
        if error is None:
            assert code == 0, "a sanitizer or an assertion ended the client"

    def do(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def wait(self, start: str, limit_s: float = 20) -> str:
        """The next event that begins with `start`; earlier ones stay for later calls."""
        found = self._find(start, limit_s)
        assert found is not None, f"no {start!r} within {limit_s} s; have {self.events}"
        self.events.remove(found)
        return found

    def stays_without(self, start: str, limit_s: float) -> None:
        """Fails when such an event comes within `limit_s`."""
        assert self._find(start, limit_s) is None, self.events

    def _find(self, start: str, limit_s: float) -> str | None:
        assert self.process.stdout is not None
        until = monotonic() + limit_s
        while True:
            for event in self.events:
                if event.startswith(start):
                    return event
            left = until - monotonic()
            if left <= 0:
                return None
            if select([self.process.stdout], [], [], left)[0]:
                chunk = os.read(self.process.stdout.fileno(), 65536)
                assert chunk, f"the client ended; have {self.events}"
                *lines, self.rest = (self.rest + chunk).split(b"\n")
                self.events += [line.decode() for line in lines]
