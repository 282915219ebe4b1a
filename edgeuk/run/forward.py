"""Connections that are carried on, from a listening socket to another one."""

import contextlib
import socket
import threading
from collections.abc import Callable

PIECE = 1 << 16
JOIN_S = 5.0


class Forward:
    """Each connection to `listener` goes on to a new one that `connect` gives, until `close`."""

    def __init__(self, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._listener, self._connect = listener, connect
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut all of them off."""
        with self._lock:
            self._closing = True
            for end in self._open:
                _shut(end)
        _shut(self._listener)  # ends accept()
        for thread in self._threads:
            thread.join(JOIN_S)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._carry, args=(near,), daemon=True)
            self._threads = [t for t in self._threads if t.is_alive()] + [thread]
            thread.start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), self._connect() as far:
            with self._lock:
                if self._closing:
                    return
                self._open |= {near, far}
            back = threading.Thread(target=_pump, args=(far, near), daemon=True)
            back.start()
            _pump(near, far)
            back.join()
            with self._lock:
                self._open -= {near, far}


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Until the source ends or either breaks; the other direction goes on."""
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
