"""The folder `identity/` of a project: its CA, and who signs for it.

| file | what |
|---|---|
| `ca.crt` | the CA's certificate: public, images have its key compiled in |
| `ca.key` | its private key, where that is a file of ours |
| `ca.toml` | where the key is: a file, a PKCS#11 token, a command |
| `.gitignore` | keeps all but `ca.crt` out of repositories |
| `devices/NAME.*` | of each device: key and certificate, device file, sealed configuration |
| `broker/` | a mosquitto configuration, with a certificate of its own |
"""

import json
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgeuk import pem
from edgeuk.cache import OWNER_HINT, clear_errors, write_atomic
from edgeuk.errors import BuildError, UsageError
from edgeuk.identity.issue import CA_DAYS, certificate_pem, key_pem, new_key, self_signed
from edgeuk.identity.sign import CommandSigner, FileSigner, Secret, Signer
from edgeuk.identity.token import Pkcs11Signer

FOLDER = "identity"
CERTIFICATE, KEY, SOURCE = "ca.crt", "ca.key", "ca.toml"
DEVICES, BROKER = "devices", "broker"
PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
IGNORE = f"""\
# Keys stay here. The CA's certificate is public, and a build needs it.
*
!.gitignore
!{CERTIFICATE}
"""
SOURCE_TEXT = """\
# Who signs for this project's CA. Written by `edgeuk provision`.
{kind} = {value}
"""
KINDS = ("key", "pkcs11", "command")


@dataclass(frozen=True, slots=True)
class Source:
    """Where the CA's key is."""

    kind: str  # of KINDS
    value: str  # path, URI or command


@dataclass(frozen=True, slots=True)
class Project:
    """A project's CA, ready to sign."""

    folder: Path
    certificate: x509.Certificate
    signer: Signer


def exists(folder: Path) -> bool:
    """Whether the folder has a CA that can sign."""
    return (folder / SOURCE).exists() and (folder / CERTIFICATE).exists()


def create(
    folder: Path, name: str, source: Source | None, secret: Secret, *, encrypt: bool
) -> Project:
    """Make a CA. With a `source`, a key that is there already gets a certificate; else a new key is
    made, encrypted where `encrypt`. Raises `UsageError`, `BuildError`, `ToolError`."""
    _refuse_remains(folder)
    files: dict[str, tuple[bytes, int]] = {}
    signer: Signer
    if source is None:
        key = new_key()
        passphrase = secret("new passphrase").encode() if encrypt else b""
        if encrypt and not passphrase:
            raise UsageError("the passphrase is empty [E0429]")
        files[KEY] = (key_pem(key, passphrase), PRIVATE_FILE)
        signer, source = FileSigner(key), Source("key", KEY)
    elif source.kind == "command":
        raise UsageError(
            "a command that signs does not say its public key [E0429]",
            hint="--ca-cert FILE: the certificate of the CA that it signs for",
        )
    else:
        source = _seen_from(source)
        signer = _open(source, folder, secret)
    certificate = self_signed(signer, name, CA_DAYS)
    _write(folder, files, certificate, source)
    return Project(folder, certificate, signer)


def adopt(folder: Path, certificate: x509.Certificate, source: Source, secret: Secret) -> Project:
    """Take a CA that is there. Its key stays where it is; it must be that of the certificate."""
    _refuse_remains(folder)
    source = _seen_from(source)
    signer = open_signer(source, folder, certificate, secret)
    _write(folder, {}, certificate, source)
    return Project(folder, certificate, signer)


def load(folder: Path, secret: Secret) -> Project:
    """The CA of a folder. Raises `UsageError`, `BuildError`, `ToolError`."""
    certificate = read_ca(folder / CERTIFICATE)
    try:
        data = tomllib.loads((folder / SOURCE).read_text())
        (kind, value), *more = data.items()
        if kind not in KINDS or not isinstance(value, str) or more:
            raise ValueError
    except (OSError, ValueError):
        hint = f'one line: key = "{KEY}", or pkcs11 = "pkcs11:...", or command = "..."'
        raise UsageError(f"`{folder / SOURCE}` cannot be read [E0428]", hint=hint) from None
    return Project(
        folder, certificate, open_signer(Source(kind, value), folder, certificate, secret)
    )


def read_ca(path: Path) -> x509.Certificate:
    """The certificate in a file, PEM or DER. Raises `UsageError`."""
    hint = ""
    try:
        data = path.read_bytes()
        found = [data] if pem.is_der(data) else pem.certificates(data)
        if found:
            return x509.load_der_x509_certificate(found[0])
        kinds = pem.kinds(data)
        reason = f"no certificate, but {kinds[0]}" if kinds else "not a certificate"
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        hint = OWNER_HINT if isinstance(e, PermissionError) else ""
    except ValueError:
        reason = "the certificate is damaged"
    raise UsageError(f"the CA `{path}` cannot be read: {reason} [E0420]", hint=hint)


def public_point(certificate: x509.Certificate) -> bytes:
    """The key as an uncompressed point: 65 bytes; b"" if it is of another kind than P-256."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        return b""
    form = serialization.PublicFormat.UncompressedPoint
    return key.public_bytes(serialization.Encoding.X962, form)


def open_signer(
    source: Source, folder: Path, certificate: x509.Certificate, secret: Secret
) -> Signer:
    """Who signs for that certificate. Raises `UsageError` if the key is another one."""
    point = public_point(certificate)
    if not point:
        raise UsageError("the CA's key is not of the curve P-256 [E0426]", hint=_P256)
    if source.kind == "command":
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return CommandSigner(source.value, key)
    signer = _open(source, folder, secret)
    form = serialization.PublicFormat.UncompressedPoint
    if signer.public_key.public_bytes(serialization.Encoding.X962, form) != point:
        raise UsageError("the CA's key is not the one of its certificate [E0422]")
    return signer


_P256 = "devices check its signatures with P-256 only: leave the options out for a new CA"


def _open(source: Source, folder: Path, secret: Secret) -> Signer:
    if source.kind == "pkcs11":
        return Pkcs11Signer(source.value, secret)
    return FileSigner(read_key(folder / source.value, secret))


def read_key(path: Path, secret: Secret) -> ec.EllipticCurvePrivateKey:
    """A CA's key in PEM; asks for the passphrase where it is encrypted. Raises `UsageError`."""
    try:
        data = path.read_bytes()
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        what = f"the CA's key `{path}` cannot be read: {reason} [E0420]"
        hint = "where it is not, `edgeuk` takes finished configurations: --device NAME.bin"
        raise UsageError(what, hint=hint) from None
    encrypted = re.search(rb"-----BEGIN ENCRYPTED PRIVATE KEY|^Proc-Type:.*ENCRYPTED", data, re.M)
    passphrase = secret("passphrase").encode() if encrypted else None
    try:
        key = serialization.load_pem_private_key(data, passphrase)
    except (ValueError, TypeError):
        # The library's own words are left out: they may repeat parts of what was read.
        what = "the passphrase is wrong, or it is damaged" if passphrase else "not a key in PEM"
        code = "E0421" if passphrase else "E0420"
        raise UsageError(f"the CA's key `{path}` cannot be read: {what} [{code}]") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
        raise UsageError(f"the CA's key `{path}` is not of the curve P-256 [E0426]", hint=_P256)
    return key


def _seen_from(source: Source) -> Source:
    """A key file's path from anywhere, for `ca.toml`."""
    is_file = source.kind == "key"
    return Source("key", os.path.abspath(source.value)) if is_file else source


def _refuse_remains(folder: Path) -> None:
    for name in (CERTIFICATE, KEY, SOURCE):
        if (folder / name).exists():
            what = f"`{folder / name}` is there already, but the CA is not whole [E0428]"
            hint = "move it away for a new CA, or name its key: --ca-cert and --ca-key"
            raise UsageError(what, hint=hint)


def _write(
    folder: Path, files: dict[str, tuple[bytes, int]], certificate: x509.Certificate, source: Source
) -> None:
    """All of it or nothing: written beside, then renamed."""
    text = SOURCE_TEXT.format(kind=source.kind, value=json.dumps(source.value))
    files = {
        ".gitignore": (IGNORE.encode(), 0o644),
        **files,
        CERTIFICATE: (certificate_pem(certificate), 0o644),
        SOURCE: (text.encode(), PRIVATE_FILE),
    }
    with clear_errors(folder, OWNER_HINT):
        folder.parent.mkdir(parents=True, exist_ok=True)
        if folder.exists():  # empty of what matters: the one who made it keeps what is in it
            folder.chmod(PRIVATE_FOLDER)
            for name, (data, mode) in files.items():
                write_atomic(folder / name, data, mode)
            return
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            new = Path(temporary, "new")
            new.mkdir(mode=PRIVATE_FOLDER)
            for name, (data, mode) in files.items():
                write_atomic(new / name, data, mode)
            os.rename(new, folder)


def private_folder(folder: Path) -> Path:
    """The folder, made with mode 0700 where it is not there. Raises `BuildError`."""
    with clear_errors(folder, OWNER_HINT):
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise BuildError(
                f"`{folder}` belongs to somebody else, or is a link: keys stay out of it"
            )
        folder.chmod(PRIVATE_FOLDER)
    return folder
