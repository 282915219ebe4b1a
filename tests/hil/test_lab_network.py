"""A networked board of a lab: `edgeuk test --target labgrid` on a Raspberry Pi 4 that QEMU runs
behind stand-ins of what a lab has around one (`rack`), reached by labgrid's own drivers through
coordinator and exporter. Its card is written by `edgeuk flash` on the far side of the multiplexer,
and it finds the broker at this machine's address on its network.
"""

import hashlib
import os
import pty
import re
import shutil
import struct
import time
import tty
import xml.etree.ElementTree as ET
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
from lab_rig import EXAMPLES, lab
from labgrid import Environment, Target
from labgrid.driver import USBSDMuxDriver
from labgrid.exceptions import NoDriverFoundError
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from labgrid.resource import USBSDMuxDevice
from labgrid.resource.remote import NetworkUSBSDMuxDevice
from labgrid.util.ssh import sshmanager
from rack import BOARD, SLOTS, Rack, own_address

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.device_config import encode, newest
from edgeuk.errors import DeviceError, ToolError
from edgeuk.hil import capture, target_labgrid
from edgeuk.hil.console import Console
from edgeuk.hil.rig import scenarios
from edgeuk.hil.target import Job
from edgeuk.hil.wiring import Wiring
from edgeuk.labgrid import FlashProtocol, card
from edgeuk.pack import elf
from edgeuk.run.emulator import find_emulator

REPORT = "report.xml"
OWN = """
def test_of_my_own(board, readings):
    readings.wait("count", 2)
    assert 1 == 2, "as it was told"
"""
CODE = b"\x5f\x20\x03\xd5"
PCAP = b"\xd4\xc3\xb2\xa1"  # little endian, microseconds


@pytest.fixture(scope="module")
def rack(tmp_path_factory):
    board = find_board(load_catalog(), BOARD)
    try:
        find_emulator(board)
    except ToolError as e:
        pytest.skip(str(e))
    if shutil.which("mcopy") is None:
        pytest.skip("mcopy is not installed (apt-get install mtools)")
    with Rack(tmp_path_factory.mktemp("rack")) as made:
        made.firmware = tmp_path_factory.mktemp("firmware")
        for name in board.flash.firmware:
            (made.firmware / name).write_text(name)  # QEMU needs none of the maker's
        yield made


@pytest.fixture(scope="module")
def place(rack, tmp_path_factory):
    """The example's environment; the firmware's folder is the test's."""
    logs = tmp_path_factory.mktemp("lab")
    text, own = (EXAMPLES / "lab-rpi4.yaml").read_text(), f"firmware_dir: {rack.firmware}"
    assert "{board: rpi4}" in text
    environment, exported = logs / "environment.yaml", logs / "exporter.yaml"
    environment.write_text(
        text.replace("{board: rpi4}", f"{{board: rpi4, {own}}}").replace("delay: 1.0", "delay: 0.1")
    )
    exported.write_text(rack.offers())
    with lab(logs, exported, environment, PATH=rack.path, RACK=str(rack.folder)) as made:
        made.say("acquire")
        yield made
        made.say("release")


def cases(folder):
    return {c.get("name"): c for c in ET.parse(folder / REPORT).getroot().iter("testcase")}


def outcome(case):
    return next((part.tag for part in case if part.tag != "properties"), "passed")


def packets(path):
    """The bytes on the wire of a capture, without its headers."""
    data, at = path.read_bytes(), 24
    assert data[:4] == PCAP
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 : at + 16 + size]
        at += 16 + size


@pytest.mark.slow
def test_the_scenarios_run_on_a_networked_board_of_the_lab(place, rack, tmp_path):
    address = own_address()
    wiring, own = tmp_path / "wiring.toml", tmp_path / "test_own.py"
    wiring.write_text(f'schema = 1\nboard = "{BOARD}"\n[labgrid]\naddress = "{address}"\n')
    own.write_text(OWN)
    words = "ten_readings or restart or pulled or follow or my_own"
    before = len(rack.log())
    place.run(
        *("edgeuk", "test", "--board", BOARD, "--target", "labgrid", "-k", words),
        *("--wiring", wiring, "--artifacts", tmp_path, "--seed", "5", "--junit", tmp_path / REPORT),
        *(scenarios() / "test_scenarios.py", own),
        status=1,
    )
    found = cases(tmp_path)
    assert {name: outcome(case) for name, case in found.items()} == {
        "test_ten_readings_arrive": "passed",
        "test_modbus_readings_follow_the_registers": "passed",
        "test_a_broker_restart_loses_no_reading": "passed",
        "test_a_pulled_cable_is_survived": "passed",
        "test_of_my_own": "failure",
    }
    # Written once in a run, with the board switched off, and the card handed back.
    done = [line for line in rack.log()[before:] if "ssh" not in line or " flash " in line]
    assert [line.split()[:2] for line in done[:4]] == [
        *(["mux", "host"], ["ssh", "edgeuk"], ["mux", "dut"], ["power", "on"])
    ]
    assert [line for line in done[4:] if line.startswith(("mux", "ssh"))] == []
    assert done[-1] == "power off"
    out = done.index("cable out")
    assert done[out + 1] == "cable in"

    said = found["test_of_my_own"].find("failure").text
    folder = tmp_path / BOARD / "labgrid/test_of_my_own"
    sha256 = hashlib.sha256((tmp_path / BOARD / "labgrid/image/gateway.elf").read_bytes())
    assert f"image_sha256: {sha256.hexdigest()}" in said
    assert "seed: 5 (--hil-seed repeats it)" in said
    port = re.search(rf"mqtt: connected to {address}:(\d+), new session", said)[1]
    assert "mqtt: connected" in (folder / "console.log").read_text()
    if "packets: none were captured" in said:  # the right to record is not everybody's
        assert re.search(r"none were captured: (neither tcpdump nor|\S+ does not start: .+)", said)
        return
    frames = list(packets(folder / "packets.pcap"))
    to_broker = struct.pack(">H", int(port))
    assert any(b"MQTT" in frame and to_broker in frame for frame in frames)


class FarMux(NetworkUSBSDMuxDevice):
    """One that no coordinator has offered."""

    def poll(self):
        pass


class NearMux(USBSDMuxDevice):
    """One that no udev has seen."""

    def poll(self):
        pass


@pytest.fixture
def driver(rack, monkeypatch):
    """The driver of the card, in a target of labgrid's, at a far machine or at this one."""
    monkeypatch.setenv("PATH", rack.path)
    monkeypatch.setenv("RACK", str(rack.folder))
    monkeypatch.setattr(card, "CARD_S", 0.2)
    target = Target("main")

    def make(path, *, far=True):
        if far:
            usb = {"busnum": 1, "devnum": 2, "vendor_id": 0x0424, "model_id": 0x4041}
            place = {"host": "elsewhere", "path": str(path), "control_path": str(rack.folder)}
            FarMux(target, name=None, **usb, **place).avail = True
        else:
            NearMux(target, name=None, disk_path=str(path), control_path=str(rack.folder))
        USBSDMuxDriver(target, name=None)
        more = {"board": BOARD, "firmware_dir": str(rack.firmware)}
        driver = card.EdgeukCardDriver(target, name=None, **more)
        target.activate(driver)
        return driver

    yield make
    target.cleanup()
    sshmanager.close_all()


def image(folder):
    """An ELF file that a card has room for."""
    segment = elf.Segment(elf.PT_LOAD, 5, 0x80000, 0x80000, 4, 4, CODE)
    path = folder / "i.elf"
    path.write_bytes(elf.pack(elf.Elf(elf.CLASS_64, 183, 0x80000, 0, (segment,), ())))
    return path


def test_a_card_is_written_again_only_when_something_else_is_to_be_on_it(rack, driver, tmp_path):
    made = driver(rack.folder / "host/card.img")
    config = encode({"name": "a"}, board=BOARD)
    assert made.board_name == BOARD
    assert made.flash(image(tmp_path), config).programmed > 2 << 20
    assert (rack.folder / "dut/card.img").exists()  # the board's again
    files = rack._files(SLOTS[2], "written")
    assert files["edgeuk.cfg"].read_bytes().startswith(config)
    assert files["start4.elf"].read_text() == "start4.elf"  # not this machine's own
    before = len(rack.log())
    assert made.flash(image(tmp_path), config).programmed == 0
    assert len(rack.log()) == before
    assert made.flash(image(tmp_path), encode({"name": "b"}, board=BOARD)).programmed > 2 << 20


def test_a_card_at_this_machine_is_written_here(rack, driver, tmp_path):
    before = len(rack.log())
    made = driver(rack.folder / "host/card.img", far=False)
    assert made.flash(image(tmp_path)).programmed > 2 << 20
    assert rack.log()[before:] == ["mux host", "mux dut"]
    assert rack._files(SLOTS[2], "written")["kernel8.img"].read_bytes()[:5] == CODE + b"\0"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none.img", "there is no card in .*none.img, 0.2 s after the switch"),
        ("/dev/zero", r"(?s)was not written \(status 2\):.*neither a disk nor a file"),
    ],
)
def test_a_card_that_cannot_be_written_is_the_boards_again(rack, driver, tmp_path, path, said):
    made = driver(rack.folder / path)
    with pytest.raises(DeviceError, match=said):
        made.flash(image(tmp_path))
    assert rack.log()[-1] == "mux dut"
    with pytest.raises(DeviceError):  # nor is it taken for written
        made.flash(image(tmp_path))


def test_a_multiplexer_that_fails_half_way_hands_the_card_back(rack, driver, tmp_path, monkeypatch):
    made = driver(rack.folder / "host/card.img")
    real = made.mux.set_mode

    def fail(mode):
        real(mode)
        if mode == "host":
            raise DeviceError("no answer")

    monkeypatch.setattr(made.mux, "set_mode", fail)
    with pytest.raises(DeviceError, match="no answer"):
        made.flash(image(tmp_path))
    assert rack.log()[-1] == "mux dut"


def test_a_disk_that_does_not_answer_is_not_waited_for_as_long_as_a_write(
    rack, driver, tmp_path, monkeypatch
):
    monkeypatch.setattr(card, "LOOK_S", 0.5)
    made = driver(rack.folder / "host/card.img", far=False)
    write_program(rack.programs, "head", "exec sleep 60")
    began = time.monotonic()
    try:
        with pytest.raises(DeviceError, match="head cannot be run on the machine with the card"):
            made.flash(image(tmp_path))
    finally:
        (rack.programs / "head").unlink()
    assert time.monotonic() - began < 30
    assert rack.log()[-1] == "mux dut"


def test_a_machine_that_says_something_else_is_an_error(rack, driver, tmp_path):
    made = driver(rack.folder / "host/card.img")
    write_program(rack.programs, "edgeuk", "echo Welcome")
    try:
        with pytest.raises(DeviceError, match="edgeuk on the machine with the card said: Welcome"):
            made.flash(image(tmp_path))
    finally:
        (rack.programs / "edgeuk").unlink()
    assert rack.log()[-1] == "mux dut"


def test_only_a_finished_configuration_goes_beside_a_finished_image(tmp_path, capsys):
    (tmp_path / "device.bin").write_bytes(b"EKC")
    for name in ("device.bin", "none.bin", "device.toml"):
        what = ("--image", str(image(tmp_path)), "--device", str(tmp_path / name))
        assert run(["flash", "--board", BOARD, "--to", str(tmp_path / "card"), *what]) == 2
        assert "names a finished device configuration" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()


# the target without a lab
class Gadget:
    """Any driver of labgrid's; keeps what it was asked for."""

    powered, broken = True, False

    def __init__(self):
        self.asked = []

    def on(self):
        self.asked.append("on")

    def off(self):
        self.asked.append("off")

    def set(self, on):
        self.asked.append(on)

    def flash(self, image, config):
        self.asked.append(newest(config).values)
        if self.broken:
            raise DeviceError("no")


@pytest.fixture
def lone(monkeypatch, tmp_path):
    """A target whose lab has power, console and a way to flash, all one gadget, and nothing else
    but what is in `outputs`."""
    gadget, outputs = Gadget(), {}

    def get_driver(protocol, name):
        if name not in outputs:
            raise NoDriverFoundError("none")
        return outputs[name]

    place = SimpleNamespace(get_driver=get_driver)
    monkeypatch.setattr(target_labgrid, "place", lambda: place)
    monkeypatch.setattr(target_labgrid, "driver", lambda protocol, what: gadget)
    target_labgrid.switch_off.cache_clear()
    board = find_board(load_catalog(), "microbit")
    values = {"name": "a", "mqtt.host": "localhost", "mqtt.port": "1883"}
    job = Job(board, SimpleNamespace(image=None), values, Wiring(), tmp_path)
    yield target_labgrid.LabgridTarget(job, Console(tmp_path / "log")), gadget, outputs
    target_labgrid.switch_off.cache_clear()


def test_a_board_that_is_flashed_has_power_only_meanwhile(lone):
    target, gadget, _ = lone
    assert gadget.asked == ["off"]  # whatever the last user left
    wanted = {
        "board": "microbit",
        "name": "a",
    }  # the broker of a board without a network is not its own
    target.flash()
    assert gadget.asked[1:] == ["on", wanted, "off"]
    gadget.broken = True
    with pytest.raises(DeviceError, match="no"):
        target.flash()
    assert gadget.asked[4:] == ["on", wanted, "off"]
    gadget.powered, gadget.broken = False, False
    target.flash()
    assert gadget.asked[7:] == [wanted]


def test_a_cable_that_was_pulled_is_plugged_in_for_the_next_user(lone):
    target, _, outputs = lone
    outputs["cable"] = cable = Gadget()
    target.set_cable(False)
    assert cable.asked == [False]
    target.close()
    assert cable.asked == [False, True]


def test_what_a_lab_fails_to_do_is_undone_all_the_same(lone):
    """A switch may have switched and yet not have answered."""
    target, gadget, outputs = lone
    outputs["cable"] = cable = Gadget()

    def fail(device, name, *values):
        real = getattr(device, name)

        def call(*given):
            real(*given)
            if given == values:
                raise DeviceError("no answer")

        setattr(device, name, call)

    fail(cable, "set", False)
    fail(gadget, "on")
    fail(gadget, "off")
    with pytest.raises(DeviceError, match="no answer"):
        target.set_cable(False)
    with pytest.raises(DeviceError, match="no answer"):
        target.flash()
    assert gadget.asked[1:] == ["on", "off"]
    target._reader = SimpleNamespace(close=lambda: gadget.asked.append("closed"))
    with pytest.raises(DeviceError, match="no answer"):
        target.close()
    assert gadget.asked[3:] == ["off", "closed"]
    assert cable.asked == [False, True]
    assert not target.on


def test_a_lab_that_cannot_pull_the_cable_says_what_is_missing(lone):
    target, _, _ = lone
    with pytest.raises(pytest.skip.Exception, match="has no digital output `cable` that unplugs"):
        target.set_cable(False)
    with pytest.raises(pytest.skip.Exception, match="labgrid cannot slow its network down"):
        target.set_network(0.1, 0)


def test_who_switches_the_power_by_hand_is_asked_at_the_terminal(monkeypatch):
    master, slave = pty.openpty()
    tty.setraw(slave)
    monkeypatch.setattr(target_labgrid, "TERMINAL", Path(os.ttyname(slave)))
    monkeypatch.setenv("LG_ENV", str(EXAMPLES / "desk-rpi4.yaml"))
    target_labgrid.place.cache_clear()
    power = target_labgrid.driver(PowerProtocol, "power")
    os.write(master, b"\n")
    power.on()
    assert os.read(master, 100) == b"\nTurn the target main ON and press enter "
    monkeypatch.setattr(target_labgrid, "TERMINAL", Path("/nowhere/tty"))
    with pytest.raises(DeviceError, match=r"nobody can be asked .*no such file.*: Turn the"):
        power.on()
    target_labgrid.place().cleanup()
    target_labgrid.place.cache_clear()
    os.close(master)
    os.close(slave)


# packets
def write_program(folder, name, text):
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def recorded(path, monkeypatch, programs):
    monkeypatch.setenv("PATH", str(programs))
    with ExitStack() as stack:
        return capture.record(path, "192.0.2.1", {1883, 502}, stack)


def test_why_nothing_was_recorded_is_told(tmp_path, monkeypatch):
    path = tmp_path / "p.pcap"
    assert recorded(path, monkeypatch, tmp_path) == "neither tcpdump nor dumpcap is installed here"
    write_program(tmp_path, "tcpdump", "echo 'tcpdump: you may not' >&2; exit 1")
    said = recorded(path, monkeypatch, tmp_path)
    assert said == f"{tmp_path}/tcpdump does not start: tcpdump: you may not"
    assert not path.exists()


def test_dumpcap_records_where_tcpdump_may_not(tmp_path, monkeypatch):
    path = tmp_path / "p.pcap"
    write_program(tmp_path, "tcpdump", "exit 1")
    write_program(
        tmp_path, "dumpcap", 'echo "$@"; echo "File: -" >&2; trap "echo end; exit" TERM; read x <&2'
    )
    assert recorded(path, monkeypatch, tmp_path) == ""
    filter_ = "tcp and host 192.0.2.1 and (port 502 or port 1883)"
    assert path.read_text().startswith(f"-q -P -i any -w - -f {filter_}\n")


def test_the_desk_of_the_example_has_all_that_a_board_needs():
    """As far as can be seen without its hardware."""
    target = Environment(str(EXAMPLES / "desk-rpi4.yaml")).get_target("main")
    for protocol in (PowerProtocol, ResetProtocol, ConsoleProtocol, FlashProtocol):
        target.get_driver(protocol, activate=False)
    assert target.get_driver(FlashProtocol, activate=False).board_name == BOARD
    target.cleanup()
