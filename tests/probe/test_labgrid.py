"""Boards of a lab: our resources and drivers under real labgrid, coordinator and exporter on
loopback, with virtual boards in the place of real ones.

The exporter has folders of its own, as on another machine; so nothing but its ports joins the two.
"""

import socket
from contextlib import contextmanager

import lab_rig
import pytest
from lab_rig import EXAMPLES
from labgrid import Target
from labgrid.protocol import ConsoleProtocol, PowerProtocol, ResetProtocol
from pexpect import TIMEOUT
from probe_rig import image, state

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
from edgeuk.probe import client, storage
from edgeuk.run.broker import free_port

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


def scenarios(lab, folder, only, **more):
    """`edgeuk test` on the lab's board, of scenarios with a word in their names."""
    gateway = folder / "gateway.toml"
    gateway.write_text(GATEWAY)
    what = ("--board", "microbit", "--gateway", gateway, "-k", only, "--artifacts", folder)
    where = ("--target", "labgrid", "--wiring", EXAMPLES / "microbit.toml")
    return lab.run("edgeuk", "test", *what, *where, **more)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The example's files."""
    files = (EXAMPLES / "exporter.yaml", EXAMPLES / "environment.yaml")
    with lab_rig.lab(tmp_path_factory.mktemp("lab"), *files) as made:
        yield made


def test_the_scenarios_run_on_a_place_of_the_lab(lab, tmp_path):
    lab.say("acquire")
    try:
        said = scenarios(lab, tmp_path, "survived")
        for name in ("a power cycle in the middle is survived[0]", "a reset is survived"):
            assert f"ok      {name}" in said
        lab.say("power", "cycle")  # labgrid's own command knows the driver
    finally:
        lab.say("release")


def test_a_place_that_was_not_acquired_is_said(lab, tmp_path):
    said = scenarios(lab, tmp_path, "reset", status=2)
    assert "the lab gives us no board: Error: place desk is not acquired" in said
    assert "labgrid-client -p PLACE acquire" in said


@pytest.fixture
def check(monkeypatch, tmp_path):
    """What is said before anything is built, of a board and an environment file with this text."""

    def said(text, board="microbit", wiring=None):
        path = tmp_path / "environment.yaml"
        path.write_text(text)
        monkeypatch.setenv("LG_ENV", str(path) if text else "")
        target_labgrid.place.cache_clear()
        described = find_board(load_catalog(), board)
        with pytest.raises(EdgeukError) as caught:
            target_labgrid.LabgridTarget.check(described, wiring or Wiring())
        target_labgrid.place.cache_clear()
        return f"{caught.value} {caught.value.hint}"

    return said


def test_an_environment_that_does_not_do_is_said(check):
    assert "target `labgrid` needs an environment file" in check("")
    assert "the environment file has no target `main`" in check("targets: {other: {}}\n")
    said = check("targets: {main: {drivers: {}}}\n")
    assert "the environment file has no driver for power (PowerProtocol)" in said
    said = check("targets: {main: {drivers: {NoSuchDriver: {}}}}\n")
    assert "not an environment file of labgrid: " in said


def test_a_board_with_a_network_must_know_where_this_machine_is(check):
    said = check("x", "x86-pc")
    assert "target `labgrid` needs this machine's address on the board's network" in said
    assert '[labgrid] address = "192.168.1.10"' in said
    wired = Wiring(targets={"labgrid": {"address": "192.0.2.1"}})
    assert "has no target `main`" in check("targets: {other: {}}\n", "x86-pc", wired)


def probe_and_console(port):
    drivers = "ManualPowerDriver: {}, SerialDriver: {}, EdgeukProbeDriver: {}"
    probe = "EdgeukProbe: {host: 127.0.0.1, port: 1, board: frdm-k64f, chip: k64f}"
    console = f"NetworkSerialPort: {{host: 127.0.0.1, port: {port}, protocol: raw}}"
    main = f"{{resources: {{{probe}, {console}}}, drivers: {{{drivers}}}}}"
    return f"targets: {{main: {main}}}\nimports: [edgeuk.labgrid]\n"


def test_another_board_in_the_lab_is_not_written_to(check):
    with socket.create_server(("127.0.0.1", 0)) as console:
        text = probe_and_console(console.getsockname()[1])
        assert "the lab's board is frdm-k64f, not microbit" in check(text)


def test_what_does_not_work_in_the_lab_is_said(check):
    said = check(probe_and_console(free_port()))
    assert "the lab's driver for a console (ConsoleProtocol) does not work: Could not open" in said
