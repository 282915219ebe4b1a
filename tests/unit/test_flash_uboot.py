"""Cards for U-Boot: the script is read back by a reader written from U-Boot's include/image.h, and
by mkimage; the loader lies where the ROM looks for it; what fails in the middle does not boot."""

import errno
import json
import os
import random
import re
import shutil
import struct
import subprocess
import zlib

import pytest
from flash_rig import Fat16, an_image

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.errors import BuildError, DeviceError, VerificationError
from edgeuk.flash import card, firmware, uboot

MB = 1 << 20
BOARDS = ("imx6ul-evk", "imx8mp-evk")
# Where the boot ROMs look (U-Boot, doc/board/nxp/mx6ul_14x14_evk.rst and imx8mp_evk.rst: `dd bs=1k
# seek=1` and `seek=32`), and where U-Boot has its environment (CONFIG_ENV_OFFSET).
ROM = {"imx6ul-evk": (1 << 10, 0xC0000), "imx8mp-evk": (32 << 10, 0x400000)}
IVT = bytes.fromhex("d1002040")


def loader(size=700_000, offset=0x400, end=0xC0000):
    return card.Loader("u-boot.imx", IVT + random.Random(1).randbytes(size - 4), offset, end)


def content(of=None):
    image = random.Random(2).randbytes(50_000)
    boot = card.Boot(image, 0x8000_0000, bytes(8192), 0x80FF_E000)
    slot, select = uboot.boot_files(boot)
    return card.make(slot, select, of or loader())


def silent(done, total):
    pass


def text_of(data):
    """A script's text; asserts what U-Boot's `source` does of a legacy image."""
    fields = struct.unpack_from(">7I4B32s", data)
    magic, header_crc, _, size, _, _, data_crc, _, _, kind, packed, _ = fields
    assert magic == 0x27051956
    assert zlib.crc32(data[:4] + bytes(4) + data[8:64]) == header_crc
    body = data[64 : 64 + size]
    assert len(body) == size == len(data) - 64
    assert zlib.crc32(body) == data_crc
    assert (kind, packed) == (6, 0)
    length, end = struct.unpack_from(">II", body)
    assert end == 0
    assert len(body) == 8 + length
    return body[8:].decode()


def test_a_script_is_what_u_boot_takes_for_one():
    text = uboot.commands(0x8000_0000, 0x80FF_E000)
    assert text_of(uboot.script(text)) == text
    assert len(uboot.script(text)) <= 512  # one sector, so that an update can switch slots at once


def test_mkimage_knows_the_script(tmp_path):
    program = shutil.which("mkimage")
    if program is None:
        pytest.skip("mkimage is not installed (apt-get install u-boot-tools)")
    text = uboot.commands(0x8000_0000, 0x80FF_E000)
    (tmp_path / "boot.scr").write_bytes(uboot.script(text))
    command = [program, "-l", str(tmp_path / "boot.scr")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "ARM Linux Script (uncompressed)" in said
    assert f"Image 0: {len(text)} Bytes" in said


def test_the_script_loads_both_and_writes_the_caches_back_before_it_starts_the_image():
    lines = uboot.commands(0x8000_0000, 0x80FF_E000).splitlines()
    assert lines[2] == "load ${devtype} ${devnum}:2 0x80ffe000 edgeuk.cfg"
    assert lines[3] == (
        "if load ${devtype} ${devnum}:2 0x80000000 edgeuk.img; "
        "then dcache flush; icache flush; go 0x80000000; fi"
    )
    assert "edgeuk.cfg" not in uboot.commands(0x8000_0000, None)


def test_an_image_whose_room_reaches_the_configuration_is_refused():
    with pytest.raises(BuildError, match=r"reaches the device configuration at 0x80100000 \[E08"):
        uboot.boot_files(card.Boot(b"x", 0x8000_0000, b"y", 0x8010_0000))


@pytest.mark.parametrize("name", BOARDS)
def test_the_boards_say_where_their_rom_looks(name):
    method = find_board(load_catalog(), name).flash
    assert (method.loader_at, method.loader_end) == ROM[name]


@pytest.mark.parametrize(("offset", "end"), ROM.values())
def test_the_loader_is_where_the_rom_looks_and_nothing_else_is_left_before_the_partitions(
    tmp_path, offset, end
):
    path, of = tmp_path / "card", loader(offset=offset, end=end)
    path.write_bytes(b"\xaa" * 9 * MB)
    card.write(path, content(of), silent)
    data = path.read_bytes()
    assert data[offset : offset + len(of.data)] == of.data
    assert data[510:512] == b"\x55\xaa"
    assert not any(data[512:offset])
    assert not any(data[offset + len(of.data) : 8 * MB])  # an environment that somebody saved


def test_a_file_that_others_could_read_is_for_its_owner_only_before_a_key_is_in_it(tmp_path):
    path, seen = tmp_path / "card", []
    path.write_bytes(b"old")
    path.chmod(0o664)
    card.write(path, content(), lambda *_: seen.append(path.stat().st_mode & 0o777), verify=False)
    assert set(seen) == {0o600}


def test_a_loader_that_is_there_stays(tmp_path):
    """--no-firmware, on a disk: only the header of a GPT (UEFI 2.10, 5.3) goes."""
    path = tmp_path / "card"
    extents = content(card.Loader("", b"", 0x400, 0xC0000))
    before = [e for e in extents if e.offset < card.START]
    assert [(e.offset, len(e.data)) for e in before] == [(0, 512), (512, 512)]
    card.write(path, extents, silent)
    start = 8 * MB
    volume = path.read_bytes()[start : start + 16 * MB]
    assert list(Fat16(volume).files()) == ["boot.scr"]


def test_a_loader_larger_than_its_place_is_refused():
    with pytest.raises(BuildError, match=r"`u-boot.imx` has 785,409 bytes, its place 785,408 \[E0"):
        content(loader(0xC0000 - 0x400 + 1))
    assert content(loader(0xC0000 - 0x400))


def test_an_interrupted_write_leaves_neither_table_nor_beginning_of_a_loader(tmp_path, monkeypatch):
    """At every write but the last two, over a card that booted; at the last there is no table."""
    path, extents = tmp_path / "card", content()
    others = [e for e in extents if not e.head]
    count = sum(len(card._pieces(e)) for e in others) + 4  # heads are emptied, and written at last
    real = os.pwrite
    for fails_at in range(2, count):
        card.write(path, extents, silent)
        calls = iter(range(1000))

        def failing(handle, data, offset, calls=calls, fails_at=fails_at):
            if next(calls) >= fails_at:
                raise OSError(errno.EIO, "gone")
            return real(handle, data, offset)

        monkeypatch.setattr(os, "pwrite", failing)
        with pytest.raises(DeviceError, match=r"\[E0810\]"):
            card.write(path, extents, silent)
        monkeypatch.setattr(os, "pwrite", real)
        with path.open("rb") as file:
            begin = file.read(2048)
        assert not any(begin[:512])
        assert any(begin[0x400:0x600]) == (fails_at == count - 1)
    card.write(path, extents, silent)
    assert path.read_bytes()[510:512] == b"\x55\xaa"


def test_a_loader_that_comes_back_otherwise_does_not_start(tmp_path, monkeypatch):
    path, real = tmp_path / "card", os.pread

    def worn(handle, size, offset):
        data = real(handle, size, offset)
        return data[:-1] + bytes([data[-1] ^ 1]) if offset == 512 else data

    monkeypatch.setattr(os, "pread", worn)
    with pytest.raises(VerificationError, match=r"\[E0809\]"):
        card.write(path, content(), silent)
    with path.open("rb") as file:
        assert not any(file.read(0x600))


@pytest.mark.parametrize("offset", [0, 0x400])
def test_a_head_that_comes_back_otherwise_is_taken_away_again(tmp_path, monkeypatch, offset):
    path, real = tmp_path / "card", os.pread

    def worn(handle, size, at):
        data = real(handle, size, at)
        return data[:-1] + bytes([data[-1] ^ 1]) if at == offset else data

    monkeypatch.setattr(os, "pread", worn)
    with pytest.raises(VerificationError, match=rf"came back at {offset + 511:#x} \[E0809\]"):
        card.write(path, content(), silent)
    with path.open("rb") as file:
        assert not any(file.read(0x600))


def test_the_first_loader_that_is_there_is_taken_and_none_is_an_error_that_says_how(tmp_path):
    names = ("u-boot-with-spl.imx", "u-boot-dtb.imx")
    for folder in (None, tmp_path):
        with pytest.raises(DeviceError) as caught:
            firmware.find_loader(names, folder, "build U-Boot")
        assert str(caught.value.what) == (
            "the board's boot loader is missing [E0811]: u-boot-with-spl.imx or u-boot-dtb.imx"
        )
        assert caught.value.hint == (
            "build U-Boot, then --firmware-dir with its folder; "
            "--no-firmware if the board has one already"
        )
    (tmp_path / names[1]).write_bytes(IVT + b"second")
    assert firmware.find_loader(names, tmp_path, "") == (names[1], IVT + b"second")
    (tmp_path / names[0]).write_bytes(IVT + b"first")
    assert firmware.find_loader(names, tmp_path, "") == (names[0], IVT + b"first")


def test_a_file_that_is_no_boot_image_is_refused(tmp_path):
    (tmp_path / "flash.bin").write_bytes(b"\x7fELF")
    with pytest.raises(DeviceError, match=r"no boot image of an i.MX processor \[E0811\]"):
        firmware.find_loader(("flash.bin",), tmp_path, "")
    (tmp_path / "flash.bin").unlink()
    (tmp_path / "flash.bin").mkdir()
    with pytest.raises(DeviceError, match=r"cannot be read: is a directory \[E0811\]"):
        firmware.find_loader(("flash.bin",), tmp_path, "")


@pytest.mark.parametrize("name", BOARDS)
def test_the_command_writes_loader_script_and_image(name, tmp_path, capsys):
    board = find_board(load_catalog(), name)
    base = board.memory["ram"].base
    code = random.Random(3).randbytes(5000)
    image = an_image(tmp_path / "i.elf", base, code)
    to, folder = tmp_path / "card.img", tmp_path / "u-boot"
    argv = ["flash", "--board", name, "--image", str(image), "--to", str(to)]
    assert run(argv) == 3
    said = capsys.readouterr().err
    assert f"boot loader is missing [E0811]: {' or '.join(board.flash.loader)}" in said
    assert not to.exists()

    folder.mkdir()
    (folder / board.flash.loader[0]).write_bytes(IVT + b"loader")
    assert run([*argv, "--firmware-dir", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"]
    assert said["files"].keys() == {"boot.scr", "edgeuk.img"}  # no configuration was given
    assert said["loader"] == {"name": board.flash.loader[0], "bytes": 10}
    data = to.read_bytes()
    assert data[ROM[name][0] :].startswith(IVT + b"loader")
    text = text_of(Fat16(data[8 * MB : 24 * MB]).files()["boot.scr"][0])
    assert re.search(rf"edgeuk.img; then .*; go {base:#x};", text)
    kernel = Fat16(data[24 * MB : 88 * MB]).files()["edgeuk.img"][0]
    assert kernel == code.ljust(card.KERNEL_ROOM, b"\0")


def test_a_board_that_has_its_loader_needs_no_file(tmp_path, capsys):
    image, to = an_image(tmp_path / "i.elf", 0x8000_0000, b"code"), tmp_path / "card.img"
    argv = ["flash", "--image", str(image), "--to", str(to), "--no-firmware"]
    assert run([*argv, "--board", "imx6ul-evk"]) == 0
    assert "loader  none: the board has its own" in capsys.readouterr().out
    data = to.read_bytes()
    assert not any(data[512 : 8 * MB])
    assert "boot.scr" in Fat16(data[8 * MB : 24 * MB]).files()
    assert run([*argv, "--board", "rpi4"]) == 2
    assert "needs its firmware on the card, not --no-firmware [E0802]" in capsys.readouterr().err
