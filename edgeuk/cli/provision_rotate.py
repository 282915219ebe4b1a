"""`edgeuk provision --rotate`: running devices get a certificate for a new key of theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edgeuk.cache import clear_errors, write_atomic
from edgeuk.cli.common import shown, waiting
from edgeuk.cli.say import next_step, out, print_json, say
from edgeuk.device_config import device_values
from edgeuk.errors import DeviceError, UsageError
from edgeuk.gateway import Gateway, load_device
from edgeuk.identity.issue import certificate_pem, certify
from edgeuk.identity.mosquitto import READER
from edgeuk.identity.project import BROKER, DEVICES, Project
from edgeuk.rotation import Via, rotate
from edgeuk.run.session import check_broker
from edgeuk.run.tls import context

DONE = "new"  # what a device says that has connected with the new certificate


def rotate_devices(
    project: Project, gateway: Gateway, names: Sequence[str], url: str, days: int, *, json: bool
) -> None:
    """One after the other; each keeps its old certificate until the new one has connected. Raises
    `DeviceError` at the first that does not."""
    if not gateway.rotate:
        what = f"images of {gateway.path.name} do not ask for new certificates"
        raise UsageError(what, hint="[identity] rotate = true, then build and flash")
    files = {name: project.folder / DEVICES / f"{name}.toml" for name in names}
    for name, file in files.items():
        if not file.exists():
            raise UsageError(f"there is no device `{name}` here", hint=f"edgeuk provision {name}")
    done = [_rotate(project, gateway, name, file, url, days) for name, file in files.items()]
    if json:
        print_json({"devices": done})
        return
    for device in done:
        until = device["valid_until"]
        out.print(f"device  {device['name']}: new certificate, valid until {until}", markup=False)
        out.print(f"        {shown(Path(device['certificate']))}", markup=False)
    say("the new keys are on the devices only; what is in the .pem files stays valid as well")
    next_step("edgeuk provision --renew NAME, should a device lose its storage")


def _rotate(
    project: Project, gateway: Gateway, name: str, file: Path, url: str, days: int
) -> dict[str, Any]:
    values = device_values(gateway, load_device(file, gateway))
    where = url or f"{values.get('mqtt.host', '')}:{values.get('mqtt.port', '')}"
    host, port = check_broker(where, values)
    tls = context(values)  # as the device itself; where there is one, as who may command
    reader = project.folder / BROKER / f"{READER}.pem"
    if reader.exists():
        tls.load_cert_chain(reader)
    made: list[x509.Certificate] = []

    def answer(key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        made.append(certify(project.signer, project.certificate, name, key, days=days))
        return made[-1]

    topic = values.get("mqtt.topic") or name
    user, password = values.get("mqtt.username", ""), values.get("mqtt.password", "")
    with waiting(f"waiting for {name}"):
        said = rotate(name, topic, Via(host, port, tls, user, password), answer)
    if said != DONE:
        raise DeviceError(f"device `{name}` keeps its old certificate: {said}")
    path = file.with_suffix(".crt")
    with clear_errors(path.parent):
        write_atomic(path, certificate_pem(made[-1]))
    return {
        "name": name,
        "certificate": str(path),
        "valid_until": f"{made[-1].not_valid_after_utc:%Y-%m-%d}",
    }
