"""Whether the keys and certificates that files name will do, before anything is built.

Each fault says which file, why, and what to do. Nothing of a private key is ever in a message.
"""

import os
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edgeuk.document import Document, Key
from edgeuk.identity.fitness import (
    NEW_CA,
    PROVISION,
    RENEW,
    UnfitError,
    check_authority,
    check_client,
    check_own,
    check_period,
    check_sealing,
    check_strength,
    common_name,
    is_issued_by,
    kind_of,
    parse_der,
    public_der,
    read_certificates,
    read_key,
)
from edgeuk.identity.project import public_point

SOON = timedelta(days=30)
CA_KEY, IDENTITY_KEY = ("tls", "ca"), ("identity", "ca")
CERT_KEY, PRIVATE_KEY = ("tls", "cert"), ("tls", "key")


@dataclass(frozen=True, slots=True)
class Named:
    """A file that a document names, and what is in it."""

    key: Key
    text: str  # as the document has it
    certificates: tuple[x509.Certificate, ...]


def check_gateway(doc: Document, now: datetime | None = None) -> bytes:
    """Report what is wrong with [tls] and [identity] of a gateway file; returns the key that seals
    device configurations: 65 bytes, b"" for none."""
    now = now or datetime.now(UTC)
    compatible = _compatible(doc)
    identity = _authority(doc, IDENTITY_KEY, now, compatible=False)
    _authority(doc, CA_KEY, now, compatible=compatible)
    _certificate(doc, now)
    return public_point(identity.certificates[0]) if identity else b""


def check_device(
    doc: Document, gateway: Document | None, name: str, now: datetime | None = None
) -> None:
    """Report what is wrong with [tls] of a device file, `name` being the device's."""
    now = now or datetime.now(UTC)
    compatible = _compatible(gateway or doc)
    trusted = _authority(doc, CA_KEY, now, compatible=compatible)
    own = _certificate(doc, now)
    key = _private_key(doc)
    if own and key is not None and public_der(key) != public_der(own.certificates[0].public_key()):
        what = f"the key `{_text(doc, PRIVATE_KEY)}` is not the one of the certificate `{own.text}`"
        hint = "each certificate is for one key: name the two that were made together"
        doc.fault("E0422", what, PRIVATE_KEY, hint=hint, also=("its certificate", CERT_KEY))
    for one, other in ((CERT_KEY, PRIVATE_KEY), (PRIVATE_KEY, CERT_KEY)):
        if _text(doc, one) and not _text(doc, other):
            what = f"`{one[1]}` without `{other[1]}`: to say who it is, a device needs both"
            doc.fault("E0420", what, one, hint=PROVISION)
    if own is None:
        return
    identity = _quiet(gateway, IDENTITY_KEY) if gateway else None
    trusted = trusted or (_quiet(gateway, CA_KEY) if gateway else None)
    _check_issuer(doc, own, identity, trusted)
    common = common_name(own.certificates[0])
    if identity and name and common != name:
        what = f"the certificate `{own.text}` is that of device `{common}`, not of `{name}`"
        doc.fault("E0427", what, CERT_KEY, hint=f"edgeuk provision {name}")


def check_values(
    certificates: dict[str, bytes], ca: x509.Certificate | None, name: str, now: datetime
) -> UnfitError | None:
    """What is wrong with the DER values of a finished device configuration; None where nothing."""
    try:
        parsed = {k: parse_der(v, k) for k, v in certificates.items()}
        for key, chain in parsed.items():
            for certificate in chain:
                check_period(certificate, f"its `{key}`", now)
        own, *between = parsed.get("tls.cert", [None])
        if own and ca and not is_issued_by(own, between, (ca,)):
            what = "its certificate is not signed by the project's CA"
            raise UnfitError("E0423", what, RENEW)
        if own and ca and common_name(own) != name:
            what = f"its certificate is that of `{common_name(own)}`, its name `{name}`"
            raise UnfitError("E0427", what)
    except UnfitError as e:
        return e
    return None


def _text(doc: Document, key: Key) -> str:
    """The file that the document names; "" where it names none, or something else than a text."""
    table = doc.data.get(str(key[0]))
    value = table.get(key[1]) if isinstance(table, dict) else None
    return value if isinstance(value, str) else ""


def _compatible(doc: Document) -> bool:
    return _text(doc, ("tls", "profile")) == "compatible"


def _quiet(doc: Document, key: Key) -> Named | None:
    """What another document names; its faults are its own."""
    text = _text(doc, key)
    try:
        return Named(key, text, read_certificates(doc.path.parent, text)) if text else None
    except UnfitError:
        return None


def _named(doc: Document, key: Key) -> Named | None:
    text = _text(doc, key)
    if not text:
        return None
    try:
        return Named(key, text, read_certificates(doc.path.parent, text))
    except UnfitError as e:
        doc.fault(e.code, e.what, key, hint=e.hint)
        return None


def _authority(doc: Document, key: Key, now: datetime, *, compatible: bool) -> Named | None:
    """The CA certificates of a file, all of which must do."""
    named = _named(doc, key)
    for certificate in named.certificates if named else ():
        which = _which(named, certificate) if named else ""
        try:
            check_authority(certificate, which)
            if key == IDENTITY_KEY:
                check_sealing(certificate, which)
            check_strength(certificate, which, compatible)
            check_period(certificate, which, now)
        except UnfitError as e:
            doc.fault(e.code, e.what, key, hint=e.hint)
            return None
        _warn_soon(doc, key, certificate, which, now)
    return named


def _certificate(doc: Document, now: datetime) -> Named | None:
    """The device's own certificate, with what lies between it and the CA."""
    named = _named(doc, CERT_KEY)
    if named is None:
        return None
    certificate = named.certificates[0]
    which = f"the certificate `{named.text}`"
    try:
        check_own(certificate, which)
        check_client(certificate, which)
        check_period(certificate, which, now, RENEW)
    except UnfitError as e:
        doc.fault(e.code, e.what, CERT_KEY, hint=e.hint)
    else:
        _warn_soon(doc, CERT_KEY, certificate, which, now)
    return named


def _which(named: Named, certificate: x509.Certificate) -> str:
    """How a message calls a CA's certificate."""
    if len(named.certificates) == 1:
        return f"the CA `{named.text}`"
    number = named.certificates.index(certificate) + 1
    return f"certificate {number} of `{named.text}` ({common_name(certificate)})"


def _private_key(doc: Document) -> Any:
    """The device's key, None where there is none that will do."""
    text = _text(doc, PRIVATE_KEY)
    if not text:
        return None
    try:
        key = read_key(doc.path.parent, text)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            what = f"the key `{text}` is {kind_of(key)}; devices sign with P-256"
            raise UnfitError("E0426", what, PROVISION)
    except UnfitError as e:
        doc.fault(e.code, e.what, PRIVATE_KEY, hint=e.hint)
        return None
    mode = stat.S_IMODE(os.stat(doc.path.parent / text).st_mode)
    if mode & 0o077:
        what = f"others on this machine may read the key `{text}` (mode {mode:04o})"
        doc.fault("W0420", what, PRIVATE_KEY, hint=f"chmod 600 {text}")
    return key


def _warn_soon(
    doc: Document, key: Key, certificate: x509.Certificate, which: str, now: datetime
) -> None:
    end = certificate.not_valid_after_utc
    if now <= end < now + SOON:
        hint = RENEW if key == CERT_KEY else NEW_CA
        doc.fault("W0424", f"{which} expires on {end:%Y-%m-%d}", key, hint=hint)


def _check_issuer(doc: Document, own: Named, identity: Named | None, trusted: Named | None) -> None:
    """The project's CA must have signed; where there is none, the CA of the broker mostly has."""
    certificate, *between = own.certificates
    if identity:
        if not is_issued_by(certificate, between, identity.certificates):
            what = (
                f"the certificate `{own.text}` is not signed by the project's CA `{identity.text}`"
            )
            doc.fault("E0423", what, CERT_KEY, hint=RENEW)
    elif trusted and not is_issued_by(certificate, between, trusted.certificates):
        what = f"the certificate `{own.text}` is not signed by the CA `{trusted.text}`"
        hint = "right only where the broker has another CA for its clients"
        doc.fault("W0423", what, CERT_KEY, hint=hint)
