"""The host image with firmware/driver.c in place of the gateway, and peers for it: Python's ssl as
a small broker, scripted peers, and a proxy that does harm on the way."""

import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from process_memory import holds

from edgeuk import device_config
from edgeuk.run.broker import free_port

LIMIT_S = 60.0
KEPT_BYTES = 1200  # of the heap: a ticket may be kept for the next connection
CONNACK = bytes([0x20, 3, 0, 0, 0])  # MQTT 5: accepted, no properties
STATS = re.compile(
    r"device: handshakes (\d+) resumptions (\d+) live (\d+) peak (\d+) failures (\d+) "
    r"messages (\d+)"
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the device said from `go` to `done`, and its statistics since it runs."""

    lines: list[str]
    handshakes: int
    resumptions: int
    live: int
    peak: int
    failures: int
    messages: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def told(self) -> dict[str, Any]:
        """What it would publish on <topic>/tls."""
        text = re.findall(r"device: tells (.*)", self.text)[-1]
        told = json.loads(text)
        assert isinstance(told, dict)
        return told

    @property
    def refusals(self) -> dict[str, int]:
        """By reason, as published."""
        return {reason: count for reason, count in self.told["refusals"].items() if count}

    @property
    def clean(self) -> bool:
        """Nothing is left of the connection but a ticket, and no allocation failed."""
        return self.live <= KEPT_BYTES and self.failures == 0

    @property
    def connected(self) -> int:
        return sum("device: connected" in line for line in self.lines)

    @property
    def down(self) -> list[int]:
        """The statuses with which connections ended."""
        return [int(n) for n in re.findall(r"device: down (-?\d+)", self.text)]


class Device:
    """One device as a process with sanitizers; a context manager."""

    def __init__(self, image: Path, folder: Path, values: Mapping[str, str]) -> None:
        config = folder / f"config{id(self):x}.bin"
        config.write_bytes(device_config.encode({"name": "device", **values}))
        self.child = subprocess.Popen(
            [str(image), "--config", str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.child.stdin
        assert self.child.stdout
        self.child.stdin.close()
        try:
            code = self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            code = self.child.wait()
        rest = self.child.stdout.read()
        self.child.stdout.close()
        if error is None:
            assert code == 0, rest

    def begin(
        self, port: int, *, host: str = "127.0.0.1", count: int = 1, hold: int = True
    ) -> None:
        assert self.child.stdin
        self.child.stdin.write(f"go {port} {host} {count} {int(hold)}\n")
        self.child.stdin.flush()

    def set_time(self, unix_s: int) -> None:
        assert self.child.stdin
        self.child.stdin.write(f"time {unix_s}\n")
        self.child.stdin.flush()

    def finish(self, limit_s: float = LIMIT_S) -> Outcome:
        """Waits for the end of all connections begun."""
        assert self.child.stdout
        watchdog = threading.Timer(limit_s, self.child.kill)
        watchdog.start()
        lines: list[str] = []
        numbers: list[int] = []
        try:
            for line in self.child.stdout:
                lines.append(line.rstrip())
                found = STATS.search(line)
                numbers = [int(n) for n in found.groups()] if found else numbers
                if "device: done" in line:
                    return Outcome(lines, *numbers)
        finally:
            watchdog.cancel()
        raise AssertionError("the device ended or took too long:\n" + "\n".join(lines[-40:]))

    def go(self, port: int, limit_s: float = LIMIT_S, **how: object) -> Outcome:
        self.begin(port, **how)  # type: ignore[arg-type]
        return self.finish(limit_s)

    def holds(self, secret: bytes) -> int:
        """How often that is in its memory."""
        return holds(self.child.pid, secret)

    def rss_kib(self) -> int:
        text = Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", text)[0])


Serve = Callable[[socket.socket], None]


class Peer:
    """Listens on loopback; every connection is served by `serve` on a thread of its own. Errors in
    it are kept in `errors`: a peer that is refused sees many."""

    def __init__(self, serve: Serve, port: int = 0) -> None:
        self.serve, self.port = serve, port
        self.errors: list[BaseException] = []
        self.count = 0
        self._open: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=50)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.count += 1
            self._open = [c for c in self._open if c.fileno() >= 0]
            self._open.append(connection)
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(30)
        try:
            self.serve(connection)
        except Exception as e:  # whatever a peer stumbles over, the device is what is tested
            self.errors.append(e)
        finally:
            connection.close()


def read_packet(stream: socket.socket) -> bytes:
    """One MQTT packet, whole."""
    data = b""
    while len(data) < 2 or data[-1] & 128:
        more = stream.recv(1)
        if not more:
            raise EOFError("the device ended it")
        data += more
    length = sum((byte & 127) << 7 * i for i, byte in enumerate(data[1:]))
    while length > 0:
        more = stream.recv(length)
        if not more:
            raise EOFError("the device ended it")
        data += more
        length -= len(more)
    return data


class TlsBroker(Peer):
    """OpenSSL by way of Python's ssl: shakes hands, answers CONNECT, then closes at once (`after`
    may do more). Keeps what it saw: `packets`, the protocol and the cipher of each handshake."""

    def __init__(
        self,
        context: ssl.SSLContext,
        after: Callable[[ssl.SSLSocket], None] = lambda stream: None,
        answer: bytes = CONNACK,
        port: int = 0,
    ) -> None:
        super().__init__(self._talk, port)
        self.context, self._after, self._answer = context, after, answer
        self.packets: list[bytes] = []
        self.sessions: list[tuple[str, str, bool]] = []

    def _talk(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True) as stream:
            cipher = stream.cipher()
            self.sessions.append(
                (stream.version() or "", cipher[0] if cipher else "", bool(stream.session_reused))
            )
            self.packets.append(read_packet(stream))
            stream.sendall(self._answer)
            self._after(stream)
            with suppress(OSError):
                stream.unwrap()


def server_context(
    certificate: Path, key: Path, *, client_ca: Path | None = None, level: int | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if level is not None:
        context.set_ciphers(f"ALL:@SECLEVEL={level}")
    context.load_cert_chain(certificate, key)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class Tap:
    """What of the server's bytes reaches the device; for `Proxy`. The default lets all pass."""

    def server_bytes(self, data: bytes, device: socket.socket) -> None:
        device.sendall(data)


class Proxy(Peer):
    """Between device and server. `tap` makes a `Tap` for each connection."""

    def __init__(self, to: int, tap: Callable[[], Tap] = Tap) -> None:
        super().__init__(self._carry)
        self.to, self.tap = to, tap
        self.said = bytearray()  # by the device, in the last connection

    def _carry(self, device: socket.socket) -> None:
        tap = self.tap()
        with socket.create_connection(("127.0.0.1", self.to), 10) as server:
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.settimeout(LIMIT_S)
            thread = threading.Thread(target=self._up, args=(device, server), daemon=True)
            thread.start()
            try:
                while data := server.recv(65536):
                    tap.server_bytes(data, device)
                with suppress(OSError):
                    device.shutdown(socket.SHUT_WR)
            finally:
                with suppress(OSError):
                    device.shutdown(socket.SHUT_RDWR)
                thread.join(5)

    def _up(self, device: socket.socket, server: socket.socket) -> None:
        self.said.clear()
        with suppress(OSError):
            while data := device.recv(65536):
                self.said += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)


class SServer:
    """`openssl s_server` with these options; what it prints is `text`. A context manager."""

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.port = port or free_port()
        # It ends at the end of its standard input: not /dev/null.
        self._child = subprocess.Popen(
            ["openssl", "s_server", "-accept", f"127.0.0.1:{self.port}", *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._said = b""
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: "ACCEPT" in self.text)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.kill()
        self._child.wait()
        self._thread.join(5)
        for pipe in (self._child.stdin, self._child.stdout):
            assert pipe
            pipe.close()

    def _read(self) -> None:
        assert self._child.stdout
        while data := os.read(self._child.stdout.fileno(), 4096):  # it does not end its lines
            self._said += data

    @property
    def text(self) -> str:
        return self._said.decode(errors="replace")

    def write(self, data: bytes) -> None:
        """To the device; with -quiet, s_server sends all as it stands."""
        assert self._child.stdin
        self._child.stdin.write(data)
        self._child.stdin.flush()


def wait_until(true: Callable[[], bool], limit_s: float = LIMIT_S) -> None:
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
