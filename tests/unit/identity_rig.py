"""A project with an identity, and openssl to judge what is in it."""

import hashlib
import subprocess

from edgeuk.device_config import (
    SEAL_LEAD,
    SEAL_SIZE,
)

GATEWAY = """\
schema = 1
name = "meter"
[mqtt]
url = "mqtts://broker.example"
topic = "sites/north"
{tables}
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""
TABLES = '[tls]\nca = "identity/ca.crt"\n[identity]\nca = "identity/ca.crt"\n'


def openssl(*words, stdin=None, status=0):
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout


def text_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-text").decode()


def key_of(file):
    """The public key of a certificate, as openssl sees it."""
    return openssl("x509", "-in", file, "-noout", "-pubkey")


def snapshot(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def der_of(signature):
    """r and s as DER, written down from X.690."""
    parts = b""
    for half in (signature[:32], signature[32:]):
        number = half.lstrip(b"\0") or b"\0"
        number = b"\0" * (number[0] >> 7) + number
        parts += bytes([2, len(number)]) + number
    return bytes([0x30, len(parts)]) + parts


def seal_holds(blob, ca, tmp_path):
    """Whether openssl finds the seal of a configuration to be the CA's."""
    data, signature = blob[:-SEAL_SIZE], blob[-SEAL_SIZE:]
    (tmp_path / "ca.pub").write_bytes(key_of(ca))
    (tmp_path / "seal").write_bytes(der_of(signature))
    (tmp_path / "digest").write_bytes(hashlib.sha256(SEAL_LEAD + data).digest())
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", tmp_path / "ca.pub"]
    files = ["-sigfile", tmp_path / "seal", "-in", tmp_path / "digest"]
    done = subprocess.run([*command, *files, "-pkeyopt", "digest:sha256"], capture_output=True)
    return done.returncode == 0
