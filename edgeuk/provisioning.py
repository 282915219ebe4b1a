"""What `edgeuk provision` writes: of each device its key, file and sealed configuration; for a
broker, mosquitto's configuration. Every file is whole or not there, and what is there is kept.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from edgeuk import pem
from edgeuk.cache import OWNER_HINT, clear_errors, read_owned, write_atomic, write_changed
from edgeuk.device_config import DeviceConfigError, device_values, encode, newest
from edgeuk.errors import EdgeukError, UsageError
from edgeuk.gateway import Gateway, load_device
from edgeuk.identity import mosquitto
from edgeuk.identity.fitness import is_signed_by
from edgeuk.identity.issue import CLIENT, SERVER, Issued, certificate_pem, issue
from edgeuk.identity.project import (
    BROKER,
    CERTIFICATE,
    DEVICES,
    PRIVATE_FILE,
    Project,
    private_folder,
)
from edgeuk.sealed import KEY_ENDING, device_key

# A broker on this machine, as images see it: on `host`, and in QEMU's user network.
SERVER_FILE = "server.pem"  # the key and certificate of the broker
LOCAL = {"localhost": ("localhost", "127.0.0.1", "10.0.2.2")}
DEVICE_TEXT = """\
# Device {name}: `edgeuk run --device {name}.toml`. What it says goes before the gateway file.
# Written once by `edgeuk provision`, and yours to change; then run that again.
name = "{name}"

[mqtt]
{mqtt}
[tls]
{ca}cert = "{name}.pem" # both are in this file
key = "{name}.pem"
"""
CLIENT_ID = 'client_id = "{name}-{random}" # nobody who guesses it can push the device off\n'


@dataclass(frozen=True, slots=True)
class Device:
    """What was done for one device."""

    name: str
    state: str  # "new", "renewed", "kept"
    file: Path
    identity: Path  # key and certificate
    blob: Path
    certificate: x509.Certificate

    @property
    def until(self) -> datetime:
        return self.certificate.not_valid_after_utc

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; nothing secret."""
        return {
            "name": self.name,
            "state": self.state,
            "device_file": str(self.file),
            "identity": str(self.identity),
            "configuration": str(self.blob),
            "serial": f"{self.certificate.serial_number:x}",
            "sha256": self.certificate.fingerprint(hashes.SHA256()).hex(),
            "valid_until": f"{self.until:%Y-%m-%dT%H:%M:%SZ}",
        }


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the files of devices."""

    project: Project
    gateway: Gateway
    board: str  # the only one that takes the configuration; "" for any
    days: int
    renew: bool

    def make(self, name: str) -> Device:
        """Key and certificate, device file, sealed configuration: in this order, so that what an
        interruption leaves behind is finished by the next call."""
        folder = private_folder(self.project.folder / DEVICES)
        identity, file, blob = (folder / f"{name}.{ending}" for ending in ("pem", "toml", "bin"))
        with clear_errors(folder, OWNER_HINT):
            state, certificate = self._identity(name, identity)
            if not file.exists():
                write_atomic(file, self._device_text(name).encode(), PRIVATE_FILE)
            self._configuration(name, file, blob)
        return Device(name, state, file, identity, blob, certificate)

    def _identity(self, name: str, path: Path) -> tuple[str, x509.Certificate]:
        there = path.exists()
        if there and not self.renew:
            certificate = _certificate_in(path, f"edgeuk provision --renew {name}")
            if not is_signed_by(certificate, self.project.certificate):
                what = f"`{path}` is not signed by the CA in `{self.project.folder}` [E0423]"
                raise UsageError(what, hint=f"edgeuk provision --renew {name}")
            return "kept", certificate
        made = issue(
            self.project.signer, self.project.certificate, name, usage=CLIENT, days=self.days
        )
        path.with_suffix(".crt").unlink(missing_ok=True)  # of keys that no longer speak for it
        write_atomic(path, made.pem(), PRIVATE_FILE)
        return "renewed" if there else "new", made.certificate

    def keep_device_key(self, name: str, key: Path) -> None:
        """Put the key of the device's board beside its file. Raises `UsageError`, `ConfigError`."""
        folder = private_folder(self.project.folder / DEVICES)
        if key.suffix != KEY_ENDING or not key.exists():
            what = f"there is no file `{key}` that ends in {KEY_ENDING}"
            hint = f"rpi-otp-private-key > {name}{KEY_ENDING}, on the board"
            raise UsageError(what, hint=hint)
        found = device_key(key)
        assert found
        with clear_errors(folder, OWNER_HINT):
            text = f"{found.hex()}\n".encode()
            write_atomic(folder / f"{name}{KEY_ENDING}", text, PRIVATE_FILE)

    def _device_text(self, name: str) -> str:
        """Topics are told apart by name, so that the broker can say who may write where."""
        topic, client_id = self.gateway.mqtt.topic, self.gateway.mqtt.client_id
        mqtt = "" if client_id else CLIENT_ID.format(name=name, random=secrets.token_hex(8))
        mqtt += f"topic = {json.dumps(f'{topic}/{name}')}\n" if topic else ""
        return DEVICE_TEXT.format(
            name=name,
            mqtt=mqtt,
            ca="" if "tls.ca" in self.gateway.settings else f'ca = "../{CERTIFICATE}"\n',
        )

    def _configuration(self, name: str, file: Path, path: Path) -> None:
        """Sealed; where it would say the same as the one there is, that is kept."""
        values = device_values(self.gateway, load_device(file, self.gateway))
        if values["name"] != name:
            what = f"`{file}` is for `{values['name']}`, not for `{name}` [E0427]"
            raise UsageError(what, hint=f'name = "{name}"')
        sequence = 1
        key = device_key(path)
        try:
            old = newest(read_owned(path), device_key=key)
            wanted = {**values, "board": self.board} if self.board else values
            same = old.values == wanted and old.encrypted == bool(key)
            if same and old.sealed and not self.renew:
                return
            sequence = old.sequence + 1
        except (FileNotFoundError, DeviceConfigError):
            pass
        seal = self.project.signer.sign_digest
        blob = encode(values, sequence=sequence, board=self.board, seal=seal, device_key=key)
        write_atomic(path, blob, PRIVATE_FILE)


_ANEW = "move it away, then: edgeuk provision --mosquitto HOST"


def _certificate_in(path: Path, hint: str) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(pem.certificates(read_owned(path))[0])
    except (ValueError, IndexError):
        what = f"`{path}` has no certificate, or a damaged one [E0420]"
        raise UsageError(what, hint=hint) from None


def topics_of(folder: Path, gateway: Gateway) -> Mapping[str, str]:
    """The devices of a project and their topics; those whose file cannot be read are left out."""
    topics = {}
    for file in sorted((folder / DEVICES).glob("*.toml")):
        try:
            values = device_values(gateway, load_device(file, gateway))
        except EdgeukError:
            continue
        topics[values["name"]] = values.get("mqtt.topic") or values["name"]
    return topics


def write_broker(
    project: Project, gateway: Gateway, hosts: Sequence[str], *, renew: bool
) -> Path | None:
    """mosquitto's configuration for those host names. Without any, only the list of devices is
    brought up to date where there is a configuration; returns its folder, if there is one."""
    folder = project.folder / BROKER
    if not hosts and not folder.exists():
        return None
    private_folder(folder)
    with clear_errors(folder, OWNER_HINT):
        if hosts:
            names = tuple(dict.fromkeys(n for h in hosts for n in LOCAL.get(h, (h,))))
            _keep_or_issue(project, folder / SERVER_FILE, hosts[0], names, renew=renew)
            _keep_or_issue(
                project, folder / f"{mosquitto.READER}.pem", mosquitto.READER, (), renew=renew
            )
            write_changed(folder / CERTIFICATE, certificate_pem(project.certificate))
            port = gateway.mqtt.port if gateway.mqtt.tls else mosquitto.PORT
            text = mosquitto.conf(folder.resolve(), port)
            write_changed(folder / "mosquitto.conf", text.encode())
        acl = mosquitto.acl(topics_of(project.folder, gateway))
        write_changed(folder / "acl", acl.encode(), PRIVATE_FILE)
    return folder


def broker_hosts(folder: Path) -> list[str]:
    """The names in the certificate of the broker in `folder`; none where it has no certificate."""
    path = folder / SERVER_FILE
    return _hosts_of(_certificate_in(path, _ANEW)) if path.exists() else []


def _keep_or_issue(
    project: Project, path: Path, name: str, hosts: Sequence[str], *, renew: bool
) -> None:
    """The certificate that is there, if it is of this CA and for these hosts."""
    if path.exists() and not renew:
        certificate = _certificate_in(path, _ANEW)
        if _hosts_of(certificate) == list(hosts) and is_signed_by(certificate, project.certificate):
            return
    made: Issued = issue(
        project.signer,
        project.certificate,
        name,
        usage=SERVER if hosts else CLIENT,
        hosts=hosts,
    )
    write_atomic(path, made.pem(), PRIVATE_FILE)


def _hosts_of(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]
