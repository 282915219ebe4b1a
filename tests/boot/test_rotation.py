"""Certificate rotation of a running device: real mosquitto with mutual TLS, the identity on a disk
that outlasts restarts; certificates that are no good; the power cut at each write."""

import base64
import datetime
import hashlib
import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import paho.mqtt.publish
import pytest
from boot_rig import HEAD, LIMIT_S, TOPIC, WAVE, Built, tight
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from process_memory import holds

from edgeuk import rotation
from edgeuk.build import build
from edgeuk.catalog import find_board
from edgeuk.device_config import encode
from edgeuk.errors import DeviceError
from edgeuk.gateway import load_gateway
from edgeuk.identity.issue import (
    SERVER,
    Issued,
    certificate_pem,
    certify,
    issue,
    new_key,
    self_signed,
)
from edgeuk.identity.sign import FileSigner
from edgeuk.resolve import resolve
from edgeuk.run.broker import free_port
from edgeuk.run.host import Host
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qemu

CA = ec.derive_private_key(0x0707A7E, ec.SECP256R1())  # in the images: xdist's workers have one
NAME = "gateway"
ROTATION = '[identity]\nca = "ca.crt"\nrotate = true\n[tls]\nca = "ca.crt"\n'
DISK_BYTES = 16384
SLOT_BYTES, RECORD_HEAD_BYTES = 8192, 76
CONF = """\
user root
log_type all
listener {port} 127.0.0.1
cafile {folder}/ca.crt
certfile {folder}/server.pem
keyfile {folder}/server.pem
crlfile {folder}/revoked.pem
require_certificate true
use_subject_as_username true
allow_anonymous true
"""


class Authority:
    """A CA in a folder, with a broker's certificate and an operator's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = CA
        self.signer = FileSigner(self.key)
        self.ca = self_signed(self.signer, "project")
        (folder / "ca.crt").write_bytes(certificate_pem(self.ca))
        hosts = ("localhost", "127.0.0.1", "10.0.2.2")
        server = issue(self.signer, self.ca, "broker", usage=SERVER, hosts=hosts)
        (folder / "server.pem").write_bytes(server.pem())
        (folder / "operator.pem").write_bytes(issue(self.signer, self.ca, "operator").pem())
        self.given: list[x509.Certificate] = []
        self.revoke()

    def revoke(self, *certificates: x509.Certificate) -> None:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.ca.subject)
            .last_update(now - datetime.timedelta(days=1))
            .next_update(now + datetime.timedelta(days=9))
        )
        for certificate in certificates:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(certificate.serial_number)
                .revocation_date(now - datetime.timedelta(hours=1))
                .build()
            )
        crl = builder.sign(self.key, hashes.SHA256())
        (self.folder / "revoked.pem").write_bytes(crl.public_bytes(serialization.Encoding.PEM))

    def certify(self, key: ec.EllipticCurvePublicKey, name: str = NAME, days: int = 30):
        self.given.append(certify(self.signer, self.ca, name, key, days=days))
        return self.given[-1]


@dataclass
class Rig:
    """A device, its broker and its disk."""

    authority: Authority
    built: Built
    blob: bytes
    disk: Path
    port: int
    first: x509.Certificate  # of the device configuration
    drive: str = ""  # QEMU's, where it is not just the disk
    broker: Process | None = None
    machine: Process | None = None
    told: list[str] = field(default_factory=list)  # by rotate()

    def start_broker(self) -> None:
        conf = self.authority.folder / "mosquitto.conf"
        conf.write_text(CONF.format(port=self.port, folder=self.authority.folder))
        self.broker = Process(["mosquitto", "-c", str(conf)])
        self.broker.__enter__()
        self.broker.wait_line("running", LIMIT_S)

    def stop_broker(self) -> None:
        self.broker.__exit__(None, None, None)
        self.broker = None

    def start(self, disk: Path | None = None) -> Process:
        disk = disk or self.disk
        board, image = self.built.image.board, self.built.result.image
        if board.qemu is None:
            self.machine = Host(image, self.blob, storage=disk)
        else:
            drive = f"if=none,id=disk0,{self.drive or f'format=raw,file={disk}'}"
            device = "virtio-blk-pci" if board.name == "x86-pc" else "virtio-blk-device"
            extra = ["-drive", drive, "-device", f"{device},drive=disk0"]
            self.machine = Qemu(board, image, self.blob, extra=extra)
        self.machine.__enter__()
        return self.machine

    def stop(self) -> None:
        self.machine.__exit__(None, None, None)
        self.machine = None

    def provisioned_anew(self) -> bytes:
        """A configuration with another key and certificate."""
        return configuration(self.authority, self.built, self.port, issue_first(self.authority))

    def rotate_without_state(self) -> None:
        """The device has its new certificate; broker and device end before it is used."""

        def certify(key):
            certificate = self.authority.certify(key)
            threading.Thread(target=self._end_after_set, daemon=True).start()
            return certificate

        self.rotate(certify, 3.0)

    def _end_after_set(self) -> None:
        self.machine.wait_line("identity: a new certificate", LIMIT_S)
        self.stop()
        self.stop_broker()

    def rotate(self, certify=None, limit_s: float = LIMIT_S, as_whom="operator.pem") -> str:
        context = ssl.create_default_context(cafile=str(self.authority.folder / "ca.crt"))
        if as_whom:
            context.load_cert_chain(self.authority.folder / as_whom)
        via = rotation.Via("localhost", self.port, context)
        known = [self.first, *self.authority.given]
        certify = certify or self.authority.certify
        return rotation.rotate(NAME, TOPIC, via, known, certify, limit_s, self.told.append)

    def tell(self, what: str, payload: bytes, *, retain: bool) -> None:
        """As somebody whom the broker lets publish there."""
        context = ssl.create_default_context(cafile=str(self.authority.folder / "ca.crt"))
        context.load_cert_chain(self.authority.folder / "operator.pem")
        topic, where = f"{TOPIC}/identity/{what}", ("localhost", self.port)
        paho.mqtt.publish.single(topic, payload, 1, retain, *where, tls=context)

    def close(self) -> None:
        for process in (self.machine, self.broker):
            if process:
                process.__exit__(None, None, None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def images(once, catalog):
    """With the heap that a connection needs and a tenth more."""

    def make(folder: Path) -> Path:
        path = folder / "gateway.toml"
        path.write_text(HEAD.replace("mqtt://", "mqtts://") + ROTATION + WAVE)
        (folder / "ca.crt").write_bytes(certificate_pem(self_signed(FileSigner(CA), "project")))
        return path

    known: dict[str, Built] = {}

    def get(board: str) -> Built:
        if board not in known:
            path = once("rotation", make)
            image = resolve(load_gateway(path, catalog), find_board(catalog, board), catalog)
            image = tight(image)
            known[board] = Built(image, build(image, path.parent / board))
        return known[board]

    return get


def issue_first(authority: Authority) -> Issued:
    return issue(authority.signer, authority.ca, NAME)


def configuration(authority: Authority, built: Built, port: int, first: Issued) -> bytes:
    form, der = serialization.PrivateFormat.TraditionalOpenSSL, serialization.Encoding.DER
    data = {
        "tls.ca": authority.ca.public_bytes(der),
        "tls.cert": first.certificate.public_bytes(der),
        "tls.key": first.key.private_bytes(der, form, serialization.NoEncryption()),
    }
    board = built.image.board
    values = {
        "name": NAME,
        "mqtt.host": "localhost" if board.qemu is None else "10.0.2.2",
        "mqtt.port": str(port),
        "mqtt.topic": TOPIC,
        "mqtt.tls": "1",
        **{key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    return encode(values, board=board.name, seal=authority.signer.sign_digest)


@pytest.fixture
def rig(request, authority, images, tmp_path):
    board = getattr(request, "param", "host")
    built = images(board)
    first, port = issue_first(authority), free_port()
    blob = configuration(authority, built, port, first)
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(DISK_BYTES))
    authority.revoke()
    made = Rig(authority, built, blob, disk, port, first.certificate)
    yield made
    made.close()


def wait_until(condition) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def connected(machine: Process) -> None:
    machine.wait_line("mqtt: connected", LIMIT_S)


# x86-microvm is in test_identity.py.
EVERY = pytest.mark.parametrize("rig", ["host", "x86-pc", "virt-aarch64"], indirect=True)


@EVERY
def test_a_new_certificate_is_used_after_reconnecting_and_after_a_restart(rig):
    rig.start_broker()
    connected(rig.start())
    assert rig.rotate() == "new"
    rig.authority.revoke(rig.first)  # from now on the broker refuses the old one
    rig.stop()
    rig.stop_broker()
    rig.start_broker()
    machine = rig.start()
    machine.wait_line("identity: 1 of the storage", LIMIT_S)
    connected(machine)
    assert rig.rotate() == "new"  # into the other slot
    rig.stop()
    machine = rig.start()
    machine.wait_line("identity: 2 of the storage", LIMIT_S)
    connected(machine)


def key_in(disk: Path, slot: int) -> bytes:
    """The private key in a slot of the storage (firmware/tls/rotation.c): in 121 bytes of DER."""
    at = slot * SLOT_BYTES + RECORD_HEAD_BYTES
    der = disk.read_bytes()[at : at + 121]
    key = serialization.load_der_private_key(der, None)
    return key.private_numbers().private_value.to_bytes(32, "big")


def test_keys_that_were_replaced_do_not_stay_in_memory(rig):
    rig.start_broker()
    connected(rig.start())
    assert rig.rotate() == "new"
    keys = [key_in(rig.disk, 0)]
    assert holds(rig.machine.pid, keys[0]) > 0
    assert rig.rotate() == "new"
    keys.append(key_in(rig.disk, 1))
    # The new one: as it is in storage, and where the connection signs with it.
    wait_until(lambda: [holds(rig.machine.pid, key) for key in keys] == [0, 2])
    rig.stop()
    rig.start()
    rig.machine.wait_line("identity: 2 of the storage", LIMIT_S)
    connected(rig.machine)
    assert [holds(rig.machine.pid, key) for key in keys] == [0, 2]


def test_each_step_is_told(rig):
    rig.start_broker()
    connected(rig.start())
    rig.rotate(limit_s=30)
    where = f"the broker at localhost:{rig.port}"
    assert [line for line in rig.told if "asked again" not in line] == [
        f"{NAME}: asked for a new key over {where}; waiting, 30 s at most",
        f"{NAME}: has a new key, and its certificate is sent; waiting until it connects",
        f"{NAME}: says `new`",
    ]


def test_a_device_that_is_not_there_is_asked_again_and_then_the_causes_are_named(rig, monkeypatch):
    monkeypatch.setattr(rotation, "AGAIN_S", 0.5)
    rig.start_broker()
    with pytest.raises(DeviceError) as error:
        rig.rotate(limit_s=1.8)
    assert error.value.what == f"device `{NAME}` does not answer"
    for cause in ("`mqtt: connected`", "rotate = true", f"`{TOPIC}`", f"`{TOPIC}/identity/rotate`"):
        assert cause in error.value.hint
    assert rig.told.count(f"{NAME}: no answer yet; asked again") in (2, 3)


def test_a_broker_that_does_not_let_us_in_is_not_waited_for(rig):
    """It demands a certificate; with TLS 1.3 the connection ends after the handshake."""
    rig.start_broker()
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"the broker at .* does not let us in: ") as error:
        rig.rotate(as_whom="")
    assert "the CA of our certificate" in error.value.hint
    assert time.monotonic() - began < LIMIT_S / 2


def of_other_ca(authority):
    signer = FileSigner(new_key())
    ca = self_signed(signer, "other")
    return lambda key: certify(signer, ca, NAME, key)


@dataclass
class Bytes:
    """What is no certificate, in its place."""

    data: bytes

    def public_bytes(self, encoding: serialization.Encoding) -> bytes:
        return self.data


def with_more_behind(authority):
    der = serialization.Encoding.DER
    return lambda key: Bytes(authority.certify(key).public_bytes(der) + b"\0")


REFUSED = {
    "no certificate": lambda a: lambda key: Bytes(b"certificate"),
    "no certificate ": with_more_behind,
    "not for our key": lambda a: lambda key: a.certify(new_key().public_key()),
    "not signed by the project's CA": of_other_ca,
    "not for our name": lambda a: lambda key: a.certify(key, name="gateway2"),
    "expired": lambda a: lambda key: expired(a, key),
}


def expired(authority, key):
    """Valid for a minute of the year in which it was made."""
    good = authority.certify(key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(good.subject)
        .issuer_name(good.issuer)
        .public_key(key)
        .serial_number(7)
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(datetime.datetime(2020, 1, 2))
    )
    return builder.sign(authority.key, hashes.SHA256())


@pytest.mark.parametrize("reason", REFUSED)
def test_a_certificate_that_is_no_good_is_refused_and_the_old_one_stays(rig, reason):
    rig.start_broker()
    connected(rig.start())
    assert rig.rotate(REFUSED[reason](rig.authority)) == f"refused: {reason.strip()}"
    assert rig.disk.read_bytes() == bytes(DISK_BYTES)
    assert rig.rotate() == "new"  # the next good one is taken


def test_a_certificate_that_the_broker_refuses_gives_way_to_the_old_one(rig):
    rig.start_broker()
    connected(rig.start())

    def for_servers(key):
        signer, ca = rig.authority.signer, rig.authority.ca
        return certify(signer, ca, NAME, key, usage=SERVER)

    assert rig.rotate(for_servers) == "old: the new one does not connect"
    rig.stop()
    machine = rig.start()  # and it is not tried again
    connected(machine)
    assert not [line for line in machine.lines if "identity:" in line]


def test_a_trial_goes_on_after_a_restart(rig):
    rig.start_broker()
    connected(rig.start())
    with pytest.raises(DeviceError, match="does not answer") as error:
        rig.rotate_without_state()
    assert "the broker's log says whether the new certificate was let in" in error.value.hint
    machine = rig.start()
    machine.wait_line("identity: 1 of the storage, on trial", LIMIT_S)
    rig.start_broker()
    machine.wait_line("identity: new", LIMIT_S)


def test_another_configuration_is_obeyed(rig):
    """A device that is provisioned anew does not go on with what its disk has."""
    rig.start_broker()
    connected(rig.start())
    assert rig.rotate() == "new"
    rig.stop()
    rig.blob = rig.provisioned_anew()
    machine = rig.start()
    connected(machine)
    assert not [line for line in machine.lines if "identity:" in line]


def cuts(before: bytes, after: bytes):
    """What a disk may have when the power fails while `before` becomes `after`: blocks are written
    in this order, and the last of them only in part or with neither."""
    changed = [
        at for at in range(0, len(before), 512) if before[at : at + 512] != after[at : at + 512]
    ]
    for n, at in enumerate(changed):
        done = bytearray(before)
        for earlier in changed[:n]:
            done[earlier : earlier + 512] = after[earlier : earlier + 512]
        yield bytes(done)
        half = after[at : at + 200] + before[at + 200 : at + 512]
        yield bytes(done[:at]) + half + bytes(done[at + 512 :])
        yield bytes(done[:at]) + b"\xa5" * 512 + bytes(done[at + 512 :])
    yield after


def test_a_power_failure_at_each_write_leaves_an_identity_that_works(rig, tmp_path):
    """In the first slot while the configuration's certificate still works, in the second when it
    does not any more."""
    disks = [rig.disk.read_bytes()]
    rig.start_broker()
    connected(rig.start())
    for _ in range(2):
        assert rig.rotate() == "new"
        disks.append(rig.disk.read_bytes())
    rig.stop()
    count = 0
    for before, after in pairwise(disks):
        for data in cuts(before, after):
            disk = tmp_path / "cut"
            disk.write_bytes(data)
            connected(rig.start(disk))
            rig.stop()
            count += 1
        rig.stop_broker()
        rig.authority.revoke(rig.first)
        rig.start_broker()
    assert count >= 20


FAILED = "refused: the storage does not take it"
UNKEPT = "new, but the storage does not keep that"


def test_a_storage_that_fails_costs_nobody_the_identity_that_connects(rig):
    """The record's write fails; that of the mark, which comes last; and then the power."""
    rig.start_broker()
    machine = rig.start()
    connected(machine)
    os.truncate(rig.disk, 0)
    assert rig.rotate() == FAILED
    os.truncate(rig.disk, 4096)  # room for the first record, and none for its mark
    assert rig.rotate() == UNKEPT
    record = rig.disk.read_bytes()
    assert rig.rotate() == FAILED  # it would go over the one that connects
    assert rig.disk.read_bytes() == record
    rig.stop()
    rig.stop_broker()
    os.truncate(rig.disk, DISK_BYTES)
    rig.authority.revoke(rig.first)
    rig.start_broker()
    machine = rig.start()
    machine.wait_line("identity: 1 of the storage, on trial", LIMIT_S)
    machine.wait_line("identity: new", LIMIT_S)
    os.truncate(rig.disk, 12288)  # the second slot's record, and not its mark
    assert rig.rotate() == UNKEPT
    os.truncate(rig.disk, DISK_BYTES)
    rig.stop_broker()
    seen = len(machine.lines)
    rig.start_broker()
    wait_until(lambda: any("identity: new" in line for line in machine.lines[seen:]))
    assert rig.rotate() == "new"  # the mark is there since it has connected again


def failing(disk: Path, event: str, sector: int = -1) -> str:
    """QEMU's -drive of a disk that fails at each such event, or at those of a sector."""
    where = f",file.inject-error.0.sector={sector}" if sector >= 0 else ""
    fault = f"file.inject-error.0.event={event},file.inject-error.0.errno=5{where}"
    return f"driver=raw,file.driver=blkdebug,file.image.filename={disk},{fault}"


@pytest.mark.parametrize("rig", ["virt-aarch64"], indirect=True)
def test_a_disk_with_errors(rig):
    rig.start_broker()
    rig.drive = failing(rig.disk, "write_aio", 4096 // 512)
    connected(rig.start())
    assert rig.rotate() == UNKEPT
    rig.stop()
    rig.drive = failing(rig.disk, "read_aio")
    machine = rig.start()
    machine.wait_line("identity: storage: ", LIMIT_S)
    connected(machine)  # as what its configuration says
    with pytest.raises(DeviceError, match="refused: no storage"):
        rig.rotate()


def test_without_storage_a_device_says_so(rig):
    rig.start_broker()
    rig.disk.write_bytes(b"")
    machine = rig.start()
    machine.wait_line("identity: no storage", LIMIT_S)
    connected(machine)
    with pytest.raises(DeviceError, match="refused: no storage"):
        rig.rotate()


def request_of(new: ec.EllipticCurvePrivateKey, present: ec.EllipticCurvePrivateKey) -> bytes:
    """A device's, as docs/rotation.md has it."""
    point = new.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    text = b"edgeuk identity request 2\0gateway\0" + point
    proof = FileSigner(new).sign_digest(hashlib.sha256(text).digest())
    return point + proof + present.sign(text, ec.ECDSA(hashes.SHA256()))


def test_a_request_without_its_proof_is_not_answered(authority):
    new, first = new_key(), issue_first(authority)
    request = request_of(new, first.key)
    known = [authority.ca, first.certificate]
    assert rotation.requested_key("gateway", request, known).public_numbers() == (
        new.public_key().public_numbers()
    )
    for name, wrong in [
        ("gateway2", request),
        ("gateway", request[:128] + bytes([request[128] ^ 1]) + request[129:]),
        ("gateway", request[:64] + bytes([request[64] ^ 1]) + request[65:]),
        ("gateway", b""),
    ]:
        with pytest.raises(DeviceError, match="request of"):
            rotation.requested_key(name, wrong, known)


def test_whoever_only_has_a_key_of_his_own_gets_no_certificate(authority):
    """The broker, or who else may publish there, asks in the device's name."""
    first, theirs = issue_first(authority), new_key()
    request = request_of(theirs, theirs)
    for wrong in (request, request[:129], request[:-1], request + b"!"):
        with pytest.raises(DeviceError, match="not signed with a key that is known"):
            rotation.requested_key("gateway", wrong, [first.certificate])


def test_a_planted_request_gets_no_certificate(rig):
    """A retained one, which comes as soon as the CA listens."""
    rig.start_broker()
    connected(rig.start())
    theirs = new_key()
    rig.tell("request", request_of(theirs, theirs), retain=True)
    assert rig.rotate() == "new"
    point = rig.authority.given[-1].public_key().public_numbers()
    assert point != theirs.public_key().public_numbers()
