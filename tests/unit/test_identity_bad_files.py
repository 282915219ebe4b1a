"""Keys and certificates that will not do, and the exact text a user reads: bad/identity/*.toml and
*.txt beside them, as in test_document_bad_files.py. What they name is made by identity_pki.py."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import identity_pki
import pytest

from edgeuk.codes import CODES
from edgeuk.document import read_document
from edgeuk.errors import ConfigError
from edgeuk.gateway import load_device, load_gateway
from edgeuk.identity.check import check_device

BAD = Path(__file__).parent / "bad/identity"
FILES = sorted(BAD.glob("*.toml"))
GATEWAY = """
schema = 1
name = "meter"
[mqtt]
url = "mqtts://broker.example"
[tls]
ca = "ca.crt"
[identity]
ca = "ca.crt"
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
every = "1s"
"""


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return identity_pki.make(tmp_path_factory.mktemp("pki")).folder


@pytest.fixture
def here(pki, monkeypatch):
    monkeypatch.chdir(pki)
    (pki / "gateway.toml").write_text(GATEWAY)
    return pki


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_bad_identity_is_reported_whole(path, catalog, here):
    shutil.copy(path, here)
    whole = None if path.name.startswith("gateway") else load_gateway(Path("gateway.toml"), catalog)
    with pytest.raises(ConfigError) as error:
        load_device(Path(path.name), whole) if whole else load_gateway(Path(path.name), catalog)
    found = str(error.value)
    clock = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
    found = found.replace(clock, "NOW")
    expected = path.with_suffix(".txt")
    if os.environ.get("EDGEUK_RECORD"):
        expected.write_text(f"{found}\n")
    assert f"{found}\n" == expected.read_text()
    assert all(fault.code in CODES for fault in error.value.faults)


def device(here, catalog, text, gateway=GATEWAY):
    (here / "gateway.toml").write_text(gateway)
    (here / "device.toml").write_text(text)
    return load_device(Path("device.toml"), load_gateway(Path("gateway.toml"), catalog))


def test_a_good_identity_has_no_fault(here, catalog):
    text = 'name = "gw-1"\n[tls]\ncert = "gw-1.crt"\nkey = "gw-1.key"\n'
    assert device(here, catalog, text).warnings == ()


def test_a_key_that_others_can_read_is_a_warning(here, catalog):
    text = 'name = "gw-1"\n[tls]\ncert = "gw-1.crt"\nkey = "open.key"\n'
    (warning,) = device(here, catalog, text).warnings
    assert warning.code == "W0420"
    assert warning.what == "others on this machine may read the key `open.key` (mode 0644)"
    assert warning.hint == "chmod 600 open.key"


def test_another_ca_than_the_brokers_is_a_warning_where_no_project_ca_is_named(here, catalog):
    gateway = GATEWAY.replace('[identity]\nca = "ca.crt"\n', "")
    text = 'name = "gw-1"\n[tls]\ncert = "foreign.crt"\nkey = "foreign.key"\n'
    (warning,) = device(here, catalog, text, gateway).warnings
    assert warning.code == "W0423"


def test_an_rsa_ca_is_fine_with_the_compatible_profile(here, catalog):
    gateway = GATEWAY.replace(
        '[tls]\nca = "ca.crt"', '[tls]\nprofile = "compatible"\nca = "rsa-ca.crt"'
    )
    (here / "gateway.toml").write_text(gateway)
    load_gateway(Path("gateway.toml"), catalog)


def test_the_key_that_seals_is_the_one_of_the_cas_certificate(here, catalog):
    (here / "gateway.toml").write_text(GATEWAY)
    gateway = load_gateway(Path("gateway.toml"), catalog)
    assert len(gateway.seal_key) == 65
    assert gateway.seal_key[0] == 4
    assert gateway.identity_ca == Path("ca.crt")


@pytest.mark.parametrize(
    ("now", "codes"),
    [
        ((2098, 11, 1), []),
        ((2098, 12, 15), ["W0424"]),
        ((2098, 12, 31, 23, 59, 59), ["W0424"]),
        ((2099, 1, 1, 0, 0, 1), ["E0424"]),
        ((2020, 2, 29, 23, 59, 59), ["E0424"]),
        ((2020, 3, 1), []),
    ],
)
def test_dates_are_compared_to_the_second(here, now, codes):
    (here / "device.toml").write_text('[tls]\ncert = "gw-1.crt"\nkey = "gw-1.key"\n')
    doc = read_document(Path("device.toml"))
    check_device(doc, None, "gw-1", datetime(*now, tzinfo=UTC))
    assert [fault.code for fault in doc.faults] == codes
