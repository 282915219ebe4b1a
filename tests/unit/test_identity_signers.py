"""Where the CA's key may be: in a file of somebody else's, behind a command, in a token (SoftHSM2).
What they sign is judged by openssl."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from identity_rig import key_of, openssl, seal_holds, snapshot, text_of

from edgeuk.cli.app import run
from edgeuk.errors import UsageError
from edgeuk.identity.token import parse_uri

MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


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
