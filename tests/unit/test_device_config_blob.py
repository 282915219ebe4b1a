"""The device configuration's bytes against docs/device-config-spec.md, written out here by hand."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from edgeuk.device_config import (
    Copy,
    DeviceConfigError,
    copies,
    decode,
    device_values,
    encode,
    newest,
    read_copy,
    region_image,
)
from edgeuk.errors import UsageError
from edgeuk.gateway import load_device, load_gateway

GATEWAY = """
schema = 1
name = "meter"
[mqtt]
url = "mqtt://broker:1883"
keep_alive = "30s"
[network]
address = "10.0.0.2/8"
gateway = "10.0.0.1"
[servers]
main = "plc"
[[sensor]]
name = "w"
driver = "sim"
shape = "sine"
every = "1s"
"""
DEVICE_KEY = bytes(range(32))
LEAD = b"edgeuk device configuration 2\0"


def crc32(data):
    """CRC-32 of IEEE 802.3, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def header(rest):
    """`rest`: what the checksum covers."""
    return b"EKC2" + crc32(rest).to_bytes(4, "little") + rest


def base64_of(data):
    return base64.b64encode(data).decode()


def fake_seal(digest):
    return digest + digest[::-1]


def fake_verify(digest, signature):
    return signature == fake_seal(digest)


def hmac_sha256(key, text):
    """RFC 2104, for keys of at most a block."""
    outer, inner = (bytes(b ^ pad for b in key.ljust(64, b"\0")) for pad in (0x5C, 0x36))
    return hashlib.sha256(outer + hashlib.sha256(inner + text).digest()).digest()


def test_the_bytes_are_those_of_the_specification():
    assert crc32(b"123456789") == 0xCBF43926  # the check value of the CRC catalogue
    payload = b"mqtt.port=1884\0name=a\0"
    rest = b"\x16\0" + b"\x16\0" + b"\3\0\0\0" + b"\0\0\0\0" + payload
    values = {"name": "a", "mqtt.port": "1884"}
    assert encode(values, sequence=3) == header(rest)
    spec = "45 4b 43 32  13 ee 32 02  16 00 16 00  03 00 00 00  00 00 00 00"
    assert encode(values, sequence=3)[:20] == bytes.fromhex(spec)


def test_bytes_that_are_no_text_lie_behind_the_text():
    payload = b"name=a\0" + b"tls.ca\0\2\0\x30\0" + b"tls.key\0\0\0"
    rest = b"\x1c\0" + b"\7\0" + b"\1\0\0\0" + b"\0\0\0\0" + payload
    values = {"tls.key": "", "tls.ca": base64_of(b"\x30\0"), "name": "a"}
    assert encode(values) == header(rest)
    assert decode(header(rest)) == values


def test_the_seal_is_over_lead_header_and_payload():
    plain = b"\7\0\7\0" + b"\1\0\0\0" + b"\1\0\0\0" + b"name=a\0"
    digest = hashlib.sha256(LEAD + header(plain)).digest()
    blob = encode({"name": "a"}, seal=fake_seal)
    assert blob == header(plain) + fake_seal(digest)
    assert decode(blob) == {"name": "a"}  # who has no key
    assert decode(blob, verify=fake_verify) == {"name": "a"}


def test_the_cipher_is_aes_128_gcm_with_a_key_of_the_devices():
    blob = encode({"name": "a"}, device_key=DEVICE_KEY)
    assert len(blob) == 20 + 12 + 7 + 16
    assert blob[8:20] == b"\x23\0" + b"\7\0" + b"\1\0\0\0" + b"\2\0\0\0"
    key = hmac_sha256(DEVICE_KEY, LEAD + b"key")[:16]
    assert AESGCM(key).decrypt(blob[20:32], blob[32:], blob[8:20]) == b"name=a\0"
    assert blob[20:32] == hmac_sha256(DEVICE_KEY, LEAD + b"nonce" + blob[8:20] + b"name=a\0")[:12]
    assert blob[:20] == header(blob[8:])[:20]
    with pytest.raises(DeviceConfigError, match="encrypted with the key of a device"):
        decode(blob)
    with pytest.raises(DeviceConfigError, match="encrypted with the key of another device"):
        decode(blob, device_key=bytes(32))


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
keys = st.from_regex(r"\A[a-z][a-z0-9._-]{0,20}\Z").filter(lambda k: not k.startswith("tls."))
data = st.dictionaries(
    st.sampled_from(["tls.ca", "tls.cert", "tls.key", "tls.pins"]),
    st.binary(max_size=300).map(base64_of),
)


@given(
    values=st.dictionaries(keys, texts, max_size=12),
    data=data,
    sequence=st.integers(0, 2**32 - 1),
    sealed=st.booleans(),
    key=st.none() | st.binary(min_size=1, max_size=32),
    behind=st.binary(max_size=9),
)
def test_what_is_encoded_can_be_decoded(values, data, sequence, sealed, key, behind):
    values |= data
    seal = fake_seal if sealed else None
    blob = encode(values, sequence=sequence, seal=seal, device_key=key)
    verify = fake_verify if sealed else None
    read = read_copy(blob + behind, verify=verify, device_key=key)
    assert read == Copy(values, sequence, sealed, key is not None)


@given(
    values=st.dictionaries(keys, texts, min_size=1, max_size=5),
    data=data,
    bit=st.integers(0, 2**20),
    encrypted=st.booleans(),
)
def test_a_flipped_bit_is_never_believed(values, data, bit, encrypted):
    key = DEVICE_KEY if encrypted else None
    blob = bytearray(encode(values | data, seal=fake_seal, device_key=key))
    bit %= 8 * len(blob)
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DeviceConfigError):
        decode(bytes(blob), verify=fake_verify, device_key=key)


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_read_or_refused(tail, with_header):
    blob = header(tail) if with_header else tail
    try:
        values = decode(blob, device_key=DEVICE_KEY)
    except DeviceConfigError:
        return
    assert values.keys() is not None


def test_4096_bytes_fit_and_no_more():
    exact = {"name": "x" * (4096 - 20 - len("name=") - 1)}
    assert len(encode(exact)) == 4096
    with pytest.raises(UsageError) as error:
        encode({"name": exact["name"] + "x"})
    assert "has 4097 bytes, 4096 are the most" in str(error.value)
    assert "longest value is that of `name`" in str(error.value)
    with pytest.raises(UsageError, match="has 4160 bytes"):
        encode(exact, seal=fake_seal)
    with pytest.raises(UsageError, match="has 4124 bytes"):
        encode(exact, device_key=DEVICE_KEY)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b[:19], "shorter than a header"),
        (lambda b: b"EKC1" + b[4:], "EKC2"),
        (lambda b: b[:-1], "does not fit"),
        (lambda b: b[:-2] + b"!\0", "checksum"),
        (lambda b: b[:8] + b"\xff\xff" + b[10:], "does not fit"),
        (lambda b: header(b[8:16] + b"\1\0\0\0" + b[20:]), "does not fit"),  # no seal behind it
        (lambda b: header(b[8:16] + b"\4\0\0\0" + b[20:]), "later version"),
        (lambda b: header(b[8:10] + b"\x08\0" + b[12:]), "text of 8 bytes"),
        (lambda b: header(b[8:10] + b"\x06\0" + b[12:]), "does not end"),
        (lambda b: header(b[8:20] + b"name\0a\0"), "key=value"),
        (lambda b: header(b[8:20] + b"name=\xff\0"), "UTF-8"),
        (lambda b: header(b[8:10] + b"\0\0" + b[12:]), "beyond the end"),
    ],
)
def test_a_spoilt_blob_is_refused(spoil, message):
    with pytest.raises(DeviceConfigError, match=message):
        decode(spoil(encode({"name": "a"})))


def test_who_has_the_key_of_the_seal_accepts_nothing_else():
    with pytest.raises(DeviceConfigError, match="not sealed"):
        decode(encode({"name": "a"}), verify=fake_verify)
    with pytest.raises(DeviceConfigError, match="somebody else"):
        decode(encode({"name": "a"}, seal=lambda digest: bytes(64)), verify=fake_verify)


def test_a_board_that_is_meant_is_named():
    assert decode(encode({"name": "a"}, board="rpi4")) == {"name": "a", "board": "rpi4"}


def test_a_region_has_two_copies_where_it_has_room():
    blob = encode({"name": "a"})
    assert region_image(blob, 8192) == blob + b"\xff" * (4096 - len(blob)) + blob
    assert region_image(blob, 8188) == blob
    assert copies(blob, 8192) == {0: blob, 4096: blob}
    assert copies(blob, 4096) == {0: blob}
    assert region_image(b"x" * 4097, 8192) == b"x" * 4097  # what a test wants to be there


def test_the_newest_whole_copy_counts():
    old, new = encode({"name": "old"}, sequence=4), encode({"name": "new"}, sequence=5)
    for first, second, name in [
        (old, new, "new"),
        (new, old, "new"),
        (old, new[:-1] + b"!", "old"),
        (b"", old, "old"),
    ]:
        assert newest(first.ljust(4096, b"\xff") + second).values == {"name": name}
    with pytest.raises(DeviceConfigError, match="EKC2"):
        newest(bytes(8192))


def load(catalog, folder, device=""):
    (folder / "gateway.toml").write_text(GATEWAY)
    gateway = load_gateway(folder / "gateway.toml", catalog)
    (folder / "device.toml").write_text(device)
    return gateway, load_device(folder / "device.toml", gateway)


def test_the_gateway_file_gives_what_it_says_and_nothing_else(catalog, tmp_path):
    gateway, _ = load(catalog, tmp_path)
    assert device_values(gateway) == {
        "name": "meter",
        "mqtt.host": "broker",
        "mqtt.port": "1883",
        "mqtt.keep_alive_s": "30",
        "net.address": "10.0.0.2",
        "net.prefix": "8",
        "net.gateway": "10.0.0.1",
        "server.main": "plc:502",
    }


def test_the_device_file_wins_and_replaces_an_address_as_a_whole(catalog, tmp_path):
    text = 'name = "m7"\n[mqtt]\npassword = "p"\n[network]\naddress = "10.9.0.7/16"\n'
    values = device_values(*load(catalog, tmp_path, text), {"exit.after_s": "5"})
    assert (values["name"], values["mqtt.password"]) == ("m7", "p")
    assert (values["net.address"], values["net.prefix"]) == ("10.9.0.7", "16")
    assert "net.gateway" not in values
    assert values["exit.after_s"] == "5"
