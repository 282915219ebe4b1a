"""An MQTT broker for a run on this machine: mosquitto where it is installed, else amqtt.

amqtt 0.12 speaks MQTT 3.1.1 only; the image falls back to it. Listens on loopback, keeps nothing.
"""

import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeuk.errors import DeviceError
from edgeuk.run.process import Process

START_S = 15.0  # amqtt imports for a second or two; a loaded machine takes longer
AMQTT = """\
listeners:
  default: {{type: tcp, bind: "127.0.0.1:{port}"}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Broker:
    """A running broker at 127.0.0.1:`port`; a context manager."""

    def __init__(self, port: int = 0, *, kind: str = "", log: Path | None = None) -> None:
        """`kind`: "mosquitto", "amqtt", or "" for the best there is."""
        self.kind = kind or ("mosquitto" if _mosquitto() else "amqtt")
        self.port = port or free_port()
        self._log = log

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-")
        folder = Path(self._folder.name)
        if self.kind == "mosquitto":
            config = folder / "mosquitto.conf"
            config.write_text(
                f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            )
            argv = [_mosquitto() or "mosquitto", "-c", str(config)]
        else:
            config = folder / "amqtt.yaml"
            config.write_text(AMQTT.format(port=self.port))
            code = "from amqtt.scripts.broker_script import main; main()"
            argv = [sys.executable, "-c", code, "-c", str(config)]
        self.process = Process(argv, log=self._log)
        self.process.__enter__()
        self._wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.stop()
        self._folder.cleanup()

    def _wait(self) -> None:
        """Until it accepts connections."""
        wait_port(self.port, START_S, lambda: self.process.poll() is None, self.process.tail)


def wait_port(
    port: int, limit_s: float, alive: Callable[[], bool], tail: Callable[[], str]
) -> None:
    """Return once 127.0.0.1:`port` accepts. Raises `DeviceError` at the limit or unless `alive`."""
    end = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as e:
            if not alive() or time.monotonic() > end:
                raise DeviceError(f"nothing listens on port {port}: {e}\n{tail()}") from None
        time.sleep(0.02)  # the step of this poll; there is no event to wait for


def _mosquitto() -> str | None:
    """Debian puts it into /usr/sbin, which an ordinary user's PATH lacks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
