"""The CA's side of firmware/app/rotation: a running device gets a certificate for a new key.

The device makes the key and never shows it; its request proves that it has it. What goes over the
broker is public, and the device checks what it is given: the broker is not trusted.
"""

import hashlib
import queue
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.enums import CallbackAPIVersion

from edgeuk.errors import DeviceError
from edgeuk.identity.sign import public_key_of, verifies

LEAD = b"edgeuk identity request 1\0"
POINT, PROOF = 65, 64  # bytes
LIMIT_S = 60.0  # the device connects anew, with back-off; with the old certificate, if need be

Certify = Callable[[ec.EllipticCurvePublicKey], x509.Certificate]


@dataclass(frozen=True, slots=True)
class Via:
    """The broker."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    username: str = ""
    password: str = ""


def requested_key(name: str, request: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a device's request. Raises `DeviceError` if it is not proven."""
    point, proof = request[:POINT], request[POINT:]
    try:
        key = public_key_of(point)
    except ValueError:
        raise DeviceError(f"the request of `{name}` has no key in it") from None
    digest = hashlib.sha256(LEAD + name.encode() + b"\0" + point).digest()
    if not verifies(key, digest, proof):
        raise DeviceError(f"the request of `{name}` does not prove that it has the key")
    return key


def rotate(name: str, topic: str, via: Via, certify: Certify, limit_s: float = LIMIT_S) -> str:
    """Ask the device for a request, answer it, and wait until it has connected with the new
    certificate; returns what it says: "new", or why it keeps the old one. Raises `DeviceError`."""
    heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
    base = f"{topic}/identity/"
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    if via.tls:
        client.tls_set_context(via.tls)
    if via.username:
        client.username_pw_set(via.username, via.password)
    client.on_message = lambda _client, _data, m: heard.put(
        (m.topic.removeprefix(base), bytes(m.payload))
    )
    client.on_subscribe = lambda *_: heard.put(("subscribed", b""))
    end = time.monotonic() + limit_s
    try:
        client.connect(via.host, via.port)
        client.loop_start()
        client.subscribe([(base + "request", 1), (base + "state", 1)])
        _wait(heard, "subscribed", end, f"the broker at {via.host}:{via.port}")
        client.publish(base + "rotate", b"", qos=1)
        request = _wait(heard, "request", end, f"device `{name}`")
        certificate = certify(requested_key(name, request))
        client.publish(base + "set", certificate.public_bytes(serialization.Encoding.DER), qos=1)
        return _wait(heard, "state", end, f"device `{name}`").decode(errors="replace")
    except OSError as e:
        what = f"cannot reach the broker at {via.host}:{via.port}: {e.strerror or e}"
        raise DeviceError(what) from None
    finally:
        client.disconnect()
        client.loop_stop()


def _wait(heard: queue.Queue[tuple[str, bytes]], wanted: str, end: float, who: str) -> bytes:
    while True:
        try:
            kind, payload = heard.get(timeout=max(end - time.monotonic(), 0.001))
        except queue.Empty:
            hint = "it must be connected, and its gateway file say [identity] rotate = true"
            raise DeviceError(f"{who} does not answer", hint=hint) from None
        if kind == wanted:
            return payload
        if kind == "state":  # a refusal instead
            raise DeviceError(f"{who} says: {payload.decode(errors='replace')}")
