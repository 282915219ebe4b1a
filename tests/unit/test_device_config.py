"""The device configuration's bytes against docs/device-config-spec.md, written out here by hand."""

import pytest

from edgeuk.device_config import DeviceConfigError, decode, device_values, encode
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


def crc32(data):
    """CRC-32 of IEEE 802.3, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_the_bytes_are_those_of_the_specification():
    payload = b"mqtt.port=1884\0name=a\0"
    header = b"EKC1" + b"\x16\0\0\0" + crc32(payload).to_bytes(4, "little")
    assert crc32(b"123456789") == 0xCBF43926  # the check value of the CRC catalogue
    assert encode({"name": "a", "mqtt.port": "1884"}) == header + payload


def test_what_is_encoded_can_be_decoded_with_anything_behind_it():
    values = {"name": "é", "mqtt.password": "a=b", "server.main": "h:502"}
    assert decode(encode(values) + b"\xff" * 100) == values
    assert decode(encode({})) == {}


def test_4096_bytes_fit_and_no_more():
    exact = {"name": "x" * (4096 - 12 - len("name=") - 1)}
    assert len(encode(exact)) == 4096
    with pytest.raises(UsageError) as error:
        encode({"name": exact["name"] + "x"})
    assert "has 4097 bytes, 4096 are the most" in str(error.value)
    assert "longest value is that of `name`" in str(error.value)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: b[:11], "shorter than a header"),
        (lambda b: b"EKC2" + b[4:], "EKC1"),
        (lambda b: b[:-1], "does not fit"),
        (lambda b: b[:-2] + b"!\0", "checksum"),
        (lambda b: b[:4] + b"\xff\xff\xff\xff" + b[8:], "does not fit"),
    ],
)
def test_a_spoilt_blob_is_refused(spoil, message):
    with pytest.raises(DeviceConfigError, match=message):
        decode(spoil(encode({"name": "a"})))


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
