"""Keys and certificates in files, PEM or DER, found as OpenSSL finds them: whatever stands between
the blocks (`-text`, "Bag Attributes", another block) is passed over.
"""

import base64
import re

# A block with headers, as of an encrypted key, is none here: it has a colon in it.
# A line with more before or behind it is text: so is a block that somebody has commented out.
_START = rb"^(?:\xef\xbb\xbf)?(-----BEGIN ([A-Z0-9 ]+)-----)[ \t\r]*$"
_BLOCK = re.compile(_START + rb"([\sA-Za-z0-9+/=]+)^-----END \2-----[ \t\r]*$", re.MULTILINE)
_BEGIN = re.compile(_START, re.MULTILINE)
# Not a TRUSTED CERTIFICATE: it says for what it is trusted, or that it is not, which we would lose.
_CERTIFICATES = (b"CERTIFICATE", b"X509 CERTIFICATE")
SEQUENCE = b"\x30"  # the first byte of DER, and the figure 0 of a text


def is_der(data: bytes) -> bool:
    """Whether it is DER, as far as its first byte tells."""
    return data[:1] == SEQUENCE and b"-----BEGIN " not in data


def kinds(data: bytes) -> list[str]:
    """What the blocks of a PEM file say that they are, whole or not: "private key"."""
    return [b[2].decode().lower() for b in _BEGIN.finditer(data)]


def certificates(data: bytes) -> list[bytes]:
    """The DER of each certificate in PEM. Raises `ValueError` for base64 that is none."""
    return [_der(b) for b in _BLOCK.finditer(data) if b[2] in _CERTIFICATES]


def private_keys(data: bytes) -> list[bytes]:
    """The blocks of private keys in PEM, as they are."""
    found = (b for b in _BLOCK.finditer(data) if b[2].endswith(b"PRIVATE KEY"))
    return [data[b.start(1) : b.end()] for b in found]


def decode(block: bytes) -> bytes:
    """The DER of a block. Raises `ValueError`."""
    match = _BLOCK.fullmatch(block)
    if match is None:
        raise ValueError("not a block of PEM")
    return _der(match)


def _der(block: re.Match[bytes]) -> bytes:
    return base64.b64decode(b"".join(block[3].split()), validate=True)
