"""A networked board at a debug probe: `edgeuk test --target probe` on an FRDM-K64F.

In its place are two emulations: the probe and the flash are those of a virtual board, where pyOCD's
own flash algorithm writes; what is in that flash then runs in our model of the board, whose console
is a pseudo-terminal and whose network is QEMU's. So image and device configuration come from the
flash, and the broker is at an address of this machine, as on a desk. The hardware is not there.
"""

import os
import pty
import struct
import subprocess
import sys
import threading
import tty
import xml.etree.ElementTree as ET
from contextlib import suppress
from types import SimpleNamespace

import pytest
from rack import own_address

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import DeviceError, UsageError
from edgeuk.hil import relay, target_probe
from edgeuk.hil.wiring import Wiring
from edgeuk.pack import elf
from edgeuk.probe import client, storage
from edgeuk.run import emulator
from edgeuk.run.emulated import Emulated

BOARD = "frdm-k64f"
EM_ARM = 40
LOOK_S = 0.01  # the daemon has no events


class Desk:
    """The board, started anew whenever a probe lets go of it; a context manager."""

    def __init__(self, name, folder):
        self.name, self._folder = name, folder
        self._board = find_board(load_catalog(), BOARD)
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        client.start(self.name, "k64f")
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)
        client.forget(self.name)
        os.close(self._master)
        os.close(self._slave)

    def _run(self):
        machine, held = None, False
        while not self._stop.wait(LOOK_S):
            with suppress(DeviceError), client.Connection(self.name) as connection:
                now = connection.ask("status")
                if now["probe"] and machine:  # the probe stops the core
                    machine = machine.__exit__(None, None, None)
                elif held and not now["probe"] and now["state"] == "asleep":
                    machine = self._boot()
                held = now["probe"]
        if machine:
            machine.__exit__(None, None, None)

    def _boot(self):
        flash, config = storage.flash_file(self.name).read_bytes(), self._board.memory["config"]
        code = flash[: config.base].rstrip(b"\xff")
        code += b"\xff" * (-len(code) % 4)
        entry = struct.unpack_from("<I", code, 4)[0]
        segment = elf.Segment(elf.PT_LOAD, 5, 0, 0, len(code), 4, code)
        image = self._folder / "flash.elf"
        image.write_bytes(elf.pack(elf.Elf(elf.CLASS_32, EM_ARM, 0, entry, (segment,), ())))
        blob = flash[config.base : config.base + config.size].rstrip(b"\xff")
        return Emulated(self._board, image, blob, on_line=self._print).__enter__()

    def _print(self, line):
        os.write(self._master, line.encode() + b"\r\n")


@pytest.mark.parametrize("trouble", [OSError("usb: gone"), TimeoutError("usb: gone")])
def test_a_probe_that_is_pulled_out_before_a_reset_is_an_error_of_its_own(monkeypatch, trouble):
    def session(*_, **__):
        raise trouble

    probe = SimpleNamespace(identity="p1", handle=None)
    monkeypatch.setattr(target_probe.cortex_m, "find_probe", lambda wanted: probe)
    monkeypatch.setattr(target_probe, "Session", session)
    target = target_probe.ProbeTarget.__new__(target_probe.ProbeTarget)
    target._id, target._chip = "p1", "k64f"
    with pytest.raises(DeviceError, match="probe p1 cannot reset the board: usb: gone"):
        target._reset()


def board_of(address, name="rpi4"):
    board = find_board(load_catalog(), name)
    relay.check_address(board, Wiring(targets={"labgrid": {"address": address}}), "labgrid")


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "127.1.2.3"])
def test_an_address_at_which_no_board_finds_this_machine_is_refused(address):
    """0.0.0.0 would open the tests' broker to every network besides."""
    with pytest.raises(UsageError, match=f"no board finds this machine at {address}"):
        board_of(address)


def test_one_at_which_a_board_may_is_not():
    board_of("192.168.1.10")
    board_of("desk.lab")
    board_of("0.0.0.0", "microbit")  # which has no network


@pytest.mark.slow
def test_the_scenarios_run_on_a_networked_board_at_a_probe(tmp_path):
    emulator.find("qemu-system-arm")
    address = own_address()
    wiring = tmp_path / "wiring.toml"
    with Desk(f"desk-{os.getpid()}", tmp_path) as desk:
        probe = f'id = "virtual:{desk.name}"\nserial = "{desk.port}"\naddress = "{address}"\n'
        wiring.write_text(f'schema = 1\nboard = "{BOARD}"\n[probe]\n{probe}')
        words = "ten_readings or restart or follow"
        options = ["--target", "probe", "--wiring", wiring, "--junit", "report.xml", "-k", words]
        done = subprocess.run(
            [sys.executable, "-m", "edgeuk", "test", "--board", BOARD, *map(str, options)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=250,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {
        case.get("name"): "skipped" if case.find("skipped") is not None else "passed"
        for case in ET.parse(tmp_path / "report.xml").getroot().iter("testcase")
    }
    assert found == {
        "test_ten_readings_arrive": "passed",
        "test_modbus_readings_follow_the_registers": "passed",
        "test_a_broker_restart_loses_no_reading": "passed",
    }
    log = tmp_path / "build/hil" / BOARD / "probe/test_ten_readings_arrive/console.log"
    assert f"mqtt: connected to {address}:" in log.read_text()
