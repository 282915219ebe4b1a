"""The device configuration: what differs between two devices with the same image, as bytes.

Follows docs/device-config-spec.md; firmware/kernel/device_config.c reads it.
"""

import base64
import hashlib
import hmac
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edgeuk.errors import EdgeukError, UsageError
from edgeuk.gateway import DeviceFile, Gateway

MAGIC = b"EKC2"
SIZE_MAX = 4096  # bytes of a copy, header and seal included; the second copy lies so far behind
REGION = 2 * SIZE_MAX  # two copies
# No text: in Python their values are base64.
DATA_KEYS = ("tls.ca", "tls.cert", "tls.key", "tls.pins")
BOARD = "board"  # the key that says for which board it is
SEALED, ENCRYPTED = 1, 2  # flags
SEAL_SIZE = 64  # ECDSA with P-256: r and s
SEAL_LEAD = b"edgeuk device configuration 2\0"
KEY_LABEL, NONCE_LABEL = SEAL_LEAD + b"key", SEAL_LEAD + b"nonce"
KEY_SIZE, NONCE_SIZE, TAG_SIZE = 16, 12, 16  # AES-128-GCM
# Magic, CRC-32 of all that follows it up to the end of the payload, length of the payload, length
# of its text part, sequence number, flags.
_HEADER = struct.Struct("<4sIHHII")
_CHECKED = 8  # where what the CRC covers begins


class DeviceConfigError(EdgeukError):
    """The bytes are not a device configuration, or not one for this reader."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy, as it was read."""

    values: dict[str, str]
    sequence: int
    sealed: bool
    encrypted: bool


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


def encode(
    values: Mapping[str, str],
    *,
    sequence: int = 1,
    board: str = "",
    seal: Callable[[bytes], bytes] | None = None,
    device_key: bytes | None = None,
) -> bytes:
    """One copy, keys in alphabetical order: equal values give equal bytes.

    `board`: the only one that will accept it. `seal` is given a SHA-256 digest and returns the 64
    bytes of an ECDSA signature, r and s. `device_key`: the board's own, which encrypts it.
    Raises `UsageError` if it is larger than 4096 bytes.
    """
    values = {**values, BOARD: board} if board else dict(values)
    texts = sorted(key for key in values if key not in DATA_KEYS)
    text = b"".join(f"{key}={values[key]}".encode() + b"\0" for key in texts)
    assert text.count(b"\0") == len(texts), "no NUL in keys and values"
    data = {key: base64.b64decode(values[key]) for key in DATA_KEYS if key in values}
    payload = text + b"".join(
        k.encode() + b"\0" + struct.pack("<H", len(v)) + v for k, v in data.items()
    )
    length = len(payload) + (NONCE_SIZE + TAG_SIZE if device_key else 0)
    size = _HEADER.size + length + (SEAL_SIZE if seal else 0)
    if size > SIZE_MAX:
        longest = max(values, key=lambda key: len(values[key]))
        what = f"the device configuration has {size} bytes, {SIZE_MAX} are the most"
        raise UsageError(f"{what} [E0701]", hint=f"the longest value is that of `{longest}`")
    flags = (SEALED if seal else 0) | (ENCRYPTED if device_key else 0)
    rest = _HEADER.pack(MAGIC, 0, length, len(text), sequence, flags)[_CHECKED:]
    if device_key:
        payload = _encrypt(device_key, rest, payload)
    blob = MAGIC + struct.pack("<I", zlib.crc32(rest + payload)) + rest + payload
    if seal:
        signature = seal(seal_digest(blob))
        assert len(signature) == SEAL_SIZE, "r and s, 32 bytes each"
        blob += signature
    return blob


def seal_digest(blob: bytes) -> bytes:
    """What is signed of header and payload."""
    return hashlib.sha256(SEAL_LEAD + blob).digest()


def copies(blob: bytes, size: int) -> dict[int, bytes]:
    """What is written to a region of `size` bytes, by offset: two copies where it has room for
    them."""
    return {0: blob, SIZE_MAX: blob} if len(blob) <= SIZE_MAX and size >= REGION else {0: blob}


def region_image(blob: bytes, size: int) -> bytes:
    """The same in one piece, with erased flash between the copies."""
    pieces = copies(blob, size)
    return blob.ljust(SIZE_MAX, b"\xff") + blob if len(pieces) > 1 else blob


def decode(
    blob: bytes,
    *,
    verify: Callable[[bytes, bytes], bool] | None = None,
    device_key: bytes | None = None,
) -> dict[str, str]:
    """The keys of one copy; bytes behind it are ignored. Raises `DeviceConfigError`."""
    return read_copy(blob, verify=verify, device_key=device_key).values


def read_copy(
    blob: bytes,
    *,
    verify: Callable[[bytes, bytes], bool] | None = None,
    device_key: bytes | None = None,
) -> Copy:
    """One copy; bytes behind it are ignored. `verify` is given digest and signature: with it, only
    what is sealed is accepted. Raises `DeviceConfigError`."""
    if len(blob) < _HEADER.size:
        raise DeviceConfigError("is shorter than a header")
    magic, crc, length, text_length, sequence, flags = _HEADER.unpack_from(blob)
    end = _HEADER.size + length
    if magic != MAGIC:
        raise DeviceConfigError("does not begin with EKC2")
    if end + SEAL_SIZE * (flags & SEALED) > min(len(blob), SIZE_MAX):
        raise DeviceConfigError(f"is cut off: a payload of {length} bytes does not fit")
    if zlib.crc32(blob[_CHECKED:end]) != crc:
        raise DeviceConfigError("has a wrong checksum")
    if flags & ~(SEALED | ENCRYPTED):
        raise DeviceConfigError("has flags of a later version")
    if verify:
        if not flags & SEALED:
            raise DeviceConfigError("is not sealed")
        if not verify(seal_digest(blob[:end]), blob[end : end + SEAL_SIZE]):
            raise DeviceConfigError("has a seal of somebody else, or a broken one")
    payload = blob[_HEADER.size : end]
    if flags & ENCRYPTED:
        if device_key is None:
            raise DeviceConfigError("is encrypted with the key of a device")
        payload = _decrypt(device_key, blob[_CHECKED : _HEADER.size], payload)
    if text_length > len(payload):
        raise DeviceConfigError(f"has a text of {text_length} bytes, more than the payload")
    values = _texts(payload[:text_length]) | _data(payload[text_length:])
    return Copy(values, sequence, bool(flags & SEALED), bool(flags & ENCRYPTED))


def newest(
    region: bytes,
    *,
    verify: Callable[[bytes, bytes], bool] | None = None,
    device_key: bytes | None = None,
) -> Copy:
    """The copy that a device would use. Raises the `DeviceConfigError` of the first if none can
    be."""
    copies, faults = [], []
    for offset in (0, SIZE_MAX):
        try:
            part = region[offset : offset + SIZE_MAX]
            copies.append(read_copy(part, verify=verify, device_key=device_key))
        except DeviceConfigError as e:
            faults.append(e)
    if not copies:
        raise faults[0]
    return max(copies, key=lambda copy: copy.sequence)


def _texts(part: bytes) -> dict[str, str]:
    if part and not part.endswith(b"\0"):
        raise DeviceConfigError("has a last string that does not end")
    try:
        pairs = [text.decode().partition("=") for text in part.split(b"\0")[:-1]]
    except UnicodeDecodeError:
        raise DeviceConfigError("has a string that is not UTF-8") from None
    if any(not key or not equals for key, equals, _ in pairs):
        raise DeviceConfigError("has a string that is not key=value")
    return {key: value for key, _, value in pairs}


def _data(part: bytes) -> dict[str, str]:
    values = {}
    while part:
        key, zero, rest = part.partition(b"\0")
        length = int.from_bytes(rest[:2], "little")
        if not zero or not key.isascii() or len(rest) < 2 + length or len(rest) < 2:
            raise DeviceConfigError("has an entry that reaches beyond the end")
        values[key.decode()] = base64.b64encode(rest[2 : 2 + length]).decode()
        part = rest[2 + length :]
    return values


def _mac(device_key: bytes, text: bytes) -> bytes:
    return hmac.new(device_key, text, hashlib.sha256).digest()


def _cipher(device_key: bytes) -> AESGCM:
    return AESGCM(_mac(device_key, KEY_LABEL)[:KEY_SIZE])


def _encrypt(device_key: bytes, header: bytes, payload: bytes) -> bytes:
    """Nonce, ciphertext, tag. The nonce is made of what is encrypted: it repeats only where that
    does."""
    nonce = _mac(device_key, NONCE_LABEL + header + payload)[:NONCE_SIZE]
    return nonce + _cipher(device_key).encrypt(nonce, payload, header)


def _decrypt(device_key: bytes, header: bytes, payload: bytes) -> bytes:
    nonce, text = payload[:NONCE_SIZE], payload[NONCE_SIZE:]
    if len(text) < TAG_SIZE:
        raise DeviceConfigError("is too short to be encrypted")
    try:
        return _cipher(device_key).decrypt(nonce, text, header)
    except InvalidTag:
        raise DeviceConfigError("is encrypted with the key of another device") from None
