"""Images with [identity]: what the project's CA has not sealed is refused, the second copy of a
damaged configuration is used and said, on the console and over MQTT."""

import datetime
import hmac
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from boot_rig import HEAD, LIMIT_S, TOPIC, WAVE, Built, collect, tight
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from edgeuk.build import build
from edgeuk.cache import locked, write_atomic, write_changed
from edgeuk.catalog import find_board
from edgeuk.device_config import encode, region_image
from edgeuk.errors import ConfigError
from edgeuk.gateway import load_gateway
from edgeuk.resolve import resolve
from edgeuk.run.broker import Broker
from edgeuk.run.host import Host
from edgeuk.run.monitor import Monitor

CA = ec.derive_private_key(0x5EA1ED, ec.SECP256R1())  # xdist's workers have one
OTHER = ec.generate_private_key(ec.SECP256R1())
BOARDS = ["host", "lm3s6965evb"]
PROFILE = 'profile = "development"\n'  # lm3s6965evb has no source of entropy


def sealed_by(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """ECDSA as r and s."""

    def seal(digest: bytes) -> bytes:
        der = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        r, s = utils.decode_dss_signature(der)
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return seal


def ca_certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "project")])
    now = datetime.datetime.now(datetime.UTC)
    usage = {f: False for f in ("digital_signature", "content_commitment", "key_encipherment")}
    usage |= {f: False for f in ("data_encipherment", "key_agreement", "crl_sign")}
    usage |= {"encipher_only": False, "decipher_only": False, "key_cert_sign": True}
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(CA.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
    )
    return builder.sign(CA, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def written(folder, url: str):
    with locked(folder, LIMIT_S, print):
        if not (folder / "ca.crt").exists():
            write_atomic(folder / "ca.crt", ca_certificate())
    path = folder / "gateway.toml"
    head = HEAD.replace("mqtt://", f"{url}://").replace("[mqtt]", PROFILE + "[mqtt]")
    text = head + '[tls]\nca = "ca.crt"\n' * (url == "mqtts") + IDENTITY + WAVE
    write_changed(path, text.encode())
    return path


IDENTITY = '[identity]\nca = "ca.crt"\n'


@pytest.fixture(scope="module")
def images(shared, catalog) -> Callable[[str], Built]:
    known: dict[str, Built] = {}

    def get(board: str) -> Built:
        if board not in known:
            path = written(shared / "sealed", "mqtts")
            image = resolve(load_gateway(path, catalog), find_board(catalog, board), catalog)
            image = tight(image)
            known[board] = Built(image, build(image, shared / "sealed" / board))
        return known[board]

    return get


def test_an_identity_needs_tls(tmp_path, catalog):
    with pytest.raises(ConfigError, match="without TLS, an image has no cryptography"):
        load_gateway(written(tmp_path, "mqtt"), catalog)


NAMED = {"name": "gw", "exit.after_s": "1"}
NOTHING = ": no name, no broker"


REFUSED = {
    "other CA": (lambda: encode(NAMED, seal=sealed_by(OTHER)), "is not sealed by this project"),
    "unsealed": (lambda: encode(NAMED), "is not sealed by this project"),
    "zeros": (lambda: encode(NAMED, seal=lambda digest: bytes(64)), "is not sealed"),
    "encrypted": (
        lambda: encode(NAMED, seal=sealed_by(CA), device_key=bytes(32)),
        "is another device's",
    ),
    "other board": (
        lambda: encode(NAMED, seal=sealed_by(CA), board="other"),
        "is another board's",
    ),
}


@pytest.mark.parametrize(
    ("board", "what"), [*(("host", what) for what in REFUSED), ("lm3s6965evb", "other CA")]
)
def test_what_the_project_has_not_made_for_it_is_refused(images, boot, board, what):
    make, says = REFUSED[what]
    machine = boot(images(board), blob=make())
    line = machine.wait_line("config: copy", LIMIT_S)
    assert says in line
    assert line.endswith(NOTHING)
    machine.wait_line("no broker", LIMIT_S)


@pytest.mark.parametrize("board", BOARDS)
def test_of_two_copies_a_forged_newer_one_is_not_used(images, boot, board):
    good = encode(NAMED, seal=sealed_by(CA), sequence=1)
    forged = encode({**NAMED, "mqtt.host": "evil"}, seal=sealed_by(OTHER), sequence=2)
    machine = boot(images(board), blob=good.ljust(4096, b"\xff") + forged)
    line = machine.wait_line("config: copy", LIMIT_S)
    assert line.endswith("config: copy 2 is not sealed by this project")
    machine.wait_line("exit.after_s is over", LIMIT_S)  # a key of the good one


def test_every_bit_of_what_is_sealed_counts(images):
    """On the host, where a boot is quick; a sample of the bits of header, payload and seal."""
    good = encode({**NAMED, "exit.after_s": "0"}, seal=sealed_by(CA))
    for bit in [*range(32, 8 * len(good), 97), 8 * len(good) - 1]:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with Host(images("host").result.image, bytes(bad)) as machine:
            assert machine.wait_line("config: copy 1 is", LIMIT_S).endswith(NOTHING), bit


@pytest.mark.parametrize("board", ["host", "lm3s6965evb"])
def test_a_damaged_copy_is_said_over_mqtt_and_the_other_is_used(gateways, boot, board, tmp_path):
    with Broker(kind="mosquitto", log=tmp_path / "broker.log") as broker:
        host = "127.0.0.1" if board == "host" else "10.0.2.2"
        values = {"name": "gw", "mqtt.host": host, "mqtt.port": str(broker.port)}
        good = bytearray(region_image(encode(values | {"mqtt.topic": TOPIC}), 8192))
        good[4096 + 30] ^= 4
        with Monitor("127.0.0.1", broker.port, TOPIC) as monitor:
            machine = boot(gateways(board, WAVE), blob=bytes(good))
            machine.wait_line("config: copy 2 is damaged", LIMIT_S)
            messages = collect(monitor, lambda m: any(x.kind == "boot" for x in m))
    (said,) = [m.payload for m in messages if m.kind == "boot"]
    assert said.endswith(b"; config: copy 2 is damaged")


OWN, FOREIGN = bytes(range(1, 33)), bytes(range(2, 34))
MAILBOX, SET_PRIVATE_KEY = 0xFE00_B880, 0x0003_8081
MESSAGE = 0x0200_0000  # where nothing of the image is
RAM_BYTES = 0x0100_0000  # of rpi4.toml, from address 0


def burn(machine, path, key: bytes) -> None:
    """Write a Raspberry Pi's private key as rpi-otp-private-key does: by way of the mailbox."""
    rows = [int.from_bytes(key[i : i + 4], "big") for i in range(0, 32, 4)]
    words = [64, 0, SET_PRIVATE_KEY, 40, 40, 0, 8, *rows, 0]
    data = b"".join(word.to_bytes(4, "little") for word in words)
    with socket.socket(socket.AF_UNIX) as qtest:
        qtest.connect(str(path))
        lines = qtest.makefile("rw")
        for line in (
            f"write {MESSAGE:#x} {len(data):#x} 0x{data.hex()}",
            f"writel {MAILBOX + 0x20:#x} {0xC000_0000 | MESSAGE | 8:#x}",
            f"readl {MESSAGE + 4:#x}",
        ):
            lines.write(line + "\n")
            lines.flush()
            while not (answer := lines.readline()).startswith("OK"):
                assert answer, "QEMU has ended"
    assert int(answer.split()[1], 16) == 0x8000_0000
    machine.qmp("cont")


def boot_burnt(boot, built, blob: bytes, folder: Path, key: bytes | None):
    """A Raspberry Pi that has that key."""
    path = folder / "qtest"
    extra = ["-S", "-qtest", f"unix:{path},server=on,wait=off"] if key else []
    machine = boot(built, blob=blob, extra=extra)
    if key:
        machine.qmp("query-status")  # it listens by now
        burn(machine, path, key)
    return machine


@pytest.mark.parametrize(
    ("burnt", "used", "says"),
    [
        (OWN, OWN, "exit.after_s is over"),
        (OWN, FOREIGN, "is another device's: no name, no broker"),
        (None, bytes(32), "is another device's: no name, no broker"),
    ],
    ids=["its own", "another's", "none"],
)
def test_a_raspberry_pi_reads_what_is_encrypted_for_it(images, boot, burnt, used, says):
    blob = encode(NAMED, seal=sealed_by(CA), device_key=used)
    with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
        machine = boot_burnt(boot, images("rpi4"), blob, Path(folder), burnt)
        machine.wait_line(says, LIMIT_S)


def test_neither_a_boards_key_nor_what_is_made_of_it_stays_in_memory(images, boot):
    """Nor the mailbox's answer, which has it in words of another byte order."""
    values = {"name": "gw", "mqtt.password": "kX7-correct-horse"}
    blob = encode(values, seal=sealed_by(CA), device_key=OWN)
    with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
        machine = boot_burnt(boot, images("rpi4"), blob, Path(folder), OWN)
        machine.wait_line("no broker: the device configuration has no mqtt.host", LIMIT_S)
        dump = Path(folder) / "dump"
        machine.qmp("pmemsave", val=0, size=RAM_BYTES, filename=str(dump))
        memory = dump.read_bytes()
    assert memory.count(b"kX7-correct-horse") == 1  # this search finds what is there
    rows = b"".join(OWN[i : i + 4][::-1] for i in range(0, 32, 4))
    # docs/device-config-spec.md
    derived = hmac.digest(OWN, b"edgeuk device configuration 2\0key", "sha256")
    assert [memory.count(key) for key in (OWN, rows, derived[:16])] == [0, 0, 0]
