"""Seeds for tests/fuzz/tls_fuzz.c: whole flights of a server, as they are before encryption, made
by the scripted server (tls_server13.py); none is stored, as certificates expire."""

from collections.abc import Iterator

from tls_server13 import (
    ALERT,
    CERTIFICATE,
    DATA,
    EXTENSIONS,
    FINISHED,
    HANDSHAKE,
    P256,
    REQUEST,
    RETRY,
    TICKET,
    VERIFY,
    Keys,
    Server13,
    extension,
    message,
    record,
    vector,
)

LIES, ROOM, NO_TIME, RESET = 1, 8, 16, 32
POINT = b"\4" + bytes(range(64))
VERSION = extension(43, b"\3\4")
SHARE = extension(51, P256.to_bytes(2, "big") + vector(POINT, 2))
CHOSEN = extension(41, b"\0\0")  # pre_shared_key: the first
HOUR = (3600).to_bytes(4, "big")  # a ticket's lifetime
TICKETS = message(TICKET, HOUR + bytes(4) + vector(b"n", 1) + vector(b"t" * 64, 2) + vector(b"", 2))
CONNACK = bytes([0x20, 3, 0, 0, 0])


def sealed(kind: int, body: bytes) -> bytes:
    """A record as the target takes it: type and tag are there, nothing is encrypted."""
    return record(DATA, body + bytes([kind]) + bytes(16))


def hello(*extensions: bytes, random: bytes = bytes(32)) -> bytes:
    body = b"\3\3" + random + b"\0" + b"\x13\x01\0" + vector(b"".join(extensions), 2)
    return record(HANDSHAKE, message(2, body))


def flight(chain: list[bytes], key: bytes, *order: int) -> bytes:
    server = Server13(None, chain, key)  # type: ignore[arg-type]
    server.server = Keys(bytes(32))
    return b"".join(sealed(HANDSHAKE, server.build(kind)) for kind in order)


def seeds(chain: list[bytes], key: bytes) -> Iterator[tuple[str, bytes]]:
    """Named inputs."""
    begin = hello(VERSION, SHARE)
    usual = begin + flight(chain, key, EXTENSIONS, CERTIFICATE, VERIFY, FINISHED)
    asked = begin + flight(chain, key, EXTENSIONS, REQUEST, CERTIFICATE, VERIFY, FINISHED)
    later = sealed(HANDSHAKE, TICKETS) + sealed(DATA, CONNACK) + sealed(ALERT, b"\1\0")
    resumed = hello(VERSION, SHARE, CHOSEN) + flight([], key, EXTENSIONS, FINISHED)
    cookie = hello(VERSION, extension(44, vector(b"c", 2)), random=RETRY)
    flights = {
        "usual": (usual, b""),
        "asked": (asked + later, b""),
        "two": (begin + flight(chain * 2, key, EXTENSIONS, CERTIFICATE, VERIFY, FINISHED), b""),
        "resumed": (asked + later, resumed + later),
        "retry": (hello(VERSION, random=RETRY) + asked + later, b""),
        "cookie": (cookie + usual, b""),
        "alert": (record(ALERT, b"\2\x28"), record(ALERT, b"\1\0")),
        "1.2": (hello(), hello(extension(43, b"\3\3"))),
    }
    for name, (first, second) in flights.items():
        for mode in (LIES, LIES | 2 | RESET, LIES | ROOM | 4, LIES | NO_TIME | 6):
            yield (
                f"{name}.{mode}",
                bytes([mode]) + len(first).to_bytes(2, "little") + first + second,
            )
    yield "plain", bytes([0]) + len(usual).to_bytes(2, "little") + usual + usual
