"""The USB drive of an Arm MPS2: its controller copies what `images.txt` names into the memory that
the processor starts from. Follows Trusted Firmware-M's description for this board (its files, 8.3
names, addresses); no board was at hand.

Image and configuration are one flat file, so that they are always of the same write.
"""

import contextlib
import os
from pathlib import Path

from edgeuk.errors import DeviceError, UsageError, VerificationError

FOLDER, IMAGE = "SOFTWARE", "EDGEUK.BIN"
LIST, KEPT = "images.txt", "images.old"
BOARDS = "MB/HBI0263*"  # a folder for each revision of the board
TEXT = """\
TITLE: Versatile Express Images Configuration File
[IMAGES]
TOTALIMAGES: 1
IMAGE0ADDRESS: {address:#010x}
IMAGE0FILE: \\{folder}\\{image}
"""


def lists(drive: Path, application: str) -> list[Path]:
    """The lists of images of this FPGA's application note, one for each revision of the board.
    Raises `UsageError`."""
    hint = "name the folder where its drive is mounted: --to /media/you/V2M_MPS2"
    if not drive.is_dir():
        raise UsageError("this is no folder [E0812]", where=str(drive), hint=hint)
    pattern = f"{BOARDS}/{application}/{LIST}"
    found = sorted(drive.glob(pattern))
    if not found:
        what = f"this is not an MPS2's drive with {application}: it has no {pattern} [E0812]"
        raise UsageError(what, where=str(drive), hint=hint)
    for path in (*found, drive / FOLDER):  # FAT has no links; what is mounted may not be FAT
        if not path.resolve().is_relative_to(drive.resolve()):
            what = f"{path.relative_to(drive)} leads off the drive [E0812]"
            raise UsageError(what, where=str(drive), hint="is it the board's own drive?")
    return found


def write(drive: Path, application: str, data: bytes, address: int) -> None:
    """First the image, then the lists that name it, each whole or not at all, and read back. What
    was in a list is kept beside it. Raises `DeviceError`, `VerificationError`."""
    text = TEXT.format(address=address, folder=FOLDER, image=IMAGE)
    content = text.replace("\n", "\r\n").encode()
    try:
        paths = lists(drive, application)
        (drive / FOLDER).mkdir(exist_ok=True)
        _replace(drive / FOLDER / IMAGE, data)
        for path in paths:
            old = path.read_bytes()
            if IMAGE.encode() not in old:
                _replace(path.with_name(KEPT), old)
            _replace(path, content)
    except OSError as e:
        raise _failed(drive, e) from None


def _replace(path: Path, data: bytes) -> None:
    """Written beside, flushed, read back, renamed."""
    new = path.with_suffix(".NEW")
    try:
        new.unlink(missing_ok=True)  # of a write that was cut off
        handle = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            at = 0
            while at < len(data):
                at += os.write(handle, data[at:])
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            if os.pread(handle, len(data) + 1, 0) != data:
                what = f"other bytes came back of {path.name} [E0809]"
                hint = "try again; the board keeps what it had"
                raise VerificationError(what, where=str(path), hint=hint)
        finally:
            with contextlib.suppress(OSError):  # it was flushed; a drive that is gone cannot close
                os.close(handle)
        os.replace(new, path)
        _flush(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise


def _flush(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _failed(drive: Path, e: OSError) -> DeviceError:
    text = (e.strerror or str(e)).lower()
    hint = "what the board had is still there; is the drive full, write-protected or gone?"
    return DeviceError(f"writing failed: {text} [E0810]", where=str(drive), hint=hint)
