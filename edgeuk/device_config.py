"""The device configuration: what differs between two devices with the same image, as bytes.

Follows docs/device-config-spec.md; firmware/kernel/device_config.c reads it.
"""

import base64
import struct
import zlib
from collections.abc import Mapping

from edgeuk.errors import EdgeukError, UsageError
from edgeuk.gateway import DeviceFile, Gateway

MAGIC = b"EKC1"
SIZE_MAX = 4096  # bytes, header included
DATA_MAGIC = b"EKD1"  # of the second part: bytes that are no text
DATA_KEYS = ("tls.ca", "tls.cert", "tls.key")  # in Python their values are base64
_HEADER = struct.Struct("<4sII")  # magic, payload length, CRC-32 of the payload


class DeviceConfigError(EdgeukError):
    """The bytes are not a device configuration."""


def device_values(
    gateway: Gateway, device: DeviceFile | None = None, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """All keys of one device: the gateway file's, then the device file's, then `extra`."""
    values = dict(gateway.settings)
    for more in (device.values if device else {}, extra or {}):
        if "net.address" in more:  # a static address replaces the other one as a whole
            for key in ("net.address", "net.prefix", "net.gateway"):
                values.pop(key, None)
        values |= more
    return values


def encode(values: Mapping[str, str]) -> bytes:
    """The blob, keys in alphabetical order. Raises `UsageError` if it is larger than 4096 bytes."""
    texts = sorted(key for key in values if key not in DATA_KEYS)
    payload = b"".join(f"{key}={values[key]}".encode() + b"\0" for key in texts)
    assert payload.count(b"\0") == len(texts), "no NUL in keys and values"
    blob = _part(MAGIC, payload)
    data = {key: base64.b64decode(values[key]) for key in DATA_KEYS if key in values}
    if data:
        entries = (k.encode() + b"\0" + struct.pack("<H", len(v)) + v for k, v in data.items())
        blob += _part(DATA_MAGIC, b"".join(entries))
    size = len(blob)
    if size > SIZE_MAX:
        longest = max(values, key=lambda key: len(values[key]))
        what = f"the device configuration has {size} bytes, {SIZE_MAX} are the most"
        raise UsageError(f"{what} [E0701]", hint=f"the longest value is that of `{longest}`")
    return blob


def _part(magic: bytes, payload: bytes) -> bytes:
    return _HEADER.pack(magic, len(payload), zlib.crc32(payload)) + payload


def decode(blob: bytes) -> dict[str, str]:
    """The keys of a blob; bytes behind it are ignored. Raises `DeviceConfigError`."""
    if len(blob) < _HEADER.size:
        raise DeviceConfigError("shorter than a header")
    magic, length, crc = _HEADER.unpack_from(blob)
    payload = blob[_HEADER.size : _HEADER.size + length]
    if magic != MAGIC:
        raise DeviceConfigError("does not begin with EKC1")
    if len(payload) != length or _HEADER.size + length > SIZE_MAX:
        raise DeviceConfigError(f"a payload of {length} bytes does not fit")
    if zlib.crc32(payload) != crc:
        raise DeviceConfigError("the checksum is wrong")
    if payload and not payload.endswith(b"\0"):
        raise DeviceConfigError("the last string does not end")
    try:
        pairs = [text.decode().partition("=") for text in payload.split(b"\0")[:-1]]
    except UnicodeDecodeError:
        raise DeviceConfigError("a string is not UTF-8") from None
    if any(not key or not equals for key, equals, _ in pairs):
        raise DeviceConfigError("a string is not key=value")
    return {key: value for key, _, value in pairs}
