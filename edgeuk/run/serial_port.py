"""A serial port of this machine, raw, 8N1: the board's console on USB."""

import os
import select
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

from edgeuk.errors import DeviceError

CHUNK = 4096


class SerialPort:
    """An open port; a context manager."""

    def __init__(self, path: Path, baud: int) -> None:
        self.path, self._baud = path, baud

    def __enter__(self) -> Self:
        """Raises `DeviceError`."""
        speed = getattr(termios, f"B{self._baud}", None)
        if speed is None:
            raise DeviceError(f"{self.path}: this system has no {self._baud} baud")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError as e:
            hint = "`ls /dev/ttyACM* /dev/ttyUSB*` shows what is there"
            if isinstance(e, PermissionError):
                hint = "add yourself to the group `dialout`, and log in again"
            what = f"cannot open {self.path}: {(e.strerror or str(e)).lower()}"
            raise DeviceError(what, hint=hint) from None
        try:
            self._make_raw(speed)
        except termios.error:
            os.close(self._fd)
            raise DeviceError(f"{self.path} is no serial port") from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def read(self, limit_s: float) -> bytes:
        """What has arrived, b"" when `limit_s` passes first. Raises `DeviceError` when the port is
        gone."""
        ready, _, _ = select.select([self._fd], [], [], limit_s)
        if not ready:
            return b""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            raise DeviceError(f"{self.path} is gone", hint="was the board unplugged?")
        return data

    def _make_raw(self, speed: int) -> None:
        """No echo, no translation, no flow control, no modem lines (termios(3), cfmakeraw)."""
        settings = termios.tcgetattr(self._fd)
        cflag = settings[2] & ~(termios.CSIZE | termios.PARENB | termios.CSTOPB | termios.CRTSCTS)
        settings[0] = settings[1] = settings[3] = 0
        settings[2] = cflag | termios.CS8 | termios.CREAD | termios.CLOCAL
        settings[4] = settings[5] = speed
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._fd, termios.TCSANOW, settings)
