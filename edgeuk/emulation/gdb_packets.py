"""Packets of gdb's remote protocol (GDB manual, appendix "gdb Remote Serial Protocol", Overview):
bytes in, packets out, whatever the bytes are."""

from collections.abc import Iterator
from enum import Enum

PACKET_MAX = 4096  # bytes of a body that is taken
TAIL = 3  # # and two digits


class Event(Enum):
    """What else can come."""

    BROKEN = "a packet whose checksum is wrong, or that has no end"
    AGAIN = "the last answer did not arrive"
    INTERRUPT = "Ctrl-C"


def framed(body: bytes) -> bytes:
    return b"$%s#%02x" % (body, sum(body) & 255)


class Packets:
    """What has been heard of a stream. Bytes between packets mean nothing."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> Iterator[bytes | Event]:
        """Bodies of packets and what else there was, in order."""
        self._data += data
        while self._data:
            if self._data[0] == ord("$"):
                end = self._data.find(b"#")
                size = len(self._data)
                if size < end + TAIL or (end < 0 and size <= 1 + PACKET_MAX):
                    return  # the rest may come
                yield self._packet(end)
                continue
            first, self._data = self._data[0], self._data[1:]
            if first == 3:
                yield Event.INTERRUPT
            elif first == ord("-"):
                yield Event.AGAIN

    def _packet(self, end: int) -> bytes | Event:
        if end < 0:
            self._data = b""
            return Event.BROKEN
        body, digits = self._data[1:end], self._data[end + 1 : end + TAIL]
        self._data = self._data[end + TAIL :]
        body = body.rpartition(b"$")[2]  # one that was cut short and sent again
        try:
            right = int(digits, 16) == sum(body) & 255
        except ValueError:
            right = False
        return body if right and len(body) <= PACKET_MAX else Event.BROKEN
