"""Certificates: the CA's own, and those that it gives to devices and brokers.

All keys are P-256, all signatures ECDSA with SHA-256: what the default TLS profile knows. What is
not needed is left out: a device keeps its certificate in flash and sends it with every handshake.
"""

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgeuk.identity.sign import Signer, SigningKey

CA_DAYS = 7300  # 20 years: images have its key compiled in
DEVICE_DAYS = 1825  # 5 years
SLOW = timedelta(minutes=5)  # clocks that are behind ours still accept what was just issued
SERIAL_BYTES = 16  # RFC 5280, 4.1.2.2: at most 20, and unpredictable
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        """Both in one file, so that the two can only be replaced together."""
        return key_pem(self.key) + certificate_pem(self.certificate)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A P-256 key from the system's random numbers."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """PEM: as SEC 1, which is smaller, or encrypted as PKCS #8."""
    form = serialization.PrivateFormat
    if passphrase:
        how: serialization.KeySerializationEncryption = serialization.BestAvailableEncryption(
            passphrase
        )
        return key.private_bytes(serialization.Encoding.PEM, form.PKCS8, how)
    how = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form.TraditionalOpenSSL, how)


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """As PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def self_signed(signer: Signer, name: str, days: int = CA_DAYS) -> x509.Certificate:
    """A CA's certificate; the name gets a random end, as two CAs of one name confuse verifiers."""
    subject = _name(f"{name[:50]} CA {secrets.token_hex(3)}")
    key = x509.SubjectKeyIdentifier.from_public_key(signer.public_key)
    usage = _usage(key_cert_sign=True, crl_sign=True, digital_signature=True)
    start, end = _period(days)
    builder = (
        _builder(subject, subject, signer.public_key, start, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(key, critical=False)
    )
    return builder.sign(SigningKey(signer), hashes.SHA256())


def certify(
    signer: Signer,
    ca: x509.Certificate,
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    *,
    usage: x509.ObjectIdentifier = CLIENT,
    hosts: Sequence[str] = (),
    days: int = DEVICE_DAYS,
) -> x509.Certificate:
    """A certificate for `name` and a key whose private half may be elsewhere; at most as long valid
    as the CA."""
    start, end = _period(days)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key)
    builder = (
        _builder(_name(name), ca.subject, public_key, start, min(end, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(issuer, critical=False)
    )
    if hosts:
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(SigningKey(signer), hashes.SHA256())


def issue(
    signer: Signer,
    ca: x509.Certificate,
    name: str,
    *,
    usage: x509.ObjectIdentifier = CLIENT,
    hosts: Sequence[str] = (),
    days: int = DEVICE_DAYS,
) -> Issued:
    """A new key with its certificate."""
    key = new_key()
    public = key.public_key()
    return Issued(key, certify(signer, ca, name, public, usage=usage, hosts=hosts, days=days))


def _period(days: int) -> tuple[datetime, datetime]:
    now = datetime.now(UTC).replace(microsecond=0)
    return now - SLOW, now + timedelta(days=days)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    start: datetime,
    end: datetime,
) -> x509.CertificateBuilder:
    serial = int.from_bytes(secrets.token_bytes(SERIAL_BYTES), "big") >> 1 | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _usage(
    *, key_cert_sign: bool = False, crl_sign: bool = False, digital_signature: bool = False
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )
