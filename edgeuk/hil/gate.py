"""A gate in the cable of a machine in QEMU: frames wait in it, or never come out.

QEMU's filter-redirector hands each frame of one direction to a socket and takes from another what
is to go on (include/qapi/qom.json). While nothing is wrong with the network it is switched off, and
costs nothing.
"""

import heapq
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgeuk.errors import DeviceError

WAYS = ("rx", "tx")  # QEMU's names of the two directions
LENGTH = struct.Struct(">I")  # in front of each frame (net/net.c, net_fill_rstate)
CHUNK = 65_536
LOOK_S = 0.2
JOIN_S = 5.0


def options(folder: Path, netdev: str = "net0") -> list[str]:
    """QEMU's command line; the sockets will be in `folder`."""
    argv = []
    for way in WAYS:
        for end in ("out", "in"):
            path = folder / f"{way}-{end}"
            argv += ["-chardev", f"socket,id={way}-{end},path={path},server=on,wait=off"]
        filter_ = f"filter-redirector,id=gate-{way},netdev={netdev},queue={way},status=off"
        argv += ["-object", f"{filter_},outdev={way}-out,indev={way}-in"]
    return argv


class Gate:
    """Both directions; open at first. `seed` decides which frames are lost."""

    def __init__(self, folder: Path, qmp: Callable[..., object], seed: int) -> None:
        self._qmp, self._random = qmp, random.Random(seed)
        self._delay_s = self._loss = 0.0
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []  # due, number, to, frame
        self._count = 0
        self.lost = self.passed = 0
        self._routes: dict[socket.socket, socket.socket] = {}
        self._buffers: dict[socket.socket, bytes] = {}
        self._stop = threading.Event()
        try:
            for way in WAYS:
                out, into = (_connect(folder / f"{way}-{end}") for end in ("out", "in"))
                self._routes[out], self._buffers[out] = into, b""
        except OSError as e:
            raise DeviceError(f"QEMU lends no frames: {e.strerror}") from None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def set(self, delay_s: float, loss: float) -> None:
        """From now on each frame comes so much later, and this part of them never does."""
        self._delay_s, self._loss = delay_s, loss
        for way in WAYS:
            status = "on" if delay_s or loss else "off"
            self._qmp("qom-set", path=f"/objects/gate-{way}", property="status", value=status)

    def close(self) -> None:
        """QEMU may have ended."""
        self._stop.set()
        self._thread.join(JOIN_S)
        for out, into in self._routes.items():
            out.close()
            into.close()

    def _run(self) -> None:
        with suppress(OSError, ValueError):  # QEMU has ended, or the test has
            while not self._stop.is_set():
                now = time.monotonic()
                due = max(0.0, self._waiting[0][0] - now) if self._waiting else LOOK_S
                ready = select.select(list(self._routes), [], [], min(due, LOOK_S))[0]
                for source in ready:
                    if not self._take(source):
                        return
                while self._waiting and self._waiting[0][0] <= time.monotonic():
                    _, _, into, frame = heapq.heappop(self._waiting)
                    into.sendall(LENGTH.pack(len(frame)) + frame)
                    self.passed += 1

    def _take(self, source: socket.socket) -> bool:
        """What has come; False at its end."""
        data = source.recv(CHUNK)
        buffer = self._buffers[source] + data
        while len(buffer) >= LENGTH.size:
            size = LENGTH.size + LENGTH.unpack_from(buffer)[0]
            if len(buffer) < size:
                break
            self._put(self._routes[source], buffer[LENGTH.size : size])
            buffer = buffer[size:]
        self._buffers[source] = buffer
        return bool(data)

    def _put(self, into: socket.socket, frame: bytes) -> None:
        if self._random.random() < self._loss:
            self.lost += 1
            return
        self._count += 1  # frames of one moment keep their order
        due = time.monotonic() + self._delay_s
        heapq.heappush(self._waiting, (due, self._count, into, frame))


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
