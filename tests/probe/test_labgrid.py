"""Boards of a lab: our resources and drivers under real labgrid, coordinator and exporter on
loopback, with virtual boards in the place of real ones.

The exporter has folders of its own, as on another machine; so nothing but its ports joins the two.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from labgrid import Target
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from pexpect import TIMEOUT
from probe_rig import image, state, wait_for

from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import DeviceError, EdgeukError, UsageError
from edgeuk.hil import target_labgrid
from edgeuk.hil.wiring import Wiring
from edgeuk.labgrid import (
    EdgeukProbe,
    EdgeukProbeDriver,
    EdgeukVirtualBoard,
    EdgeukVirtualBoardDriver,
    FlashProtocol,
)
from edgeuk.labgrid.exporter import BrokenResourceError, ProbeExport, VirtualBoardExport, chip_of
from edgeuk.pack import elf
from edgeuk.paths import data_roots
from edgeuk.probe import client, storage
from edgeuk.run.broker import free_port

EXAMPLES = data_roots().boards.parent / "hil/labgrid"
START_S, END_S, RUN_S = 60, 20, 200
CONSOLE_S = 10
GATEWAY = """\
schema = 1
name = "desk"
[mqtt]
url = "mqtt://localhost:1883"
topic = "desk"
[pipeline]
statistics = "1s"
[[sensor]]
name = "count"
driver = "sim"
shape = "ramp"
low = 0
high = 20_000
period = "1000s"
every = "50ms"
"""


def exported(kind, **params):
    """What an exporter makes of one entry of its file."""
    return kind({"cls": "", "avail": False, "params": params}, host="elsewhere")


@contextmanager
def acquired(export):
    """The resource as a client gets it, while a place has it."""
    export.poll()
    export.acquire("desk")
    try:
        params = {k: v for k, v in export.params.items() if k != "extra"}
        yield params
    finally:
        if not export.broken:
            export.release()


@pytest.fixture
def target(home):
    """labgrid's, without an environment file; what is in it ends with the test."""
    made = Target("main")
    yield made
    made.cleanup()


def test_a_virtual_board_is_flashed_reset_and_switched_through_labgrids_protocols(target, firmware):
    export = exported(VirtualBoardExport, board="microbit")
    with acquired(export) as params:
        assert params["host"] == "127.0.0.1"  # whatever the exporter's name
        EdgeukVirtualBoard(target, name=None, **params)
        EdgeukVirtualBoardDriver(target, name=None)
        assert state("labgrid-microbit") == "off"
        result = target.get_driver(FlashProtocol).flash(firmware("v1"))
        assert (result.erased, result.programmed) == (1, 1024)
        console = target.get_driver(ConsoleProtocol)
        console.expect("hello v1", timeout=CONSOLE_S)
        target.get_driver(ResetProtocol).reset()
        console.expect("hello v1", timeout=CONSOLE_S)
        power = target.get_driver(PowerProtocol)
        power.cycle()
        console.expect("hello v1", timeout=CONSOLE_S)
        with pytest.raises(TIMEOUT):
            console.read(timeout=0.1)
        power.off()
        assert state("labgrid-microbit") == "off"
        target.cleanup()
    assert not client.is_running("labgrid-microbit")
    assert client.boards() == []  # nor is its other name left


def test_the_flash_of_a_virtual_board_is_there_when_the_next_one_acquires_it(home, firmware):
    export = exported(VirtualBoardExport, board="microbit", name="kept")
    for number in range(2):
        with acquired(export) as params, Target("main") as target:
            EdgeukVirtualBoard(target, name=None, **params)
            driver = EdgeukVirtualBoardDriver(target, name=None)
            target.activate(driver)
            if number == 0:
                driver.flash(firmware("v1"))
                driver.off()
            else:
                driver.on()
                driver.expect("hello v1", timeout=CONSOLE_S)


def test_a_board_that_is_no_longer_ours_says_so(target):
    export = exported(VirtualBoardExport, board="microbit")
    with acquired(export) as params:
        EdgeukVirtualBoard(target, name=None, **params)
        driver = EdgeukVirtualBoardDriver(target, name=None)
        target.activate(driver)
    with pytest.raises(DeviceError, match=r"E081[78]"):
        driver.on()


def test_two_virtual_boards_of_one_name_are_refused(home):
    first, second = (exported(VirtualBoardExport, board="microbit") for _ in range(2))
    with acquired(first), pytest.raises(BrokenResourceError), acquired(second):
        pass
    assert second.broken


def elf_of(folder, data):
    segment = elf.Segment(elf.PT_LOAD, 5, 0, 0, len(data), 4, data)
    path = folder / "i.elf"
    path.write_bytes(elf.pack(elf.Elf(elf.CLASS_32, 40, 0x05000000, 0, (segment,), ())))
    return path


def test_a_probe_at_the_exporter_flashes(target, tmp_path):
    """pyOCD's server and its remote probe, as for a board that is really there."""
    client.start("real", "k64f")
    data = image(0, 0x20020000, 0x3000)
    export = exported(ProbeExport, board="frdm-k64f", probe="virtual:real")
    with acquired(export) as params:
        EdgeukProbe(target, name=None, **params)
        EdgeukProbeDriver(target, name=None)
        result = target.get_driver(FlashProtocol).flash(elf_of(tmp_path, data))
        assert result.programmed == len(data)
        target.cleanup()
    client.stop("real")
    assert storage.flash_file("real").read_bytes()[: len(data)] == data
    assert export._server.poll() is not None


def test_a_probe_that_is_not_there_breaks_the_resource(home):
    export = exported(ProbeExport, board="frdm-k64f", probe="virtual:none")
    with pytest.raises(BrokenResourceError), acquired(export):
        pass
    assert export.broken


def test_a_board_without_a_probe_is_refused():
    with pytest.raises(UsageError, match="board `x86-pc` is not flashed through a probe"):
        chip_of(find_board(load_catalog(), "x86-pc"))


@contextmanager
def program(log, ready, *argv, env):
    """One that runs until the end of the block, once it has printed `ready`."""
    command = [sys.executable, "-u", "-m", *argv]
    with log.open("wb") as out:
        child = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=env, cwd=log.parent
        )
    try:
        wait_for(lambda: child.poll() is not None or ready in log.read_text(), START_S)
        assert child.poll() is None, log.read_text()
        yield
    finally:
        child.terminate()
        child.wait(END_S)


class Lab:
    """The environment of a client, and what programs say in it."""

    def __init__(self, env):
        self.env = env

    def run(self, *arguments, status=0, **env):
        argv = [sys.executable, "-m", *map(str, arguments)]
        done = subprocess.run(
            argv, env=self.env | env, capture_output=True, text=True, timeout=RUN_S, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def say(self, *arguments):
        """labgrid's own client."""
        return self.run("labgrid.remote.client", "-p", "desk", *arguments)

    def test(self, folder, only, **more):
        """`edgeuk test` on the lab's board, of scenarios with a word in their names."""
        gateway = folder / "gateway.toml"
        gateway.write_text(GATEWAY)
        what = ("--board", "microbit", "--gateway", gateway, "-k", only, "--artifacts", folder)
        where = ("--target", "labgrid", "--wiring", EXAMPLES / "microbit.toml")
        return self.run("edgeuk", "test", *what, *where, **more)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Coordinator, exporter with the example's file, and a place `desk` that nobody has."""
    folder = Path(tempfile.mkdtemp(prefix="ek-"))  # sockets have short names
    logs = tmp_path_factory.mktemp("lab")
    address = f"127.0.0.1:{free_port()}"
    base = os.environ | {"LG_COORDINATOR": address, "LG_USERNAME": "tester", "LG_PLACE": "desk"}
    base["LG_ENV"] = str(EXAMPLES / "environment.yaml")
    there, here = (base | {"XDG_RUNTIME_DIR": str(folder / name)} for name in ("there", "here"))
    for env in (there, here):
        Path(env["XDG_RUNTIME_DIR"]).mkdir()
    there["EDGEUK_CACHE"] = str(folder / "cache")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        coordinator = ("labgrid.remote.coordinator", "--listen", address)
        stack.enter_context(
            program(logs / "coordinator", "Coordinator ready", *coordinator, env=base)
        )
        offer = ("edgeuk.labgrid.exporter", "--name", "lab", str(EXAMPLES / "exporter.yaml"))
        stack.enter_context(program(logs / "exporter", "Exporter ready", *offer, env=there))
        made = Lab(here)
        made.say("create")
        made.say("add-match", "lab/desk/*")
        yield made
    assert "Traceback" not in (logs / "exporter").read_text()


def test_the_scenarios_run_on_a_place_of_the_lab(lab, tmp_path):
    lab.say("acquire")
    try:
        said = lab.test(tmp_path, "survived")
        for name in ("a power cycle in the middle is survived[0]", "a reset is survived"):
            assert f"ok      {name}" in said
        lab.say("power", "cycle")  # labgrid's own command knows the driver
    finally:
        lab.say("release")


def test_a_place_that_was_not_acquired_is_said(lab, tmp_path):
    said = lab.test(tmp_path, "reset", status=2)
    assert "the lab gives us no board: Error: place desk is not acquired" in said
    assert "labgrid-client -p PLACE acquire" in said


@pytest.fixture
def check(monkeypatch, tmp_path):
    """What is said before anything is built, of a board and an environment file with this text."""

    def said(text, board="microbit"):
        path = tmp_path / "environment.yaml"
        path.write_text(text)
        monkeypatch.setenv("LG_ENV", str(path) if text else "")
        target_labgrid.place.cache_clear()
        with pytest.raises(EdgeukError) as caught:
            target_labgrid.LabgridTarget.check(find_board(load_catalog(), board), Wiring())
        target_labgrid.place.cache_clear()
        return str(caught.value)

    return said


def test_an_environment_that_does_not_do_is_said(check):
    assert "target `labgrid` needs an environment file" in check("")
    assert "the environment file has no target `main`" in check("targets: {other: {}}\n")
    said = check("targets: {main: {drivers: {}}}\n")
    assert "the environment file has no driver for power (PowerProtocol)" in said
    said = check("targets: {main: {drivers: {NoSuchDriver: {}}}}\n")
    assert "not an environment file of labgrid: " in said


def test_a_board_with_a_network_is_refused(check):
    assert "`x86-pc` talks to a broker over its network" in check("x", "x86-pc")
