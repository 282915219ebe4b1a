"""`edgeuk flash` as a process: what its exit status says when a card fails. The disks are real
block devices, of the kernel's loop driver, which fail beyond what their medium holds; only /sys,
where they would show as what they are, is made up."""

import os
import random
import stat
import subprocess
import sys

import pytest
from flash_rig import MB, an_image, mediums, system, tree

from edgeuk.flash import card

FIRMWARE = ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb")
DONE, FAILED, USAGE, DEVICE, WRONG = 0, 1, 2, 3, 4  # edgeuk/errors.py
# The command, which sees the disks of another /sys; with the last argument a card that is worn out.
CHILD = """
import functools, os, sys
from pathlib import Path
import edgeuk.cli.flash, edgeuk.cli.flash_card
from edgeuk.cli.app import run
from edgeuk.flash.disks import check_target
root, worn, *argv = sys.argv[1:]
check = functools.partial(check_target, sys=Path(root) / "sys", proc=Path(root) / "proc")
edgeuk.cli.flash.check_target = edgeuk.cli.flash_card.check_target = check
real = os.pread
if worn:
    os.pread = lambda handle, size, at: real(handle, size, at)[:-1] + b"?"
sys.exit(run(argv))
"""


@pytest.fixture
def flash(tmp_path):
    """Runs the command for a Pi; returns exit status and what it said."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    for name in FIRMWARE:
        (folder / name).write_text(name)
    image = an_image(tmp_path / "i.elf", 0x80000, random.Random(3).randbytes(5000))

    def start(to, *more, worn=False, firmware=folder):
        argv = ["flash", "--board", "rpi4", "--image", str(image), "--to", str(to), *more]
        argv += ["--firmware-dir", str(firmware)]
        command = [sys.executable, "-c", CHILD, str(tmp_path), "worn" if worn else "", *argv]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    return start


@pytest.fixture
def disk(tmp_path):
    """Makes the disk `sdz`: how many bytes it says that it has, and how many there are."""
    with mediums(tmp_path) as make:

        def put(size, holds=512 * MB, **facts):
            loop, medium = make(size, holds)
            path = tmp_path / "sdz"
            try:
                os.mknod(path, stat.S_IFBLK | 0o600, loop.stat().st_rdev)
            except OSError as e:
                pytest.skip(f"needs root: {e}")
            tree(tmp_path, "sdz", size=size // 512, **facts)
            return path, medium

        yield put


def begins(medium):
    with medium.open("rb") as file:
        return file.read(512)


def test_a_card_that_is_written_ends_with_0(flash, disk):
    path, medium = disk(card.SIZE + MB)
    assert flash(path, "--yes")[0] == DONE
    assert begins(medium)[510:] == b"\x55\xaa"


def test_a_card_that_is_pulled_out_ends_with_3(flash, disk):
    path, medium = disk(card.SIZE + MB, holds=MB)
    with medium.open("r+b") as file:
        file.write(card.make({}, {})[0].data)  # it booted once
    status, said = flash(path, "--yes")
    assert status == DEVICE
    assert f"error: {path}: writing failed: " in said
    assert "[E0810]" in said
    assert "hint: was the card pulled out? It does not boot now; write again" in said
    assert begins(medium) == bytes(512)


def test_a_card_that_is_worn_out_ends_with_4(flash, disk):
    path, medium = disk(card.SIZE + MB)
    status, said = flash(path, "--yes", worn=True)
    assert status == WRONG
    assert "other bytes came back at 0x" in said
    assert begins(medium) == bytes(512)


def test_a_card_that_is_too_small_ends_with_2_and_is_not_touched(flash, disk):
    path, medium = disk(64 * MB)
    status, said = flash(path, "--yes")
    assert status == USAGE
    assert "(Reader, 0.1 GB) [E0813]: it is too small: 184 MB are needed" in said
    assert not any(medium.read_bytes()[:MB])


def test_a_disk_that_is_not_removable_or_not_confirmed_ends_with_2(flash, disk):
    path, medium = disk(card.SIZE + MB, removable="0")
    status, said = flash(path, "--yes")
    assert status == USAGE
    assert "is not written to: it is not removable [E0812]" in said
    assert begins(medium) == bytes(512)


def test_a_question_that_nobody_can_answer_ends_with_2(flash, disk):
    path, medium = disk(card.SIZE + MB)
    status, said = flash(path)
    assert status == USAGE
    assert "not without --yes [E0815]" in said
    assert begins(medium) == bytes(512)


def test_a_full_disk_ends_with_3(flash, tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    system("mount", "-t", "tmpfs", "-o", f"size={MB}", "tmpfs", str(folder))
    try:
        status, said = flash(folder / "card.img")
        assert begins(folder / "card.img") == bytes(512)
    finally:
        system("umount", str(folder))
    assert status == DEVICE
    assert "writing failed: no space left on device [E0810]" in said
    assert "hint: the disk is full, or the card is smaller than it says" in said


def test_missing_firmware_ends_with_3_and_makes_no_file(flash, tmp_path):
    status, said = flash(tmp_path / "card.img", firmware=tmp_path / "nowhere")
    assert status == DEVICE
    assert f"files of the boot firmware are missing [E0811]: {', '.join(FIRMWARE)}" in said
    assert not (tmp_path / "card.img").exists()
