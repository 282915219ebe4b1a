"""What the tests of cards share: a reader of FAT written from Microsoft's specification, disks of
the kernel's, trees like /sys, images."""

import os
import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgeuk.pack import elf

MB = 1 << 20


def flattened(extents, size):
    data = bytearray(size)
    for extent in extents:
        data[extent.offset : extent.offset + len(extent.data)] = extent.data
    return bytes(data)


class Fat16:
    """Reads a file system: "FAT: General Overview of On-Disk Format", 1.03."""

    def __init__(self, volume):
        self.volume = volume
        fields = struct.unpack_from("<HBHBHHBH", volume, 11)
        self.sector, self.per, reserved, count, root, _, _, fat_sectors = fields
        start = reserved * self.sector
        self.tables = [
            volume[start + n * fat_sectors * self.sector :][: fat_sectors * self.sector]
            for n in range(count)
        ]
        self.root = start + count * fat_sectors * self.sector
        self.data = self.root + root * 32
        self.root_entries = root
        assert volume[510:512] == b"\x55\xaa"

    def chain(self, cluster):
        while cluster < 0xFFF8:
            assert cluster >= 2
            yield cluster
            cluster = struct.unpack_from("<H", self.tables[0], 2 * cluster)[0]

    def content(self, cluster):
        size = self.per * self.sector
        places = (self.data + (c - 2) * size for c in self.chain(cluster))
        return b"".join(self.volume[at : at + size] for at in places)

    def files(self):
        return dict(self.walk(self.volume[self.root : self.root + 32 * self.root_entries], ""))

    def walk(self, directory, above):
        long, order = "", 0
        for at in range(0, len(directory), 32):
            entry = directory[at : at + 32]
            if entry[0] == 0:
                return
            if entry[11] == 0x0F:
                # The last piece comes first and is marked; then they count down.
                assert entry[0] == (order - 1 if order else 0x40 | entry[0] & 0x3F)
                order, checksum = entry[0] & 0x3F, entry[13]
                part = entry[1:11] + entry[14:26] + entry[28:32]
                long = part.decode("utf-16-le").split("\0")[0].rstrip("\uffff") + long
                continue
            short = f"{entry[:8].decode().rstrip()}.{entry[8:11].decode().rstrip()}".rstrip(".")
            if long:
                total = 0
                for byte in entry[:11]:
                    total = ((total & 1) << 7) + (total >> 1) + byte & 0xFF
                assert (order, checksum) == (1, total)
            name, long, order = above + (long or short), "", 0
            cluster, size = struct.unpack_from("<HI", entry, 26)
            if entry[11] & 0x10:
                if not entry.startswith(b"."):
                    yield from self.walk(self.content(cluster), f"{name}/")
            elif not entry[11] & 0x08:
                yield name, (self.content(cluster)[:size] if cluster else b"", cluster)


def system(*argv):
    """A command that only root may run; skips the test where it does not work."""
    path = f"{os.environ['PATH']}:/sbin:/usr/sbin"
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, timeout=60, env={"PATH": path}
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"needs root, mount and losetup: {e}")


@contextmanager
def mediums(tmp_path):
    """Makes a disk of the kernel's; beyond `holds` bytes it fails, as a card that is pulled out."""
    folder, devices = tmp_path / "medium", []
    folder.mkdir()

    def make(size, holds=512 << 20):
        system("mount", "-t", "tmpfs", "-o", f"size={holds}", "tmpfs", str(folder))
        with (folder / "disk").open("wb") as file:
            file.truncate(size)
        devices.append(system("losetup", "--find", "--show", str(folder / "disk")))
        return Path(devices[0]), folder / "disk"

    try:
        yield make
    finally:
        if os.path.ismount(folder):
            for device in devices:
                system("losetup", "--detach", device)
            system("umount", str(folder))


# /sys/block as the kernel shows it: name, removable, size in sectors, and what else matters.
def tree(root, name, *, removable="1", size=1 << 24, parts=0, number=8, card_type="", ro="0"):
    folder = root / "sys/block" / name
    (folder / "device").mkdir(parents=True)
    (folder / "removable").write_text(f"{removable}\n")
    (folder / "ro").write_text(f"{ro}\n")
    (folder / "size").write_text(f"{size}\n")
    (folder / "dev").write_text(f"{number}:0\n")
    (folder / "device/model").write_text("Reader\n")
    if card_type:
        (folder / "device/type").write_text(f"{card_type}\n")
    for part in range(1, parts + 1):
        inside = folder / f"{name}{part}"
        (inside / "holders").mkdir(parents=True)
        (inside / "partition").write_text(f"{part}\n")
        (inside / "dev").write_text(f"{number}:{part}\n")


def an_image(path, address, code):
    """An ELF file with these bytes at `address`; returns its path."""
    segment = elf.Segment(elf.PT_LOAD, 5, address, address, len(code), 4, code)
    path.write_bytes(elf.pack(elf.Elf(elf.CLASS_64, 183, 0, address, (segment,), ())))
    return path
