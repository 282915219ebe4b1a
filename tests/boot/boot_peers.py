"""What a booted gateway talks to besides brokers and Modbus servers: those that misbehave.

All listen on 127.0.0.1 and a free port, run on a thread, and end with their `with` block.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

START_S = 10.0


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections and that nobody else is given; free after."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


class TcpScript:
    """A TCP server that does what a function says with each connection, then closes it."""

    def __init__(self, handle: Callable[[socket.socket], None], port: int = 0) -> None:
        self._connection = socket.socket()  # the present one, or the last
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with suppress(OSError):  # it may be over already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(START_S)
        self._connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection.close()
            self._connection = connection
            connection.settimeout(START_S)
            with connection, suppress(OSError):  # the gateway left first
                self._handle(connection)
