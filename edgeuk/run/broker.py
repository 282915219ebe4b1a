"""An MQTT broker for a run on this machine: mosquitto where it is installed, else amqtt.

amqtt 0.12 speaks MQTT 3.1.1 only; the image falls back to it. Listens on loopback, keeps nothing.
"""

import errno
import os
import shutil
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeuk.errors import DeviceError
from edgeuk.run.process import Process

START_S = 30.0  # amqtt imports for a second or two; a loaded machine takes longer
PORT_TRIES = 5
AMQTT = """\
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{port}"{tls}}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""
MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
log_dest stderr
{user}{tls}"""
# Both are told to look at clients' certificates; amqtt lets those without one in as well.
MOSQUITTO_TLS = """\
cafile {ca}
certfile {server}
keyfile {server}
require_certificate true
"""
AMQTT_TLS = ', ssl: true, cafile: "{ca}", certfile: "{server}", keyfile: "{server}"'
# As root, mosquitto would become `mosquitto`, and lose what ends it with its parent (prctl(2),
# PR_SET_PDEATHSIG); any other user stays who it is.
STAY_ROOT = "user root\n"
LISTENING = {"mosquitto": "running", "amqtt": "Listener 'default' bind"}  # what they say then


class PortTakenError(DeviceError):
    """Another program listens there."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def check_port(port: int) -> None:
    """Raises `PortTakenError` when a program listens on 127.0.0.1:`port`, and `DeviceError` when
    this user may not."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed one's last minute
        try:
            s.bind(("127.0.0.1", port))
        except OSError as e:
            what = f"no broker can listen on port {port}: {(e.strerror or str(e)).lower()}"
            if e.errno == errno.EADDRINUSE:
                raise PortTakenError(what) from None
            raise DeviceError(what) from None


class Broker:
    """A running broker at 127.0.0.1:`port`; a context manager."""

    def __init__(
        self,
        port: int = 0,
        *,
        kind: str = "",
        log: Path | None = None,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        """`kind`: "mosquitto", "amqtt", or "" for the best there is. `port` 0: a free one. `tls`:
        the CA of clients, and the broker's own certificate and key, both in one file."""
        self.kind = kind or ("mosquitto" if _mosquitto() else "amqtt")
        self.port = port
        self._log = log
        self._tls = tls

    def __enter__(self) -> Self:
        """Raises `DeviceError` with the broker's own words when it does not start."""
        if self.port:
            self._start()
            return self
        for _ in range(PORT_TRIES):
            self.port = free_port()
            try:
                self._start()
                return self
            except PortTakenError:  # by another program, since the look
                continue
        raise PortTakenError("no free port for a broker was found")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.close()

    def _start(self) -> None:
        """Start it and wait until it says that it listens: that anyone accepts connections on the
        port would prove nothing."""
        check_port(self.port)
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeuk-"))
            self.process = Process(self._argv(Path(folder)), log=self._log)
            stack.enter_context(self.process)
            try:
                self.process.wait_line(LISTENING[self.kind], START_S)
            except DeviceError as e:
                if "in use" in self.process.tail():
                    raise PortTakenError(f"port {self.port} was taken meanwhile") from None
                raise DeviceError(f"{self.kind} does not start: {e}") from None
            self._running = stack.pop_all()

    def _argv(self, folder: Path) -> list[str]:
        """The command; writes the broker's configuration."""
        if self.kind == "mosquitto":
            config = folder / "mosquitto.conf"
            user = STAY_ROOT if os.getuid() == 0 else ""
            tls = self._tls_text(MOSQUITTO_TLS)
            config.write_text(MOSQUITTO.format(port=self.port, user=user, tls=tls))
            return [_mosquitto() or "mosquitto", "-c", str(config)]
        config = folder / "amqtt.yaml"
        config.write_text(AMQTT.format(port=self.port, tls=self._tls_text(AMQTT_TLS)))
        code = "from amqtt.scripts.broker_script import main; main()"
        return [sys.executable, "-c", code, "-c", str(config)]

    def _tls_text(self, text: str) -> str:
        return text.format(ca=self._tls[0], server=self._tls[1]) if self._tls else ""


def _mosquitto() -> str | None:
    """Debian puts it into /usr/sbin, which an ordinary user's PATH lacks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
