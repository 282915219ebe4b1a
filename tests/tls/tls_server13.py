"""A TLS 1.3 server (RFC 8446) that breaks the rules when told to, since OpenSSL does not: one
cipher (TLS_AES_128_GCM_SHA256), one group (P-256). Every message and record can be changed."""

import hashlib
import hmac
import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23  # ContentType
SERVER_HELLO, TICKET, END, EXTENSIONS = 2, 4, 5, 8  # HandshakeType
CERTIFICATE, REQUEST, VERIFY, FINISHED, KEY_UPDATE = 11, 13, 15, 20, 24
CIPHER, P256, ECDSA_P256 = 0x1301, 0x0017, 0x0403
RETRY = hashlib.sha256(b"HelloRetryRequest").digest()  # 4.1.3: the random that marks it
ZEROS = bytes(32)


def vector(data: bytes, size: int) -> bytes:
    """With its length, of `size` bytes, before it."""
    return len(data).to_bytes(size, "big") + data


def message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + vector(body, 3)


def extension(kind: int, body: bytes) -> bytes:
    return struct.pack(">H", kind) + vector(body, 2)


def record(kind: int, body: bytes, version: int = 0x0303) -> bytes:
    return struct.pack(">BH", kind, version) + vector(body, 2)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def expand(secret: bytes, label: str, context: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (7.1); all that is needed here fits one block."""
    info = struct.pack(">H", size) + vector(b"tls13 " + label.encode(), 1) + vector(context, 1)
    return _hmac(secret, info + b"\1")[:size]


@dataclass(slots=True)
class Keys:
    """One direction's record protection (5.2, 5.3)."""

    secret: bytes
    sequence: int = 0

    def _nonce(self) -> bytes:
        iv = int.from_bytes(expand(self.secret, "iv", b"", 12), "big")
        return (iv ^ self.sequence).to_bytes(12, "big")

    def seal(self, kind: int, body: bytes, padding: int = 0) -> bytes:
        plain = body + bytes([kind] if kind else []) + bytes(padding)
        head = struct.pack(">BHH", DATA, 0x0303, len(plain) + 16)
        aead = AESGCM(expand(self.secret, "key", b"", 16))
        sealed = head + aead.encrypt(self._nonce(), plain, head)
        self.sequence += 1
        return sealed

    def open(self, head: bytes, body: bytes) -> tuple[int, bytes]:
        aead = AESGCM(expand(self.secret, "key", b"", 16))
        plain = aead.decrypt(self._nonce(), body, head).rstrip(b"\0")
        self.sequence += 1
        return plain[-1], plain[:-1]


@dataclass
class Server13:
    """One connection. `change` maps a step to what it sends in place of the right bytes: for
    messages their whole text, which also goes into the transcript."""

    stream: socket.socket
    chain: Sequence[bytes]  # DER
    key: bytes  # DER, of who signs CertificateVerify
    change: dict[int, Callable[[bytes], bytes]] = field(default_factory=dict)
    order: Sequence[int] = (EXTENSIONS, CERTIFICATE, VERIFY, FINISHED)
    transcript: bytes = b""
    hello: bytes = b""
    session: bytes = b""
    share: bytes = b""
    point: bytes = b""  # ours

    def read_record(self) -> tuple[bytes, bytes]:
        head = self._exact(5)
        return head, self._exact(int.from_bytes(head[3:], "big"))

    def _exact(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.stream.recv(size - len(data))
            if not more:
                raise EOFError("the device ended it")
            data += more
        return data

    def read_hello(self) -> None:
        """ClientHello, with its P-256 share; a CCS before a second one is passed over."""
        head, body = self.read_record()
        while head[0] == CCS:
            head, body = self.read_record()
        if head[0] != HANDSHAKE:
            raise EOFError(f"no ClientHello but {head.hex()} {body.hex()}")
        self.hello = body
        self.transcript += body
        size = body[38]
        self.session = body[39 : 39 + size]
        at = 39 + size
        at += 2 + int.from_bytes(body[at : at + 2], "big")
        at += 1 + body[at]
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        at += 2
        self.share = b""
        while at < end:
            kind, length = struct.unpack_from(">HH", body, at)
            if kind == 51:  # key_share: list length, group, length, point
                self.share = body[at + 10 : at + 4 + length]
            at += 4 + length

    def server_hello(self, **parts: object) -> bytes:
        """A right one, with `parts` put in its place."""
        if not self.point:
            self.private = ec.generate_private_key(ec.SECP256R1())
        self.point = point = self.private.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        right = {
            "version": 0x0303,
            "random": os.urandom(32),
            "session": self.session,
            "cipher": CIPHER,
            "compression": 0,
            "extensions": [
                extension(43, b"\x03\x04"),
                extension(51, struct.pack(">H", P256) + vector(point, 2)),
            ],
        }
        have = right | parts
        return message(
            SERVER_HELLO,
            struct.pack(">H", have["version"])
            + have["random"]  # type: ignore[operator]
            + vector(have["session"], 1)  # type: ignore[arg-type]
            + struct.pack(">HB", have["cipher"], have["compression"])
            + vector(b"".join(have["extensions"]), 2),  # type: ignore[arg-type]
        )

    def derive(self) -> None:
        """Handshake keys, from ClientHello and ServerHello (7.1)."""
        peer = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), self.share)
        shared = self.private.exchange(ec.ECDH(), peer)
        early = _hmac(ZEROS, ZEROS)
        empty = hashlib.sha256(b"").digest()
        self.main = _hmac(expand(early, "derived", empty, 32), shared)
        digest = hashlib.sha256(self.transcript).digest()
        self.server = Keys(expand(self.main, "s hs traffic", digest, 32))
        self.client = Keys(expand(self.main, "c hs traffic", digest, 32))

    def build(self, kind: int) -> bytes:
        """The right message of that kind, changed as told."""
        digest = hashlib.sha256(self.transcript).digest()
        if kind == EXTENSIONS:
            body = vector(b"", 2)
        elif kind == REQUEST:
            body = b"\0" + vector(extension(13, vector(struct.pack(">H", ECDSA_P256), 2)), 2)
        elif kind == CERTIFICATE:
            entries = b"".join(vector(der, 3) + vector(b"", 2) for der in self.chain)
            body = b"\0" + vector(entries, 3)
        elif kind == VERIFY:
            body = self.verify(b"TLS 1.3, server CertificateVerify")
        elif kind == FINISHED:
            body = _hmac(expand(self.server.secret, "finished", b"", 32), digest)
        else:
            body = b""
        whole = message(kind, body)
        return self.change[kind](whole) if kind in self.change else whole

    def verify(self, context: bytes, scheme: int = ECDSA_P256) -> bytes:
        """Body of CertificateVerify (4.4.3)."""
        key = serialization.load_der_private_key(self.key, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        digest = hashlib.sha256(self.transcript).digest()
        signed = key.sign(b" " * 64 + context + b"\0" + digest, ec.ECDSA(hashes.SHA256()))
        return struct.pack(">H", scheme) + vector(signed, 2)

    def send_hello(self, hello: bytes) -> None:
        self.transcript += hello
        self.stream.sendall(record(HANDSHAKE, hello))

    def messages(self) -> list[bytes]:
        """All after ServerHello, in order; the transcript goes on."""
        made = []
        for kind in self.order:
            made.append(self.build(kind))
            self.transcript += made[-1]
        return made

    def flight(self) -> None:
        """ServerHello and the rest, a record each."""
        hello = self.server_hello()
        self.send_hello(self.change[SERVER_HELLO](hello) if SERVER_HELLO in self.change else hello)
        self.derive()
        for one in self.messages():
            self.stream.sendall(self.server.seal(HANDSHAKE, one))

    def application_keys(self) -> Keys:
        """Ours are in use now; the client's, which are from its Finished on."""
        empty = hashlib.sha256(b"").digest()
        digest = hashlib.sha256(self.transcript).digest()
        self.master = _hmac(expand(self.main, "derived", empty, 32), ZEROS)
        self.server = Keys(expand(self.master, "s ap traffic", digest, 32))
        return Keys(expand(self.master, "c ap traffic", digest, 32))

    def resumption_master(self) -> bytes:
        """With the client's messages in the transcript."""
        return expand(self.master, "res master", hashlib.sha256(self.transcript).digest(), 32)

    def finish(self) -> None:
        """Application keys, and the client's Finished read."""
        after = self.application_keys()
        while self.read_client()[0:1] != bytes([FINISHED]):
            pass
        self.client = after

    def read_client(self) -> bytes:
        """What the next record has in it; CCS is passed over. An alert is an EOFError."""
        head, body = self.read_record()
        while head[0] == CCS:
            head, body = self.read_record()
        if head[0] != DATA:
            raise EOFError(f"alert {body.hex()}")
        kind, text = self.client.open(head, body)
        if kind == ALERT:
            raise EOFError(f"alert {text.hex()}")
        return text

    def retry(self, *extensions: bytes) -> None:
        """HelloRetryRequest, and the second ClientHello read (4.1.4, 4.4.1)."""
        first = message(254, hashlib.sha256(self.transcript).digest())
        self.transcript = first
        request = self.server_hello(
            random=RETRY, extensions=[extension(43, b"\x03\x04"), *extensions]
        )
        self.send_hello(request)
        self.read_hello()
