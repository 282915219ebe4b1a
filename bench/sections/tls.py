"""What TLS costs: flash, RAM and stack that each profile adds on each board; time of a handshake,
and of one with a ticket, beside a Linux process that shows the same certificate to the same broker.

Client and broker talk through a relay that looks at the clock: a handshake lasts from the client's
first bytes to those with which it answers the broker's, the last of the handshake.
"""

import base64
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from bench.images import (
    GATEWAYS,
    MICROVM,
    STELLARIS,
    Bench,
    command,
    gateway,
    make,
    settings,
    uplinked,
    with_memory,
)
from bench.report import Row, beside, failed, row
from bench.vm import EXIT, Vm
from edgeuk.build import BuildResult
from edgeuk.errors import EdgeukError
from edgeuk.resolve import Image
from edgeuk.run.broker import free_port
from edgeuk.run.process import Process
from edgeuk.run.session import alone

KIB = 1024
ROOM = {STELLARIS}  # 64 KB of RAM: the smaller gateway
SMALL = {STELLARIS, "mps2-an385"}  # whose goals are those of a Cortex-M3
GOALS = {"default": (56 * KIB, 12 * KIB), "compatible": (92 * KIB, 20 * KIB)}  # flash, RAM
ELF, MEMORY_KIB = 136 * KIB, 2048  # goals of the microvm with the default profile
ROUNDS_MAX = 5
BOOT_S, START_S = 25.0, 10.0
RESUMED_BYTES = 600  # of the broker's flight; one with certificates is longer
PROCESS = "Linux process"
CONNECT = bytes([0x10, 15, 0, 4, *b"MQTT", 4, 2, 0, 60, 0, 3, *b"tap"])
CONF = """\
user root
listener {port} 127.0.0.1
cafile ca.crt
certfile server.crt
keyfile server.key
require_certificate true
allow_anonymous true
"""
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.2.2"
NO_TICKETS = "its board file has tls_ticket_bytes = 0, for the size"
NOTE = (
    "by a relay's clock, from ClientHello to the client's last bytes; with the broker's part of it"
)

MODEL = "; in edgeuk's own model of the board: the model's time, not the chip's"


def measure(bench: Bench) -> Iterator[Row]:
    """Sizes of every board, then times."""
    images: dict[str, tuple[Image, BuildResult]] = {}
    for board in uplinked():
        yield from _sizes(bench, board, images)
    folder = bench.fresh("tls")
    folder.mkdir()
    try:
        values = certificates(folder)
        with Mosquitto(folder) as port, Relay(port) as relay:
            yield from _times(bench, images, values, folder, relay)
    except (EdgeukError, OSError, subprocess.SubprocessError) as e:
        yield Row("tls", "handshakes", "ms", None, note=failed("not measured", e))


def _sizes(bench: Bench, board: str, images: dict[str, tuple[Image, BuildResult]]) -> Iterator[Row]:
    made: dict[str, BuildResult] = {}
    for profile in ("", *GOALS):
        try:
            image = variant(bench, board, profile)
            made[profile] = make(bench, image)
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("tls", f"{board} {profile or 'plain'} flash", "B", None, note=note)
            continue
        if profile == "default":
            images[board] = image, made[profile]
    for profile, (flash, ram) in GOALS.items():
        if "" not in made or profile not in made:
            continue
        plain, result, goals = made[""], made[profile], board in SMALL
        what, peer = f"{board} {profile} profile adds", "plain"
        for name, goal in (("flash_bytes", flash), ("ram_bytes", ram), ("stack_bytes", None)):
            base, value = getattr(plain, name), getattr(result, name)
            kind = {"flash_bytes": "flash", "ram_bytes": "static RAM"}.get(name, "stack")
            yield Row("tls", f"{what} {kind}", "B", value - base, peer=peer, peer_value=base,
                      goal=goal if goals else None)  # fmt: skip
    if board == MICROVM and "default" in made:
        elf = made["default"].image.stat().st_size
        yield Row("tls", f"{board} ELF file with the default profile", "B", elf, goal=ELF)


def variant(bench: Bench, board: str, profile: str) -> Image:
    """The gateway of the bench, plain ("") or over TLS."""
    text = (GATEWAYS / ("room.toml" if board in ROOM else "second.toml")).read_text()
    if profile:
        # Some boards have no entropy source; what differs is one comparison.
        text = text.replace("schema = 1", 'schema = 1\nprofile = "development"')
        text = text.replace("mqtt://", "mqtts://") + f'\n[tls]\nprofile = "{profile}"\n'
    path = bench.fresh(f"{board}-{profile or 'plain'}").with_suffix(".toml")
    path.write_text(text)
    return gateway(path, board)


def certificates(folder: Path) -> dict[str, str]:
    """A CA, a certificate for the broker and one for the device, whose settings are returned."""

    def run(*argv: str) -> bytes:
        done = subprocess.run(["openssl", *argv], cwd=folder, check=True, capture_output=True)
        return done.stdout

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"]
    root = ["req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=bench"]
    run(*root, "-days", "9", *ca)
    for name, use in (("server", "serverAuth"), ("device", "clientAuth")):
        text = f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage={use}\n"
        (folder / "ext").write_text(text + NAMES * (name == "server"))
        request = ["-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"]
        run("req", *curve, *request)
        by = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9"]
        run("x509", "-req", "-in", f"{name}.csr", *by, "-extfile", "ext", "-out", f"{name}.crt")
    der = {
        "tls.ca": run("x509", "-in", "ca.crt", "-outform", "DER"),
        "tls.cert": run("x509", "-in", "device.crt", "-outform", "DER"),
        "tls.key": run("ec", "-in", "device.key", "-outform", "DER"),
    }
    return {key: base64.b64encode(data).decode() for key, data in der.items()}


class Mosquitto:
    """Mosquitto that demands a certificate; a context manager that gives its port."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        (folder / "mosquitto.conf").write_text(CONF.format(port=self._port))
        self._process = Process(["mosquitto", "-c", "mosquitto.conf"], cwd=folder)

    def __enter__(self) -> int:
        self._process.__enter__().wait_line("running", START_S)
        return self._port

    def __exit__(self, *_: object) -> None:
        self._process.stop()


@dataclass(slots=True)
class Handshakes:
    """Milliseconds."""

    full: list[float] = field(default_factory=list)
    resumed: list[float] = field(default_factory=list)


class Relay:
    """Passes bytes on and times them; ends a connection as soon as the broker has said something
    to the client's last bytes and `stay_s` have passed. A context manager."""

    stay_s = 0.15  # for the tickets and CONNACK to come

    def __init__(self, to: int) -> None:
        self.to = to
        self.seen = Handshakes()
        self.done = threading.Condition()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(START_S)

    def wait(self, full: int, resumed: int, limit_s: float) -> bool:
        """Until so many have been seen."""
        with self.done:
            return self.done.wait_for(
                lambda: len(self.seen.full) >= full and len(self.seen.resumed) >= resumed, limit_s
            )

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.to)) as server, suppress(OSError):
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(START_S)
            hello = client.recv(65536)
            began = time.perf_counter()
            server.sendall(hello)
            said = self._pass_flight(server, client)
            last = client.recv(65536)
            took = 1000 * (time.perf_counter() - began)
            server.sendall(last)
            self._count(said, took)
            until = time.perf_counter() + self.stay_s
            self._both(client, server, until)

    def _pass_flight(self, server: socket.socket, client: socket.socket) -> int:
        """The broker's whole answer, which OpenSSL writes at once; its bytes."""
        data = server.recv(65536)
        client.sendall(data)
        return len(data)

    def _both(self, client: socket.socket, server: socket.socket, until: float) -> None:
        while (left := until - time.perf_counter()) > 0:
            for source, target in ((client, server), (server, client)):
                source.settimeout(min(left, 0.01))
                with suppress(TimeoutError):
                    data = source.recv(65536)
                    if not data:
                        return
                    target.sendall(data)

    def _count(self, said: int, took: float) -> None:
        with self.done:
            (self.seen.resumed if said < RESUMED_BYTES else self.seen.full).append(took)
            self.done.notify_all()


def _times(
    bench: Bench,
    images: dict[str, tuple[Image, BuildResult]],
    values: dict[str, str],
    folder: Path,
    relay: Relay,
) -> Iterator[Row]:
    """All in turns: the process, then each board."""
    seen: dict[str, Handshakes] = {name: Handshakes() for name in (PROCESS, *images)}
    for _ in range(min(bench.rounds, ROUNDS_MAX)):
        relay.seen = seen[PROCESS]
        _linux(folder, relay)
        for board, (image, result) in images.items():
            relay.seen = seen[board]
            full = len(relay.seen.full) + 1
            resumed = len(relay.seen.resumed) + keeps_tickets(image)
            own = settings(bench, image, values | {"mqtt.port": str(relay.port)})
            with alone(image.board, result.image, own):
                relay.wait(full, resumed, BOOT_S)
    process = _rows(PROCESS, seen.pop(PROCESS))
    yield from process
    for name, found in seen.items():
        image = images[name][0]
        note = "" if keeps_tickets(image) else NO_TICKETS
        for one, peer in zip(
            _rows(name, found, note, NOTE + MODEL * bool(image.board.unicorn)), process, strict=True
        ):
            yield beside(one, peer, PROCESS)
    if MICROVM in images:
        yield _in_little_memory(bench, images[MICROVM][0], values, relay)


def _rows(name: str, found: Handshakes, no_tickets: str = "", how: str = NOTE) -> tuple[Row, Row]:
    what = f"{name} handshake with a ticket"
    if no_tickets:
        resumed = Row("tls", what, "ms", None, note=no_tickets)
    else:
        resumed = row("tls", what, "ms", found.resumed, note=how if how != NOTE else "")
    return row("tls", f"{name} handshake", "ms", found.full, note=how), resumed


def keeps_tickets(image: Image) -> bool:
    """Whether a session is resumed at all."""
    return image.board.sizes["tls_ticket_bytes"] > 0


def _linux(folder: Path, relay: Relay) -> None:
    """Python's ssl, that is OpenSSL: a whole handshake, then one with its ticket."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "ca.crt")
    context.load_cert_chain(folder / "device.crt", folder / "device.key")
    session = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", relay.port), START_S) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as stream,
        ):
            stream.sendall(CONNECT)
            stream.recv(4)
            session = stream.session


def _in_little_memory(bench: Bench, image: Image, values: dict[str, str], relay: Relay) -> Row:
    """Whether the microvm shakes hands in 2 MB."""
    what = f"{MICROVM} memory in which it connects with the default profile"
    smaller = with_memory(image, MEMORY_KIB)
    relay.seen = Handshakes()
    try:
        elf = make(bench, smaller).image
    except EdgeukError as e:
        return Row("tls", what, "KiB", None, goal=MEMORY_KIB, note=failed("not linked", e))
    own = values | {"mqtt.port": str(relay.port)}
    with Vm(command(bench, smaller, elf, own)) as vm:
        end = time.monotonic() + BOOT_S
        while time.monotonic() < end and b"mqtt: connected" not in vm.console:
            vm.wait(EXIT, 0.1)
        connected = b"mqtt: connected" in vm.console
    return Row("tls", what, "KiB", MEMORY_KIB if connected else None, goal=MEMORY_KIB)
