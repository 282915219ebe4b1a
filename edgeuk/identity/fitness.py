"""What keys and certificates must be: whole, strong enough, for their purpose, valid now, signed by
whom they should. Nothing of a private key is ever in a message.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgeuk import pem
from edgeuk.identity.project import public_point

RSA_BITS_MIN = 2048
NAME_MAX = 160  # bytes; a P-256 key in base64 has more
CHAIN_MAX = 8  # certificates from a device's to its CA
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type:.*ENCRYPTED", re.M)
NEW_CA = "whoever runs the CA has a new certificate, or makes one"
RENEW = "edgeuk provision --renew NAME"
PROVISION = "`edgeuk provision NAME` makes key and certificate of a device"
_CURVE = "a CA with a P-256 key"


class UnfitError(Exception):
    """Why a file will not do: code, sentence, hint."""

    def __init__(self, code: str, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.code, self.what, self.hint = code, what, hint


def parse_der(der: bytes, what: str) -> list[Any]:
    """Certificates, one behind the other."""
    certificates = []
    try:
        while der:
            if der[:2] != b"\x30\x82":  # a SEQUENCE of 256 to 65535 bytes, as certificates are
                raise ValueError
            size = 4 + int.from_bytes(der[2:4], "big")
            certificates.append(x509.load_der_x509_certificate(der[:size]))
            der = der[size:]
    except (ValueError, UnsupportedAlgorithm):
        raise UnfitError("E0420", f"its `{what}` is not a certificate") from None
    return certificates


def _read(folder: Path, text: str) -> bytes:
    if len(text) > NAME_MAX or "-----BEGIN" in text:  # pasted, and perhaps secret: not repeated
        hint = "keys and certificates stay in files of their own"
        raise UnfitError("E0420", "this is not the name of a file", hint)
    try:
        return (folder / text).read_bytes()
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        hint = "paths are seen from the folder of the file that has them"
        if isinstance(e, PermissionError):
            hint = f"only its owner may: ls -l {text}; sudo, or chown it"
        raise UnfitError("E0420", f"`{text}` cannot be read: {reason}", hint) from None


def read_certificates(folder: Path, text: str) -> tuple[x509.Certificate, ...]:
    """Of a PEM file with one or several, or of a DER file. Raises `UnfitError`."""
    data = _read(folder, text)
    hint = "`openssl x509 -noout -text -in FILE` shows what it is"
    try:
        found = [data] if pem.is_der(data) else pem.certificates(data)
        if found:
            return tuple(x509.load_der_x509_certificate(der) for der in found)
    except (ValueError, UnsupportedAlgorithm):
        raise UnfitError("E0420", f"the certificate `{text}` is damaged", hint) from None
    raise UnfitError("E0420", f"`{text}` has no certificate{_instead(data)}", hint)


def _instead(data: bytes) -> str:
    """What is in a file that lacks what it should have."""
    kinds = pem.kinds(data)
    article = "an" if kinds and kinds[0][0] in "aeio" else "a"
    return f": it has {article} {kinds[0]} in it" if kinds else ", neither as PEM nor as DER"


def read_key(folder: Path, text: str) -> Any:
    """A private key, PEM or DER. Raises `UnfitError`."""
    data = _read(folder, text)
    if _ENCRYPTED.search(data):
        what = f"the key `{text}` is encrypted, and a device has nobody to ask for a passphrase"
        hint = f"openssl pkey -in {text} -out plain.key, and chmod 600 plain.key"
        raise UnfitError("E0421", what, hint)
    blocks = pem.private_keys(data)
    load: Any = serialization.load_pem_private_key
    if pem.is_der(data):
        load, blocks = serialization.load_der_private_key, [data]
    if not blocks:
        what = f"`{text}` has no private key{_instead(data)}"
        raise UnfitError("E0420", what, PROVISION)
    try:
        return load(blocks[0], None)
    except TypeError:  # DER of an encrypted one
        what = f"the key `{text}` is encrypted, and a device has nobody to ask for a passphrase"
        raise UnfitError("E0421", what) from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own words are left out: they may repeat parts of what was read.
        raise UnfitError("E0420", f"the key `{text}` is damaged", PROVISION) from None


def public_der(key: Any) -> bytes:
    """A public key, or the public half of a private one, in a form to compare."""
    public = key.public_key() if hasattr(key, "public_key") else key
    der: bytes = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def check_authority(certificate: x509.Certificate, which: str) -> None:
    """A CA's certificate may sign others. Raises `UnfitError`."""
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        is_ca = False
    hint = "name the certificate of who signs, not of a device or a broker"
    if not is_ca:
        what = f"{which} may not sign others: it has no CA flag (basicConstraints CA:TRUE)"
        raise UnfitError("E0425", what, hint)
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return
    if not usage.key_cert_sign:
        what = f"{which} may not sign others: its keyUsage lacks keyCertSign"
        raise UnfitError("E0425", what, hint)


def check_client(certificate: x509.Certificate, which: str) -> None:
    """A device's certificate is for clients. Raises `UnfitError`."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return  # without one, any use is allowed (RFC 5280, 4.2.1.12)
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & {*usage}:
        what = f"{which} is not for clients: its extendedKeyUsage lacks clientAuth"
        raise UnfitError("E0425", what, PROVISION)


def check_strength(certificate: x509.Certificate, which: str, compatible: bool) -> None:
    """Keys and signatures that are too weak, or that the profile does not know."""
    try:
        algorithm = certificate.signature_hash_algorithm
        key: Any = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        what = f"{which} has a key or signature of a kind that is not known"
        raise UnfitError("E0426", what, PROVISION) from None
    if isinstance(algorithm, hashes.SHA1 | hashes.MD5):
        what = f"{which} is signed with {algorithm.name.upper()}, which can be forged"
        raise UnfitError("E0426", what, "have it signed anew with SHA-256")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < RSA_BITS_MIN:
        what = f"{which} has an RSA key of {key.key_size} bits, which can be broken"
        raise UnfitError("E0426", what, f"P-256, or RSA of at least {RSA_BITS_MIN} bits")
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return
    if not isinstance(key, rsa.RSAPublicKey):
        raise UnfitError("E0426", f"{which} has {kind_of(key)}, which devices cannot check", _CURVE)
    if not compatible:
        what = f"{which} has {kind_of(key)}, which the default profile cannot check"
        raise UnfitError(
            "E0426", what, f'[tls] profile = "compatible" in the gateway file, or {_CURVE}'
        )


def check_own(certificate: x509.Certificate, which: str) -> None:
    """A device signs with P-256; who checks that is the broker."""
    try:
        algorithm = certificate.signature_hash_algorithm
        key: Any = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError):
        what = f"{which} has a key or signature of a kind that is not known"
        raise UnfitError("E0426", what, PROVISION) from None
    if isinstance(algorithm, hashes.SHA1 | hashes.MD5):
        what = f"{which} is signed with {algorithm.name.upper()}, which can be forged"
        raise UnfitError("E0426", what, RENEW)
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise UnfitError("E0426", f"{which} has {kind_of(key)}; devices sign with P-256", PROVISION)


def check_sealing(certificate: x509.Certificate, which: str) -> None:
    """Its key can seal configurations. Raises `UnfitError`."""
    if not public_point(certificate):
        what = f"{which} seals configurations, for which its key must be of the curve P-256"
        raise UnfitError("E0426", what, "`edgeuk provision` in another --folder makes such a CA")


def kind_of(key: Any) -> str:
    """What a key is, for people."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return f"an RSA key of {key.key_size} bits"
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return f"a key of the curve {key.curve.name}"
    return f"a key of the kind {type(key).__name__.lstrip('_').removesuffix('PublicKey')}"


def check_period(
    certificate: x509.Certificate, which: str, now: datetime, hint: str = NEW_CA
) -> None:
    """It is valid now. Raises `UnfitError`."""
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if end < now:
        raise UnfitError("E0424", f"{which} has expired on {end:%Y-%m-%d}", hint)
    if start > now:
        what = f"{which} is not valid before {start:%Y-%m-%d %H:%M} UTC"
        raise UnfitError(
            "E0424", what, f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC: is it right?"
        )


def is_issued_by(
    certificate: x509.Certificate,
    between: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
) -> bool:
    """Whether signatures lead from the certificate to one of the authorities."""
    for _ in range(CHAIN_MAX):
        if any(is_signed_by(certificate, ca) for ca in authorities):
            return True
        above = next(
            (c for c in between if c != certificate and is_signed_by(certificate, c)), None
        )
        if above is None:
            return False
        certificate = above
    return False


def is_signed_by(certificate: x509.Certificate, ca: x509.Certificate) -> bool:
    """Whether the CA's key has signed it, under the CA's name."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def common_name(certificate: x509.Certificate) -> str:
    """Who it is for; "" where it does not say."""
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else ""
