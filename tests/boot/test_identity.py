"""From `edgeuk provision` to readings at a broker that lets in nobody else; and that no secret is
in anything that is shown or left behind on the way. On `host`, with mosquitto."""

import base64
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from paho.mqtt.enums import CallbackAPIVersion

from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

LIMIT_S = 120.0
TOPIC = "test/fleet"
PASSWORD, PASSPHRASE = "p4ssw0rd-of-gw-1", "passphrase-of-the-CA"
GATEWAY = f"""\
schema = 1
name = "meter"
[mqtt]
url = "mqtts://localhost:8883"
topic = "{TOPIC}"
[tls]
ca = "identity/ca.crt"
[identity]
ca = "identity/ca.crt"
rotate = true
[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = 0
high = 1000
period = "100s"
every = "100ms"
"""
ENV = {**os.environ, "EDGEUK_PASSPHRASE": PASSPHRASE}


class Fleet:
    """A project with devices gw-1 and gw-2, and all that its commands have said."""

    def __init__(self, folder):
        self.folder = folder
        self.said = b""
        self.seen = b""  # command lines and environments of what ran meanwhile
        (folder / "gateway.toml").write_text(GATEWAY)

    def edgeuk(self, *words, status=0, watch=False, env=ENV):
        command = [sys.executable, "-m", "edgeuk", *map(str, words)]
        child = subprocess.Popen(
            command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(child.pid, over))
        if watch:
            watcher.start()
        try:
            out, err = child.communicate(timeout=LIMIT_S * 4)
        finally:
            child.kill()
            over.set()
            if watch:
                watcher.join()
        self.said += out + err
        assert child.returncode == status, err.decode()
        return out.decode() + err.decode()

    def _watch(self, root, over):
        """Collect command lines of a process and those below it."""
        while not over.wait(0.05):
            parents = {}
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parents[int(stat.parent.name)] = int(
                        stat.read_text().rsplit(")", 1)[1].split()[1]
                    )
                except OSError:
                    continue
            for pid in parents:
                above = pid
                while above in parents and above != root:
                    above = parents[above]
                if above == root:
                    try:
                        line = Path(f"/proc/{pid}/cmdline").read_bytes()
                        self.seen += line + b"\n"
                        # Before it executes a program, a child is a copy of us.
                        if line != Path(f"/proc/{root}/cmdline").read_bytes():
                            self.seen += Path(f"/proc/{pid}/environ").read_bytes() + b"\n"
                    except OSError:
                        continue


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.edgeuk("provision", "gw-1", "gw-2", "--encrypt", "--mosquitto", "localhost")
    file = made.folder / "identity/devices/gw-1.toml"
    file.write_text(file.read_text().replace("[mqtt]", f'[mqtt]\npassword = "{PASSWORD}"'))
    made.edgeuk("provision", "gw-1")
    made.edgeuk("build", "--board", "host", "--json")
    return made


@pytest.fixture
def broker(fleet, tmp_path):
    """mosquitto with the configuration that was written, on a free port."""
    port = free_port()
    text = (fleet.folder / "identity/broker/mosquitto.conf").read_text()
    conf = tmp_path / "mosquitto.conf"
    text = text.replace("listener 8883", f"listener {port} 127.0.0.1")
    conf.write_text(f"log_type all\n{text}")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    with Process([program, "-c", str(conf)]) as running:
        running.wait_line("running", LIMIT_S)
        running.port = port
        yield running


def context(fleet, name):
    folder = fleet.folder / "identity"
    made = ssl.create_default_context(cafile=folder / "ca.crt")
    if name:
        made.load_cert_chain(folder / name)
    return made


class Client:
    """A client of the broker under a certificate."""

    def __init__(self, fleet, port, name):
        self.heard, self.answer = [], threading.Event()
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.mqtt.tls_set_context(context(fleet, name))
        self.mqtt.on_connect = lambda *_: self.answer.set()
        self.mqtt.on_message = lambda _c, _u, m: self.heard.append(m.topic)
        self.mqtt.connect("localhost", port)
        self.mqtt.loop_start()

    def __enter__(self):
        assert self.answer.wait(LIMIT_S)
        return self

    def __exit__(self, *_):
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def subscribe(self, topic):
        done = threading.Event()
        self.mqtt.on_subscribe = lambda *_: done.set()
        self.mqtt.subscribe(topic, qos=1)
        assert done.wait(LIMIT_S)

    def publish(self, topic):
        done = threading.Event()
        codes = []
        self.mqtt.on_publish = lambda _c, _u, _m, code, _p: (codes.append(code), done.set())
        self.mqtt.publish(topic, b"x", qos=1)
        assert done.wait(LIMIT_S)
        return codes[0]


def wait_until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_run_makes_broker_and_identity_of_its_own(fleet):
    said = fleet.edgeuk("run", "--board", "host", "--for", "3s", "--json", watch=True)
    assert said.count('"sensor": "wave"') > 5
    console = (fleet.folder / "build/host/console.log").read_text()
    assert "is verified, TLSv1.3" in console


@pytest.mark.parametrize("file", ["gw-1.toml", "gw-1.bin"])
def test_a_device_reaches_the_broker_by_its_certificate(fleet, broker, file):
    device = fleet.folder / f"identity/devices/{file}"
    where = ["--broker", f"mqtts://localhost:{broker.port}"]
    said = fleet.edgeuk(
        "run", "--board", "host", "--for", "3s", "--device", device, *where, watch=True
    )
    assert "mqtt: connected" in said
    assert "u'gw-1'" in "\n".join(broker.lines)  # the user name is the certificate's


def test_a_device_writes_below_its_own_topic_only(fleet, broker):
    with (
        Client(fleet, broker.port, "broker/reader.pem") as reader,
        Client(fleet, broker.port, "devices/gw-1.pem") as device,
    ):
        reader.subscribe("#")
        assert not device.publish(f"{TOPIC}/gw-1/data").is_failure
        wait_until(lambda: reader.heard)
        assert device.publish(f"{TOPIC}/gw-2/data").is_failure
        assert device.publish("elsewhere").is_failure
        assert not device.publish(f"{TOPIC}/gw-1/status").is_failure
        wait_until(lambda: len(reader.heard) > 1)
        assert reader.heard == [f"{TOPIC}/gw-1/data", f"{TOPIC}/gw-1/status"]


def test_without_a_certificate_nobody_is_let_in(fleet, broker):
    with socket.create_connection(("127.0.0.1", broker.port), LIMIT_S) as plain:
        made = context(fleet, "").wrap_socket(plain, server_hostname="localhost")
        with made, pytest.raises(ssl.SSLError, match="certificate required"):
            made.recv(1)  # with TLS 1.3, only what is read first says so


def test_a_broker_of_the_other_scheme_is_refused_before_the_build(fleet):
    said = fleet.edgeuk("run", "--broker", "mqtt://localhost:1", "--board", "host", status=2)
    assert "the gateway file says mqtts://" in said


def test_an_impostor_is_named_by_the_monitor(fleet, broker):
    where = ["--broker", f"mqtts://127.0.0.2:{broker.port}"]
    device = ["--device", "identity/devices/gw-1.toml"]
    fleet.edgeuk("run", "--board", "host", *where, *device, status=3)


class RotatingDevice(Client):
    """A device as docs/identity.md has it: asks with a key of its own, and checks the answer."""

    def __init__(self, fleet, port, name):
        self.folder = fleet.folder
        super().__init__(fleet, port, f"devices/{name}.pem")
        self.name, self.state, self.key = name, b"new", ec.generate_private_key(ec.SECP256R1())
        self.topic = f"{TOPIC}/{name}/identity/"
        self.mqtt.on_message = lambda _c, _u, m: self.answer_to(m.topic, m.payload)

    def answer_to(self, topic, payload):
        encoding, form = serialization.Encoding, serialization.PublicFormat
        if topic.endswith("/rotate"):
            point = self.key.public_key().public_bytes(encoding.X962, form.UncompressedPoint)
            text = b"edgeuk identity request 2\0" + self.name.encode() + b"\0" + point
            r, s = decode_dss_signature(self.key.sign(text, ec.ECDSA(hashes.SHA256())))
            proof = r.to_bytes(32, "big") + s.to_bytes(32, "big")
            pem = (self.folder / f"identity/devices/{self.name}.pem").read_bytes()
            present = serialization.load_pem_private_key(pem, None)
            proof += present.sign(text, ec.ECDSA(hashes.SHA256()))
            self.mqtt.publish(self.topic + "request", point + proof, qos=1)
        else:
            (self.folder / "set.der").write_bytes(payload)
            self.mqtt.publish(self.topic + "state", self.state, qos=1)


@pytest.fixture
def rotating(fleet, broker):
    with RotatingDevice(fleet, broker.port, "gw-2") as device:
        device.subscribe(device.topic + "rotate")
        device.subscribe(device.topic + "set")
        where = ["--broker", f"mqtts://localhost:{broker.port}"]
        device.words = ["provision", "--rotate", "gw-2", *where]
        yield device


@contextmanager
def running(fleet, words):
    """`edgeuk run` from its first reading on."""
    command = [sys.executable, "-m", "edgeuk", "run", "--for", "2m", "--json", *map(str, words)]
    with subprocess.Popen(
        command, cwd=fleet.folder, env=ENV, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as child:  # fmt: skip
        try:
            assert child.stdout.readline(), child.stderr.read().decode()
            yield
        finally:
            child.terminate()
            fleet.said += b"".join(child.communicate(timeout=LIMIT_S))


@pytest.mark.parametrize("board", ["host", "x86-microvm"])
def test_a_running_device_gets_a_certificate_and_keeps_it(fleet, broker, board):
    """By the commands alone, as docs/identity.md has them."""
    where = ["--broker", f"mqtts://localhost:{broker.port}"]
    disk = fleet.folder / f"identity/devices/gw-2.{board}.disk"
    device = ["--device", "identity/devices/gw-2.toml", "--storage", disk]
    words = ["--board", board, *device, *where]
    with running(fleet, words):
        said = fleet.edgeuk("provision", "--rotate", "gw-2", *where)
    assert "gw-2: new certificate, valid until" in said
    assert disk.stat().st_mode & 0o777 == 0o600  # a key is in it
    given = ["openssl", "x509", "-in", fleet.folder / "identity/devices/gw-2.crt", "-noout"]
    subject = subprocess.run([*given, "-subject"], check=True, capture_output=True).stdout
    assert subject == b"subject=CN = gw-2\n"
    verify = ["openssl", "verify", "-purpose", "sslclient", "-CAfile", "identity/ca.crt", given[3]]
    subprocess.run(verify, cwd=fleet.folder, check=True, capture_output=True)
    with running(fleet, words):
        pass
    console = (fleet.folder / f"build/{board}/console.log").read_text()
    assert "identity: 1 of the storage\n" in console
    assert "mqtt: connected" in console


def test_what_cannot_keep_anything_says_so(fleet, tmp_path):
    said = fleet.edgeuk("run", "--board", "host", "--storage", tmp_path, status=2)
    assert "is no file" in said
    small = tmp_path / "small"
    small.write_bytes(bytes(512))
    said = fleet.edgeuk("run", "--board", "host", "--storage", small, status=2)
    assert "is smaller than 16384 bytes" in said


def test_a_device_that_keeps_its_old_certificate_is_said(fleet, rotating):
    path = fleet.folder / "identity/devices/gw-2.crt"
    before = path.read_bytes() if path.exists() else b""
    rotating.state = b"kept: no connection"
    said = fleet.edgeuk(*rotating.words, status=3)
    assert "keeps its old certificate: kept: no connection" in said
    assert (path.read_bytes() if path.exists() else b"") == before


def secrets_of(fleet):
    """Every secret in the forms in which it could be shown."""
    found = {"password": PASSWORD.encode(), "passphrase": PASSPHRASE.encode()}
    for pem in [*(fleet.folder / "identity").rglob("*.pem"), fleet.folder / "identity/ca.key"]:
        decrypt = ["openssl", "pkey", "-in", pem, "-passin", f"pass:{PASSPHRASE}"]
        text = subprocess.run(decrypt, check=True, capture_output=True).stdout
        noted = subprocess.run(
            [*decrypt, "-noout", "-text"], check=True, capture_output=True
        ).stdout
        number = re.search(rb"priv:([\s0-9a-f:]+)pub:", noted)[1]
        raw = bytes.fromhex(re.sub(rb"[\s:]", b"", number).decode())[-32:]
        found[f"{pem.name} raw"] = raw
        found[f"{pem.name} hex"] = raw.hex().encode()
        found[f"{pem.name} C"] = b", ".join(b"0x%02x" % b for b in raw[:8])
        for form in ("DER", "PEM"):
            sec1 = ["openssl", "ec", "-outform", form]
            data = subprocess.run(sec1, input=text, check=True, capture_output=True).stdout
            if form == "DER":
                found[f"{pem.name} base64"] = base64.b64encode(data)[12:48]
            else:
                found[f"{pem.name} PEM"] = data.split(b"\n")[1]
        found[f"{pem.name} PKCS #8"] = text.split(b"\n")[2]
    return found


def test_no_secret_is_shown_or_left_behind(fleet):
    """After the tests above, whose words and command lines are looked through as well."""
    device = fleet.folder / "identity/devices/gw-1.toml"
    whole = device.read_text()
    for words in (
        ["check", "--device", device],
        ["check", "--json", "--device", device],
        ["check", "--json", "--device", device.with_suffix(".bin")],
        ["provision", "gw-1", "--json"],
        ["provision", "gw-3", "--json"],
        ["size", "--board", "host", "--json"],
        ["why", "tls", "--board", "host"],
    ):
        try:
            fleet.edgeuk(*words)
        except AssertionError:  # what fails has words too
            continue
    device.write_text(whole.replace("gw-1.pem", "gw-2.pem").replace("password =", "password"))
    fleet.edgeuk("check", "--device", device, status=2)
    device.write_text(whole)
    files = [p for p in fleet.folder.rglob("*") if p.is_file() and "identity" not in p.parts]
    assert any("build" in p.parts for p in files)
    places = {str(p): p.read_bytes() for p in files}
    places |= {"what was said": fleet.said, "command lines": fleet.seen}
    assert b"edgeuk" in fleet.said
    for name, secret in secrets_of(fleet).items():
        assert len(secret) >= 16
        for place, data in places.items():
            assert secret not in data, f"{name} is in {place}"


def test_the_search_finds_what_is_there(fleet):
    """That the test above would: the files that hold the secrets have them in these forms."""
    folder = fleet.folder / "identity/devices"
    found = secrets_of(fleet)
    assert found["gw-1.pem raw"] in (folder / "gw-1.bin").read_bytes()
    assert found["password"] in (folder / "gw-1.bin").read_bytes()
    assert found["gw-1.pem PEM"] in (folder / "gw-1.pem").read_bytes()
