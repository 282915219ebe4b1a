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

import pytest
from rack import own_address

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import DeviceError
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
