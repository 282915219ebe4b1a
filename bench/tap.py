"""An MQTT 3.1.1 subscriber on a bare socket: nothing between a message's arrival and its time."""

import os
import socket
import struct

LIMIT_S = 5.0  # for the broker on this machine to answer


class Tap:
    """Subscribed to one topic at QoS 0; select() on it for the next message."""

    def __init__(self, port: int, topic: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        name = f"tap{os.urandom(6).hex()}"
        # CONNECT (3.1): protocol level 4, clean session, no keep-alive; then SUBSCRIBE (3.8).
        self._send(0x10, b"\x00\x04MQTT\x04\x02\x00\x00" + _text(name))
        self._expect(b"\x20\x02\x00\x00")
        self._send(0x82, b"\x00\x01" + _text(topic) + b"\x00")
        self._expect(b"\x90\x03\x00\x01\x00")

    def fileno(self) -> int:
        """For select()."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """What has come, at least one byte."""
        return self._socket.recv(65536)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _send(self, kind: int, body: bytes) -> None:
        assert len(body) < 128, "one length byte (2.2.3)"
        self._socket.sendall(bytes((kind, len(body))) + body)

    def _expect(self, wanted: bytes) -> None:
        got = self._socket.recv(len(wanted), socket.MSG_WAITALL)
        if got != wanted:
            raise OSError(f"the broker answered {got.hex()}, not {wanted.hex()}")


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()
