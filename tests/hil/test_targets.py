"""`edgeuk test` as a user calls it, on each target that runs here: QEMU, a virtual board, a probe
whose board is a virtual one with its console on a pseudo-terminal.
"""

import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import tty
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from edgeuk.cache import cache_root
from edgeuk.errors import DeviceError
from edgeuk.hil.rig import scenarios
from edgeuk.identity.issue import certificate_pem, new_key, self_signed
from edgeuk.identity.sign import FileSigner
from edgeuk.probe import client

OWN = """
def test_the_gateway_answers_to_its_name(board, readings):
    readings.wait("level", 2)
    assert board.plan.image.gateway.name == "tank"
"""
TANK = """
schema = 1
name = "tank"
[mqtt]
url = "mqtts://broker.example.com"
topic = "site/tank"
[tls]
ca = "ca.crt"
[servers]
plc = "192.0.2.17"
[pipeline]
encoding = "senml+json"
statistics = "1m"
[[sensor]]
name = "level"
driver = "modbus_tcp"
at = "plc/3"
register = "holding:40"
type = "float32"
unit = "m"
decimals = 2
every = "200ms"
[[sensor]]
name = "cellar"
driver = "mcp9808"
at = "i2c0:0x18"
every = "1s"
optional = true
"""
REPORT = "report.xml"


@pytest.fixture
def edgeuk(tmp_path):
    """`edgeuk("test", ...)` in a folder of its own; sockets of virtual boards have short names."""
    home = Path(tempfile.mkdtemp(prefix="ek-"))
    env = {**os.environ, "EDGEUK_CACHE": str(cache_root()), "XDG_RUNTIME_DIR": str(home)}

    def run(*arguments):
        command = [sys.executable, "-m", "edgeuk", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=500
        )

    yield run
    shutil.rmtree(home)


def cases(folder, report=REPORT):
    """Name of a test -> passed, skipped, failure, error."""
    return {
        case.get("name"): next((part.tag for part in case if part.tag != "properties"), "passed")
        for case in ET.parse(folder / report).getroot().iter("testcase")
    }


@pytest.mark.slow
@pytest.mark.timeout(600)  # a thousand readings at 20 a second, and 15 scenarios more
def test_every_scenario_passes_in_qemu_and_none_is_skipped(edgeuk, tmp_path):
    done = edgeuk("test", "--board", "lm3s6965evb", "--junit", REPORT)
    assert done.returncode == 0, done.stdout
    text = (scenarios() / "test_scenarios.py").read_text()
    there = re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    found = cases(tmp_path)
    assert {name.partition("[")[0] for name in found} == {*there}
    assert set(found.values()) == {"passed"}, found
    assert {
        "test_readings_are_right",
        "test_a_thousand_readings_are_neither_lost_nor_reordered",
        "test_a_broker_restart_loses_no_reading",
        "test_a_pulled_cable_is_survived",
        "test_firmware_that_hangs_is_reset_by_the_watchdog",
        *(f"test_a_power_cycle_in_the_middle_is_survived[{n}]" for n in range(3)),
    } < {*found}
    assert "ok      a slow and lossy network is survived" in done.stdout
    assert f"results: {REPORT}" in done.stderr + done.stdout


def test_a_users_gateway_is_tested_with_the_users_own_scenarios(edgeuk, tmp_path):
    """Neither its broker, whose CA is a stranger's here, nor its Modbus server is ever asked."""
    (tmp_path / "gateway.toml").write_text(TANK)
    authority = self_signed(FileSigner(new_key()), "a stranger", 9)
    (tmp_path / "ca.crt").write_bytes(certificate_pem(authority))
    (tmp_path / "hil").mkdir()
    (tmp_path / "hil/test_tank.py").write_text(OWN)
    words = "ten_readings or restart or modbus_readings or name or accuracy"
    done = edgeuk("test", "-k", words)
    assert done.returncode == 0, done.stdout
    assert cases(tmp_path, "build/hil/junit.xml") == {
        "test_ten_readings_arrive": "passed",
        "test_modbus_readings_follow_the_registers": "passed",
        "test_a_broker_restart_loses_no_reading": "passed",
        "test_the_gateway_answers_to_its_name": "passed",
    }


def test_a_run_in_which_nothing_was_tested_is_no_success(edgeuk, tmp_path):
    file = scenarios() / "test_scenarios.py"
    done = edgeuk("test", "--board", "host", "-k", "hangs", file)
    assert done.returncode == 1
    assert "because board host has no watchdog" in done.stdout
    assert "no test ran" in done.stderr


def test_the_same_scenarios_run_on_a_virtual_board(edgeuk, tmp_path):
    words = "ten_readings or contact or restart or boot"
    options = ("--target", "virtual", "--junit", REPORT, "-k", words)
    done = edgeuk("test", "--board", "microbit", *options)
    assert done.returncode == 0, done.stdout
    assert cases(tmp_path) == {
        "test_ten_readings_arrive": "passed",
        "test_a_contact_is_a_reading": "passed",
        "test_a_broker_restart_loses_no_reading": "skipped",
        "test_a_power_cycle_at_any_moment_of_the_boot_is_survived": "passed",
    }


@pytest.fixture
def bench(monkeypatch):
    """A virtual micro:bit whose console is a serial port, as its interface chip makes one."""
    name = f"probe-{os.getpid()}"
    master, slave = pty.openpty()
    tty.setraw(slave)
    client.start(name, "nrf51")
    stop = threading.Event()

    def copy():
        at = None
        while not stop.wait(0.02):
            try:
                with client.Connection(name) as connection:
                    at, data = connection.console(at)
                os.write(master, data)
            except (DeviceError, OSError):
                continue

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    yield name, os.ttyname(slave)
    stop.set()
    thread.join()
    client.forget(name)
    os.close(master)
    os.close(slave)


def test_the_same_scenarios_run_on_a_board_at_a_probe(bench, tmp_path):
    name, port = bench
    text = (scenarios() / "wiring/microbit.toml").read_text()
    text = text.replace('serial = "/dev/ttyACM0"', f'serial = "{port}"\nid = "virtual:{name}"')
    (tmp_path / "wiring.toml").write_text(text)
    words = "contact or boot or reset_is"
    options = ["--target", "probe", "--wiring", "wiring.toml", "--junit", REPORT, "-k", words]
    done = subprocess.run(
        [sys.executable, "-m", "edgeuk", "test", "--board", "microbit", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert cases(tmp_path) == {
        "test_a_contact_is_a_reading": "skipped",
        "test_a_power_cycle_at_any_moment_of_the_boot_is_survived": "skipped",
        "test_a_reset_is_survived": "passed",
    }
    assert "because nothing switches the power of a board at a probe" in done.stdout
