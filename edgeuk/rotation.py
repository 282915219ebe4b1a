"""The CA's side of firmware/app/rotation: a running device gets a certificate for a new key.

The device makes the key and never shows it; its request proves that it has it, and, by its old key,
who it is. What goes over the broker is public, and both ends check what they are given: it is
not trusted.
"""

import hashlib
import queue
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from edgeuk.errors import DeviceError
from edgeuk.identity.sign import PREHASHED, public_key_of, verifies

LEAD = b"edgeuk identity request 2\0"
POINT, PROOF = 65, 64  # bytes; what follows is a signature by the device's key so far, DER
LIMIT_S = 60.0  # the device connects anew, with back-off; with the old certificate, if need be

AGAIN_S = 15.0  # ask again: longer than any processor needs for a key, which the next one replaces
SAID_MAX = 200  # of what a device says: anybody who may publish there may be it

Certify = Callable[[ec.EllipticCurvePublicKey], x509.Certificate]
Tell = Callable[[str], None]
Heard = queue.Queue[tuple[str, bytes]]  # what, and its payload


class SilentError(DeviceError):
    """Nothing was heard."""


@dataclass(frozen=True, slots=True)
class Via:
    """The broker."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str = ""
    password: str = ""


def requested_key(
    name: str, request: bytes, known: Sequence[x509.Certificate]
) -> ec.EllipticCurvePublicKey:
    """The key of a device's request. Raises `DeviceError` if it is not proven, or not signed with
    the key of one of the `known` certificates as well: anybody may prove a key of their own."""
    point, proof, present = request[:POINT], request[POINT:][:PROOF], request[POINT + PROOF :]
    try:
        key = public_key_of(point)
    except ValueError:
        raise DeviceError(f"the request of `{name}` has no key in it") from None
    digest = hashlib.sha256(LEAD + name.encode() + b"\0" + point).digest()
    if not verifies(key, digest, proof):
        raise DeviceError(f"the request of `{name}` does not prove that it has the key")
    if not any(_has_signed(certificate, digest, present) for certificate in known):
        what = f"the request of `{name}` is not signed with a key that is known to be its own"
        hint = "somebody else's? After --renew, the device needs its new configuration first"
        raise DeviceError(what, hint=hint)
    return key


def _has_signed(certificate: x509.Certificate, digest: bytes, signature: bytes) -> bool:
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, digest, PREHASHED)
    except InvalidSignature:
        return False
    return True


def rotate(
    name: str,
    topic: str,
    via: Via,
    known: Sequence[x509.Certificate],
    certify: Certify,
    limit_s: float = LIMIT_S,
    tell: Tell = lambda line: None,
) -> str:
    """Ask the device for a request, answer it, and wait until it has connected with the new
    certificate; returns what it says: "new", or why it keeps the old one. `known`: what it may
    have now. `tell` hears of each step. Raises `DeviceError`."""
    heard: Heard = queue.Queue()
    base = f"{topic}/identity/"
    where = f"the broker at {via.host}:{via.port}"
    client = _client(via, base, heard)
    end = time.monotonic() + limit_s
    try:
        client.connect(via.host, via.port)
        client.loop_start()
        _wait(heard, "subscribed", end, where, _BROKER)
        tell(f"{name}: asked for a new key over {where}; waiting, {limit_s:g} s at most")
        request = None
        while request is None:  # the device may be about to connect
            client.publish(base + "rotate", b"", qos=1)
            soon = min(time.monotonic() + AGAIN_S, end)
            with suppress(SilentError) if soon < end else nullcontext():
                silent = _DEVICE.format(topic=topic, base=base)
                request = _wait(heard, "request", soon, f"device `{name}`", silent)
            if request is None:
                tell(f"{name}: no answer yet; asked again")
        certificate = certify(requested_key(name, request, known))
        client.publish(base + "set", certificate.public_bytes(serialization.Encoding.DER), qos=1)
        tell(f"{name}: has a new key, and its certificate is sent; waiting until it connects")
        said = _text(_wait(heard, "state", end, f"device `{name}`", _STATE))
        tell(f"{name}: says `{said}`")
        return said
    except OSError as e:
        what = f"cannot reach {where}: {e.strerror or e}"
        raise DeviceError(what) from None
    finally:
        client.disconnect()
        client.loop_stop()


# Why nothing may be heard.
_BROKER = "is it a broker, and does its port speak TLS? Its log says more"
_DEVICE = (
    "its console says `mqtt: connected` if it runs and has this broker; its image must be built "
    "with [identity] rotate = true, its topic be `{topic}`, and the broker let us publish "
    "`{base}rotate`"
)
_STATE = (
    "the broker's log says whether the new certificate was let in; one that is larger than "
    "mqtt_receive_bytes of the board does not arrive"
)


def _client(via: Via, base: str, heard: Heard) -> mqtt.Client:
    """Subscribes whenever it connects; what happens is `heard`."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    if via.tls:
        client.tls_set_context(via.tls)
    if via.username:
        client.username_pw_set(via.username, via.password)

    def on_connect(*given: Any) -> None:
        if given[3].is_failure:
            heard.put(("closed", str(given[3]).encode()))
        else:
            client.subscribe([(base + "request", 1), (base + "state", 1)])

    def on_message(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if not message.retain:  # else it is from before we asked
            heard.put((message.topic.removeprefix(base), bytes(message.payload)))

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: heard.put(("subscribed", b""))
    client.on_disconnect = lambda *given: heard.put(("closed", str(given[3]).encode()))
    return client


def _text(said: bytes) -> str:
    """Fit for a terminal, whoever sent it."""
    text = said[:SAID_MAX].decode(errors="replace")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _wait(heard: Heard, wanted: str, end: float, who: str, silent: str) -> bytes:
    """`silent`: why it may be that nothing comes."""
    while True:
        try:
            kind, payload = heard.get(timeout=max(end - time.monotonic(), 0.001))
        except queue.Empty:
            raise SilentError(f"{who} does not answer", hint=silent) from None
        if kind == wanted:
            return payload
        said = _text(payload)
        if kind == "closed" and wanted == "subscribed":  # later on, the next connection goes on
            hint = "does it know the CA of our certificate? Its log says why"
            raise DeviceError(f"{who} does not let us in: {said.lower()}", hint=hint)
        if kind == "state" and payload.startswith(b"refused"):  # others are of the time before
            hint = "it needs a disk: `edgeuk run --storage FILE` gives it one"
            raise DeviceError(f"{who} says: {said}", hint=hint if "no storage" in said else "")
