"""Boards that are flashed by a file: Intel HEX is read back by a reader written from Intel's
specification, and what an MPS2's controller would load by one written from its list."""

import json
import os
import random
import re
import shlex
import shutil

import pytest
from flash_rig import MB, an_image, system

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.errors import BuildError, DeviceError, UsageError, VerificationError
from edgeuk.flash import hexfile, mps2
from edgeuk.flash.card import flatten
from edgeuk.flash.plan import BANNER, Piece

LIST = "MB/HBI0263C/AN385/images.txt"
THEIRS = b"TITLE: x\r\n[IMAGES]\r\nTOTALIMAGES: 1\r\nIMAGE0FILE: \\SOFTWARE\\selftest.axf\r\n"


def memory(text):
    """Address -> byte, of an Intel HEX file (Intel 1988): types 0, 1 and 4."""
    found, upper, lines = {}, 0, text.decode().splitlines()
    for number, line in enumerate(lines, 1):
        assert line[0] == ":"
        record = bytes.fromhex(line[1:])
        assert sum(record) & 0xFF == 0
        count, address, kind = record[0], int.from_bytes(record[1:3], "big"), record[3]
        data = record[4:-1]
        assert len(data) == count
        assert (kind == 1) == (number == len(lines))
        if kind == 4:
            upper = int.from_bytes(data, "big") << 16
        elif kind == 0:
            assert address + count <= 0x10000
            found |= {upper + address + i: byte for i, byte in enumerate(data)}
    return found


def test_a_hex_file_has_every_byte_at_its_address():
    content = random.Random(5)
    pieces = [
        Piece(0, content.randbytes(100), "image"),
        Piece(0xFFF7, content.randbytes(40), "image"),
        Piece(0x3E000, content.randbytes(33), "device configuration"),
    ]
    expected = {p.address + i: byte for p in pieces for i, byte in enumerate(p.data)}
    assert memory(hexfile.make(pieces)) == expected


@pytest.fixture
def image(tmp_path):
    return an_image(tmp_path / "i.elf", 0, b"code" * 100)


def test_a_board_that_another_program_flashes_gets_a_file_and_its_command(tmp_path, image, capsys):
    argv = ["flash", "--board", "lm3s6965evb", "--image", str(image)]
    assert run(argv) == 2
    said = capsys.readouterr().err
    assert "is flashed by openocd: --to FILE makes the file for it [E0802]" in said
    assert "hint: edgeuk flash --board lm3s6965evb --to gateway.hex" in said
    to = tmp_path / "gateway.hex"
    assert run([*argv, "--to", str(to), "--dry-run"]) == 0
    assert not to.exists()
    capsys.readouterr()
    assert run([*argv, "--to", str(to)]) == 0
    said = capsys.readouterr()
    assert "read back and right; nothing is on the board yet" in said.out
    command = f'openocd -f board/ek-lm3s6965.cfg -c "program {to} verify reset exit"'
    assert f"next: {command}" in said.err
    assert bytes(memory(to.read_bytes()).values()) == b"code" * 100
    assert to.stat().st_mode & 0o077 == 0  # a key may be in it
    assert run([*argv, "--to", str(to)]) == 2
    assert "not without --yes [E0815]" in capsys.readouterr().err
    assert run([*argv, "--to", str(to), "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["command"] == command


@pytest.mark.parametrize("name", ["my gateway.hex", "a;b.hex", "$(id).hex", "it's.hex", '"x".hex'])
def test_the_command_can_be_pasted_whatever_the_files_name(tmp_path, image, capsys, name):
    """The shell takes a word as it is, and in it Tcl a word in braces, which is openocd's."""
    to = tmp_path / name
    argv = ["flash", "--board", "lm3s6965evb", "--image", str(image), "--to", str(to), "--json"]
    assert run(argv) == 0
    command = json.loads(capsys.readouterr().out)["command"]
    program = f"program {{{to}}} verify reset exit"
    assert shlex.split(command) == ["openocd", "-f", "board/ek-lm3s6965.cfg", "-c", program]


@pytest.mark.parametrize("name", ["imx6ul-evk", "imx8mp-evk", "lm3s6965evb", "mps2-an385", "rpi4"])
@pytest.mark.parametrize("other", ["below", "above", "elsewhere"])
def test_an_image_of_another_board_is_refused(tmp_path, drive, capsys, name, other):
    """As a probe's flash refuses it: U-Boot, the Pi's firmware and an MPS2 would start it."""
    memory = find_board(load_catalog(), name).memory
    region = memory.get("flash", memory["ram"])
    end = memory["config"].base + memory["config"].size
    at = {"below": max(region.base, 16 * MB) - 4, "above": end - 4, "elsewhere": 0x9000_0000}
    image = an_image(tmp_path / "i.elf", at[other], b"code" * 2)
    to = drive if name == "mps2-an385" else tmp_path / "out"
    argv = ["flash", "--board", name, "--image", str(image), "--to", str(to), "--yes"]
    argv += ["--no-firmware"] * name.startswith("imx")
    if name == "rpi4":
        for file in find_board(load_catalog(), name).flash.firmware:
            (tmp_path / file).write_text("theirs")
        argv += ["--firmware-dir", str(tmp_path)]
    assert run(argv) == 1
    said = capsys.readouterr().err
    assert f"goes to {at[other]:#x}, where board `{name}` has no memory for it [E0808]" in said
    assert not (tmp_path / "out").exists()
    assert (drive / LIST).read_bytes() == THEIRS


def test_an_image_that_names_another_board_is_refused_before_anything_is_asked(tmp_path, capsys):
    image = an_image(tmp_path / "i.elf", 0, BANNER + b"\0microbit\0")
    for name in ("frdm-k64f", "lm3s6965evb", "rpi4"):  # by each way to flash
        assert run(["flash", "--board", name, "--image", str(image), "--dry-run"]) == 1
        assert "it is an image of board `microbit` [E0808]" in capsys.readouterr().err


def test_what_is_run_is_not_flashed(tmp_path, image, capsys):
    for name in ("host", "virt-aarch64", "x86-microvm", "x86-pc"):
        assert run(["flash", "--board", name, "--image", str(image)]) == 2
        said = capsys.readouterr().err
        assert f"board `{name}` has no [flash]: it is run, not flashed [E0801]" in said
        assert f"hint: `edgeuk run --board {name}` starts it; to be flashed are frdm-k64f, " in said


@pytest.fixture
def drive(tmp_path):
    """As Arm delivers it."""
    path = tmp_path / "V2M_MPS2"
    (path / LIST).parent.mkdir(parents=True)
    (path / LIST).write_bytes(THEIRS)
    (path / "MB/HBI0263C/AN386").mkdir()
    (path / "MB/HBI0263C/AN386/images.txt").write_bytes(THEIRS)
    (path / "SOFTWARE").mkdir()
    return path


def loaded(drive):
    """What the controller copies, and where to."""
    lines = (drive / LIST).read_bytes().decode()
    assert "\r\n" in lines
    rows = dict(re.findall(r"(?m)^(\w+): (\S+)\r$", lines))
    assert rows["TOTALIMAGES"] == "1"
    folder, name = re.fullmatch(r"\\(\w+)\\(\w{1,8}\.\w{1,3})", rows["IMAGE0FILE"]).groups()
    return int(rows["IMAGE0ADDRESS"], 16), (drive / folder / name).read_bytes()


def test_a_drive_gets_the_image_and_a_list_that_names_it(drive, image, capsys):
    argv = ["flash", "--board", "mps2-an385", "--image", str(image), "--to", str(drive)]
    assert run([*argv, "--dry-run"]) == 0
    assert "file    SOFTWARE/EDGEUK.BIN" in capsys.readouterr().out
    assert (drive / LIST).read_bytes() == THEIRS
    assert run(argv) == 2
    assert "not without --yes [E0815]" in capsys.readouterr().err
    assert run([*argv, "--yes"]) == 0
    assert "eject the drive, then reset the board" in capsys.readouterr().err
    assert loaded(drive) == (0, b"code" * 100)
    assert (drive / LIST).with_name("images.old").read_bytes() == THEIRS
    assert (drive / "MB/HBI0263C/AN386/images.txt").read_bytes() == THEIRS
    assert run([*argv, "--yes"]) == 0  # once more: what Arm delivered is still kept
    assert (drive / LIST).with_name("images.old").read_bytes() == THEIRS


def test_image_and_configuration_are_one_file(drive):
    pieces = [Piece(0, b"image", "image"), Piece(0x3F_E000, b"config", "device configuration")]
    flat, address = flatten(pieces, 0x40_0000)
    mps2.write(drive, "AN385", flat, address)
    at, data = loaded(drive)
    assert (at, data[:5], data[0x3F_E000:]) == (0, b"image", b"config")
    with pytest.raises(BuildError, match=r"\[E0808\]"):
        flatten([*pieces, Piece(0x40_0000, b"x", "image")], 0x40_0000)


def test_a_folder_that_is_no_drive_of_this_board_is_refused(tmp_path, drive, capsys):
    with pytest.raises(UsageError, match=r"this is no folder \[E0812\]"):
        mps2.lists(tmp_path / "nowhere", "AN385")
    with pytest.raises(UsageError, match=r"not an MPS2's drive with AN521: it has no .*\[E0812\]"):
        mps2.lists(drive, "AN521")
    image = an_image(tmp_path / "i.elf", 0, b"code")
    argv = ["flash", "--image", str(image), "--yes", "--board"]
    assert run([*argv, "mps2-an385"]) == 2
    assert "loads what is on its USB drive: --to says which [E0802]" in capsys.readouterr().err
    assert run([*argv, "mps2-an385", "--to", str(tmp_path)]) == 2
    assert "[E0812]" in capsys.readouterr().err
    assert run([*argv, "mps2-an385", "--to", str(drive), "--probe", "virtual"]) == 2
    assert "is not flashed through a probe [E0802]" in capsys.readouterr().err
    assert run([*argv, "imx6ul-evk", "--to", str(drive), "--no-firmware"]) == 2
    assert "neither a disk nor a file [E0812]" in capsys.readouterr().err


def test_a_drive_that_gives_other_bytes_back_keeps_what_it_had(drive, monkeypatch):
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda *a: real(*a)[:-1] + b"?")
    with pytest.raises(VerificationError, match=r"other bytes came back of EDGEUK.BIN \[E0809\]"):
        mps2.write(drive, "AN385", b"code", 0)
    assert (drive / LIST).read_bytes() == THEIRS
    assert list((drive / "SOFTWARE").iterdir()) == []


@pytest.mark.parametrize(
    "link", ["SOFTWARE", "SOFTWARE/EDGEUK.NEW", "MB/HBI0263C/AN385", LIST, "MB/HBI0263C"]
)
def test_a_link_on_the_drive_leads_nowhere(tmp_path, drive, image, capsys, link):
    """A drive of Arm's is FAT, which has none; another one's may name any file of this machine."""
    elsewhere, place = tmp_path / "elsewhere", drive / link
    if place.is_dir():
        shutil.copytree(place, elsewhere)
        shutil.rmtree(place)
    else:
        elsewhere.write_bytes(place.read_bytes() if place.exists() else b"precious")
        place.unlink(missing_ok=True)
    place.symlink_to(elsewhere)
    before = {p: p.read_bytes() for p in tmp_path.glob("elsewhere/**/*") if p.is_file()}
    argv = ["flash", "--board", "mps2-an385", "--image", str(image), "--to", str(drive), "--yes"]
    status = run(argv)
    said = capsys.readouterr().err
    if link.endswith(".NEW"):  # what an interrupted write may leave is made anew
        assert status == 0
        assert elsewhere.read_bytes() == b"precious"
        return
    assert status == 2
    assert "leads off the drive [E0812]" in said
    assert {p: p.read_bytes() for p in tmp_path.glob("elsewhere/**/*") if p.is_file()} == before


def test_a_full_drive_keeps_what_it_had(tmp_path):
    folder = tmp_path / "drive"
    folder.mkdir()
    system("mount", "-t", "tmpfs", "-o", f"size={MB}", "tmpfs", str(folder))
    try:
        (folder / LIST).parent.mkdir(parents=True)
        (folder / LIST).write_bytes(THEIRS)
        with pytest.raises(DeviceError, match=r"no space left on device \[E0810\]") as caught:
            mps2.write(folder, "AN385", bytes(2 * MB), 0)
        assert (folder / LIST).read_bytes() == THEIRS
        assert list((folder / "SOFTWARE").iterdir()) == []
    finally:
        system("umount", str(folder))
    assert caught.value.hint.startswith("what the board had is still there")
