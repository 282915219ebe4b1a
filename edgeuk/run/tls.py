"""TLS of a run: a CA that lives as long as the run, for broker, image and monitor; and the way in
for a monitor that shows a device's own certificate.
"""

import base64
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edgeuk.cache import write_atomic
from edgeuk.errors import UsageError
from edgeuk.identity.issue import SERVER, Issued, certificate_pem, issue, new_key, self_signed
from edgeuk.identity.sign import FileSigner

DAYS = 7
MONITOR = "edgeuk-monitor"
PRIVATE = 0o600
KEYS = ("tls.ca", "tls.cert", "tls.key", "tls.pins")


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What a run's CA has issued."""

    ca: Path  # files for the broker, in a private folder
    server: Path  # certificate and key
    values: Mapping[str, str]  # of the image's device configuration, instead of its own
    monitor: ssl.SSLContext


def make(folder: Path, name: str, hosts: Sequence[str]) -> RunIdentity:
    """A CA whose key is never written, a broker's certificate for `hosts`, one for the device
    `name` and one for the monitor; files in `folder`, which is private."""
    signer = FileSigner(new_key())
    authority = self_signed(signer, "edgeuk run", DAYS)
    server = issue(signer, authority, hosts[0], usage=SERVER, hosts=hosts, days=DAYS)
    ca, pem = folder / "ca.crt", folder / "server.pem"
    write_atomic(ca, certificate_pem(authority), PRIVATE)
    write_atomic(pem, server.pem(), PRIVATE)
    device = _values(authority, issue(signer, authority, name, days=DAYS))
    monitor = _values(authority, issue(signer, authority, MONITOR, days=DAYS))
    return RunIdentity(ca, pem, device, context(monitor))


def context(values: Mapping[str, str]) -> ssl.SSLContext:
    """A client's, as the device configuration says: whom it trusts and who it is. Raises
    `UsageError`."""
    if "tls.ca" not in values:
        raise UsageError("no CA to trust [E0402]", hint='[tls] ca = "ca.crt" in the gateway file')
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_verify_locations(cadata=base64.b64decode(values["tls.ca"]))
    if "tls.cert" in values and "tls.key" in values:
        # The library reads a key from files only: this one is gone at once.
        with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
            pem = Path(folder, "client.pem")
            write_atomic(pem, _pem(values), PRIVATE)
            made.load_cert_chain(pem)
    return made


def without(values: Mapping[str, str]) -> dict[str, str]:
    """The values without those about another broker's TLS."""
    return {key: value for key, value in values.items() if key not in KEYS}


def _pem(values: Mapping[str, str]) -> bytes:
    lines = []
    key = base64.b64decode(values["tls.key"])
    private = serialization.load_der_private_key(key, None)
    lines.append(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    chain = base64.b64decode(values["tls.cert"])
    while chain:  # certificates one behind the other, each with its length (X.690, 8.1.3.5)
        size = 4 + int.from_bytes(chain[2:4], "big")
        certificate = x509.load_der_x509_certificate(chain[:size])
        lines.append(certificate_pem(certificate))
        chain = chain[size:]
    return b"".join(lines)


def _values(authority: x509.Certificate, issued: Issued) -> dict[str, str]:
    der = serialization.Encoding.DER
    key = issued.key.private_bytes(
        der, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    found = {
        "tls.ca": authority.public_bytes(der),
        "tls.cert": issued.certificate.public_bytes(der),
        "tls.key": key,
    }
    return {name: base64.b64encode(value).decode() for name, value in found.items()}
