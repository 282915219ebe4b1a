"""`edgeuk provision`: what it writes is judged by openssl, git and the file system, not by edgeuk;
mosquitto takes it in tests/boot/test_identity.py."""

import base64
import json
import os
import re
import shutil
import socket
import stat
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from identity_rig import GATEWAY, TABLES, key_of, openssl, seal_holds, snapshot, text_of

from edgeuk import rotation
from edgeuk.cli.app import run
from edgeuk.device_config import (
    SEAL_SIZE,
    newest,
)
from edgeuk.run.broker import free_port


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


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


def test_a_mistyped_name_is_not_renewed_into_a_new_device(project, capsys):
    assert run(["provision", "gw-1"]) == 0
    assert run(["provision", "--renew", "gw-11"]) == 2
    assert "there is no device `gw-11`" in (said := capsys.readouterr().err)
    assert "did you mean `gw-1`?" in said
    assert sorted(p.name for p in Path("identity/devices").glob("*.pem")) == ["gw-1.pem"]


def test_what_a_device_says_is_fit_for_a_terminal():
    """Whoever may publish where devices do may have said it."""
    said = rotation._text(b"\x1b[2J\x1b]0;owned\x07" + b"x" * 1000)
    assert said.isprintable()
    assert len(said) == rotation.SAID_MAX
