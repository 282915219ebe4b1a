"""Keys and certificates of all kinds, good and bad, for the tests of identities: made by
`cryptography` with fixed dates, as messages show dates. Made anew for every run of the tests, so
that no private key is in the repository."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PAST, LONG_AGO = datetime(2021, 3, 1, tzinfo=UTC), datetime(2020, 3, 1, tzinfo=UTC)
FAR, FARTHER = datetime(2090, 1, 2, 3, 4, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)
PEM = serialization.Encoding.PEM
PLAIN = serialization.NoEncryption()
CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Maker:
    """Writes `<name>.crt` and `<name>.key` into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made = {}

    def key(self, name, key, passphrase=b"", form=serialization.PrivateFormat.PKCS8):
        how = serialization.BestAvailableEncryption(passphrase) if passphrase else PLAIN
        path = self.folder / f"{name}.key"
        path.write_bytes(key.private_bytes(PEM, form, how))
        path.chmod(0o600)

    def certificate(
        self,
        name,
        *,
        subject="",
        by="ca",
        key=None,
        ca=False,
        flag=True,
        start=LONG_AGO,
        end=FARTHER,
        usage=CLIENT,
        algorithm=None,
        key_usage=None,
    ):
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = name_of(subject or name)
        issuer, signer = self.made.get(by, (subject, key))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(1000 + len(self.made))
            .not_valid_before(start)
            .not_valid_after(end)
        )
        if flag:
            constraints = x509.BasicConstraints(ca=ca, path_length=None)
            builder = builder.add_extension(constraints, critical=True)
        if not ca and usage:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if key_usage:
            builder = builder.add_extension(key_usage, critical=True)
        made = builder.sign(signer, algorithm or hashes.SHA256())
        self.made[name] = (subject, key)
        (self.folder / f"{name}.crt").write_bytes(made.public_bytes(PEM))
        self.key(name, key)
        return made


def make(folder: Path) -> Maker:
    """All that the bad files of tests/unit/bad/identity name."""
    maker = Maker(folder)
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha1 -days 9999"
    )
    more = "-subj /CN=sha1-ca -keyout sha1-ca.key -out sha1-ca.crt"
    subprocess.run([*command.split(), *more.split()], cwd=folder, check=True, capture_output=True)
    small, large = rsa.generate_private_key(65537, 1024), rsa.generate_private_key(65537, 2048)
    maker.certificate("ca", ca=True)
    maker.certificate("other-ca", by="", ca=True)
    maker.certificate("expired-ca", by="", ca=True, end=PAST)
    maker.certificate("future-ca", by="", ca=True, start=FAR)
    maker.certificate("no-flag", by="", flag=False)
    no = dict.fromkeys(("content_commitment", "key_encipherment", "data_encipherment"), False)
    no |= dict.fromkeys(("key_agreement", "crl_sign", "encipher_only", "decipher_only"), False)
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=False, **no)
    maker.certificate("no-sign", by="", ca=True, key_usage=usage)
    maker.certificate("rsa-ca", by="", ca=True, key=large)
    maker.certificate("small-ca", by="", ca=True, key=small)
    maker.certificate("curve-ca", by="", ca=True, key=ec.generate_private_key(ec.SECP384R1()))
    maker.certificate("gw-1")
    maker.certificate("gw-2")
    maker.certificate("foreign", subject="gw-1", by="other-ca")
    maker.certificate("expired", subject="gw-1", end=PAST)
    maker.certificate("future", subject="gw-1", start=FAR)
    maker.certificate("server", subject="gw-1", usage=SERVER)
    maker.certificate("rsa", subject="gw-1", key=large)
    maker.key("encrypted", maker.made["gw-1"][1], b"secret")
    openssl = serialization.PrivateFormat.TraditionalOpenSSL
    maker.key("encrypted-old", maker.made["gw-1"][1], b"secret", openssl)
    whole = (folder / "gw-1.crt").read_text()
    (folder / "damaged.crt").write_text(whole[:80] + "AAAA" + whole[84:])
    (folder / "damaged.key").write_text("-----BEGIN EC PRIVATE KEY-----\nAAAA\n"
                                        "-----END EC PRIVATE KEY-----\n")  # fmt: skip
    (folder / "bundle.crt").write_text(
        (folder / "ca.crt").read_text() + (folder / "expired-ca.crt").read_text()
    )
    (folder / "open.key").write_bytes((folder / "gw-1.key").read_bytes())
    (folder / "open.key").chmod(0o644)
    return maker
