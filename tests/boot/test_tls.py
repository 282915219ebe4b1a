"""TLS to the broker: client certificates are shown, and every impostor is refused with the reason
on the console."""

import base64
import subprocess
from contextlib import ExitStack

import pytest
from boot_rig import HEAD, LIMIT_S, WAVE, Built

from edgeuk.build import build
from edgeuk.catalog import find_board
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve
from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

BOARDS = ["host", "x86-microvm", "lm3s6965evb"]
SERVER, CLIENT = "serverAuth", "clientAuth"
HERE = "DNS:localhost,IP:127.0.0.1,IP:10.0.2.2"
CONF = """\
user root
log_type all
listener {port} 127.0.0.1
cafile {pki}/ca.crt
certfile {pki}/{server}.crt
keyfile {pki}/{server}.key
require_certificate true
allow_anonymous true
"""


class Pki:
    """Certificates made by openssl, in a folder."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("ca", "other"):
            uses = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign"
            self._key(name)
            self._run(
                f"req -x509 -new -key {name}.key -days 99 -subj /CN={name} {uses} -out {name}.crt"
            )
        self.leaf("server", SERVER)
        self.leaf("of_other", SERVER, ca="other")
        self.leaf("expired", SERVER, days="-1")
        self.leaf("elsewhere", SERVER, names="DNS:elsewhere.test,IP:192.0.2.1")
        self.leaf("no_server", CLIENT)
        self.leaf("device", CLIENT)
        self.leaf("device_of_other", CLIENT, ca="other")

    def _run(self, line):
        subprocess.run(["openssl", *line.split()], cwd=self.folder, check=True, capture_output=True)

    def _key(self, name):
        self._run(f"ecparam -name prime256v1 -genkey -noout -out {name}.key")

    def leaf(self, name, use, *, ca="ca", days="99", names=HERE):
        self._key(name)
        (self.folder / f"{name}.ext").write_text(
            f"basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\n"
            f"extendedKeyUsage={use}\nsubjectAltName={names}\n"
        )
        self._run(f"req -new -key {name}.key -subj /CN={name} -out {name}.csr")
        self._run(
            f"x509 -req -in {name}.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -days {days} "
            f"-extfile {name}.ext -out {name}.crt"
        )

    def value(self, kind, name):
        command = ["ec"] if kind == "key" else ["x509"]
        suffix = "key" if kind == "key" else "crt"
        made = subprocess.run(
            ["openssl", *command, "-in", f"{name}.{suffix}", "-outform", "DER"],
            cwd=self.folder, check=True, capture_output=True,
        )  # fmt: skip
        return base64.b64encode(made.stdout).decode()


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module", params=BOARDS)
def built(request, tmp_path_factory, catalog):
    folder = tmp_path_factory.mktemp("gateway")
    path = folder / "gateway.toml"
    path.write_text(HEAD.replace("mqtt://", "mqtts://") + WAVE)
    board = find_board(catalog, request.param)
    image = resolve(load_gateway(path, catalog), board, catalog)
    return Built(image, build(image, folder / "build"))


@pytest.fixture
def connect(built, pki, boot, tmp_path):
    """Starts a broker with that certificate and the image with that one; the image's console."""
    brokers = ExitStack()

    def start(server, device):
        port = free_port()
        conf = tmp_path / "mosquitto.conf"
        conf.write_text(CONF.format(port=port, pki=pki.folder, server=server))
        broker = brokers.enter_context(Process(["mosquitto", "-c", str(conf)]))
        broker.wait_line("running", LIMIT_S)
        values = {"mqtt.port": str(port), "tls.ca": pki.value("crt", "ca")}
        if device:
            values |= {"tls.cert": pki.value("crt", device), "tls.key": pki.value("key", device)}
        return broker, boot(built, values)

    with brokers:
        yield start


def test_readings_reach_a_broker_that_demands_a_certificate(connect):
    broker, machine = connect("server", "device")
    machine.wait_line("mqtt: connected", LIMIT_S)
    broker.wait_line("Received PUBLISH from gateway", LIMIT_S)


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("of_other", "is not signed by our CA"),
        ("expired", "has expired"),
        ("elsewhere", "is for another name"),
        ("no_server", "is not for servers"),
    ],
)
def test_an_impostor_is_refused(connect, server, reason):
    _, machine = connect(server, "device")
    machine.wait_line(f"refused: its certificate {reason}", LIMIT_S)


@pytest.mark.parametrize(("device", "alert"), [("", 116), ("device_of_other", 48)])
def test_a_broker_that_refuses_us_is_heard(connect, device, alert):
    _, machine = connect("server", device)
    machine.wait_line(f"refuses us: alert {alert}", LIMIT_S)
