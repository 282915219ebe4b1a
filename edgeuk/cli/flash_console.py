"""What a board says first, after `edgeuk flash` has reset it."""

import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeuk import serial_frames
from edgeuk.cli.common import waiting
from edgeuk.cli.say import say
from edgeuk.errors import DeviceError
from edgeuk.run.serial_port import SerialPort

LINES = 4
FIRST_S = 2.0  # for the first line; a board that says nothing is no fault
QUIET_S = 0.4  # after the first one, for the others
POLL_S = 0.02  # a virtual board has no events to wait for
BAUD = 115_200  # of all boards' consoles
BY_ID = Path("/dev/serial/by-id")  # udev: usb-VENDOR_MODEL_SERIAL-ifNN


def first_lines(read: Callable[[], bytes]) -> list[str]:
    """The first lines of text; `read` gives all that has come so far."""
    end, text = time.monotonic() + FIRST_S, b""
    with suppress(DeviceError), waiting("its first words"):
        while time.monotonic() < end and text.count(b"\n") < LINES:
            first = not text
            text = _text(read())
            if text and first:
                end = min(end, time.monotonic() + QUIET_S)
            time.sleep(POLL_S)
    return text.decode(errors="replace").splitlines()[:LINES]


def _text(data: bytes) -> bytes:
    """Without the frames of a board whose readings leave over the console."""
    return b"".join(p for p in serial_frames.Decoder().feed(data) if isinstance(p, bytes))


class ProbePort:
    """The serial port that many probes have beside the debug port, open from before the reset on; a
    context manager. A probe without one, or one that others use, is no fault."""

    def __init__(self, probe: str) -> None:
        """`probe`: its identity, which is the USB device's serial number; "": there is none."""
        self.path = _port(probe) if probe else None
        self._stack = ExitStack()
        self._port: SerialPort | None = None
        self._data = b""

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._port = self._stack.enter_context(SerialPort(self.path, BAUD))
            except DeviceError as e:
                say(f"its console is not shown: {e.what}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def forget(self) -> None:
        """What has come by now is of the image that was there before."""
        with suppress(DeviceError):
            self.read()
        self._data = b""

    def read(self) -> bytes:
        """All since then. Raises `DeviceError` when the port is gone."""
        while self._port and (more := self._port.read(0.0)):
            self._data += more
        return self._data

    def lines(self) -> list[str]:
        """What the board says first; none without a port."""
        return first_lines(self.read) if self._port else []


def _port(probe: str) -> Path | None:
    """J-Link's serial numbers are filled up with zeros on USB."""
    name = re.compile(rf".*_0*{re.escape(probe)}-if\d+.*")
    return next((p for p in sorted(BY_ID.glob("*")) if name.fullmatch(p.name)), None)
