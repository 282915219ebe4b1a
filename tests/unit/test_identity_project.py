"""`edgeuk provision`: what it writes is judged by openssl, git, SoftHSM2 and the file system, not
by edgeuk; mosquitto takes it in tests/boot/test_identity.py."""

import base64
import hashlib
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from edgeuk import rotation
from edgeuk.catalog import load_catalog
from edgeuk.cli import flash
from edgeuk.cli.app import run
from edgeuk.device_config import (
    SEAL_LEAD,
    SEAL_SIZE,
    SIZE_MAX,
    DeviceConfigError,
    encode,
    newest,
)
from edgeuk.errors import ConfigError, UsageError
from edgeuk.gateway import load_device, load_gateway
from edgeuk.identity.token import parse_uri
from edgeuk.run.broker import free_port
from edgeuk.sealed import load_blob, sealer

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
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A gateway of its own in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("EDGEUK_PASSPHRASE", "EDGEUK_PIN"):
        monkeypatch.delenv(name, raising=False)
    Path("gateway.toml").write_text(GATEWAY.format(tables=TABLES))
    return tmp_path


def openssl(*words, stdin=None, status=0):
    done = subprocess.run(["openssl", *map(str, words)], input=stdin, capture_output=True)
    assert done.returncode == status, done.stderr.decode()
    return done.stdout


def text_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-text").decode()


def key_of(file):
    """The public key of a certificate, as openssl sees it."""
    return openssl("x509", "-in", file, "-noout", "-pubkey")


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


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


def test_openssl_accepts_what_is_issued(project):
    assert run(["provision", "gw-1", "gw-2"]) == 0
    for name in ("gw-1", "gw-2"):
        pem = f"identity/devices/{name}.pem"
        openssl(
            "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "identity/ca.crt", pem
        )
        openssl("verify", "-purpose", "sslserver", "-CAfile", "identity/ca.crt", pem, status=2)
        text = text_of(pem)
        assert f"Subject: CN = {name}\n" in text
        assert "TLS Web Client Authentication\n" in text
        assert "TLS Web Server" not in text
        assert "ASN1 OID: prime256v1" in text
        assert "Signature Algorithm: ecdsa-with-SHA256" in text
        assert "CA:FALSE" in text
        assert openssl("pkey", "-in", pem, "-pubout") == key_of(pem)
    serials = [re.search(r"Serial Number:\s+(\S+)", text_of(f"identity/devices/{n}.pem"))[1]
               for n in ("gw-1", "gw-2")]  # fmt: skip
    assert serials[0] != serials[1]
    assert all(len(serial) == 47 for serial in serials)  # 16 bytes
    ca = text_of("identity/ca.crt")
    assert "CA:TRUE, pathlen:0" in ca
    assert "Certificate Sign" in ca


def test_validity_is_what_was_asked_for(project):
    assert run(["provision", "gw-1", "--days", "10"]) == 0
    for days, status in ((9, 0), (11, 1)):
        pem = "identity/devices/gw-1.pem"
        openssl("x509", "-in", pem, "-noout", "-checkend", days * 86_400, status=status)


def test_modes_are_private(project):
    assert run(["provision", "gw-1", "--mosquitto", "broker.example"]) == 0
    folder = project / "identity"
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            assert mode(path) == 0o700, path
        elif path.name not in ("ca.crt", ".gitignore", "mosquitto.conf"):
            assert mode(path) == 0o600, path


def test_git_sees_no_key(project):
    if not shutil.which("git"):
        pytest.skip("no git")
    assert run(["provision", "gw-1", "--mosquitto", "broker.example"]) == 0
    subprocess.run(["git", "init", "-q"], check=True)
    done = subprocess.run(
        ["git", "status", "--porcelain", "-uall"], check=True, capture_output=True, text=True
    )
    found = {line[3:] for line in done.stdout.splitlines()}
    assert found == {"gateway.toml", "identity/.gitignore", "identity/ca.crt"}


def test_again_changes_nothing(project):
    words = ["provision", "gw-1", "--mosquitto", "broker.example"]
    assert run(words) == 0
    before = snapshot(project / "identity")
    assert run(words) == 0
    assert snapshot(project / "identity") == before


def test_renew_makes_a_new_key_and_keeps_what_the_user_wrote(project):
    assert run(["provision", "gw-1", "gw-2"]) == 0
    folder = project / "identity/devices"
    file = folder / "gw-1.toml"
    file.write_text(file.read_text() + '[network]\nntp = "time.example"\n')
    before = snapshot(folder)
    assert run(["provision", "--renew", "gw-1"]) == 0
    after = snapshot(folder)
    assert {p.name for p in after if after[p] != before[p]} == {"gw-1.pem", "gw-1.bin"}
    copy = newest((folder / "gw-1.bin").read_bytes())
    assert copy.sequence == 2
    assert copy.values["net.ntp"] == "time.example"


def test_a_changed_device_file_gets_a_new_configuration_with_the_same_key(project):
    assert run(["provision", "gw-1"]) == 0
    folder = project / "identity/devices"
    pem = (folder / "gw-1.pem").read_bytes()
    file = folder / "gw-1.toml"
    file.write_text(file.read_text() + '[network]\nntp = "time.example"\n')
    assert run(["provision", "gw-1"]) == 0
    assert (folder / "gw-1.pem").read_bytes() == pem
    assert newest((folder / "gw-1.bin").read_bytes()).sequence == 2


def test_an_interrupted_call_is_finished_by_the_next(project):
    assert run(["provision", "gw-1"]) == 0
    folder = project / "identity/devices"
    before = snapshot(folder)
    (folder / "gw-1.toml").unlink()
    (folder / "gw-1.bin").unlink()
    assert run(["provision", "gw-1"]) == 0
    after = snapshot(folder)
    assert {p.name for p in after} == {p.name for p in before}
    assert after[folder / "gw-1.pem"] == before[folder / "gw-1.pem"]


def test_a_failed_write_leaves_nothing(project, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert run(["provision", "gw-1"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert [p.name for p in project.iterdir()] == ["gateway.toml"]


def test_the_seal_is_the_cas(project, tmp_path):
    assert run(["provision", "gw-1"]) == 0
    blob = Path("identity/devices/gw-1.bin").read_bytes()
    assert seal_holds(blob, "identity/ca.crt", tmp_path)
    for place in (9, 40, len(blob) - SEAL_SIZE - 1, len(blob) - 1):
        broken = bytearray(blob)
        broken[place] ^= 1
        assert not seal_holds(bytes(broken), "identity/ca.crt", tmp_path), place


def test_the_configuration_has_the_devices_own_identity_and_topic(project):
    assert run(["provision", "gw-1"]) == 0
    values = newest(Path("identity/devices/gw-1.bin").read_bytes()).values
    assert values["name"] == "gw-1"
    assert values["mqtt.topic"] == "sites/north/gw-1"
    der = openssl("x509", "-in", "identity/devices/gw-1.pem", "-outform", "DER")
    assert base64.b64decode(values["tls.cert"]) == der
    key = openssl("ec", "-in", "identity/devices/gw-1.pem", "-outform", "DER")
    assert base64.b64decode(values["tls.key"]) == key


def test_openssl_peers_meet_with_both_certificates(project):
    assert run(["provision", "gw-1", "--mosquitto", "broker.example"]) == 0
    port = free_port()
    server = subprocess.Popen(
        [
            *("openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-tls1_3", "-www"),
            *("-Verify", "2", "-verify_return_error", "-CAfile", "identity/ca.crt"),
            *("-cert", "identity/broker/server.pem", "-key", "identity/broker/server.pem"),
        ],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(port)
        client = ["s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", "identity/ca.crt"]
        own = ["-cert", "identity/devices/gw-1.pem", "-key", "identity/devices/gw-1.pem"]
        named = ["-verify_return_error", "-verify_hostname", "broker.example", "-quiet"]
        get = b"GET / HTTP/1.0\r\n\r\n"
        page = openssl(*client, *own, *named, "-servername", "broker.example", stdin=get)
        assert b"HTTP/1.0 200" in page
        other = ["-verify_return_error", "-verify_hostname", "elsewhere.example"]
        openssl(*client, *own, *other, stdin=get, status=1)
        without = subprocess.run(["openssl", *client, *named], input=get, capture_output=True)
        assert b"HTTP/1.0 200" not in without.stdout
    finally:
        server.kill()
        server.wait()


def wait_for(port):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError("nobody listens")


def test_a_passphrase_encrypts_the_cas_key(project, monkeypatch, capsys):
    monkeypatch.setenv("EDGEUK_PASSPHRASE", "correct horse")
    assert run(["provision", "gw-1", "--encrypt"]) == 0
    key = Path("identity/ca.key")
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in key.read_bytes()
    public = openssl("pkey", "-in", key, "-passin", "pass:correct horse", "-pubout")
    assert public == key_of("identity/ca.crt")
    monkeypatch.setenv("EDGEUK_PASSPHRASE", "wrong one")
    capsys.readouterr()
    assert run(["provision", "gw-2"]) == 2
    said = capsys.readouterr()
    assert "the passphrase is wrong" in said.err
    assert "wrong one" not in said.err + said.out
    assert not Path("identity/devices/gw-2.pem").exists()
    assert run(["provision", "gw-2"]) == 2
    assert "nobody is at the terminal" in capsys.readouterr().err


@pytest.fixture
def authority(project):
    """A CA that openssl has made, outside of the project."""
    folder = project / "elsewhere"
    folder.mkdir()
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "ca.key")
    openssl(
        "req", "-x509", "-new", "-key", folder / "ca.key", "-days", 99, "-subj", "/CN=company",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign",
        "-out", folder / "ca.pem",
    )  # fmt: skip
    return folder


def test_an_existing_ca_is_taken_and_its_key_stays_where_it_is(project, authority, tmp_path):
    where = ["--ca-cert", "elsewhere/ca.pem", "--ca-key", "elsewhere/ca.key"]
    assert run(["provision", "gw-1", *where]) == 0
    assert not Path("identity/ca.key").exists()
    assert run(["provision", "gw-2"]) == 0
    for name in ("gw-1", "gw-2"):
        openssl("verify", "-CAfile", authority / "ca.pem", f"identity/devices/{name}.pem")
        blob = Path(f"identity/devices/{name}.bin").read_bytes()
        assert seal_holds(blob, authority / "ca.pem", tmp_path)
    end = re.search("Not After : (.*)", text_of(authority / "ca.pem"))[1]
    assert f"Not After : {end}" in text_of("identity/devices/gw-1.pem")  # no longer than the CA


def test_a_key_of_another_ca_is_refused(project, authority, capsys):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "other.key")
    words = ["--ca-cert", "elsewhere/ca.pem", "--ca-key", "other.key"]
    assert run(["provision", "gw-1", *words]) == 2
    assert "the CA's key is not the one of its certificate [E0422]" in capsys.readouterr().err
    assert not Path("identity").exists()


def signing(authority, *, more=""):
    return f"openssl pkeyutl -sign -inkey {authority}/ca.key -pkeyopt digest:sha256{more}"


def test_a_command_signs(project, authority, tmp_path):
    words = ["--ca-cert", "elsewhere/ca.pem", "--sign-command", signing(authority)]
    assert run(["provision", "gw-1", *words]) == 0
    assert run(["provision", "gw-2"]) == 0
    openssl("verify", "-CAfile", authority / "ca.pem", "identity/devices/gw-2.pem")
    blob = Path("identity/devices/gw-1.bin").read_bytes()
    assert seal_holds(blob, authority / "ca.pem", tmp_path)


PRINTS = """
import base64, subprocess, sys
der = subprocess.run({argv}, input=sys.stdin.buffer.read(), capture_output=True, check=True).stdout
def take(data):
    size = data[1]
    return int.from_bytes(data[2 : 2 + size], "big").to_bytes(32, "big"), data[2 + size :]
r, rest = take(der[2:])
s, rest = take(rest)
sys.stdout.buffer.write({form})
"""


@pytest.mark.parametrize(
    "form", ["r + s", "base64.b64encode(r + s)", "base64.encodebytes(der)", "der"]
)
def test_a_command_may_print_its_signature_in_four_forms(project, authority, form):
    Path("sign.py").write_text(PRINTS.format(argv=signing(authority).split(), form=form))
    words = ["--ca-cert", "elsewhere/ca.pem", "--sign-command", f"{sys.executable} sign.py"]
    assert run(["provision", "gw-1", *words]) == 0
    openssl("verify", "-CAfile", authority / "ca.pem", "identity/devices/gw-1.pem")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("true", "what `true` printed is no signature with the CA's key"),
        ("false", "`false` ended with status 1"),
        ("no-such-program-anywhere", "cannot start `no-such-program-anywhere`"),
        ("head -c 64 /dev/zero", "what `head` printed is no signature with the CA's key"),
        (
            "sh -c 'echo the HSM is asleep >&2; exit 3'",
            "`sh` ended with status 3: the HSM is asleep",
        ),
    ],
)
def test_a_command_that_does_not_sign_is_said(project, authority, capsys, command, said):
    words = ["--ca-cert", "elsewhere/ca.pem", "--sign-command", command]
    assert run(["provision", "gw-1", *words]) == 1
    assert said in capsys.readouterr().err
    assert not Path("identity/devices/gw-1.pem").exists()


def test_a_signature_with_another_key_is_refused(project, authority, capsys):
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "other.key")
    command = "openssl pkeyutl -sign -inkey other.key -pkeyopt digest:sha256"
    words = ["--ca-cert", "elsewhere/ca.pem", "--sign-command", command]
    assert run(["provision", "gw-1", *words]) == 1
    assert "no signature with the CA's key" in capsys.readouterr().err


@pytest.fixture
def token(project, authority, monkeypatch):
    """SoftHSM2 with the authority's key in it; the URI of that."""
    pytest.importorskip("pkcs11")
    module = next((m for m in MODULES if Path(m).exists()), None)
    if not module or not shutil.which("softhsm2-util"):
        pytest.skip("no SoftHSM2")
    (project / "tokens").mkdir()
    Path("softhsm2.conf").write_text(
        f"directories.tokendir = {project}/tokens\nlog.level = ERROR\n"
    )
    monkeypatch.setenv("SOFTHSM2_CONF", str(project / "softhsm2.conf"))
    util = ["softhsm2-util", "--token", "company"]
    begin = ["softhsm2-util", "--init-token", "--free", "--label", "company"]
    pins = ["--pin", "471147", "--so-pin", "11111111"]
    subprocess.run([*begin, *pins], check=True, capture_output=True)
    openssl("pkcs8", "-topk8", "-nocrypt", "-in", authority / "ca.key", "-out", "import.key")
    subprocess.run(
        [*util, "--import", "import.key", "--label", "ca key", "--id", "a1b2", "--pin", "471147"],
        check=True, capture_output=True,
    )  # fmt: skip
    Path("import.key").unlink()
    (authority / "ca.key").unlink()  # from here on only the token has it
    return f"pkcs11:token=company;object=ca%20key?module-path={module}"


# The module can be set up once in a process, with the tokens that are there then: each call of
# `edgeuk` is a process of its own.
def edgeuk(*words, pin=None, status=0):
    env = {**os.environ, **({"EDGEUK_PIN": pin} if pin else {})}
    done = subprocess.run(
        [sys.executable, "-m", "edgeuk", *map(str, words)],
        env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_key_in_a_token_signs(project, authority, token, tmp_path):
    edgeuk("provision", "gw-1", "--ca-cert", authority / "ca.pem", "--pkcs11", token, pin="471147")
    assert not Path("identity/ca.key").exists()
    openssl("verify", "-CAfile", authority / "ca.pem", "identity/devices/gw-1.pem")
    blob = Path("identity/devices/gw-1.bin").read_bytes()
    assert seal_holds(blob, authority / "ca.pem", tmp_path)
    said = edgeuk("provision", "gw-2", pin="999999", status=1)
    assert "PKCS#11 token `company`: the PIN is wrong [E0429]" in said
    assert "999999" not in said
    assert "nobody is at the terminal" in edgeuk("provision", "gw-2", status=2)
    assert not Path("identity/devices/gw-2.pem").exists()
    everything = b"".join(snapshot(project / "identity").values())
    assert b"471147" not in everything


def test_a_new_ca_for_a_key_in_a_token(project, authority, token):
    public = key_of(authority / "ca.pem")
    Path("pin").write_text("471147\n")
    by_id = re.sub("object=[^?]*", "id=%a1%b2", token) + f"&pin-source=file:{project}/pin"
    edgeuk("provision", "gw-1", "--pkcs11", by_id)
    assert key_of("identity/ca.crt") == public
    openssl("verify", "-CAfile", "identity/ca.crt", "identity/devices/gw-1.pem")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("company", "nobody"), "token `nobody`: there is no such token"),
        (("ca%20key", "other"), "the token has no such key"),
        (("libsofthsm2", "libnothing"), "token `company`: "),
    ],
)
def test_what_is_not_in_the_token_is_said(project, authority, token, change, said):
    uri = token.replace(*change)
    assert said in edgeuk("provision", "gw-1", "--pkcs11", uri, pin="471147", status=1)
    assert not Path("identity").exists()


@pytest.mark.parametrize(
    "uri", ["pkcs11", "http://x", "pkcs11:token=a?pin-value=471147", "pkcs11:tokn=a"]
)
def test_a_uri_that_will_not_do(uri):
    with pytest.raises(UsageError) as error:
        parse_uri(uri)
    assert "471147" not in str(error.value)
    assert ("a PIN does not belong into a URI" in str(error.value)) == ("pin-value" in uri)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gw 1"], "`gw 1` cannot be a device's name"),
        (["../gw"], "`../gw` cannot be a device's name"),
        (["-x"], "no option `-x`"),
        (["a" * 64], "cannot be a device's name"),
        (["reader"], "`reader` is who reads everything"),
        (["gw-1", "--days", "0"], "--days 0 is not 1 to 7300"),
        (["gw-1", "--mosquitto", "a b"], "`a b` is not a host name"),
        (["gw-1", "--ca-cert", "x"], "--ca-cert alone does not say who signs"),
        (["gw-1", "--ca-key", "x"], "--ca-key needs --ca-cert"),
        (["gw-1", "--ca-cert", "x", "--ca-key", "y"], "the CA `x` cannot be read"),
        (["gw-1", "--pkcs11", "x", "--sign-command", "y"], "one of them says who signs"),
        (["gw-1", "--sign-command", "y"], "--ca-cert FILE"),
        (["gw-1", "--gateway", "none.toml"], "no `none.toml` here"),
    ],
)
def test_a_wrong_call_changes_nothing(project, capsys, words, said):
    assert run(["provision", *words]) == 2
    assert said in capsys.readouterr().err
    assert [p.name for p in project.iterdir()] == ["gateway.toml"]


def test_half_a_ca_is_not_overwritten(project, capsys):
    assert run(["provision"]) == 0
    key = Path("identity/ca.key").read_bytes()
    Path("identity/ca.toml").unlink()
    assert run(["provision", "gw-1"]) == 2
    assert "`identity/ca.crt` is there already, but the CA is not whole" in capsys.readouterr().err
    assert Path("identity/ca.key").read_bytes() == key


def test_what_the_gateway_file_lacks_is_said(project, capsys):
    Path("gateway.toml").write_text(GATEWAY.format(tables="").replace("mqtts", "mqtt"))
    assert run(["provision", "gw-1", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["gateway_lacks"] == [
        '[identity]\nca = "identity/ca.crt"',
        '[tls]\nca = "identity/ca.crt"',
        '[mqtt]\nurl = "mqtts://broker.example:8883"',
    ]
    (device,) = done["devices"]
    assert device["name"] == "gw-1"
    assert device["state"] == "new"
    fingerprint = openssl(
        "x509", "-in", "identity/devices/gw-1.pem", "-noout", "-fingerprint", "-sha256"
    )
    assert device["sha256"] == fingerprint.decode().split("=")[1].strip().replace(":", "").lower()


def test_the_acl_names_every_device_and_its_topic(project):
    assert run(["provision", "gw-1", "--mosquitto", "broker.example"]) == 0
    assert run(["provision", "gw-2"]) == 0
    lines = Path("identity/broker/acl").read_text().splitlines()
    for name in ("gw-1", "gw-2"):
        assert lines[lines.index(f"user {name}") + 1] == f"topic readwrite sites/north/{name}/#"


def test_a_device_of_another_ca_is_not_taken_over(project, capsys):
    assert run(["provision", "gw-1"]) == 0
    Path("identity").rename("old")
    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    assert run(["provision"]) == 0
    shutil.copytree("old/devices", "identity/devices")
    Path("gateway.toml").write_text(GATEWAY.format(tables=TABLES))
    capsys.readouterr()
    assert run(["provision", "gw-1"]) == 2
    assert "is not signed by the CA in" in capsys.readouterr().err
    assert run(["provision", "--renew", "gw-1"]) == 0
    openssl("verify", "-CAfile", "identity/ca.crt", "identity/devices/gw-1.pem")


@pytest.mark.parametrize(("ends", "ca", "what"), [
    (-1, True, "the CA `company.crt` has expired on "),
    (9, False, "the CA `company.crt` may not sign others: it has no CA flag"),
])  # fmt: skip
def test_a_ca_that_will_not_do_is_refused_before_anything_is_made(project, capsys, ends, ca, what):
    company_ca(ends=ends, ca=ca)
    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    words = ["--ca-cert", "company.crt", "--ca-key", "company.key"]
    assert run(["provision", "gw-1", *words]) == 2
    assert what in capsys.readouterr().err
    assert not Path("identity").exists()


def company_ca(*, ends, ca):
    """A CA of somebody else, valid until so many days from now."""
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "company.key")
    key = serialization.load_pem_private_key(Path("company.key").read_bytes(), None)
    now, name = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "company")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=99))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    Path("company.crt").write_bytes(pem)
    return pem


def test_the_projects_own_ca_that_has_expired_signs_nothing_more(project, capsys):
    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    company_ca(ends=9, ca=True)
    assert run(["provision", "--ca-cert", "company.crt", "--ca-key", "company.key"]) == 0
    Path("identity/ca.crt").write_bytes(company_ca(ends=-1, ca=True))
    capsys.readouterr()
    assert run(["provision", "gw-1"]) == 2
    assert "the CA `identity/ca.crt` has expired on " in capsys.readouterr().err


def test_no_second_ca_is_made_beside_the_one_of_the_gateway_file(project, capsys):
    assert run(["provision"]) == 0
    assert run(["provision", "gw-1", "--folder", "other"]) == 2
    said = capsys.readouterr().err
    assert "gateway.toml has a CA: the images would take nothing from a new one in `other`" in said
    assert not Path("other").exists()


def test_a_ca_of_another_name_in_the_folder_is_the_one_of_the_gateway_file_too(project, capsys):
    assert run(["provision"]) == 0
    Path("identity/ca.crt").rename("identity/root.crt")
    for path in Path("identity").glob("ca.*"):
        path.unlink()
    text = Path("gateway.toml").read_text()
    assert "identity/ca.crt" in text
    Path("gateway.toml").write_text(text.replace("identity/ca.crt", "identity/root.crt"))
    assert run(["provision", "gw-1"]) == 2
    assert "gateway.toml has a CA" in capsys.readouterr().err
    assert not Path("identity/ca.crt").exists()


def test_the_next_step_is_what_is_to_be_done_next(project, capsys):
    def step(*words):
        assert run(["provision", *words]) == 0
        return capsys.readouterr().err.splitlines()[-1]

    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    assert step("gw-1") == "next: that in gateway.toml, then this command again"
    Path("gateway.toml").write_text(GATEWAY.format(tables=TABLES))
    assert step() == "next: edgeuk provision NAME, for each device"
    device = "edgeuk run --device identity/devices/gw-1.toml"
    assert step("gw-1", "--mosquitto", "broker.example") == f"next: {device}"
    conf = "identity/broker/mosquitto.conf"
    assert step("gw-1", "--mosquitto", "localhost", "--renew") == (
        f"next: mosquitto -c {conf}, and beside it {device} --broker mqtts://localhost:8883"
    )


# Finished configurations, as `--device NAME.bin` takes them.


@pytest.fixture
def gateway(project):
    assert run(["provision", "gw-1", "--board", "x86-microvm"]) == 0
    return load_gateway(Path("gateway.toml"), load_catalog())


def test_a_finished_configuration_is_taken(gateway):
    device = load_blob(Path("identity/devices/gw-1.bin"), gateway, "x86-microvm")
    assert device.values["name"] == "gw-1"
    assert device.blob == Path("identity/devices/gw-1.bin").read_bytes()


def faults_of(path, gateway, board="x86-microvm"):
    with pytest.raises(ConfigError) as error:
        load_blob(Path(path), gateway, board)
    (fault,) = error.value.faults
    return fault.code, fault.what


def test_a_configuration_for_another_board_is_refused(gateway, capsys):
    assert faults_of("identity/devices/gw-1.bin", gateway, "x86-pc") == (
        "E0427", "it is the configuration of `gw-1` for board `x86-microvm`, not for `x86-pc`",
    )  # fmt: skip
    capsys.readouterr()
    assert run(["check", "--board", "x86-pc", "--device", "identity/devices/gw-1.bin"]) == 2
    assert "error[E0427]" in capsys.readouterr().err


def test_without_a_board_it_is_for_the_one_that_would_be_built(project, capsys):
    assert run(["provision", "gw-1", "--board", "x86-pc"]) == 0
    capsys.readouterr()
    assert run(["check", "--device", "identity/devices/gw-1.bin"]) == 2
    assert "for board `x86-pc`, not for `x86-microvm`" in capsys.readouterr().err
    assert run(["check", "--board", "x86-pc", "--device", "identity/devices/gw-1.bin"]) == 0


def test_a_configuration_under_another_devices_name_is_refused(gateway):
    shutil.copy("identity/devices/gw-1.bin", "gw-2.bin")
    assert faults_of("gw-2.bin", gateway)[0] == "E0427"


def test_a_configuration_of_another_ca_is_refused(gateway):
    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    assert run(["provision", "gw-1", "--folder", "other"]) == 0
    code, what = faults_of("other/devices/gw-1.bin", gateway)
    assert code == "E0423"
    assert what.startswith("it is not sealed by the project's CA `identity/ca.crt`")


def test_what_is_checked_is_what_the_device_will_use(gateway):
    """A second copy that nobody has sealed, with a higher number: the device passes it over."""
    sealed = Path("identity/devices/gw-1.bin").read_bytes()
    other = encode({"name": "gw-1", "mqtt.host": "evil.example"}, sequence=9)
    Path("gw-1.bin").write_bytes(sealed.ljust(SIZE_MAX, b"\xff") + other)
    values = load_blob(Path("gw-1.bin"), gateway, "x86-microvm").values
    assert values["mqtt.host"] != "evil.example"
    assert "tls.key" in values


@pytest.mark.parametrize("place", [0, 4, 20, 200])
def test_a_damaged_configuration_is_refused(gateway, place):
    blob = bytearray(Path("identity/devices/gw-1.bin").read_bytes())
    blob[place] ^= 0x40
    Path("gw-1.bin").write_bytes(blob)
    assert faults_of("gw-1.bin", gateway)[0] == "E0430"


def test_without_the_cas_key_nothing_is_sealed_but_a_finished_one_is_taken(gateway):
    Path("identity/ca.toml").unlink()
    with pytest.raises(UsageError, match="who signs for that CA is not known here"):
        sealer(gateway, lambda what: "")
    assert load_blob(Path("identity/devices/gw-1.bin"), gateway, "x86-microvm").blob


def test_a_device_file_beside_its_key_is_without_fault(gateway):
    assert load_device(Path("identity/devices/gw-1.toml"), gateway).warnings == ()


OTP = bytes(range(1, 33))


def test_a_boards_own_key_encrypts_the_configuration(project, capsys):
    Path("gw-1.otp").write_text(OTP.hex() + "\n")
    words = ["provision", "gw-1", "--board", "rpi4"]
    assert run(words) == 0
    blob = Path("identity/devices/gw-1.bin")
    plain = newest(blob.read_bytes())
    assert run([*words, "--device-key", "gw-1.otp"]) == 0
    kept = Path("identity/devices/gw-1.otp")
    assert kept.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DeviceConfigError, match="encrypted with the key of a device"):
        newest(blob.read_bytes())
    found = newest(blob.read_bytes(), device_key=OTP)
    assert (found.values, found.sequence, found.encrypted) == (plain.values, 2, True)
    assert base64.b64decode(plain.values["tls.key"]) not in blob.read_bytes()
    again = blob.read_bytes()
    assert run(words) == 0  # the key stays where it is, and nothing has changed
    assert blob.read_bytes() == again
    assert run(["check", "--board", "rpi4", "--device", str(blob)]) == 0
    said = capsys.readouterr()
    assert OTP.hex() not in said.out + said.err
    kept.write_text("ab" * 32)
    assert run(["check", "--board", "rpi4", "--device", str(blob)]) == 2
    assert "is encrypted with the key of another device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text", "what"),
    [
        (["gw-1", "--board", "x86-pc"], "ab" * 32, "has no key of its own"),
        (["gw-1", "gw-2", "--board", "rpi4"], "ab" * 32, "goes with one NAME"),
        (["gw-1", "--board", "rpi4"], "ab" * 31, "64 hexadecimal digits"),
        (["gw-1", "--board", "rpi4"], "00" * 32, "not all of them 0"),
        (["gw-1", "--board", "rpi4"], "xy" * 32, "64 hexadecimal digits"),
        (["gw-1", "--board", "rpi4"], None, "there is no file"),
    ],
)
def test_a_boards_key_that_cannot_be_one_is_refused(project, capsys, words, text, what):
    if text is not None:
        Path("gw.otp").write_text(text)
    assert run(["provision", *words, "--device-key", "gw.otp"]) == 2
    assert what in capsys.readouterr().err
    assert not list(Path("identity/devices").glob("*.otp"))


def test_a_mistyped_name_is_not_renewed_into_a_new_device(project, capsys):
    assert run(["provision", "gw-1"]) == 0
    assert run(["provision", "--renew", "gw-11"]) == 2
    assert "there is no device `gw-11`" in (said := capsys.readouterr().err)
    assert "did you mean `gw-1`?" in said
    assert sorted(p.name for p in Path("identity/devices").glob("*.pem")) == ["gw-1.pem"]


def test_what_is_flashed_is_encrypted_with_the_boards_own_key(project, monkeypatch):
    """The image is not of interest here; one of the boards has no good random numbers."""
    text = Path("gateway.toml").read_text()
    Path("gateway.toml").write_text(f'profile = "development"\n{text}')
    Path("gw-1.otp").write_text(OTP.hex())
    assert run(["provision", "gw-1", "--board", "rpi4", "--device-key", "gw-1.otp"]) == 0
    monkeypatch.setattr(flash, "build_image", lambda *_: SimpleNamespace(image=Path("image")))
    device = Path("identity/devices/gw-1.toml")
    for board, encrypted in (("rpi4", True), ("imx6ul-evk", False)):
        work = flash._work(Path("gateway.toml"), board, device, None, None)
        assert newest(work.config, device_key=OTP).encrypted is encrypted


def test_a_new_image_leaves_a_provisioned_device_its_identity(project, monkeypatch, capsys):
    path = Path("gateway.toml")
    path.write_text(f'profile = "development"\n{path.read_text()}')
    assert run(["provision", "gw-1", "--board", "frdm-k64f"]) == 0
    monkeypatch.setattr(flash, "build_image", lambda *_: SimpleNamespace(image=Path("image")))
    device = Path("identity/devices/gw-1.bin")
    assert flash._work(path, "frdm-k64f", device, None, None).config == device.read_bytes()
    capsys.readouterr()
    assert flash._work(path, "frdm-k64f", None, None, None).config == b""
    assert "the device configuration on the board stays" in capsys.readouterr().err


def test_what_a_device_says_is_fit_for_a_terminal():
    """Whoever may publish where devices do may have said it."""
    said = rotation._text(b"\x1b[2J\x1b]0;owned\x07" + b"x" * 1000)
    assert said.isprintable()
    assert len(said) == rotation.SAID_MAX
