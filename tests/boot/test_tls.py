"""TLS to the broker, on every board that has a network: client certificates are shown, sessions are
resumed, impostors are refused with the reason on the console and in the statistics, and what goes
wrong is counted. Peers are mosquitto and OpenSSL's s_server; tests/tls has many more impostors."""

import base64
import hashlib
import json
import re
import socket
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from boot_lan import Lan
from boot_rig import HEAD, LIMIT_S, NETWORKED, TOPIC, WAVE, Built, heap_needed, tight
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from edgeuk import senml
from edgeuk.build import build
from edgeuk.cache import write_changed
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway, random_lack
from edgeuk.resolve import resolve
from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

SERVER, CLIENT = "serverAuth", "clientAuth"
HERE = "DNS:localhost,IP:127.0.0.1,IP:10.0.2.2"
DEVELOPMENT = 'profile = "development"\n'
# Boards whose source of random numbers QEMU lacks.
WEAK = ("imx6ul-evk", "imx8mp-evk", "rpi4")
COMPATIBLE = '[tls]\nprofile = "compatible"\n'
VIRT = "virt-aarch64"
STATISTICS_S = 1  # in WAVE
CLOCKS = {"host": "system", "lm3s6965evb": "certificates", "x86-microvm": "rtc"}
HEAP_VARIES = 100  # with the lengths of signatures
PIECES = 400
LIGHT = """
[[actuator]]
name = "light"
driver = "gpio_out"
at = "gpio0:5"
"""
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
        self.root("ca")
        self.root("other")
        self.leaf("server", SERVER)
        self.leaf("device", CLIENT)

    def _run(self, line):
        made = subprocess.run(
            ["openssl", *line.split()], cwd=self.folder, check=True, capture_output=True
        )
        return made.stdout

    def _key(self, name, rsa=0):
        if rsa:
            self._run(f"genrsa -out {name}.key {rsa}")
        else:
            self._run(f"ecparam -name prime256v1 -genkey -noout -out {name}.key")

    def root(self, name):
        uses = "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=keyCertSign"
        self._key(name)
        self._run(
            f"req -x509 -new -key {name}.key -days 99 -subj /CN={name} {uses} -out {name}.crt"
        )

    def leaf(self, name, use, *, ca="ca", days="99", names=HERE, rsa=0, is_ca=False):
        """A certificate; behind it in the file, those between it and the root."""
        if (self.folder / f"{name}.crt").exists():
            return
        self._key(name, rsa)
        text = f"extendedKeyUsage={use}\nsubjectAltName={names}\nkeyUsage=digitalSignature\n"
        if is_ca:
            text = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign\n"
        (self.folder / f"{name}.ext").write_text(text)
        self._run(f"req -new -key {name}.key -subj /CN={name} -out {name}.csr")
        self._run(
            f"x509 -req -in {name}.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial -days {days} "
            f"-extfile {name}.ext -out {name}.crt"
        )
        if ca not in ("ca", "other"):
            own, issuers = self.folder / f"{name}.crt", (self.folder / f"{ca}.crt").read_text()
            own.write_text(own.read_text() + issuers)
            (self.folder / f"{name}.chain").write_text(issuers)

    def leaf_of_later(self, name, days):
        """One of `server`'s key that becomes valid in so many days: openssl's x509 makes none."""
        read = (self.folder / "server.crt").read_bytes()
        server = x509.load_pem_x509_certificate(read)
        key = serialization.load_pem_private_key((self.folder / "ca.key").read_bytes(), None)
        start = datetime.now(UTC) + timedelta(days=days)
        builder = x509.CertificateBuilder(
            server.issuer, server.subject, server.public_key(), x509.random_serial_number(),
            start, start + timedelta(days=9), list(server.extensions),
        )  # fmt: skip
        made = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        (self.folder / f"{name}.crt").write_bytes(made)
        (self.folder / f"{name}.key").write_bytes((self.folder / "server.key").read_bytes())

    def der(self, name):
        return self._run(f"x509 -in {name}.crt -outform DER")

    def pin(self, name):
        public = self._run(f"x509 -in {name}.crt -noout -pubkey")
        (self.folder / f"{name}.pub").write_bytes(public)
        der = self._run(f"pkey -pubin -in {name}.pub -outform DER")
        return base64.b64encode(hashlib.sha256(der).digest()).decode()

    def values(self, device, cas=("ca",)):
        """Keys of the device configuration."""
        values = {"tls.ca": base64.b64encode(b"".join(map(self.der, cas))).decode()}
        if device:
            key = self._run(f"ec -in {device}.key -outform DER")
            values["tls.cert"] = base64.b64encode(self.der(device)).decode()
            values["tls.key"] = base64.b64encode(key).decode()
        return values


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def images(shared):
    """Builds a board's image, each once for all workers: with the heap that it needs and a tenth
    more, so that it shows who takes more; or as it is shipped, or with sizes that are said."""
    known = {}
    catalog = load_catalog()

    def get(board, *, top=None, more=None, shipped=False, **sizes):
        lacks = board in WEAK or random_lack(find_board(catalog, board), catalog)
        weak = top if top is not None else DEVELOPMENT * bool(lacks)
        more = more if more is not None else LIGHT * (board == VIRT)
        key = (board, weak, more, shipped, *sizes.items())
        if key not in known:
            folder = shared / f"tls-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}"
            path = folder / "gateway.toml"
            head = HEAD.replace("[mqtt]", f"{weak}[mqtt]").replace("mqtt://", "mqtts://")
            write_changed(path, (head + WAVE + more).encode())
            found = find_board(catalog, board)
            found = replace(found, sizes={**found.sizes, **sizes})
            image = resolve(load_gateway(path, catalog), found, catalog)
            if not sizes and not shipped:
                image = tight(image)
            known[key] = Built(image, build(image, folder / "build"))
        return known[key]

    return get


def heap_is_tight(built, line):
    """What a connection took is about what is in HEAP, and its limit a tenth above."""
    took, limit = (int(number) for number in re.findall(r"heap (\d+) of (\d+)", line)[0])
    print(f"{built.image.board.name}: heap {took} of {limit}")
    needed = heap_needed(built.image)
    assert needed - PIECES <= took <= needed + HEAP_VARIES
    assert limit <= needed * 1.1


@pytest.fixture
def servers():
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def broker(pki, servers, tmp_path):
    def start(server="server", port=0):
        port = port or free_port()
        conf = tmp_path / "mosquitto.conf"
        conf.write_text(CONF.format(port=port, pki=pki.folder, server=server))
        process = servers.enter_context(Process(["mosquitto", "-c", str(conf)]))
        process.wait_line("running", LIMIT_S)
        return process, port

    return start


@pytest.fixture
def s_server(pki, servers):
    def start(server, *options):
        port = free_port()
        command = ["openssl", "s_server", "-accept", str(port), "-key", f"{server}.key"]
        command += ["-cert", f"{server}.crt", "-www", *options]
        if (pki.folder / f"{server}.chain").exists():
            command += ["-cert_chain", f"{server}.chain"]
        command = ["sh", "-c", f"cd {pki.folder} && exec {' '.join(command)}"]
        servers.enter_context(Process(command)).wait_line("ACCEPT", LIMIT_S)
        return port

    return start


def client(pki, port, program, *arguments, check=True):
    """A command of mosquitto's, with the device's certificate; what it writes."""
    files = ("--cafile", "ca.crt", "--cert", "device.crt", "--key", "device.key")
    command = [program, "-h", "localhost", "-p", str(port), *files, *arguments]
    made = subprocess.run(
        command, cwd=pki.folder, check=check, capture_output=True, timeout=LIMIT_S
    )
    return made.stdout


def report(pki, port):
    """The last message on <topic>/tls."""
    topic = f"{TOPIC}/tls"
    return json.loads(client(pki, port, "mosquitto_sub", "-t", topic, "-C", "1", "-W", "30"))


@pytest.mark.parametrize("board", [*NETWORKED, "frdm-k64f"])
def test_an_impostor_is_refused_and_then_the_broker_is_not(board, images, pki, broker, boot):
    """The broker demands a certificate. Other impostors: tests/tls."""
    pki.leaf("of_other", SERVER, ca="other")
    impostor, port = broker("of_other")
    built = images(board)
    machine = boot(built, {"mqtt.port": str(port), **pki.values("device")})
    machine.wait_line("refused: its certificate is not signed by our CA", LIMIT_S)
    impostor.stop()
    pki.leaf("first", "", is_ca=True)
    pki.leaf("below_first", SERVER, ca="first")
    process, _ = broker("below_first", port=port)
    heap_is_tight(built, machine.wait_line("is verified", LIMIT_S))
    machine.wait_line("mqtt: connected", LIMIT_S)
    process.wait_line("Received PUBLISH from gateway", LIMIT_S)
    assert report(pki, port)["refusals"]["ca"] >= 1


@pytest.mark.parametrize("board", ["lm3s6965evb", "mps2-an385"])
def test_memory_that_tls_takes_of_the_smallest_boards(board, images, gateways):
    """The budget of a Cortex-M3: 56 KB of flash and 12 KB of RAM, with the stack's growth."""
    plain = gateways(board, WAVE).result
    tls = images(board, shipped=True).result
    assert tls.flash_bytes - plain.flash_bytes <= 56 * 1024
    grown = tls.stack_bytes - plain.stack_bytes
    assert tls.ram_bytes - plain.ram_bytes + grown <= 12 * 1024
    more = images(board, more=COMPATIBLE, shipped=True).result
    assert more.flash_bytes - plain.flash_bytes <= 92 * 1024
    assert more.ram_bytes - plain.ram_bytes + grown <= 20 * 1024


FLASH = {  # KB that the default profile adds
    "imx6ul-evk": 54,
    "mps2-an385": 56,
    "virt-aarch64": 75,
    "x86-microvm": 81,
    "x86-pc": 86,
}


@pytest.mark.parametrize("board", FLASH)
def test_flash_that_tls_takes(board, images, gateways):
    plain = gateways(board, WAVE + LIGHT * (board == VIRT)).result
    assert images(board).result.flash_bytes - plain.flash_bytes <= FLASH[board] * 1024


def test_the_image_for_the_microvm_with_tls_is_small(images):
    """The file that QEMU is given."""
    assert images("x86-microvm").result.image.stat().st_size <= 136 * 1024


@pytest.mark.parametrize(("device", "alert"), [("", 116), ("device_of_other", 48)])
def test_a_broker_that_refuses_us_is_heard(device, alert, images, pki, broker, boot):
    pki.leaf("device_of_other", CLIENT, ca="other")
    machine = boot(images("host"), {"mqtt.port": str(broker()[1]), **pki.values(device)})
    machine.wait_line(f"refuses us: alert {alert}", LIMIT_S)


@pytest.mark.parametrize("board", CLOCKS)
def test_the_next_connection_resumes_the_session_and_it_is_counted(
    board, images, pki, broker, boot
):
    """Another client with its identifier throws it out, and may be thrown out in turn."""
    _, port = broker()
    machine = boot(images(board), {"mqtt.port": str(port), **pki.values("device")})
    machine.wait_line("mqtt: connected", LIMIT_S)
    found = report(pki, port)
    for _ in range(30):
        if found["resumptions"] >= 2:
            break
        client(pki, port, "mosquitto_pub", "-i", "gateway", "-t", "x", "-m", "x", check=False)
        time.sleep(2 * STATISTICS_S)  # the gateway connects again, after some back-off
        found = report(pki, port)
    machine.wait_line("is known by its ticket", LIMIT_S)
    assert found["handshakes"] == found["resumptions"] + 1 >= 3
    assert not any(found["refusals"].values())
    assert found["profile"] == ("development" if board == "lm3s6965evb" else "production")
    assert found["verify"] == "on"
    assert 0 < found["heap_max"] < found["heap_size"]
    assert found["time"] == CLOCKS[board]


def test_a_board_without_the_time_of_day_goes_by_its_images_build_time(
    images, pki, broker, boot, monkeypatch
):
    """Later than all certificates here: it is said; and the same input is the same image."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) + 3600))
    built = images("lm3s6965evb", more="# by build time\n")
    machine = boot(built, {"mqtt.port": str(broker()[1]), **pki.values("device")})
    machine.wait_line("time not before the build time", LIMIT_S)
    again = build(built.image, built.result.image.parent.with_name("again"))
    assert again.sha256 == built.result.sha256
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    of_release = build(built.image, built.result.image.parent.with_name("release"))
    assert of_release.sha256 != built.result.sha256


class TimeServer(Lan):
    """Notes what came when: "asked" for the time, "told" it, "hello" to the broker. Says the time
    some while after it is asked, `days` from now; None: never."""

    def __init__(self, days):
        super().__init__()
        self.days, self.port, self.seen = days, 0, {}
        self.address = "10.0.2.15"
        self.now = lambda: time.time() + self.days * 86400

    def note(self, what):
        self.seen.setdefault(what, time.monotonic())

    def _frame(self, end, frame):
        if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
            payload = frame[34 + (frame[46] >> 4) * 4 :]
            if frame[36:38] == self.port.to_bytes(2, "big") and payload[:2] == b"\x16\3":
                self.note("hello")
        super()._frame(end, frame)

    def _sntp(self, request):
        self.note("asked")
        return b"" if self.days is None else super()._sntp(request)

    def _udp(self, frame, source, port, message, *, broadcast=False):
        if source != 123 or not message:
            super()._udp(frame, source, port, message, broadcast=broadcast)
            return

        def tell():
            self.note("told")
            Lan._udp(self, frame, source, port, message)

        threading.Timer(0.7, tell).start()


LATER_DAYS = 10
DATES = {  # what the time server says, in days from now -> of a certificate that is valid later
    "before": (0, "its certificate is not yet valid"),
    "within": (LATER_DAYS + 1, "is verified, TLSv1.3, time by sntp"),
    "after": (LATER_DAYS + 20, "its certificate has expired"),
    "unknown": (None, "is verified, TLSv1.3, time not before the certificates"),
}


@pytest.mark.parametrize("date", DATES)
def test_a_board_without_a_clock_asks_the_time_server_before_the_handshake(
    date, images, pki, broker, boot
):
    """What it says decides; without an answer there is a lower bound, after some seconds."""
    days, line = DATES[date]
    pki.leaf_of_later("of_later", LATER_DAYS)
    process, port = broker("of_later")
    with TimeServer(days) as lan:
        lan.port = port
        values = {"mqtt.port": str(port), **pki.values("device")}
        built = images("lm3s6965evb")
        machine = boot(built, values, netdev=lan.netdev, extra=lan.extra)
        machine.wait_line(line, LIMIT_S)
        seen = lan.seen
        if days is None:
            assert 1.5 < seen["hello"] - seen["asked"] < 10, seen  # firmware/tls/stream.c, DATE_US
        else:
            assert seen["asked"] < seen["told"] < seen["hello"], seen
            machine.wait_line("from sntp", LIMIT_S)
        if date == "before":
            process.stop()
            broker(port=port)
            machine.wait_line("mqtt: connected", LIMIT_S)
            found = report(pki, port)
            assert (found["time"], found["refusals"]["early"] >= 1) == ("sntp", True)


def test_weak_random_numbers_are_not_for_production(images, pki, boot):
    """Said once, however often a connection is tried. The board has a source, which QEMU lacks: a
    board that has none is refused before anything is built (E0434)."""
    machine = boot(images("imx6ul-evk", top=""), pki.values("device"))
    machine.wait_line("entropy clock jitter (weak)", LIMIT_S)
    machine.wait_line("tls: refused: random numbers are weak", LIMIT_S)
    end = time.monotonic() + LIMIT_S
    while (
        sum("mqtt: 10.0.2.2:1883: refused (tls: entropy), next" in line for line in machine.lines)
        < 3
    ):
        assert time.monotonic() < end, machine.tail()
        time.sleep(0.1)
    assert sum("tls: refused" in line for line in machine.lines) == 1


def test_a_development_image_that_does_not_verify_says_so_in_every_status(
    images, pki, broker, boot
):
    pki.leaf("of_other", SERVER, ca="other")
    _, port = broker("of_other")
    built = images("host", top=DEVELOPMENT, more="[tls]\nverify = false\n")
    machine = boot(built, {"mqtt.port": str(port), **pki.values("device")})
    machine.wait_line("is NOT verified ([tls] verify = false): its certificate is not", LIMIT_S)
    machine.wait_line("mqtt: connected", LIMIT_S)
    got = client(
        pki, port, "mosquitto_sub", "--insecure", "--cafile", "other.crt", "-t", f"{TOPIC}/status",
        "-t", f"{TOPIC}/tls", "-C", "2", "-W", "30",
    ).decode()  # fmt: skip
    assert "online (development, broker not verified)" in got
    assert '"profile":"development","verify":"off"' in got


def test_a_bundle_of_cas_and_chains_with_intermediates(images, pki, broker, boot):
    pki.leaf("first", "", is_ca=True)
    pki.leaf("second", "", ca="first", is_ca=True)
    pki.leaf("below", SERVER, ca="second")
    values = pki.values("device", cas=("other", "ca"))
    machine = boot(images("host"), {"mqtt.port": str(broker("below")[1]), **values})
    machine.wait_line("mqtt: connected", LIMIT_S)


def test_the_smallest_board_takes_a_chain_with_one_intermediate(images, pki, s_server, boot):
    pki.leaf("first", "", is_ca=True)
    pki.leaf("below_first", SERVER, ca="first")
    values = {"mqtt.port": str(s_server("below_first")), **pki.values("device")}
    boot(images("lm3s6965evb"), values).wait_line("is verified", LIMIT_S)


PINS = {
    "ca": "mqtt: connected",
    "server": "mqtt: connected",
    "other": "has none of the pinned keys (pin)",
}


@pytest.mark.parametrize(("pinned", "line"), PINS.items())
def test_a_pin_is_checked_besides_the_chain(pinned, line, images, pki, broker, boot):
    values = pki.values("device") | {"tls.pins": pki.pin(pinned)}
    machine = boot(images("host"), {"mqtt.port": str(broker()[1]), **values})
    machine.wait_line(line, LIMIT_S)


VERSIONS = {
    "1.2": (0, ("-tls1_2",), "is verified, TLSv1.2"),
    "1.3 with RSA": (2048, ("-tls1_3",), "is verified, TLSv1.3"),
    "1.2 with RSA": (2048, ("-tls1_2",), "is verified, TLSv1.2"),
    "RSA of 4096 bits, X25519": (4096, ("-curves", "X25519"), "is verified, TLSv1.3"),
    "X25519": (0, ("-tls1_2", "-curves", "X25519:P-256"), "is verified, TLSv1.2"),
    "a small RSA key": (1024, ("-cipher", "ALL:@SECLEVEL=0"), "has a weak key"),
    "1.1": (0, ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "refused (tls: version)"),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_what_the_compatible_profile_takes(name, images, pki, s_server, boot):
    bits, options, line = VERSIONS[name]
    server = f"rsa{bits}" if bits else "server"
    pki.leaf(server, SERVER, rsa=bits)
    values = {"mqtt.port": str(s_server(server, *options)), **pki.values("device")}
    built = images("host", more=COMPATIBLE, shipped=bits > 2048)
    boot(built, values).wait_line(line, LIMIT_S)


@pytest.mark.parametrize("more", ["", COMPATIBLE + 'minimum_version = "1.3"\n'])
def test_an_older_version_is_refused(more, images, pki, s_server, boot):
    values = {"mqtt.port": str(s_server("server", "-tls1_2")), **pki.values("device")}
    boot(images("host", more=more), values).wait_line("refuses us: alert 70", LIMIT_S)


@pytest.mark.parametrize("board", ["host", "lm3s6965evb", "mps2-an385", VIRT])
def test_the_compatible_profile_on_boards_of_each_kind(board, images, pki, s_server, boot):
    """RSA of 2048 bits, and an intermediate certificate."""
    pki.leaf("first", "", is_ca=True)
    pki.leaf("rsa_below_first", SERVER, ca="first", rsa=2048)
    for version in ("1.2", "1.3"):
        port = s_server("rsa_below_first", f"-tls{version.replace('.', '_')}")
        built = images(board, more=COMPATIBLE)
        machine = boot(built, {"mqtt.port": str(port), **pki.values("device")})
        line = machine.wait_line(f"is verified, TLSv{version}", LIMIT_S)
    heap_is_tight(built, line)


@pytest.mark.parametrize("more", ["", COMPATIBLE])
@pytest.mark.parametrize("board", ["host", "lm3s6965evb"])
def test_with_less_than_the_minimum_an_allocation_fails_and_is_said(
    board, more, images, pki, broker, boot
):
    """And counted by itself: no wrong digest, no crash, another attempt."""
    pki.leaf("first", "", is_ca=True)
    pki.leaf("below_first", SERVER, ca="first")
    pki.leaf("rsa_below_first", SERVER, ca="first", rsa=2048)
    _, port = broker("rsa_below_first" if more else "below_first")
    values = {"mqtt.port": str(port), **pki.values("device")}
    needed = heap_needed(images(board, more=more).image)
    for limit in (needed + HEAP_VARIES, needed - HEAP_VARIES, 4096):
        sizes = {"tls_heap_bytes": limit, "tls_compatible_heap_bytes": limit}
        machine = boot(images(board, more=more, **sizes), values)
        if limit > needed:
            machine.wait_line("is verified", LIMIT_S)
            continue
        machine.wait_line("tls: out of memory: no ", LIMIT_S)
        machine.wait_line("out of memory (tls: memory), next attempt", LIMIT_S)
        machine.wait_line("tls: out of memory: no ", LIMIT_S)


@pytest.mark.parametrize("version", ["4", "5"])
def test_a_large_retained_message_does_not_end_the_connection(version, images, pki, broker, boot):
    """12 KB in one record: a 5.0 broker is told not to send it, one of 3.1.1 is passed over."""
    process, port = broker()
    large = ("-t", f"{TOPIC}/set/light", "-r", "-m", "x" * 12_000)
    client(pki, port, "mosquitto_pub", *large)
    values = {"mqtt.port": str(port), "mqtt.version": version, **pki.values("device")}
    machine = boot(images(VIRT), values)
    machine.wait_line("mqtt: connected", LIMIT_S)
    client(pki, port, "mosquitto_pub", "-t", f"{TOPIC}/set/light", "-m", "1")
    process.wait_line("Sending PUBLISH to gateway", LIMIT_S)
    time.sleep(2 * STATISTICS_S)  # the end of the connection would be seen by now
    process.wait_line("Received PUBLISH from gateway", LIMIT_S)
    found = report(pki, port)
    assert found["handshakes"] == 1


@pytest.mark.parametrize("more", [LIGHT, COMPATIBLE + LIGHT])
@pytest.mark.parametrize("version", ["4", "5"])
def test_mosquitto_sends_the_smallest_board_only_records_that_fit(
    version, more, images, pki, broker, boot
):
    """Retained messages of 12 KB and many of 0.9 KB, which it sends at once: RFC 6066. A server
    that knows no limit: tests/tls."""
    _, port = broker()
    client(pki, port, "mosquitto_pub", "-t", f"{TOPIC}/set/light", "-r", "-m", "x" * 12_000)
    for number in range(20):
        some = ("-t", f"{TOPIC}/set/of{number}", "-r", "-m", "x" * 900)
        client(pki, port, "mosquitto_pub", *some)
    values = {"mqtt.port": str(port), "mqtt.version": version, **pki.values("device")}
    machine = boot(images("lm3s6965evb", more=more), values)
    machine.wait_line("mqtt: connected", LIMIT_S)
    counted = ("-N", "-t", f"{TOPIC}/stats", "-C", "1", "-W", "30")
    end = time.monotonic() + LIMIT_S
    refused = 0
    while refused < 20:
        pack = senml.decode(client(pki, port, "mosquitto_sub", *counted))
        refused = next(r.value for r in pack if r.name.endswith("/commands_refused"))
        assert time.monotonic() < end, machine.tail()
        time.sleep(STATISTICS_S)
    found = report(pki, port)
    assert (found["handshakes"], found["refusals"]["record"]) == (1, 0), machine.tail()
