"""Sealing device configurations with the project's CA, and taking finished ones.

An image whose gateway file has [identity] accepts only what that CA has sealed.
"""

import base64
import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeuk.device_config import BOARD, DeviceConfigError, newest
from edgeuk.errors import ConfigError, Fault, UsageError
from edgeuk.gateway import DeviceFile, Gateway

ENDING = ".bin"
KEY_ENDING = ".otp"  # beside it: the key that the board has, which encrypts the configuration
KEY_DIGITS = 64  # as rpi-otp-private-key prints it
CERTIFICATES = ("tls.cert", "tls.ca")
Seal = Callable[[bytes], bytes]
Secret = Callable[[str], str]


def _identity(name: str) -> Any:
    """A module that knows certificates, loaded where there are some: that takes a while."""
    return importlib.import_module(f"edgeuk.identity.{name}")


def sealer(gateway: Gateway, secret: Secret) -> Seal | None:
    """What seals for the gateway's images; None where they take any configuration. Raises
    `UsageError` where the CA's key is not here."""
    if gateway.identity_ca is None:
        return None
    folder = gateway.identity_ca.parent
    project = _identity("project")
    if gateway.identity_ca.name != project.CERTIFICATE or not project.exists(folder):
        what = f"{gateway.path.name} has [identity], and who signs for that CA is not known here"
        hint = "where the CA's key is: edgeuk provision NAME; then --device NAME.bin here"
        raise UsageError(f"{what} [E0428]", hint=hint)
    seal: Seal = project.load(folder, secret).signer.sign_digest
    return seal


def delivery(
    gateway: Gateway, device: DeviceFile | None, secret: Secret
) -> tuple[Seal | None, bytes]:
    """How a configuration gets to the image: what seals it, None where nothing has to; or, where
    the CA's key is not here, a finished one. Raises `UsageError` where there is neither."""
    try:
        return sealer(gateway, secret), b""
    except UsageError:
        if device is None or not device.blob:
            raise
        return None, device.blob


def verifier(gateway: Gateway) -> Callable[[bytes, bytes], bool] | None:
    """Whether a digest and a seal are of the gateway's CA; None where there is none."""
    if not gateway.seal_key:
        return None
    sign = _identity("sign")
    key = sign.public_key_of(gateway.seal_key)
    return lambda digest, seal: bool(sign.verifies(key, digest, seal))


def device_key(path: Path) -> bytes | None:
    """The key of the board of the device whose file is `path`; None where there is none beside it.
    Raises `ConfigError`."""
    file = path.with_suffix(KEY_ENDING)
    try:
        text = file.read_text().strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as e:
        reason = (getattr(e, "strerror", "") or "it is not text").lower()
        raise _fault(file, "E0432", f"cannot be read: {reason}", "") from None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(text) != KEY_DIGITS or len(key) != KEY_DIGITS // 2 or not any(key):
        what = f"a board's key has {KEY_DIGITS} hexadecimal digits, not all of them 0"
        raise _fault(file, "E0432", what, "as `rpi-otp-private-key` prints it on the board")
    return key


def load_blob(path: Path, gateway: Gateway, board: str) -> DeviceFile:
    """A finished device configuration, checked against gateway and board (`board` "": not known).
    Raises `ConfigError`."""
    try:
        blob = path.read_bytes()
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        raise _fault(path, "E0101", f"cannot be read: {reason}", "") from None
    key = device_key(path)
    try:
        values = newest(blob, device_key=key).values
    except DeviceConfigError as e:
        what = f"this is not a device configuration: it {e.what}"
        hint = "edgeuk provision NAME writes it anew; a device file ends in .toml"
        raise _fault(path, "E0430", what, hint) from None
    verify = verifier(gateway)
    if verify:
        try:
            values = newest(
                blob, verify=verify, device_key=key
            ).values  # another copy may be nobody's
        except DeviceConfigError as e:
            what = f"it is not sealed by the project's CA `{gateway.identity_ca}`: it {e.what}"
            raise _fault(path, "E0423", what, "edgeuk provision NAME, with that CA") from None
    name, its_board = values.get("name", ""), values.get(BOARD, "")
    if board and its_board and its_board != board:
        what = f"it is the configuration of `{name}` for board `{its_board}`, not for `{board}`"
        raise _fault(path, "E0427", what, f"edgeuk provision {name} --board {board}")
    if path.name.endswith(ENDING) and name and path.stem != name and verify:
        what = f"it is the configuration of device `{name}`, and the file is called `{path.name}`"
        raise _fault(path, "E0427", what, f"mv {path.name} {name}{ENDING}, or take the right one")
    _check_certificates(path, values, gateway)
    return DeviceFile(path, values, blob)


def _check_certificates(path: Path, values: dict[str, str], gateway: Gateway) -> None:
    """Validity, issuer and name of what is in it."""
    found = {k: base64.b64decode(values[k]) for k in CERTIFICATES if k in values}
    if not found:
        return
    ca = _identity("project").read_ca(gateway.identity_ca) if gateway.identity_ca else None
    fault = _identity("check").check_values(found, ca, values.get("name", ""), datetime.now(UTC))
    if fault:
        raise _fault(path, fault.code, fault.what, fault.hint)


def _fault(path: Path, code: str, what: str, hint: str) -> ConfigError:
    return ConfigError((Fault.of_file(path, code, what, hint),))
