"""Finished configurations, as `--device NAME.bin` takes them: whose they are, for which board, who
has sealed and encrypted them."""

import base64
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from identity_rig import GATEWAY

from edgeuk.catalog import load_catalog
from edgeuk.cli import flash
from edgeuk.cli.app import run
from edgeuk.device_config import (
    SIZE_MAX,
    DeviceConfigError,
    encode,
    newest,
)
from edgeuk.errors import ConfigError, UsageError
from edgeuk.gateway import load_device, load_gateway
from edgeuk.sealed import load_blob, sealer


@pytest.fixture
def gateway(project):
    assert run(["provision", "gw-1", "--board", "x86-microvm"]) == 0
    return load_gateway(Path("gateway.toml"), load_catalog())


def test_a_finished_configuration_is_taken(gateway):
    device = load_blob(Path("identity/devices/gw-1.bin"), gateway, "x86-microvm")
    assert device.values["name"] == "gw-1"
    assert device.blob == Path("identity/devices/gw-1.bin").read_bytes()


def faults_of(path, gateway, board="x86-microvm"):
    with pytest.raises(ConfigError) as error:
        load_blob(Path(path), gateway, board)
    (fault,) = error.value.faults
    return fault.code, fault.what


def test_a_configuration_for_another_board_is_refused(gateway, capsys):
    assert faults_of("identity/devices/gw-1.bin", gateway, "x86-pc") == (
        "E0427", "it is the configuration of `gw-1` for board `x86-microvm`, not for `x86-pc`",
    )  # fmt: skip
    capsys.readouterr()
    assert run(["check", "--board", "x86-pc", "--device", "identity/devices/gw-1.bin"]) == 2
    assert "error[E0427]" in capsys.readouterr().err


def test_without_a_board_it_is_for_the_one_that_would_be_built(project, capsys):
    assert run(["provision", "gw-1", "--board", "x86-pc"]) == 0
    capsys.readouterr()
    assert run(["check", "--device", "identity/devices/gw-1.bin"]) == 2
    assert "for board `x86-pc`, not for `x86-microvm`" in capsys.readouterr().err
    assert run(["check", "--board", "x86-pc", "--device", "identity/devices/gw-1.bin"]) == 0


def test_a_configuration_under_another_devices_name_is_refused(gateway):
    shutil.copy("identity/devices/gw-1.bin", "gw-2.bin")
    assert faults_of("gw-2.bin", gateway)[0] == "E0427"


def test_a_configuration_of_another_ca_is_refused(gateway):
    Path("gateway.toml").write_text(GATEWAY.format(tables=""))
    assert run(["provision", "gw-1", "--folder", "other"]) == 0
    code, what = faults_of("other/devices/gw-1.bin", gateway)
    assert code == "E0423"
    assert what.startswith("it is not sealed by the project's CA `identity/ca.crt`")


def test_what_is_checked_is_what_the_device_will_use(gateway):
    """A second copy that nobody has sealed, with a higher number: the device passes it over."""
    sealed = Path("identity/devices/gw-1.bin").read_bytes()
    other = encode({"name": "gw-1", "mqtt.host": "evil.example"}, sequence=9)
    Path("gw-1.bin").write_bytes(sealed.ljust(SIZE_MAX, b"\xff") + other)
    values = load_blob(Path("gw-1.bin"), gateway, "x86-microvm").values
    assert values["mqtt.host"] != "evil.example"
    assert "tls.key" in values


@pytest.mark.parametrize("place", [0, 4, 20, 200])
def test_a_damaged_configuration_is_refused(gateway, place):
    blob = bytearray(Path("identity/devices/gw-1.bin").read_bytes())
    blob[place] ^= 0x40
    Path("gw-1.bin").write_bytes(blob)
    assert faults_of("gw-1.bin", gateway)[0] == "E0430"


def test_without_the_cas_key_nothing_is_sealed_but_a_finished_one_is_taken(gateway):
    Path("identity/ca.toml").unlink()
    with pytest.raises(UsageError, match="who signs for that CA is not known here"):
        sealer(gateway, lambda what: "")
    assert load_blob(Path("identity/devices/gw-1.bin"), gateway, "x86-microvm").blob


def test_a_device_file_beside_its_key_is_without_fault(gateway):
    assert load_device(Path("identity/devices/gw-1.toml"), gateway).warnings == ()


OTP = bytes(range(1, 33))


def test_a_boards_own_key_encrypts_the_configuration(project, capsys):
    Path("gw-1.otp").write_text(OTP.hex() + "\n")
    words = ["provision", "gw-1", "--board", "rpi4"]
    assert run(words) == 0
    blob = Path("identity/devices/gw-1.bin")
    plain = newest(blob.read_bytes())
    assert run([*words, "--device-key", "gw-1.otp"]) == 0
    kept = Path("identity/devices/gw-1.otp")
    assert kept.stat().st_mode & 0o777 == 0o600
    with pytest.raises(DeviceConfigError, match="encrypted with the key of a device"):
        newest(blob.read_bytes())
    found = newest(blob.read_bytes(), device_key=OTP)
    assert (found.values, found.sequence, found.encrypted) == (plain.values, 2, True)
    assert base64.b64decode(plain.values["tls.key"]) not in blob.read_bytes()
    again = blob.read_bytes()
    assert run(words) == 0  # the key stays where it is, and nothing has changed
    assert blob.read_bytes() == again
    assert run(["check", "--board", "rpi4", "--device", str(blob)]) == 0
    said = capsys.readouterr()
    assert OTP.hex() not in said.out + said.err
    kept.write_text("ab" * 32)
    assert run(["check", "--board", "rpi4", "--device", str(blob)]) == 2
    assert "is encrypted with the key of another device" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "text", "what"),
    [
        (["gw-1", "--board", "x86-pc"], "ab" * 32, "has no key of its own"),
        (["gw-1", "gw-2", "--board", "rpi4"], "ab" * 32, "goes with one NAME"),
        (["gw-1", "--board", "rpi4"], "ab" * 31, "64 hexadecimal digits"),
        (["gw-1", "--board", "rpi4"], "00" * 32, "not all of them 0"),
        (["gw-1", "--board", "rpi4"], "xy" * 32, "64 hexadecimal digits"),
        (["gw-1", "--board", "rpi4"], None, "there is no file"),
    ],
)
def test_a_boards_key_that_cannot_be_one_is_refused(project, capsys, words, text, what):
    if text is not None:
        Path("gw.otp").write_text(text)
    assert run(["provision", *words, "--device-key", "gw.otp"]) == 2
    assert what in capsys.readouterr().err
    assert not list(Path("identity/devices").glob("*.otp"))


def test_what_is_flashed_is_encrypted_with_the_boards_own_key(project, monkeypatch):
    """The image is not of interest here; one of the boards has no good random numbers."""
    text = Path("gateway.toml").read_text()
    Path("gateway.toml").write_text(f'profile = "development"\n{text}')
    Path("gw-1.otp").write_text(OTP.hex())
    assert run(["provision", "gw-1", "--board", "rpi4", "--device-key", "gw-1.otp"]) == 0
    monkeypatch.setattr(flash, "build_image", lambda *_: SimpleNamespace(image=Path("image")))
    device = Path("identity/devices/gw-1.toml")
    for board, encrypted in (("rpi4", True), ("imx6ul-evk", False)):
        work = flash._work(Path("gateway.toml"), board, device, None, None)
        assert newest(work.config, device_key=OTP).encrypted is encrypted


def test_a_new_image_leaves_a_provisioned_device_its_identity(project, monkeypatch, capsys):
    path = Path("gateway.toml")
    path.write_text(f'profile = "development"\n{path.read_text()}')
    assert run(["provision", "gw-1", "--board", "frdm-k64f"]) == 0
    monkeypatch.setattr(flash, "build_image", lambda *_: SimpleNamespace(image=Path("image")))
    device = Path("identity/devices/gw-1.bin")
    assert flash._work(path, "frdm-k64f", device, None, None).config == device.read_bytes()
    capsys.readouterr()
    assert flash._work(path, "frdm-k64f", None, None, None).config == b""
    assert "the device configuration on the board stays" in capsys.readouterr().err
