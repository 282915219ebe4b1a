"""Keys and certificates as OpenSSL writes them, with text before and between the blocks: what it
reads as this certificate and this key, everything that reads files here reads as well."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from edgeuk import pem, provisioning
from edgeuk.cli.app import run
from edgeuk.errors import UsageError
from edgeuk.identity import project
from edgeuk.identity.fitness import public_der, read_certificates, read_key
from edgeuk.settings import _der

GATEWAY = """\
schema = 1
name = "meter"
[mqtt]
url = "mqtts://broker.example"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""
CERTIFICATES = {
    "plain": ["x509"],
    "text": ["x509", "-text"],
}


def openssl(*words, folder):
    return subprocess.run(["openssl", *words], cwd=folder, capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Files by name, the certificate's DER, and the public key's."""
    folder = tmp_path_factory.mktemp("pem")

    def run_here(*words):
        return openssl(*words, folder=folder)

    # Without -noout, a block of parameters stands before the key.
    run_here("ecparam", "-name", "prime256v1", "-genkey", "-out", "key.pem")
    run_here("req", "-x509", "-new", "-key", "key.pem", "-days", "9", "-subj", "/CN=gw-1",
             "-addext", "basicConstraints=critical,CA:TRUE", "-out", "crt.pem")  # fmt: skip
    run_here("pkcs12", "-export", "-inkey", "key.pem", "-in", "crt.pem", "-name", "gä ENCRYPTED",
             "-passout", "pass:x", "-out", "bag.p12")  # fmt: skip
    bag = run_here("pkcs12", "-in", "bag.p12", "-passin", "pass:x", "-nodes")
    assert bag.startswith(b"Bag Attributes")
    crt, key = ((folder / f"{name}.pem").read_bytes() for name in ("crt", "key"))
    files = {
        "crt-bag": bag,
        "crt-figure": b"0 s:CN = gw-1\n" + crt,  # as s_client -showcerts has it
        "crt-crlf": crt.replace(b"\n", b"\r\n"),
        "crt-bom": b"\xef\xbb\xbf" + crt,
        "crt-old": crt.replace(b"CERTIFICATE", b"X509 CERTIFICATE"),
        "crt-behind-key": key + crt,
        "crt-der": run_here("x509", "-in", "crt.pem", "-outform", "DER"),
        "key-bag": bag,
        "key-text": run_here("ec", "-in", "key.pem", "-text"),
        "key-figure": b"0 key\n" + key,
        "key-crlf": key.replace(b"\n", b"\r\n"),
        "key-pkcs8": run_here("pkcs8", "-topk8", "-nocrypt", "-in", "key.pem"),
        "key-behind-crt": crt + key,
    }
    for name, words in CERTIFICATES.items():
        files[f"crt-{name}"] = run_here(*words, "-in", "crt.pem")
    for name, data in files.items():
        (folder / name).write_bytes(data)
    public = run_here("pkey", "-in", "key.pem", "-pubout", "-outform", "DER")
    return folder, files["crt-der"], public


FORMS = ("bag", "figure", "crlf", "bom", "old", "behind-key", "der", "plain", "text")


@pytest.mark.parametrize("form", FORMS)
def test_a_certificate_is_found(made, form):
    folder, der, _ = made
    path = folder / f"crt-{form}"
    encoding = serialization.Encoding.DER
    (found,) = read_certificates(folder, path.name)
    assert found.public_bytes(encoding) == der
    assert project.read_ca(path).public_bytes(encoding) == der
    assert _der(path.read_bytes(), "cert") == der
    if form != "der":
        assert provisioning._certificate_in(path, "").public_bytes(encoding) == der


@pytest.mark.parametrize("form", ["bag", "text", "figure", "crlf", "pkcs8", "behind-crt"])
def test_a_key_is_found(made, form):
    folder, _, public = made
    path = folder / f"key-{form}"
    assert public_der(read_key(folder, path.name)) == public
    assert public_der(project.read_key(path, lambda what: pytest.fail(what))) == public
    der = _der(path.read_bytes(), "key")
    assert public_der(serialization.load_der_private_key(der, None)) == public


@pytest.mark.parametrize(
    "damage",
    [
        lambda block: b"# " + block,  # only its first line is commented out
        lambda block: b"old: " + block,
        lambda block: block.replace(b"-----\n", b"----- ours\n", 1),
        lambda block: block.replace(
            b"-----BEGIN CERTIFICATE", b"-----BEGIN TRUSTED CERTIFICATE", 1
        ),
    ],
)
def test_a_block_that_openssl_passes_over_is_passed_over(made, tmp_path, damage):
    """The one behind it counts, as OpenSSL has it."""
    folder, der, _ = made
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", "key.pem", "-days", "9", "-subj", "/CN=old", "-out", "old.pem",
            folder=tmp_path)  # fmt: skip
    old, path = (tmp_path / "old.pem").read_bytes(), tmp_path / "both.pem"
    path.write_bytes(damage(old) + (folder / "crt.pem").read_bytes())
    said = openssl("x509", "-in", "both.pem", "-outform", "DER", folder=tmp_path)
    (found,) = read_certificates(tmp_path, path.name)
    assert said == der == found.public_bytes(serialization.Encoding.DER)


def test_a_rejected_authority_is_not_taken_as_a_trusted_one(made, tmp_path):
    folder, _, _ = made
    words = ["x509", "-in", "crt.pem", "-addreject", "serverAuth", "-trustout"]
    (tmp_path / "ca.pem").write_bytes(openssl(*words, folder=folder))
    with pytest.raises(UsageError, match="no certificate, but trusted certificate"):
        project.read_ca(tmp_path / "ca.pem")


@pytest.mark.parametrize("extra", [b"AA==AAAA", b"A"])
def test_base64_that_openssl_refuses_is_refused(made, extra):
    folder, _, _ = made
    crt = (folder / "crt.pem").read_bytes()
    with pytest.raises(ValueError, match=r"base64|padding|data"):
        pem.certificates(crt.replace(b"-----END", extra + b"\n-----END"))


def test_a_file_without_a_certificate_says_what_it_has(made, tmp_path):
    folder, _, _ = made
    with pytest.raises(UsageError, match="no certificate, but ec parameters"):
        project.read_ca(folder / "key.pem")
    (tmp_path / "text").write_text("a text")
    with pytest.raises(UsageError, match="cannot be read: not a certificate"):
        project.read_ca(tmp_path / "text")
    with pytest.raises(ValueError, match="PEM"):
        pem.decode(b"0")


@pytest.fixture
def provisioned(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("gateway.toml").write_text(GATEWAY)
    assert run(["provision", "gw-1", "--mosquitto", "localhost"]) == 0
    capsys.readouterr()
    return tmp_path / "identity"


@pytest.mark.parametrize("name", ["devices/gw-1.pem", "devices/gw-1.bin", "broker/server.pem"])
def test_a_file_that_must_not_be_read_is_said_to_be_that(provisioned, name, monkeypatch, capsys):
    """Root may read everything, so the file system's answer is played."""
    read = Path.read_bytes

    def refuse(path):
        if path.resolve() == provisioned / name:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert run(["provision", "gw-1"]) == 1
    said = capsys.readouterr().err
    assert f"{name}: cannot be read: permission denied" in said
    assert "chown" in said


def test_a_damaged_certificate_of_the_broker_is_not_called_a_devices(provisioned, capsys):
    (provisioned / "broker/server.pem").write_text("no certificate")
    assert run(["provision", "gw-1"]) == 2
    said = capsys.readouterr().err
    assert "server.pem` has no certificate, or a damaged one [E0420]" in said
    assert "hint: move it away, then: edgeuk provision --mosquitto HOST" in said
