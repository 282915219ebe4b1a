"""`edgeuk flash` through a probe, in process, on virtual boards: what is written is read back, what
is there is left alone, and every wrong situation has its message."""

import base64
import json
import os
import pty
import signal
import sys
import threading
import tty
from contextlib import suppress

import pytest
from probe_rig import image, state
from pyocd.core import exceptions
from pyocd.flash.builder import FlashBuilder
from pyocd.flash.flash import Flash
from pyocd.probe.aggregator import DebugProbeAggregator

from edgeuk.cli import flash_console
from edgeuk.cli.app import run
from edgeuk.device_config import copies, encode, newest
from edgeuk.errors import DeviceError
from edgeuk.flash import cortex_m
from edgeuk.flash.plan import CONFIGURATION, IMAGE, Piece, Plan, Sector
from edgeuk.pack import elf
from edgeuk.probe import client, storage
from edgeuk.probe.parts import PARTS
from edgeuk.probe.plugin import VirtualProbe

BOARD = """\
summary = "a board of the test"
cpu = "{cpu}"

[memory]
flash = {{ base = 0, size = 0x3_F000 }}
config = {{ base = 0x0003_F000, size = 0x400 }}
ram = {{ base = 0x2000_0000, size = 0x4000 }}

[roles]

[devices]
"""
FLASH = '\n[flash]\nmethod = "pyocd"\ntarget = "{target}"\n'


@pytest.fixture(autouse=True)
def _signals():
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def board(tmp_path):
    """Write a board file; gives the options that name it."""

    def write(target="nrf51", cpu="cortex-m0"):
        path = tmp_path / "b.toml"
        path.write_text(BOARD.format(cpu=cpu) + (FLASH.format(target=target) if target else ""))
        return ["--board", str(path)]

    return write


@pytest.fixture
def elf_of(tmp_path):
    """An ELF file that loads these bytes at an address."""

    def write(data, address=0):
        segment = elf.Segment(elf.PT_LOAD, 5, address, address, len(data), 4, data)
        path = tmp_path / "i.elf"
        path.write_bytes(elf.pack(elf.Elf(elf.CLASS_32, 40, 0x05000000, address, (segment,), ())))
        return ["--image", str(path)]

    return write


def flashed(name, size):
    client.stop(name)
    return storage.flash_file(name).read_bytes()[:size]


def test_it_starts_the_virtual_board_writes_verifies_and_shows_the_first_words(
    home, board, firmware, capsys
):
    argv = ["flash", *board(), "--image", str(firmware("v1")), "--probe", "virtual"]
    assert run(argv) == 0
    said = capsys.readouterr()
    assert "probe   b, edgeuk virtual board b (nrf51)" in said.out
    assert "erased  1 sector\nwrote   1,024 bytes; read back and right" in said.out
    assert "  | hello v1" in said.out
    assert "started virtual board `b`" in said.err
    assert "next: " in said.err
    assert state("b") == "running"


def test_what_is_there_already_is_neither_erased_nor_written(home, board, firmware, capsys):
    argv = ["flash", *board(), "--probe", "virtual", "--json", "--image"]
    assert run([*argv, str(firmware("v1", PAD=65536))]) == 0
    first = json.loads(capsys.readouterr().out)
    assert run([*argv, str(firmware("v2", PAD=65536))]) == 0
    second = json.loads(capsys.readouterr().out)
    assert first["done"]
    assert first["sectors_erased"] == len(first["sectors"]) == 65
    # The one with the version in it, and the first one, so that no half of it starts.
    assert second["sectors_erased"] == 2
    assert second["bytes_identical"] == 63 * 1024
    assert "hello v2" in second["console"][0]


def test_bytes_beside_the_image_in_its_last_sector_are_kept(home, board, elf_of, capsys):
    where = [*board("k64f", "cortex-m4"), "--probe", "virtual"]
    assert run(["flash", *where, *elf_of(image(0, 0x20020000, 0x3000))]) == 0
    assert run(["flash", *where, *elf_of(b"new!" * 4, 0x2000)]) == 0
    expected = bytearray(image(0, 0x20020000, 0x3000))
    expected[0x2000:0x2010] = b"new!" * 4
    assert flashed("b", 0x3000) == expected


def test_a_dry_run_shows_the_plan_and_writes_nothing(home, board, elf_of, capsys):
    client.start("b", "k64f")
    where = [*board("k64f", "cortex-m4"), "--probe", "virtual"]
    assert run(["flash", *where, *elf_of(image(0, 0x20020000, 5000)), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "write   5,000 bytes at 0x0: image\nerase   at most 2 sectors, 8,192 bytes" in said
    assert set(flashed("b", 5000)) == {0xFF}


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_dry_run_starts_no_virtual_board(home, board, elf_of, capsys, how):
    where = [*board("k64f", "cortex-m4"), "--probe", "virtual"]
    assert run(["flash", *where, *elf_of(image(0, 0x20020000, 5000)), "--dry-run", *how]) == 0
    said = capsys.readouterr()
    if how:
        assert json.loads(said.out)["done"] is False
    else:
        assert "probe   b, a virtual board, which would be started\n" in said.out
    assert "started" not in said.err
    assert not client.boards()


def test_a_dry_run_finds_a_chip_that_no_virtual_board_has(home, board, elf_of, capsys):
    where = [*board("nrf91", "cortex-m4"), "--probe", "virtual"]
    assert run(["flash", *where, *elf_of(b"1234"), "--dry-run"]) == 2
    assert "there is no virtual `nrf91` [E0816]" in capsys.readouterr().err


def test_a_board_without_flash_table_is_refused(home, board, elf_of, capsys):
    assert run(["flash", *board(""), *elf_of(b"1234"), "--probe", "virtual"]) == 2
    said = capsys.readouterr().err
    assert "board `b` has no [flash] [E0801]" in said
    assert "hint: add [flash] to its file; to be flashed are frdm-k64f, imx6ul-evk, " in said
    assert run(["flash", "--board", "host", *elf_of(b"1234")]) == 2
    assert "hint: `edgeuk run --board host` starts it; to be" in capsys.readouterr().err


def test_no_probe(home, board, elf_of, monkeypatch, capsys):
    monkeypatch.setattr(DebugProbeAggregator, "get_all_connected_probes", lambda wanted=None: [])
    assert run(["flash", *board(), *elf_of(b"1234")]) == 3
    said = capsys.readouterr().err
    assert "error: no debug probe is connected [E0804]\nhint: check cable and power" in said


def test_a_virtual_board_that_runs_is_not_taken_for_a_probe(start, board, elf_of, capsys):
    start("b", "nrf51")
    assert run(["flash", *board(), *elf_of(b"1234"), "--yes"]) == 3
    said = capsys.readouterr().err
    assert "no debug probe is connected [E0804]" in said
    assert "virtual:b (edgeuk virtual board b (nrf51))" in said


class Other(VirtualProbe):
    vendor_name = "Arm"


def test_two_probes_are_listed(start, board, elf_of, monkeypatch, capsys):
    start("one", "nrf51")
    start("two", "nrf51")
    both = [Other("one"), Other("two")]
    monkeypatch.setattr(DebugProbeAggregator, "get_all_connected_probes", lambda wanted=None: both)
    assert run(["flash", *board(), *elf_of(b"1234"), "--yes"]) == 3
    said = capsys.readouterr().err
    assert "2 debug probes are connected [E0805]: one (Arm virtual board one (nrf51)), two" in said
    assert "hint: name one: --probe ID" in said


def test_a_probe_that_is_not_there_names_those_that_are(start, board, elf_of, capsys):
    start("one", "nrf51")
    assert run(["flash", *board(), *elf_of(b"1234"), "--probe", "cmsisdap:xyz"]) == 3
    said = capsys.readouterr().err
    assert "no probe `cmsisdap:xyz` is connected [E0804]" in said
    assert "virtual:one" in said


def test_a_real_probe_is_not_written_to_without_a_yes(start, board, elf_of, monkeypatch, capsys):
    start("one", "nrf51")
    real = [Other("one")]
    monkeypatch.setattr(DebugProbeAggregator, "get_all_connected_probes", lambda wanted=None: real)
    assert run(["flash", *board(), *elf_of(b"1234"), "--json"]) == 2
    assert "not without --yes [E0815]" in capsys.readouterr().err
    assert run(["flash", *board(), *elf_of(b"1234"), "--yes"]) == 0
    assert flashed("one", 4) == b"1234"


@pytest.fixture
def port_of(monkeypatch, tmp_path):
    """Give a virtual board the serial port that a real probe has beside the debug port."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    monkeypatch.setattr(flash_console, "BY_ID", tmp_path)
    stop = threading.Event()

    def copy(name):
        at = None
        while not stop.wait(0.01):
            with suppress(DeviceError), client.Connection(name) as connection:
                at, data = connection.console(at)
                os.write(master, data)

    threads = []

    def connect(name):
        path = tmp_path / f"usb-ARM_DAPLink_CMSIS-DAP_{name}-if01"
        path.symlink_to(os.ttyname(slave))
        threads.append(threading.Thread(target=copy, args=(name,)))
        threads[0].start()
        return path

    yield connect
    stop.set()
    for thread in threads:
        thread.join()
    os.close(master)
    os.close(slave)


def test_a_real_boards_first_words_are_read_from_the_probes_serial_port(
    start, board, firmware, port_of, monkeypatch, capsys
):
    start("one", "nrf51")
    path = port_of("one")
    real = [Other("one")]
    monkeypatch.setattr(DebugProbeAggregator, "get_all_connected_probes", lambda wanted=None: real)
    argv = ["flash", *board(), "--yes", "--image"]
    assert run([*argv, str(firmware("v1"))]) == 0
    said = capsys.readouterr()
    assert "  | hello v1\n" in said.out
    assert f"next: edgeuk bridge --port {path} publishes its readings" in said.err
    assert run([*argv, str(firmware("v2")), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["console"] == ["hello v2"]


def test_frames_are_no_first_words():
    text = b"edgeuk b 0123456789abcdef: entropy device\n"
    boot = bytes.fromhex("00 02 04 01 01 08 72 65 73 65 74")
    assert flash_console.first_lines(lambda: text + boot) == [text.decode().strip()]


def test_a_virtual_board_that_is_switched_off_is_said(start, board, elf_of, capsys):
    start("b", "nrf51")
    assert run(["board", "power", "b", "off"]) == 0
    assert run(["flash", *board(), *elf_of(b"1234"), "--probe", "virtual"]) == 3
    said = capsys.readouterr().err
    assert "virtual board `b` is switched off [E0810]\nhint: edgeuk board power b on" in said


def _offset(address):
    """In the file of a board whose second flash area is a Nordic's UICR."""
    return address if address < 0x100000 else 0x100000 + address - 0x10001000


CORES = {
    "nrf51": "cortex-m0",
    "nrf52840": "cortex-m4",
    "k64f": "cortex-m4",
    "stm32f412xg": "cortex-m4",
    "rp2040": "cortex-m0",
}


@pytest.mark.parametrize("there", PARTS)
def test_every_other_chip_is_refused_by_name_before_anything_is_written(
    there, start, board, elf_of, capsys
):
    start("other", there)
    for wanted in PARTS:
        if wanted != there:
            where = [*board(wanted, CORES[wanted]), "--probe", "virtual:other", "--unlock"]
            base = PARTS[wanted].flash[0].base
            assert run(["flash", *where, *elf_of(b"1234", base)]) == 3
            said = capsys.readouterr().err
            assert f"the chip at probe other is {there}, not {wanted} [E0806]" in said
            assert "hint: is this the right board? `edgeuk boards` lists others" in said
    assert set(flashed("other", None)) == {0xFF}


@pytest.mark.parametrize(
    ("there", "wanted", "cpu", "what"),
    [
        ("k64f", "nrf51822", "cortex-m0", "a cortex-m4"),
        ("k64f", "nrf52832", "cortex-m4", "a Kinetis"),
        ("nrf52840", "k22f", "cortex-m4", "an nRF52"),
        ("stm32f412xg", "nrf52832", "cortex-m4", "another one"),
    ],
)
def test_a_chip_without_a_known_number_is_told_by_its_core_or_its_vendors_port(
    there, wanted, cpu, what, start, board, elf_of, capsys
):
    start("other", there)
    where = [*board(wanted, cpu), "--probe", "virtual:other", "--unlock"]
    assert run(["flash", *where, *elf_of(b"1234")]) == 3
    assert f"the chip at probe other is {what}, not {wanted} [E0806]" in capsys.readouterr().err
    assert set(flashed("other", None)) == {0xFF}


@pytest.mark.parametrize(
    ("there", "lock", "what", "wanted"),
    [
        ("k64f", 0x40C, "a Kinetis", "nrf52840"),
        ("k64f", 0x40C, "a Kinetis", "stm32f412xg"),
        ("nrf52840", 0x10001208, "an nRF52", "k64f"),
        ("nrf52840", 0x10001208, "an nRF52", "rp2040"),
    ],
)
def test_another_chip_that_is_locked_is_not_erased(
    there, lock, what, wanted, start, board, elf_of, capsys
):
    start("b", there)
    client.stop("b")
    path = storage.flash_file("b")
    before = bytearray(path.read_bytes())
    before[_offset(lock)] = 0
    before[0:4] = b"old!"
    path.write_bytes(before)
    start("b", there)
    where = [*board(wanted, CORES[wanted]), "--probe", "virtual:b"]
    elf_file = elf_of(b"1234", PARTS[wanted].flash[0].base)
    for how in ([], ["--unlock"]):
        assert run(["flash", *where, *elf_file, *how]) == 3
        assert f"the chip at probe b is {what}, not {wanted} [E0806]" in capsys.readouterr().err
    assert flashed("b", None) == before


@pytest.mark.parametrize(
    ("target", "address"), [("k64f", 0x40C), ("nrf52840", 0x10001208)], ids=["k64f", "nrf52840"]
)
def test_a_locked_chip_is_left_alone_unless_it_is_to_be_erased(
    target, address, start, board, elf_of, capsys
):
    start("b", target)
    client.stop("b")
    path = storage.flash_file("b")
    flash = bytearray(path.read_bytes())
    flash[_offset(address)] = 0
    flash[0:4] = b"old!"
    path.write_bytes(flash)
    start("b", target)
    where = ["flash", *board(target, "cortex-m4"), *elf_of(image(0, 0x20020000, 5000))]
    assert run([*where, "--probe", "virtual"]) == 3
    said = capsys.readouterr().err
    assert "the chip is locked" in said
    assert "[E0807]\nhint: --unlock erases the whole chip" in said
    assert run([*where, "--probe", "virtual", "--unlock"]) == 0
    assert flashed("b", 5000) == image(0, 0x20020000, 5000)


def test_an_image_larger_than_the_flash_is_refused(home, board, elf_of, capsys):
    where = [*board(), "--probe", "virtual"]
    assert run(["flash", *where, *elf_of(bytes(0x40010))]) == 1
    said = capsys.readouterr().err
    assert "the image is 16 bytes larger than the chip's flash [E0808]" in said
    assert run(["flash", *where, *elf_of(b"1234", 0x08000000)]) == 1
    said = capsys.readouterr().err
    assert "goes to 0x8000000, which is not in the chip's flash [E0808]" in said


def test_a_target_that_pyocd_lacks(home, board, elf_of, start, capsys):
    start("other", "nrf51")
    assert run(["flash", *board("nrf99"), *elf_of(b"1234"), "--probe", "virtual:other"]) == 2
    assert "pyOCD does not know the target `nrf99` [E0806]" in capsys.readouterr().err
    client.stop("other")
    assert run(["flash", *board("nrf99"), *elf_of(b"1234"), "--probe", "virtual"]) == 2
    assert "there is no virtual `nrf99` [E0816]" in capsys.readouterr().err


def test_other_bytes_in_the_flash_are_an_error(home, board, elf_of, monkeypatch, capsys):
    real = cortex_m._Loader.commit

    def spoiled(self):
        real(self)
        self._session.target.write32(0x4001E504, 1)  # NVMC: write enable
        self._session.target.write32(0x10, 0)

    monkeypatch.setattr(cortex_m._Loader, "commit", spoiled)
    assert run(["flash", *board(), *elf_of(b"\x55" * 64), "--probe", "virtual"]) == 4
    said = capsys.readouterr().err
    assert "the flash has 0x00 at 0x10, where 0x55 was written [E0809]" in said


class Cut:
    """Pull the probe's cable before the Nth operation on the flash."""

    NAMES = ("erase_sector", "program_page", "program_phrase", "start_program_page_with_buffer")

    def __init__(self, monkeypatch):
        self.left, self.pulled = 0, False
        for name in self.NAMES:
            monkeypatch.setattr(Flash, name, self._counting(getattr(Flash, name)))
        monkeypatch.setattr(VirtualProbe, "_guarded", self._pulled(VirtualProbe._guarded))

    def _counting(self, real):
        def counting(flash, *arguments):
            self.left -= 1
            self.pulled = self.pulled or self.left < 0
            self._check()
            return real(flash, *arguments)

        return counting

    def _pulled(self, real):
        def checking(probe, do):
            self._check()
            return real(probe, do)

        return checking

    def _check(self):
        if self.pulled:
            raise exceptions.ProbeDisconnected("pulled")


@pytest.mark.parametrize(("target", "page"), [("k64f", 0x1000), ("nrf51", 0x400)])
def test_no_half_of_an_image_starts_whenever_the_probe_is_pulled(target, page, start, monkeypatch):
    start("b", target)
    old, new = (image(0, 0x20002000, 3 * page + 80, seed) for seed in (1, 2))
    cut = Cut(monkeypatch)

    def write(data, operations):
        cut.left, cut.pulled = operations, False
        probe = cortex_m.find_probe("virtual:b")
        plan = cortex_m.make_plan("b", CORES[target], target, probe, [Piece(0, data, IMAGE)])
        cortex_m.flash(plan, probe, unlock=False, progress=lambda part: None)
        assert there() == data

    def there():
        with client.Connection("b") as connection:
            assert connection.ask("open")
            return base64.b64decode(connection.ask("rb", a=0, n=len(old)))

    write(old, 1000)
    found = []
    for operations in range(100):
        try:
            write(new, operations)
            break
        except DeviceError:
            assert cut.pulled
        found.append(there())
        write(old, 1000)
    assert len(found) == 9  # four sectors are erased and written, then the first words
    assert [data == old for data in found] == [True] + [False] * 8
    assert all(data[:8] == b"\xff" * 8 for data in found[1:])
    # Whatever else an erased sector has in it is there again at once.
    assert all(data[8:page] == new[8:page] for data in found[2:])
    assert flashed("b", len(new)) == new


COPIES = 0xFE000  # of a k64f: one in each of its last two sectors
OLD, NEW = (encode({"name": name}, sequence=n) for n, name in ((1, "old"), (2, "new")))


def write_copies(blob):
    """An image and both copies of a configuration, as `edgeuk flash` writes them."""
    pieces = [Piece(0, image(0, 0x20020000, 0x2000), IMAGE)]
    pieces += [Piece(COPIES + at, b, CONFIGURATION) for at, b in copies(blob, 0x2000).items()]
    probe = cortex_m.find_probe("virtual:b")
    plan = cortex_m.make_plan("b", "cortex-m4", "k64f", probe, pieces)
    return plan, cortex_m.flash(plan, probe, unlock=False, progress=lambda part: None)


def test_one_copy_of_the_configuration_is_whole_at_any_time(start, monkeypatch):
    """What the flash has after each erasing and after each writing."""
    start("b", "k64f")
    write_copies(OLD)
    names = []

    def look(real):
        def after(builder, *args, **kwargs):
            done = real(builder, *args, **kwargs)
            builder.flash.cleanup()
            region = bytes(builder.flash.target.read_memory_block8(COPIES, 0x2000))
            names.append(newest(region).values["name"])
            return done

        return after

    for name in ("erase", "program"):
        monkeypatch.setattr(FlashBuilder, name, look(getattr(FlashBuilder, name)))
    plan, result = write_copies(NEW)
    assert [[piece.address for piece in step] for step in plan.steps()] == [
        [0],
        [COPIES + 4096],
        [COPIES],
    ]
    assert result.erased == 2
    assert names == ["old"] * 3 + ["new"] * 3  # of the image, the second and the first copy
    assert flashed("b", COPIES + 8192)[COPIES:].rstrip(b"\xff").endswith(NEW)


def test_copies_in_one_sector_are_written_together():
    pieces = tuple(Piece(at, NEW, CONFIGURATION) for at in (0x8000, 0x9000))
    plan = Plan("b", "t", "cortex-m4", "p", "p", pieces, (Sector(0x8000, 0x4000),))
    assert [[piece.address for piece in step] for step in plan.steps()] == [[0x9000, 0x8000]]


def test_a_board_that_dies_in_the_middle(home, board, elf_of, monkeypatch, capsys):
    def die(self):
        record = storage.read_record("b")
        client._signal(record, signal.SIGKILL)
        client._ended(record, 5)
        self._session.target.read32(0)

    monkeypatch.setattr(cortex_m._Loader, "commit", die)
    assert run(["flash", *board(), *elf_of(b"1234"), "--probe", "virtual"]) == 3
    assert "[E0810]" in capsys.readouterr().err


def test_pyocd_missing_is_said_with_the_cure(home, board, elf_of, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "edgeuk.flash.cortex_m")
    monkeypatch.setitem(sys.modules, "pyocd.core", None)
    assert run(["flash", *board(), *elf_of(b"1234"), "--probe", "virtual"]) == 1
    said = capsys.readouterr().err
    assert "the Python package `pyocd` is missing [E0803]\nhint: " in said
    assert '-m pip install "edgeuk[flash]"' in said


def test_board_command_starts_lists_and_stops(home, capsys):
    assert run(["board", "start", "k64f"]) == 0
    assert run(["board", "start", "k64f"]) == 0
    assert "was running already" in capsys.readouterr().err
    assert run(["board", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["boards"] == [{"name": "k64f", "target": "k64f", "state": "lockup"}]
    assert run(["board", "start", "k64f", "--target", "nrf51"]) == 2
    assert "runs already, as a k64f [E0816]" in capsys.readouterr().err
    assert run(["board", "stop", "k64f"]) == 0
    assert run(["board", "stop", "k64f"]) == 3
    assert "`k64f` does not run [E0817]" in capsys.readouterr().err
    assert run(["board", "start", "nothing"]) == 2
    assert "no board `nothing` [E0816]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["frdm-k64f"], "next: edgeuk flash --board frdm-k64f --probe virtual, or pyocd cmd "),
        (["k64f"], "next: edgeuk flash --board frdm-k64f --probe virtual:k64f, or pyocd cmd "),
        (
            ["b", "--target", "rp2040"],
            "next: pyocd flash --probe virtual:b -t rp2040 FILE, or "
            "pyocd cmd --probe virtual:b -t rp2040\n",
        ),
        (
            ["rpi4"],
            "error: board `rpi4` has no chip that a virtual board could be [E0816]\n"
            "hint: frdm-k64f, microbit have one; `edgeuk run --board rpi4` runs an image\n",
        ),
    ],
)
def test_what_is_said_next_can_be_done(home, capsys, arguments, what):
    run(["board", "start", *arguments])
    assert what in capsys.readouterr().err


def test_a_chip_that_runs_nothing_is_said_and_what_does(home, elf_of, capsys):
    where = ["--board", "frdm-k64f", "--probe", "virtual", *elf_of(bytes(64))]
    assert run(["flash", *where]) == 0
    assert (
        "this virtual board is flashed and read, but runs nothing\n\n"
        "next: edgeuk run --board frdm-k64f, in an emulator\n"
    ) in capsys.readouterr().err


def test_a_virtual_board_of_a_real_board_has_its_chip(home, capsys):
    assert run(["board", "start", "microbit"]) == 0
    (status,) = client.boards()
    assert status.target == "nrf51"
    assert status.state == "lockup"
