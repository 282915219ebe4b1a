"""TLS of a run: what its CA issues, judged by openssl; which brokers a run accepts; the monitor at
a broker of either kind, and at an impostor's."""

import stat
import subprocess

import pytest

from edgeuk.errors import DeviceError, UsageError
from edgeuk.run import tls
from edgeuk.run.broker import Broker
from edgeuk.run.monitor import Monitor
from edgeuk.run.session import check_broker

HOSTS = ("localhost", "127.0.0.1", "10.0.2.2")
ENCRYPTED, PLAIN = {"mqtt.tls": "1"}, {}


@pytest.fixture
def identity(tmp_path):
    return tls.make(tmp_path, "gw-1", HOSTS)


def test_openssl_accepts_what_a_run_issues(identity, tmp_path):
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", tmp_path / "ca.crt"]
    for option, name in zip(("-verify_hostname", "-verify_ip", "-verify_ip"), HOSTS, strict=True):
        subprocess.run(
            [*verify, "-purpose", "sslserver", option, name, tmp_path / "server.pem"],
            check=True, capture_output=True,
        )  # fmt: skip
    text = subprocess.run(
        ["openssl", "x509", "-in", tmp_path / "ca.crt", "-noout", "-checkend", str(8 * 86_400)],
        capture_output=True, check=False,
    )  # fmt: skip
    assert text.returncode == 1  # within days it is worth nothing


def test_the_key_of_a_runs_ca_is_never_written(identity, tmp_path):
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ca.crt", "server.pem"]
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in tmp_path.iterdir())
    assert b"PRIVATE KEY" not in (tmp_path / "ca.crt").read_bytes()


def test_what_belongs_to_another_broker_is_left_out():
    values = {"name": "a", "tls.ca": "x", "tls.cert": "x", "tls.key": "x", "tls.pins": "x"}
    assert tls.without(values) == {"name": "a"}


@pytest.mark.parametrize(
    ("url", "values", "expected"),
    [
        ("mqtts://broker", ENCRYPTED, ("broker", 8883)),
        ("mqtts://broker:1", ENCRYPTED, ("broker", 1)),
        ("broker", ENCRYPTED, ("broker", 8883)),
        ("broker", PLAIN, ("broker", 1883)),
        ("mqtt://broker:1", PLAIN, ("broker", 1)),
    ],
)
def test_a_broker_is_spoken_to_as_the_gateway_file_says(url, values, expected):
    assert check_broker(url, values) == expected


@pytest.mark.parametrize(
    ("url", "values"), [("mqtts://broker", PLAIN), ("mqtt://broker", ENCRYPTED)]
)
def test_a_broker_of_the_other_scheme_is_refused(url, values):
    with pytest.raises(UsageError, match="and so does the image"):
        check_broker(url, values)


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
def test_the_monitor_reaches_a_broker_with_tls(identity, kind):
    with (
        Broker(kind=kind, tls=(identity.ca, identity.server)) as broker,
        Monitor("127.0.0.1", broker.port, "a", tls=identity.monitor) as monitor,
    ):
        assert monitor.where == f"mqtts://127.0.0.1:{broker.port}"


# paho-mqtt leaves the socket of a handshake that failed to the garbage collector.
LEFT = pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl:pytest.PytestWarning")


@LEFT
def test_the_monitor_names_an_impostor(identity, tmp_path):
    (tmp_path / "other").mkdir()
    other = tls.make(tmp_path / "other", "gw-1", HOSTS)
    with (
        Broker(tls=(identity.ca, identity.server)) as broker,
        pytest.raises(DeviceError, match=r"is not the broker to trust: .*certificate"),
        Monitor("127.0.0.1", broker.port, "a", tls=other.monitor),
    ):
        pass


@LEFT
def test_the_monitor_names_a_broker_of_another_name(tmp_path):
    identity = tls.make(tmp_path, "gw-1", ("elsewhere.example",))
    with (
        Broker(tls=(identity.ca, identity.server)) as broker,
        pytest.raises(DeviceError, match="is not the broker to trust: ip address mismatch"),
        Monitor("127.0.0.1", broker.port, "a", tls=identity.monitor),
    ):
        pass


def test_without_a_ca_nobody_is_trusted():
    with pytest.raises(UsageError, match="no CA to trust"):
        tls.context({})


@pytest.mark.parametrize("url", ["mqtt://user:hunter2@broker:x", "mqtts://user:hunter2@broker"])
def test_a_password_in_a_url_is_not_repeated(url):
    with pytest.raises(UsageError) as error:
        check_broker(url, PLAIN)
    assert "hunter2" not in str(error.value)
