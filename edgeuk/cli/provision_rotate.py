"""`edgeuk provision --rotate`: running devices get a certificate for a new key of theirs."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from edgeuk.cache import OWNER_HINT, clear_errors, read_owned, write_atomic
from edgeuk.cli.common import shown, waiting
from edgeuk.cli.say import next_step, out, print_json, say
from edgeuk.device_config import device_values
from edgeuk.errors import DeviceError, UsageError
from edgeuk.gateway import Gateway, load_device
from edgeuk.identity.fitness import parse_der
from edgeuk.identity.issue import certificate_pem, certify
from edgeuk.identity.mosquitto import READER
from edgeuk.identity.project import BROKER, DEVICES, Project
from edgeuk.rotation import Via, rotate
from edgeuk.run.session import check_broker
from edgeuk.run.tls import context

DONE = "new"  # what a device says that has connected with the new certificate
UNKEPT = "the storage does not"  # and what, besides, if its storage fails


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
    say("the new keys are on the devices only; the .pem files stay valid, should storage be lost")
    next_step("edgeuk provision --renew NAME, where somebody else may have a .pem file")


def _known(values: Mapping[str, str], given: bytes) -> list[x509.Certificate]:
    """Certificates that the device may have now: that of its configuration, and what it was given
    since."""
    own = parse_der(base64.b64decode(values.get("tls.cert", "")), "tls.cert")[:1]
    return own + (x509.load_pem_x509_certificates(given) if given else [])


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
    path = file.with_suffix(".crt")
    before = read_owned(path) if path.exists() else b""

    def answer(key: ec.EllipticCurvePublicKey) -> x509.Certificate:
        made.append(certify(project.signer, project.certificate, name, key, days=days))
        with clear_errors(path.parent, OWNER_HINT):  # before, as we may not hear how it went
            write_atomic(path, certificate_pem(made[-1]) + before)
        return made[-1]

    topic = values.get("mqtt.topic") or name
    user, password = values.get("mqtt.username", ""), values.get("mqtt.password", "")
    via = Via(host, port, tls, user, password)
    with waiting(f"waiting for {name}"):
        said = rotate(name, topic, via, _known(values, before), answer, tell=say)
    if UNKEPT in said:  # it may be either one after a restart
        before = certificate_pem(made[-1]) + before
    left = certificate_pem(made[-1]) if said == DONE else before
    with clear_errors(path.parent, OWNER_HINT):
        if left:
            write_atomic(path, left)
        else:
            path.unlink(missing_ok=True)
    if said.startswith(DONE) and said != DONE:
        what = f"device `{name}` has connected with its new certificate, but: {said}"
        hint = "it tries again with each connection, and after a restart; is its disk worn?"
        raise DeviceError(what, hint=hint)
    if said != DONE:
        raise DeviceError(f"device `{name}` keeps its old certificate: {said}")
    return {
        "name": name,
        "certificate": str(path),
        "valid_until": f"{made[-1].not_valid_after_utc:%Y-%m-%d}",
    }
