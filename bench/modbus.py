"""A Modbus TCP server that costs next to nothing: every register reads as half a float32 of 230.0.

A process of its own, so that it does not compete with the measuring one for Python's lock. Run by
the bench as `python -m bench.modbus`; prints its port, serves until its input closes.
"""

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

VALUE = struct.pack(">f", 230.0)
HEADER = struct.Struct(">HHHBB")  # transaction, protocol, length, unit, function


def answer(request: bytes) -> bytes:
    """To a read of 16-bit registers, function 3 or 4 (Modbus application protocol 1.1b3, 6.3)."""
    transaction, _, _, unit, function = HEADER.unpack_from(request)
    start, count = struct.unpack_from(">HH", request, HEADER.size)
    registers = (VALUE * (count // 2 + 2))[2 * (start % 2) :][: 2 * count]
    body = bytes((unit, function, len(registers))) + registers
    head = struct.pack(">HHH", transaction, 0, len(body))
    return bytes(head + body)


def _serve(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection, suppress(ConnectionError):  # a machine that is killed resets it
        while len(request := connection.recv(12, socket.MSG_WAITALL)) == 12:
            connection.sendall(answer(request))


def main() -> None:
    """Serve each connection on a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


@contextmanager
def modbus_server() -> Iterator[int]:
    """A running server's port."""
    command = [sys.executable, "-m", "bench.modbus"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:
        assert server.stdin
        assert server.stdout
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(5)


if __name__ == "__main__":
    main()
