"""edgeuk.hil without boards: wiring files and their faults, the console, readings from a broker,
which sensors a test can rely on, the gate in a machine's cable, the folders `edgeuk test` looks in.
"""

import json
import random
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import paho.mqtt.publish
import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.test import scenarios
from edgeuk.device_config import DeviceConfigError, newest
from edgeuk.errors import ConfigError, DeviceError, EdgeukError, UsageError
from edgeuk.gateway import load_gateway
from edgeuk.hil import gate, relay, target_probe
from edgeuk.hil.benches import BoardBench, PinsBench, Plan, SensorsBench, is_ramp
from edgeuk.hil.console import Console
from edgeuk.hil.readings import BrokerBench, Readings
from edgeuk.hil.rig import Gear, _sealed, make_plan
from edgeuk.hil.rig import scenarios as scenario_folder
from edgeuk.hil.target import Job, Target, find_target
from edgeuk.hil.target_qemu import QemuTarget
from edgeuk.hil.wiring import TARGETS, Wiring, find_wiring, load_wiring
from edgeuk.identity.issue import certificate_pem, new_key, self_signed
from edgeuk.identity.sign import FileSigner, public_key_of, verifies
from edgeuk.resolve import resolve

CATALOG = load_catalog()
HEAD = 'schema = 1\nboard = "lm3s6965evb"\n'
SENSOR = """
[[sensor]]
at = "i2c0:0x48"
driver = "tmp105"
qemu = "/machine/peripheral/temperature0"
property = "temperature"
scale = 1000
low = -25
high = 85
accuracy = 2
resolution = 0.0625
"""
BOARD = find_board(CATALOG, "lm3s6965evb")


def load(path, text):
    path.write_text(text)
    return load_wiring(path, BOARD, CATALOG)


# wiring
def test_every_boards_wiring_file_is_right():
    for path in sorted((scenario_folder() / "wiring").glob("*.toml")):
        board = find_board(CATALOG, path.stem)
        assert load_wiring(path, board, CATALOG).path == path


def test_a_wiring_file_says_what_is_connected(tmp_path):
    more = '[[port]]\ndevice = "gpio0"\nqemu = "pl061_luminary"\nindex = 3\n'
    more += '[lacks.probe]\nreset = "no wire"\n[probe]\nserial = "/dev/x"\n[qemu]\nargs = ["-a"]\n'
    found = load(tmp_path / "w.toml", HEAD + SENSOR + more)
    assert found.sensors[0].resolution == 0.0625
    assert found.ports["gpio0"].index == 3
    assert found.lacks == {"probe": {"reset": "no wire"}}
    assert found.targets["probe"] == {"serial": "/dev/x"}
    assert found.qemu_args == ("-a",)
    assert found.cable == "net0"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('schema = 2\nboard = "lm3s6965evb"', 1, "`schema` must be 1 to 1"),
        ('schema = 1\nboard = "rpi4"', 2, "this is the wiring of board rpi4, not of lm3s6965evb"),
        (HEAD + SENSOR.replace("i2c0", "i2c9"), 5, "has no device `i2c9`"),
        (HEAD + SENSOR.replace('"tmp105"', '"tmp1"'), 6, "there is no driver `tmp1`"),
        (HEAD + SENSOR.replace("high = 85", "high = -25"), 11, "`high` must be above `low`"),
        (HEAD + SENSOR.replace("accuracy = 2", "accuracy = 0"), 12, "must be above 0"),
        (HEAD + SENSOR.replace("0.0625", '"fine"'), 13, "must be a number, not a text"),
        (HEAD + SENSOR.replace("low = -25\n", ""), 4, "missing key `low`"),
        (HEAD + SENSOR.replace('property = "temperature"\n', ""), 4, "missing key `property`"),
        (HEAD + SENSOR.replace("scale", "scal"), 9, "unknown key `scal`"),
        (HEAD + SENSOR.replace("[[sensor]]", "[sensor]"), 4, "`sensor` must be an array"),
        (HEAD + '[[port]]\ndevice = "eth0"\nqemu = "x"', 4, "is no port of digital pins"),
        (HEAD + '[[port]]\ndevice = "gpio7"\nqemu = "x"', 4, "has no device `gpio7`"),
        (HEAD + '[lacks.qemuu]\nreset = "x"', 3, "there is no target `qemuu`"),
        (HEAD + '[lacks.qemu]\nresett = "x"', 4, "unknown key `resett`"),
        (HEAD + "[lacks.qemu]\nreset = true", 4, "must be a text, not true or false"),
        (HEAD + '[qemu]\nargs = "-device"', 4, "`args` must be an array"),
        (HEAD + '[probe]\nport = "x"', 4, "unknown key `port`"),
        (HEAD + "[cable]\nqemu = 5", 4, "must be a text"),
        (HEAD + "sensor = [", 3, ""),
        ("", 1, "the file has nothing in it"),
    ],
)
def test_a_fault_of_a_wiring_file_has_its_place(tmp_path, text, line, what):
    path = tmp_path / "w.toml"
    with pytest.raises(ConfigError) as caught:
        load(path, text)
    fault = caught.value.faults[0]
    assert (fault.path, fault.place.line) == (path, line)
    assert what in fault.what


def test_the_wiring_file_is_that_of_the_user_first(tmp_path):
    mine, ours = tmp_path / "mine", tmp_path / "ours"
    mine.mkdir()
    ours.mkdir()
    assert find_wiring(None, (mine, ours), BOARD, CATALOG) == Wiring()
    (ours / "lm3s6965evb.toml").write_text(HEAD)
    assert find_wiring(None, (mine, ours), BOARD, CATALOG).path.parent == ours
    (mine / "lm3s6965evb.toml").write_text(HEAD)
    assert find_wiring(None, (mine, ours), BOARD, CATALOG).path.parent == mine
    with pytest.raises(UsageError, match=r"no wiring file .*nowhere") as caught:
        find_wiring(Path("nowhere.toml"), (mine, ours), BOARD, CATALOG)
    assert "lm3s6965evb.toml" in caught.value.hint


def test_the_scenarios_gateway_is_one_for_every_board():
    left_out = {}
    for name in CATALOG.boards:
        board = find_board(CATALOG, name)
        gateway = load_gateway(scenario_folder() / "gateway.toml", CATALOG, name)
        left_out[name] = resolve(gateway, board, CATALOG).left_out
        assert "count" not in left_out[name]
    assert left_out["lm3s6965evb"] == {}
    what = "pin 5 of `gpio0` of board `imx8mp-evk` is not free"  # an optional thing wants it
    assert left_out["imx8mp-evk"]["door"] == what
    assert "I2C bus" in left_out["x86-pc"]["air"]


# targets
def test_targets_are_found_by_name():
    for name in ("qemu", "virtual", "probe"):
        assert find_target(name).name == name
    assert set(TARGETS) == {"qemu", "virtual", "probe", "labgrid"}
    with pytest.raises(UsageError, match="no target `qmu`") as caught:
        find_target("qmu")
    assert "qemu" in caught.value.hint


@pytest.mark.parametrize(
    ("board", "target", "gateway", "said"),
    [
        ("nosuch", "qemu", None, "no board `nosuch`"),
        ("host", "qemu", "none.toml", "no `none.toml` here"),
        ("lm3s6965evb", "virtual", None, "is not flashed through a debug probe"),
        ("frdm-k64f", "virtual", None, "talks to a broker over its network"),
        ("frdm-k64f", "probe", None, "needs this machine's address on the board's network"),
        ("microbit", "probe", None, "no debug probe is connected|no probe"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_built(
    tmp_path, board, target, gateway, said
):
    with pytest.raises(EdgeukError, match=said):
        make_plan(board, target, Path(gateway) if gateway else None, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_board_that_nothing_here_emulates_is_refused():
    board = replace(find_board(load_catalog(), "microbit"), qemu=None)
    with pytest.raises(DeviceError, match="it does not run in QEMU"):
        QemuTarget.check(board, Wiring())


# console
def test_the_console_waits_for_lines_of_this_boot_only(tmp_path):
    console = Console(tmp_path / "log")
    console.feed("hello from before")
    console.start("reset")
    threading.Timer(0.2, console.feed, ("hello again",)).start()
    assert console.wait("hello", 5) == "hello again"
    assert (tmp_path / "log").read_text().splitlines()[1] == "--- reset ---"


def test_a_console_that_ends_is_not_waited_for(tmp_path):
    console = Console(tmp_path / "log")
    console.feed("last words")
    console.ended = lambda: "the machine ended"
    began = time.monotonic()
    with pytest.raises(DeviceError, match=r"before the machine ended:\n  \| last words"):
        console.wait("never", 60)
    assert time.monotonic() - began < 30


# readings
@pytest.fixture
def bench():
    """A broker, what listens to it, and a way to publish readings of `a`."""
    broker = BrokerBench()
    ended = [""]
    readings = Readings(broker, "t", lambda: "(console)", lambda: ended[0])
    broker.start()

    def publish(*values, topic="t/data"):
        pack = [{"n": "t/a", "v": v} for v in values]
        paho.mqtt.publish.single(topic, json.dumps(pack), 1, port=broker.port)

    yield SimpleNamespace(broker=broker, readings=readings, publish=publish, ended=ended)
    broker.close()


def test_readings_are_waited_for_in_order_and_over_a_restart(bench):
    bench.publish(1, 2)
    bench.publish(3)
    assert [r.value for r in bench.readings.wait("a", 3)] == [1, 2, 3]
    bench.broker.restart(down_s=0.1)
    bench.publish(4)
    assert [r.value for r in bench.readings.wait("a", 1)] == [4]
    assert [r.value for r in bench.readings.of("a")] == [1, 2, 3, 4]
    assert bench.readings.of("b") == []


def test_what_does_not_come_is_told_with_the_last_that_did(bench):
    bench.publish(7)
    with pytest.raises(DeviceError) as caught:
        bench.readings.wait("a", 5, limit_s=3)
    assert (
        str(caught.value) == "5 readings of a did not come in 3 s: 1 did, the last 7.0\n(console)"
    )


def test_no_reading_is_waited_for_from_a_board_that_ended(bench):
    bench.ended[0] = "before the machine ended"
    began = time.monotonic()
    with pytest.raises(DeviceError, match="did not come before the machine ended"):
        bench.readings.wait("a", 1)
    assert time.monotonic() - began < 30


def test_statistics_are_those_of_the_next_record(bench):
    bench.publish(1, topic="t/stats")
    assert bench.readings.statistics(5) == {"a": 1}
    assert bench.readings.records() == [{"a": 1}]


# which sensors a test can rely on
GATEWAY = """
schema = 1
name = "g"
[mqtt]
url = "mqtt://localhost"
[servers]
main = "192.0.2.1"
"""
KINDS = {
    "ramp": 'driver = "sim"\nshape = "ramp"\nevery = "1s"',
    "wave": 'driver = "sim"\nevery = "100ms"',
    "rare": 'driver = "sim"\nevery = "100ms"\nfilter = [{ delta = 5 }]',
    "slow": 'driver = "sim"\nevery = "1h"',
    "meter": 'driver = "modbus_tcp"\nat = "main/1"\nregister = "input:0"\nunit = "V"\n'
    'decimals = 0\nevery = "200ms"',
    "air": 'driver = "tmp105"\nat = "i2c0:0x48"\nevery = "500ms"',
    "attic": 'driver = "tmp105"\nat = "i2c0:0x49"\nevery = "300ms"',
    "door": 'driver = "gpio_in"\nat = "gpio0:5"\nevery = "400ms"',
}


def board_of(tmp_path, kinds, *, served=(), emulated=True, wired=True):
    path = tmp_path / "gateway.toml"
    tables = "".join(f'[[sensor]]\nname = "{k}"\n{KINDS[k]}\n' for k in kinds)
    path.write_text(GATEWAY + tables)
    image = resolve(load_gateway(path, CATALOG, BOARD.name), BOARD, CATALOG)
    wiring = Wiring()
    if wired:
        wiring = load_wiring(scenario_folder() / "wiring/lm3s6965evb.toml", BOARD, CATALOG)
    target = Target(SimpleNamespace(wiring=wiring), None)
    target.emulated = emulated
    plan = Plan(BOARD, image, None, "qemu", wiring, tmp_path)
    return BoardBench(target, plan, served), target, plan


@pytest.mark.parametrize(
    ("kinds", "served", "beat"),
    [
        (["wave", "ramp"], (), "ramp"),  # as it counts
        (["slow", "wave"], (), "wave"),
        (["rare", "air"], (), "air"),  # filters let readings of `rare` go when they please
        (["attic", "air"], (), "air"),  # QEMU has nothing at 0x49
        (["meter", "air"], (), "air"),
        (["meter", "air"], ("main",), "meter"),
        (["door", "slow"], (), "door"),
    ],
)
def test_the_sensor_that_is_listened_to(tmp_path, kinds, served, beat):
    board, _, _ = board_of(tmp_path, kinds, served=served)
    assert board.beat().name == beat
    assert is_ramp(board.beat()) == (beat == "ramp")


def test_on_a_real_board_every_sensor_is_listened_to(tmp_path):
    board, _, _ = board_of(tmp_path, ["attic", "air"], emulated=False)
    assert board.beat().name == "attic"


@pytest.mark.parametrize("kinds", [["slow"], ["rare"], ["attic"]])
def test_without_such_a_sensor_the_test_is_skipped(tmp_path, kinds):
    board, _, _ = board_of(tmp_path, kinds)
    with pytest.raises(pytest.skip.Exception, match="no sensor of the gateway gives readings"):
        board.beat()


def test_what_the_bench_has_no_wire_to_is_skipped(tmp_path):
    board, target, plan = board_of(tmp_path, ["air", "door"], wired=False)
    with pytest.raises(pytest.skip.Exception, match="no sensor of the gateway without filters"):
        SensorsBench(target, plan, board.sensors).wired()
    with pytest.raises(pytest.skip.Exception, match="no gpio_in of the gateway"):
        PinsBench(target, plan, board).inputs()
    board, target, plan = board_of(tmp_path, ["air", "door"])
    assert [s.name for s, _ in SensorsBench(target, plan, board.sensors).wired()] == ["air"]
    assert [s.name for s in PinsBench(target, plan, board).inputs()] == ["door"]


# the gate
class Qemu:
    """QEMU's side of the gate: sends frames in at `out`, takes them at `in`."""

    def __init__(self, folder):
        self.said = []
        self.ends = {}
        for way in gate.WAYS:
            for end in ("out", "in"):
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(str(folder / f"{way}-{end}"))
                listener.listen()
                self.ends[way, end] = listener

    def accept(self):
        for key, listener in self.ends.items():
            self.ends[key] = listener.accept()[0]
            self.ends[key].settimeout(5)
            listener.close()

    def qmp(self, command, **arguments):
        self.said.append((arguments["path"], arguments["value"]))

    def send(self, way, *frames):
        data = b"".join(gate.LENGTH.pack(len(f)) + f for f in frames)
        for i in range(0, len(data), 7):  # a stream has no borders
            self.ends[way, "out"].sendall(data[i : i + 7])

    def receive(self, way):
        size = gate.LENGTH.unpack(self.ends[way, "in"].recv(4, socket.MSG_WAITALL))[0]
        return self.ends[way, "in"].recv(size, socket.MSG_WAITALL)

    def close(self):
        for end in self.ends.values():
            end.close()


@pytest.fixture
def machine(tmp_path):
    qemu = Qemu(tmp_path)
    found = gate.Gate(tmp_path, qemu.qmp, seed=3)
    qemu.accept()
    yield qemu, found
    found.close()
    qemu.close()


def test_frames_wait_in_the_gate_and_keep_their_order(machine):
    qemu, found = machine
    found.set(0.3, 0)
    assert qemu.said == [("/objects/gate-rx", "on"), ("/objects/gate-tx", "on")]
    began = time.monotonic()
    qemu.send("rx", b"one", b"two" * 500)
    qemu.send("tx", b"three")
    assert qemu.receive("rx") == b"one"
    assert time.monotonic() - began >= 0.3
    assert qemu.receive("rx") == b"two" * 500
    assert qemu.receive("tx") == b"three"
    found.set(0, 0)
    assert qemu.said[-1] == ("/objects/gate-tx", "off")


def test_a_part_of_the_frames_is_lost_and_the_same_ones_with_the_same_seed(machine):
    qemu, found = machine
    found.set(0, 0.5)
    numbers = [b"%d" % i for i in range(100)]
    qemu.send("tx", *numbers)
    chance = random.Random(3)
    for number in numbers:
        if chance.random() >= 0.5:
            assert qemu.receive("tx") == number
    assert found.lost + found.passed == 100
    assert 25 < found.lost < 75


# edgeuk test
def test_scenarios_of_the_user_are_run_beside_ours(tmp_path):
    ours = scenario_folder()
    gateway = tmp_path / "gateway.toml"
    assert scenarios(None) == [ours]
    assert scenarios(gateway) == [ours]
    (tmp_path / "hil").mkdir()
    assert scenarios(gateway) == [ours]
    (tmp_path / "hil/test_mine.py").write_text("")
    assert scenarios(gateway) == [ours, tmp_path / "hil"]
    assert scenarios(tmp_path) == [ours, tmp_path / "hil"]
    assert scenarios(ours / "gateway.toml") == [ours]


# reports
def test_a_report_says_where_the_packets_are_or_why_there_are_none(tmp_path):
    built = SimpleNamespace(image=tmp_path / "i.elf", sha256="5a")

    def of(board):
        return Gear(Plan(board, None, built, "labgrid", Wiring(), tmp_path), tmp_path, 7)

    for name, why in (("microbit", "board microbit has no network"), ("host", "a process has no")):
        found = of(find_board(CATALOG, name)).facts()["packets"]
        assert found.startswith(f"none were captured: {why}")
    gear = of(BOARD)
    assert gear.facts()["packets"] == "none were captured"  # it did not even begin
    gear.target = Target(SimpleNamespace(wiring=Wiring()), None)
    gear.target.no_packets = "nobody may"
    assert gear.facts()["packets"] == "none were captured: nobody may"
    (tmp_path / "a.pcap").write_bytes(b"")
    assert gear.facts()["packets"] == str(tmp_path / "a.pcap")


# a real board's network
RECORDED = set()
ADDRESS = "127.0.0.2"  # all of 127/8 is this machine; not where the broker listens


def board_at_a_probe(monkeypatch, tmp_path, values):
    """The target and what it flashes; of what it records, the ports go to `RECORDED`."""
    flashed = []
    monkeypatch.setattr(
        relay, "record", lambda path, address, ports, stack: RECORDED.update(ports) or "not here"
    )
    monkeypatch.setattr(
        target_probe, "write", lambda job, chip, probe, values: flashed.append(values)
    )
    board = find_board(CATALOG, "frdm-k64f")
    wiring = Wiring(targets={"probe": {"serial": "/dev/null", "address": ADDRESS}})
    job = SimpleNamespace(board=board, wiring=wiring, values=values, folder=tmp_path)
    target = target_probe.ProbeTarget(job, Console(tmp_path / "console.log"))
    target.flash()
    return target, flashed[0]


def test_a_real_board_reaches_the_tests_broker_and_servers_on_its_network(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as meter:
        bench = BrokerBench()
        readings = Readings(bench, "site")
        values = {
            "mqtt.host": "localhost",
            "mqtt.port": str(bench.port),
            "server.meter": f"localhost:{meter.getsockname()[1]}",
            "server.far": "10.1.2.3:502",
        }
        target, seen = board_at_a_probe(monkeypatch, tmp_path, values)
        try:
            assert seen["server.far"] == values["server.far"]
            assert seen["mqtt.host"] == ADDRESS
            for attempt in range(2):  # a broker that was away is there again
                bench.start()
                pack = f'[{{"n":"site/air","u":"Cel","v":{attempt}}}]'
                port = int(seen["mqtt.port"])
                paho.mqtt.publish.single("site/data", pack, 1, hostname=ADDRESS, port=port)
                assert readings.wait("air")[-1].value == attempt
                bench.stop()
            host, _, port = seen["server.meter"].partition(":")
            with socket.create_connection((host, int(port)), 5) as near, meter.accept()[0] as far:
                far.sendall(b"230 V")
                assert near.recv(5) == b"230 V"
        finally:
            bench.close()
            target.close()
        again, same = board_at_a_probe(monkeypatch, tmp_path, values)
        again.close()
        assert same == seen  # or each test would wear the flash
        assert {int(seen["mqtt.port"]), int(port)} == RECORDED
        assert again.no_packets == "not here"


def test_an_address_that_is_not_ours_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("test_hil.ADDRESS", "192.0.2.1")  # RFC 5737
    with pytest.raises(DeviceError, match=r"cannot listen at 192\.0\.2\.1") as caught:
        board_at_a_probe(monkeypatch, tmp_path, {"mqtt.host": "localhost", "mqtt.port": "1883"})
    assert "[probe] address is one of this machine" in caught.value.hint


IDENTITY = '[tls]\nca = "ca.crt"\n[identity]\nca = "ca.crt"\n'


def test_an_image_with_identity_gets_the_key_of_a_ca_of_the_run(tmp_path):
    """Nobody needs the project's key for a test, and nothing of a test is good for its images."""
    authority = self_signed(FileSigner(new_key()), "project")
    (tmp_path / "ca.crt").write_bytes(certificate_pem(authority))
    path = tmp_path / "gateway.toml"
    text = GATEWAY.replace("mqtt://", "mqtts://") + IDENTITY
    path.write_text(text + f'[[sensor]]\nname = "wave"\n{KINDS["wave"]}\n')
    gateway = load_gateway(path, CATALOG)
    tested, seal = _sealed(gateway)
    blob = Job(BOARD, None, {}, Wiring(), tmp_path, seal=seal).config({"name": "g"})

    def by(point):
        return lambda digest, found: verifies(public_key_of(point), digest, found)

    assert newest(blob, verify=by(tested.seal_key)).values["name"] == "g"
    with pytest.raises(DeviceConfigError, match="of somebody else"):
        newest(blob, verify=by(gateway.seal_key))
