"""Keys and certificates in files, PEM or DER, found as OpenSSL finds them: whatever stands between
the blocks (`-text`, "Bag Attributes", another block) is passed over.
"""

import base64
import re

# A block with headers, as of an encrypted key, is none here: it has a colon in it.
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----([\sA-Za-z0-9+/=]+)-----END \1-----")
_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
# What openssl-x509(1) reads and writes; behind a trusted one stands for what it is trusted.
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")
SEQUENCE = b"\x30"  # the first byte of DER, and the figure 0 of a text


def is_der(data: bytes) -> bool:
    """Whether it is DER, as far as its first byte tells."""
    return data[:1] == SEQUENCE and b"-----BEGIN " not in data


def kinds(data: bytes) -> list[str]:
    """What the blocks of a PEM file say that they are, whole or not: "private key"."""
    return [b[1].decode().lower() for b in _BEGIN.finditer(data)]


def certificates(data: bytes) -> list[bytes]:
    """The DER of each certificate in PEM. Raises `ValueError` for base64 that is none."""
    found = [base64.b64decode(b[2]) for b in _BLOCK.finditer(data) if b[1] in _CERTIFICATES]
    return [der[: _size(der)] for der in found]


def private_keys(data: bytes) -> list[bytes]:
    """The blocks of private keys in PEM, as they are."""
    return [b[0] for b in _BLOCK.finditer(data) if b[1].endswith(b"PRIVATE KEY")]


def decode(block: bytes) -> bytes:
    """The DER of a block. Raises `ValueError`."""
    match = _BLOCK.fullmatch(block)
    if match is None:
        raise ValueError("not a block of PEM")
    return base64.b64decode(match[2])


def _size(der: bytes) -> int:
    """Of the first element, of 256 to 65535 bytes, as certificates are."""
    return 4 + int.from_bytes(der[2:4], "big") if der[1:2] == b"\x82" else len(der)
