"""Who signs for the project's CA: a key in a file, one in a PKCS#11 token, or another program.

Token and program are given a SHA-256 digest and never give the key away. Whatever they answer is
verified before it is used.
"""

import base64
import binascii
import shlex
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from edgeuk.errors import ToolError, UsageError

Secret = Callable[[str], str]  # asks for what it is given the name of: "passphrase", "PIN"
COMMAND_S = 120.0  # a person may have to touch a token
HALF = 32  # bytes of r, and of s
PREHASHED = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class Signer(Protocol):
    """Makes signatures with the CA's key, which it may not know."""

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey: ...

    def sign_digest(self, digest: bytes) -> bytes:
        """ECDSA over a SHA-256 digest: r and s, 32 bytes each. Raises `ToolError`."""
        ...


class FileSigner:
    """A key that is at hand."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign_digest(self, digest: bytes) -> bytes:
        return _raw(self._key.sign(digest, PREHASHED))


class CommandSigner:
    """A program: the digest's 32 bytes are its standard input; it prints the signature, DER or r
    and s, as bytes or in base64. No shell is between."""

    def __init__(self, command: str, public_key: ec.EllipticCurvePublicKey) -> None:
        try:
            self._argv = shlex.split(command)
        except ValueError as e:
            what = f"the command that signs cannot be read: {str(e).lower()} [E0429]"
            raise UsageError(what) from None
        if not self._argv:
            raise UsageError("the command that signs is empty [E0429]")
        self.public_key = public_key

    def sign_digest(self, digest: bytes) -> bytes:
        program = self._argv[0]
        try:
            done = subprocess.run(
                self._argv, input=digest, capture_output=True, timeout=COMMAND_S, check=False
            )
        except OSError as e:
            reason = (e.strerror or str(e)).lower()
            raise ToolError(f"cannot start `{program}`: {reason} [E0429]") from None
        except subprocess.TimeoutExpired:
            what = f"`{program}` has not signed within {COMMAND_S:g} s [E0429]"
            raise ToolError(what) from None
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = f": {lines[-1]}" if lines else ""
            what = f"`{program}` ended with status {done.returncode}{reason} [E0429]"
            raise ToolError(what, hint="it is given 32 bytes, a SHA-256 digest, to sign")
        for signature in _readings(done.stdout):
            if verifies(self.public_key, digest, signature):
                return signature
        what = f"what `{program}` printed is no signature with the CA's key [E0429]"
        hint = "ECDSA over the digest as it is, DER or r and s, as bytes or in base64"
        raise ToolError(what, hint=hint)


def public_key_of(point: bytes) -> ec.EllipticCurvePublicKey:
    """Of an uncompressed point."""
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)


def verifies(key: ec.EllipticCurvePublicKey, digest: bytes, signature: bytes) -> bool:
    """Whether r and s are a signature of the digest."""
    if len(signature) != 2 * HALF:
        return False
    try:
        key.verify(_der(signature), digest, PREHASHED)
    except InvalidSignature:
        return False
    return True


def _der(signature: bytes) -> bytes:
    r, s = (int.from_bytes(signature[i : i + HALF], "big") for i in (0, HALF))
    return utils.encode_dss_signature(r, s)


def _raw(der: bytes) -> bytes:
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(HALF, "big") + s.to_bytes(HALF, "big")


def _readings(output: bytes) -> Iterator[bytes]:
    """What the output may be, as r and s."""
    candidates = [output]
    with suppress(binascii.Error):
        candidates.append(base64.b64decode(b"".join(output.split()), validate=True))
    for data in candidates:
        if len(data) == 2 * HALF:
            yield data
        try:
            yield _raw(data)
        except (ValueError, OverflowError):
            continue


class SigningKey(ec.EllipticCurvePrivateKey):
    """A signer in the clothes of a private key, for `cryptography`, which signs certificates by
    nothing but `sign()`."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(bytes(data))
        return _der(self._signer.sign_digest(digest.finalize()))

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._signer.public_key

    @property
    def curve(self) -> ec.EllipticCurve:
        return ec.SECP256R1()

    @property
    def key_size(self) -> int:
        return 8 * HALF

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        raise NotImplementedError

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        raise NotImplementedError

    def private_bytes(
        self,
        encoding: serialization.Encoding,
        format: serialization.PrivateFormat,
        encryption_algorithm: serialization.KeySerializationEncryption,
    ) -> bytes:
        raise NotImplementedError

    def __copy__(self) -> "SigningKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "SigningKey":
        return self
