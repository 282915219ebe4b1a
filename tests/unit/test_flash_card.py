"""Memory cards: the file systems are read back by a reader written from Microsoft's specification,
disks are told apart in trees like /sys, and a device that fails in the middle never boots."""

import errno
import json
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from flash_rig import Fat16, an_image, flattened, mediums, system, tree

from edgeuk.cli.app import run
from edgeuk.errors import BuildError, DeviceError, UsageError, VerificationError
from edgeuk.flash import card, disks, fat, pi
from edgeuk.flash.plan import Piece, pieces_of

FIRMWARE = ("start4.elf", "fixup4.dat", "bcm2711-rpi-4-b.dtb", "overlays/some-thing.dtbo")
MB = 1 << 20
SPECIAL = dict(size=64 << 20, label="SLOT-A", hidden_sectors=2048)


def boot(**changes):
    content = random.Random(7)
    fields = {
        "image": content.randbytes(70_001),
        "address": 0x80000,
        "config": b"EKC1 something",
        "config_address": 0xFFF000,
        "lines": ("arm_64bit=1",),
        "firmware": {name: content.randbytes(3000) for name in FIRMWARE},
    }
    return card.Boot(**(fields | changes))


def test_the_file_system_has_what_was_put_in_and_every_file_is_contiguous():
    files = pi.boot_files(boot())
    volume = Fat16(flattened(fat.make(files=files, **SPECIAL), 64 << 20))
    found = volume.files()
    assert {name: data for name, (data, _) in found.items()} == files
    assert volume.tables[0] == volume.tables[1]
    for _, first in found.values():
        clusters = list(volume.chain(first))
        assert clusters == list(range(first, first + len(clusters)))


def test_the_same_input_gives_the_same_bytes():
    assert card.make(pi.boot_files(boot()), pi.SELECT) == card.make(
        pi.boot_files(boot()), pi.SELECT
    )


def test_debians_checker_finds_no_fault(tmp_path):
    checker = shutil.which("fsck.fat", path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    if checker is None:
        pytest.skip("fsck.fat is not installed (apt-get install dosfstools)")
    path = tmp_path / "volume"
    path.write_bytes(flattened(fat.make(files=pi.boot_files(boot()), **SPECIAL), 64 << 20))
    done = subprocess.run([checker, "-n", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_files_that_do_not_fit_are_refused():
    with pytest.raises(BuildError, match=r"do not fit into a partition of 64 MB \[E0808\]"):
        fat.make(files={"LARGE.BIN": bytes(64 << 20)}, **SPECIAL)
    with pytest.raises(BuildError, match=r"the image has 2,097,153 bytes, its slot 2,097,152"):
        pi.boot_files(boot(image=bytes((2 << 20) + 1)))


def test_the_boot_files_say_where_the_image_and_its_configuration_go():
    text = pi.boot_files(boot())["config.txt"].decode()
    assert "arm_64bit=1\nkernel=kernel8.img\nkernel_address=0x80000\n" in text
    assert "initramfs edgeuk.cfg 0xfff000\n" in text
    assert "initramfs" not in pi.boot_files(boot(config=b""))["config.txt"].decode()


def written(path, extents):
    card.write(path, extents, lambda done, total: None)
    return path.read_bytes()


def first_sector(path):
    with path.open("rb") as file:
        return file.read(512)


def test_a_card_in_a_file_has_the_partitions_and_slot_a(tmp_path):
    files = pi.boot_files(boot())
    data = written(tmp_path / "card", card.make(files, pi.SELECT))
    assert (tmp_path / "card").stat().st_mode & 0o077 == 0  # a key may be in it
    assert len(data) == card.SIZE
    assert data[510:512] == b"\x55\xaa"
    rows = [struct.unpack_from("<B3xB3xII", data, 446 + 16 * n) for n in range(4)]
    assert [kind for _, kind, _, _ in rows] == [0x0E, 0x0E, 0x0E, 0xDA]
    ends = [(start + count) for _, _, start, count in rows]
    assert [start for _, _, start, _ in rows] == [16384, *ends[:3]]
    assert ends[3] * 512 == len(data)
    slots = [Fat16(data[start * 512 : (start + count) * 512]) for _, _, start, count in rows[:3]]
    assert slots[0].files()["autoboot.txt"][0].decode() == pi.AUTOBOOT
    assert {n: d for n, (d, _) in slots[1].files().items()} == files
    assert slots[2].files() == {}


def test_an_interrupted_write_leaves_no_partition_table(tmp_path, monkeypatch):
    """At every write: the device fails there, over a card that booted."""
    path, extents = tmp_path / "card", card.make(pi.boot_files(boot()), pi.SELECT)
    count = sum(len(card._pieces(e)) for e in extents) + 1
    real = os.pwrite
    for fails_at in range(1, count):
        card.write(path, extents, lambda done, total: None)
        calls = iter(range(1000))

        def failing(handle, data, offset, calls=calls, fails_at=fails_at):
            if next(calls) >= fails_at:
                raise OSError(errno.EIO, "gone")
            return real(handle, data, offset)

        monkeypatch.setattr(os, "pwrite", failing)
        with pytest.raises(DeviceError, match=r"writing failed: input/output error \[E0810\]"):
            card.write(path, extents, lambda done, total: None)
        monkeypatch.setattr(os, "pwrite", real)
        assert first_sector(path) == bytes(512)
    assert written(path, extents)[510:512] == b"\x55\xaa"


def test_a_card_that_gives_other_bytes_back_does_not_boot(tmp_path, monkeypatch):
    path, extents = tmp_path / "card", card.make(pi.boot_files(boot()), pi.SELECT)
    real = os.pread

    def worn(handle, size, offset):
        data = real(handle, size, offset)
        return data[:-1] + bytes([data[-1] ^ 1]) if offset > card.START else data

    monkeypatch.setattr(os, "pread", worn)
    with pytest.raises(VerificationError, match=r"other bytes came back at 0x.* \[E0809\]"):
        card.write(path, extents, lambda done, total: None)
    assert first_sector(path) == bytes(512)


def test_a_disk_that_is_another_one_now_is_not_written_to(tmp_path):
    """It was a disk when the user was asked; its name is an ordinary file's now."""
    path = tmp_path / "sdx"
    path.write_bytes(b"somebody's")
    with pytest.raises(DeviceError, match=r"no longer what it was when you were asked \[E0810\]"):
        card.write(
            path, card.make({}, pi.SELECT), lambda done, total: None, card.Disk(0x810, 1 << 30)
        )
    assert path.read_bytes() == b"somebody's"
    path.unlink()
    with pytest.raises(DeviceError):
        card.write(
            path, card.make({}, pi.SELECT), lambda done, total: None, card.Disk(0x810, 1 << 30)
        )
    assert not path.exists(), "a card that was pulled becomes no file"


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(handle, data, offset):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DeviceError) as caught:
        card.write(tmp_path / "card", card.make({}, pi.SELECT), lambda done, total: None)
    assert caught.value.hint == "the disk is full, or the card is smaller than it says"


@pytest.fixture
def disk(tmp_path):
    with mediums(tmp_path) as make:
        yield make


def test_a_disk_that_breaks_off_in_the_middle_has_no_partition_table(disk):
    """A real block device, of the kernel's loop driver: its medium is full after 1 MB."""
    path, medium = disk(card.SIZE + MB, holds=MB)
    with medium.open("r+b") as file:
        file.write(card.make({}, pi.SELECT)[0].data)  # it booted once
    extents = card.make(pi.boot_files(boot()), pi.SELECT)
    with pytest.raises(DeviceError, match=r"writing failed: .* \[E0810\]") as caught:
        card.write(path, extents, lambda done, total: None, card.identify(path))
    assert caught.value.hint == "was the card pulled out? It does not boot now; write again"
    assert first_sector(medium) == bytes(512)


def test_a_disk_gets_the_card_and_loses_what_was_left_of_another_partition_table(disk):
    """GPT (UEFI 2.10, 5.3) has a copy in the last sectors, from which systems would mend it."""
    path, medium = disk(card.SIZE + 4 * MB)
    for place, text in ((512, b"EFI PART"), (-512, b"EFI PART"), (-2 * MB, b"somebody's")):
        with medium.open("r+b") as file:
            file.seek(place, os.SEEK_SET if place > 0 else os.SEEK_END)
            file.write(text)
    extents = card.make(pi.boot_files(boot()), pi.SELECT)
    card.write(path, extents, lambda done, total: None, card.identify(path))
    data = medium.read_bytes()
    assert data.count(b"EFI PART") == 0
    assert data[-2 * MB :].startswith(b"somebody's")  # what is not ours is left
    for extent in extents:
        assert data[extent.offset :].startswith(extent.data)


def test_a_disk_that_is_in_use_is_not_opened(disk):
    path, medium = disk(card.SIZE)
    handle = os.open(path, os.O_RDWR | os.O_EXCL)
    try:
        with pytest.raises(DeviceError, match=r"device or resource busy \[E0810\]") as caught:
            card.write(
                path, card.make({}, pi.SELECT), lambda done, total: None, card.identify(path)
            )
    finally:
        os.close(handle)
    assert caught.value.hint == "the system uses it: unmount it first"
    assert not any(medium.read_bytes()[:MB])


def test_a_full_disk_of_files_is_said_and_what_is_there_does_not_boot(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    system("mount", "-t", "tmpfs", "-o", f"size={MB}", "tmpfs", str(folder))
    try:
        extents = card.make(pi.boot_files(boot()), pi.SELECT)
        with pytest.raises(DeviceError, match="no space left on device") as caught:
            card.write(folder / "card", extents, lambda done, total: None)
        assert first_sector(folder / "card") == bytes(512)
    finally:
        system("umount", str(folder))
    assert caught.value.hint == "the disk is full, or the card is smaller than it says"


def test_pieces_that_lie_far_apart_are_refused_before_memory_is_taken():
    far = [Piece(0x80000, b"code", "image"), Piece(1 << 46, b"data", "image")]
    with pytest.raises(BuildError, match=r"the image has 70,368,743,653,380 bytes, its slot 2"):
        card.flatten(far)
    near = [Piece(0x80000, b"code", "image"), Piece(0x80008, b"data", "image")]
    assert card.flatten(near) == (b"code\0\0\0\0data", 0x80000)


def mounted(root, *rows):
    (root / "proc/self").mkdir(parents=True)
    lines = [f"{i} 1 {dev} / {place} rw - ext4 x rw" for i, (dev, place) in enumerate(rows, 20)]
    (root / "proc/self/mountinfo").write_text("\n".join(lines))
    return disks.disks(root / "sys", root / "proc")


def test_only_removable_disks_that_nobody_uses_will_do(tmp_path):
    tree(tmp_path, "nvme0n1", removable="0", parts=2, number=259)
    tree(tmp_path, "sda", number=8, parts=1)
    tree(tmp_path, "sdb", number=9, parts=1)
    tree(tmp_path, "sdc", number=10, ro="1")
    tree(tmp_path, "sdd", number=11, size=1000)
    tree(tmp_path, "sde", number=12, size=0)  # a reader without a card
    tree(tmp_path, "sdf", number=13, parts=1)
    (tmp_path / "sys/block/sdf/sdf1/holders/dm-0").mkdir()
    tree(tmp_path, "mmcblk0", removable="0", number=179, card_type="SD")
    tree(tmp_path, "mmcblk1", removable="0", number=180, card_type="MMC")
    tree(tmp_path, "loop0", number=7)
    found = {d.name: d.why_not for d in mounted(tmp_path, ("259:2", "/"), ("9:1", "/media/x"))}
    assert found == {
        "mmcblk0": "",
        "mmcblk1": "it is not removable",
        "nvme0n1": "/dev/nvme0n12 is mounted at /",
        "sda": "",
        "sdb": "/dev/sdb1 is mounted at /media/x",
        "sdc": "it is write-protected",
        "sdd": "it is too small: 184 MB are needed",
        "sdf": "/dev/sdf1 is part of dm-0",
    }


def test_a_refusal_names_the_disks_that_would_do(tmp_path):
    tree(tmp_path, "sda", removable="0", number=8)
    tree(tmp_path, "sdb", number=9)
    tree(tmp_path, "sdc", number=10, size=1000)
    found = mounted(tmp_path)
    with pytest.raises(UsageError) as caught:
        disks.check_disk("sda", found)
    assert "/dev/sda (Reader, 8.6 GB) is not written to: it is not removable" in str(caught.value)
    assert caught.value.hint == "disks that would do: /dev/sdb (Reader, 8.6 GB)"
    with pytest.raises(UsageError, match=r"/dev/sdb1 is no whole disk \[E0812\]"):
        disks.check_disk("sdb1", found)
    with pytest.raises(UsageError, match=r"\[E0813\]: it is too small: 184 MB are needed"):
        disks.check_disk("sdc", found)
    assert disks.check_disk("sdb", found) == "/dev/sdb (Reader, 8.6 GB)"


def test_what_is_neither_disk_nor_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"neither a disk nor a file \[E0812\]"):
        disks.check_target(tmp_path)
    with pytest.raises(UsageError, match=r"there is no /dev/nosuchdisk \[E0812\]"):
        disks.check_target(Path("/dev/nosuchdisk"))
    assert disks.check_target(tmp_path / "new.img") == "a new file"
    with pytest.raises(UsageError, match=r"there is no folder \S+/nowhere \[E0812\]"):
        disks.check_target(tmp_path / "nowhere/new.img")


@pytest.fixture
def rpi4(tmp_path):
    """Options that write a small image for the Pi, with firmware files."""
    folder = tmp_path / "firmware"
    for name in FIRMWARE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    image = an_image(tmp_path / "i.elf", 0x80000, random.Random(3).randbytes(5000))
    to = tmp_path / "card.img"
    where = ["flash", "--board", "rpi4", "--image", str(image), "--to", str(to)]
    return [*where, "--firmware-dir", str(folder)], to, image, folder


def test_the_command_writes_a_card_whose_kernel_is_the_image(rpi4, capsys):
    argv, to, image, _ = rpi4
    assert run([*argv, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    data = to.read_bytes()
    start = card.START + card.SELECT
    kernel = Fat16(data[start : start + card.SLOT]).files()["kernel8.img"][0]
    (piece,) = pieces_of(image)
    assert kernel[: len(piece.data)] == piece.data
    assert not any(kernel[len(piece.data) :])
    assert said["done"]
    assert said["files"]["bcm2711-rpi-4-b.dtb"] == len("bcm2711-rpi-4-b.dtb")


def test_the_copy_to_a_card_is_on_it_when_the_command_ends(rpi4, capsys):
    argv, to, _, _ = rpi4
    spaced = to.with_name("my card.img")
    argv = [str(spaced) if a == str(to) else a for a in argv]
    assert run(argv) == 0
    assert f"next: dd if='{spaced}' of=CARD bs=1M conv=fsync; " in capsys.readouterr().err


def test_a_dry_run_makes_no_file(rpi4, capsys):
    argv, to, _, _ = rpi4
    assert run([*argv, "--dry-run"]) == 0
    assert "file    kernel8.img, 2,097,152 bytes" in capsys.readouterr().out
    assert not to.exists()


def test_missing_firmware_names_every_file_and_the_cure(rpi4, capsys):
    argv, to, _, folder = rpi4
    (folder / "start4.elf").unlink()
    (folder / "fixup4.dat").unlink()
    assert run(argv) == 3
    said = capsys.readouterr().err
    assert "files of the boot firmware are missing [E0811]: start4.elf, fixup4.dat" in said
    assert "--firmware-dir with the folder `boot` of github.com/raspberrypi/firmware" in said
    assert not to.exists()


def test_an_image_larger_than_its_slot_is_refused_and_makes_no_file(rpi4, capsys):
    argv, to, image, _ = rpi4
    an_image(image, 0x80000, bytes(card.KERNEL_ROOM + 1))
    assert run(argv) == 1
    said = capsys.readouterr().err
    assert "the image has 2,097,153 bytes, its slot 2,097,152 [E0808]" in said
    assert "hint: `edgeuk size` shows what takes the room" in said
    assert not to.exists()


def test_a_board_with_a_card_needs_to_and_others_refuse_it(rpi4, capsys):
    argv, _, image, _ = rpi4
    assert run(["flash", "--board", "rpi4", "--image", str(image)]) == 2
    assert "boots from a card: --to says which [E0802]" in capsys.readouterr().err
    assert run([*argv, "--probe", "virtual"]) == 2
    assert "[E0802]" in capsys.readouterr().err
    assert run(["flash", "--board", "microbit", "--image", str(image), "--to", "x"]) == 2
    assert "is flashed through a probe, not --to [E0802]" in capsys.readouterr().err
