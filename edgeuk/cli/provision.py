"""`edgeuk provision`: a CA of the project's own, and an identity for each device."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    GatewayOption,
    JsonOption,
    ask_secret,
    command_app,
    find_gateway,
    load_project,
    shown,
)
from edgeuk.cli.provision_rotate import rotate_devices
from edgeuk.cli.say import next_step, out, print_json, say, say_warnings
from edgeuk.document import read_document
from edgeuk.errors import UsageError
from edgeuk.gateway import Gateway
from edgeuk.identity import project as projects
from edgeuk.identity.fitness import UnfitError, check_authority, check_period
from edgeuk.identity.issue import CA_DAYS, DEVICE_DAYS
from edgeuk.identity.mosquitto import READER
from edgeuk.identity.project import DEVICES, Project, Source
from edgeuk.provisioning import Device, Maker, broker_hosts, topics_of, write_broker
from edgeuk.settings import DEVICE_NAME
from edgeuk.values import is_host, nearest

app = command_app()
NAME_HINT = "letters, digits, - and _, at most 63, a letter or digit first"


@dataclass(frozen=True, slots=True)
class Authority:
    """The options that say which CA."""

    certificate: Path | None
    source: Source | None
    encrypt: bool


@app.command(epilog="Example:  edgeuk provision gw-1 gw-2 --mosquitto broker.example")
def provision(
    names: Annotated[
        list[str] | None, typer.Argument(help="The devices; none: only the CA.", metavar="NAME")
    ] = None,
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    folder: Annotated[
        Path | None,
        typer.Option(help="Keep CA and devices here, not in `identity`.", metavar="FOLDER"),
    ] = None,
    mosquitto: Annotated[
        list[str] | None,
        typer.Option(help="Write a mosquitto configuration for this host name.", metavar="HOST"),
    ] = None,
    renew: Annotated[
        bool, typer.Option("--renew", help="New keys and certificates for these devices.")
    ] = False,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Running devices get new certificates over MQTT.")
    ] = False,
    broker: Annotated[
        str, typer.Option(help="Where they are, if not where the files say.", metavar="URL")
    ] = "",
    device_key: Annotated[
        Path | None,
        typer.Option(
            help="The key in the device's board; encrypts its configuration.", metavar="FILE"
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(help="How long certificates of devices are valid.")
    ] = DEVICE_DAYS,
    encrypt: Annotated[
        bool, typer.Option("--encrypt", help="A new CA's key gets a passphrase.")
    ] = False,
    ca_cert: Annotated[
        Path | None, typer.Option(help="Take this CA instead of a new one.", metavar="FILE")
    ] = None,
    ca_key: Annotated[
        Path | None, typer.Option(help="Its key, which stays there.", metavar="FILE")
    ] = None,
    pkcs11: Annotated[
        str, typer.Option(help="Its key is in a token: pkcs11:...", metavar="URI")
    ] = "",
    sign_command: Annotated[
        str, typer.Option(help="This command signs for it.", metavar="COMMAND")
    ] = "",
    json: JsonOption = False,
) -> None:
    """Create the project's CA, or take an existing one, and make key, certificate and sealed
    configuration of each device. What is there already is kept."""
    wanted = _names(names or [])
    hosts = _hosts(mosquitto or [])
    if not 1 <= days <= CA_DAYS:
        raise UsageError(f"--days {days} is not 1 to {CA_DAYS}")
    if rotate and (renew or hosts or not wanted):
        raise UsageError("--rotate NAME, without --renew and --mosquitto")
    if device_key and (rotate or len(wanted) != 1):
        raise UsageError("--device-key FILE goes with one NAME", hint="each board has its own")
    if broker and not rotate:
        raise UsageError("--broker goes with --rotate")
    authority = _authority(ca_cert, ca_key, pkcs11, sign_command, encrypt)
    path = find_gateway(gateway)
    place = folder or _folder_of(path)
    if renew:
        _check_known(place / DEVICES, wanted)
    project, made = _project(place, path, authority)
    loaded = load_project(path, board)
    _check_same(loaded.gateway, project)
    say_warnings(loaded.warnings)
    if rotate:
        rotate_devices(project, loaded.gateway, wanted, broker, days, json=json)
        return
    maker = Maker(
        project, loaded.gateway, board=board or loaded.gateway.board, days=days, renew=renew
    )
    if device_key:
        if "device_key" not in loaded.board.roles:
            what = f"board `{loaded.board.name}` has no key of its own that --device-key could be"
            raise UsageError(what, hint="--board B, if that is not the device's; `rpi4` has one")
        maker.keep_device_key(wanted[0], device_key)
    devices = [maker.make(name) for name in wanted]
    written = write_broker(project, loaded.gateway, hosts, renew=renew)
    lacks = _lacks(loaded.gateway, project)
    if json:
        print_json(
            {
                "ca": {"certificate": str(place / projects.CERTIFICATE), "made": made},
                "devices": [device.as_dict() for device in devices],
                "broker": str(written) if written else None,
                "gateway_lacks": lacks,
            }
        )
        return
    _tell(place, made, devices, written, loaded.gateway, lacks)


def _check_known(folder: Path, names: Sequence[str]) -> None:
    """A slip of the finger is no new device that the broker lets in."""
    known = [file.stem for file in folder.glob("*.pem")]
    for name in names:
        if name not in known:
            what = f"there is no device `{name}` whose certificate could be renewed"
            raise UsageError(what, hint=nearest(name, known))


def _names(names: Sequence[str]) -> list[str]:
    for name in names:
        if not re.fullmatch(DEVICE_NAME, name):
            raise UsageError(f"`{name}` cannot be a device's name", hint=NAME_HINT)
        if name == READER:
            raise UsageError(f"`{name}` is who reads everything", hint="choose another name")
    return list(dict.fromkeys(names))


def _hosts(hosts: Sequence[str]) -> list[str]:
    for host in hosts:
        if not is_host(host):
            raise UsageError(f"`{host}` is not a host name", hint="--mosquitto broker.example")
    return list(dict.fromkeys(hosts))


def _authority(
    certificate: Path | None, key: Path | None, pkcs11: str, command: str, encrypt: bool
) -> Authority:
    given = [
        Source(kind, str(value))
        for kind, value in (("key", key), ("pkcs11", pkcs11), ("command", command))
        if value
    ]
    if len(given) > 1:
        raise UsageError("--ca-key, --pkcs11 and --sign-command: one of them says who signs")
    source = given[0] if given else None
    if certificate and not source:
        hint = "--ca-key FILE, --pkcs11 URI or --sign-command COMMAND"
        raise UsageError("--ca-cert alone does not say who signs for it", hint=hint)
    if source and source.kind == "key" and not certificate:
        raise UsageError("--ca-key needs --ca-cert FILE: the certificate that it is for")
    if encrypt and source:
        raise UsageError("--encrypt is for a new CA's key; this one is there already")
    return Authority(certificate, source, encrypt)


def _authority_of(path: Path) -> Path | None:
    """[identity] ca of the gateway file, whose other faults are found later."""
    table = read_document(path).data.get("identity")
    ca = table.get("ca") if isinstance(table, dict) else None
    return path.parent / ca if isinstance(ca, str) and ca else None


def _folder_of(path: Path) -> Path:
    """Where the gateway file says that the CA is, else beside it."""
    ca = _authority_of(path)
    if ca and ca.name == projects.CERTIFICATE:
        return ca.parent
    return path.parent / projects.FOLDER


def _check_fit(path: Path) -> x509.Certificate:
    """A CA's certificate that may sign, before anything is made with it. Raises `UsageError`."""
    certificate, which = projects.read_ca(path), f"the CA `{shown(path)}`"
    try:
        check_authority(certificate, which)
        check_period(certificate, which, datetime.now(UTC))
    except UnfitError as e:
        raise UsageError(f"{e.what} [{e.code}]", hint=e.hint) from None
    return certificate


def _project(folder: Path, path: Path, authority: Authority) -> tuple[Project, bool]:
    """The CA, and whether it was made or taken just now."""
    if projects.exists(folder):
        if authority.source or authority.encrypt:
            hint = "leave out the options, or name another place with --folder"
            raise UsageError(f"`{shown(folder)}` has a CA already", hint=hint)
        _check_fit(folder / projects.CERTIFICATE)
        return projects.load(folder, ask_secret), False
    if authority.certificate and authority.source:
        certificate = _check_fit(authority.certificate)
        return projects.adopt(folder, certificate, authority.source, ask_secret), True
    other = _authority_of(path)
    own = (folder / projects.CERTIFICATE).resolve()
    elsewhere = other and other.exists() and other.resolve() != own
    if elsewhere and not authority.source:
        what = f"{path.name} has a CA: the images would take nothing from a new one"
        hint = "--folder FOLDER, where ca.toml says who signs for it; or --ca-cert and --ca-key"
        raise UsageError(f"{what} in `{shown(folder)}` [E0423]", hint=hint)
    name = path.resolve().parent.name
    return projects.create(
        folder, name, authority.source, ask_secret, encrypt=authority.encrypt
    ), True


def _check_same(gateway: Gateway, project: Project) -> None:
    point = projects.public_point(project.certificate)
    if gateway.seal_key and gateway.seal_key != point:
        what = f"[identity] ca of {gateway.path.name} is another CA than the one in "
        what = f"{what}`{shown(project.folder)}` [E0423]"
        raise UsageError(what, hint="--folder FOLDER names that of the gateway file")


def _lacks(gateway: Gateway, project: Project) -> list[str]:
    """What the gateway file should have."""
    ca = os.path.relpath(project.folder / projects.CERTIFICATE, gateway.path.parent)
    lines = []
    if gateway.identity_ca is None:
        lines.append(f'[identity]\nca = "{ca}"')
    if "tls.ca" not in gateway.settings:
        lines.append(f'[tls]\nca = "{ca}"')
    if not gateway.mqtt.tls:
        host = gateway.mqtt.host or "HOST"
        lines.append(f'[mqtt]\nurl = "mqtts://{host}:8883"')
    return lines


def _tell(
    folder: Path,
    made: bool,
    devices: Sequence[Device],
    broker: Path | None,
    gateway: Gateway,
    lacks: Sequence[str],
) -> None:
    out.print(f"CA      {shown(folder / projects.CERTIFICATE)}{', new' * made}", markup=False)
    for device in devices:
        until = f"valid until {device.until:%Y-%m-%d}"
        out.print(f"device  {device.name}: {device.state}, {until}", markup=False)
        out.print(f"        {shown(device.file)}, {shown(device.blob)}", markup=False)
    if broker:
        out.print(f"broker  mosquitto -c {shown(broker / 'mosquitto.conf')}", markup=False)
        if hosts := broker_hosts(broker):
            out.print(f"        its certificate is for {', '.join(hosts)}", markup=False)
        out.print(f"        its ACL names {', '.join(topics_of(folder, gateway)) or 'nobody yet'}")
    else:
        out.print(f"broker  needs {shown(folder / projects.CERTIFICATE)}, to check clients with")
        out.print("        a certificate of its own, for its host name; --mosquitto HOST makes one")
        out.print("        the name in a client's certificate (CN) as user name")
    if lacks:
        lines = "\n".join(lacks).replace("\n", "\n  ")
        say(f"\n{gateway.path.name} should have this; then run the same command again:\n  {lines}")
    if gateway.mqtt.host in ("localhost", "127.0.0.1"):
        what = f"the broker of {gateway.path.name} is `{gateway.mqtt.host}`"
        say(f"\n{what}: right in QEMU, but a board would look for it on itself")
    _next(devices, broker, gateway, lacks)


def _next(
    devices: Sequence[Device],
    broker: Path | None,
    gateway: Gateway,
    lacks: Sequence[str],
) -> None:
    if lacks:
        next_step(f"that in {gateway.path.name}, then this command again")
        return
    if not devices:
        next_step("edgeuk provision NAME, for each device")
        return
    run = f"edgeuk run --device {shown(devices[0].file)}"
    local = [h for h in broker_hosts(broker) if h == "localhost"] if broker else []
    if broker and local:
        port = gateway.mqtt.port
        conf = shown(broker / "mosquitto.conf")
        run = f"mosquitto -c {conf}, and beside it {run} --broker mqtts://localhost:{port}"
    next_step(run)
