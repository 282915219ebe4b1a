"""Which disks may be written to: removable ones that nobody uses. Facts are from /sys and /proc."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edgeuk.errors import UsageError
from edgeuk.flash import card

SECTOR = 512  # the unit of /sys/block/*/size, whatever the disk's own


@dataclass(frozen=True, slots=True)
class Disk:
    """A whole disk."""

    name: str
    size: int
    model: str
    why_not: str  # why it is not written to; "" if it may be

    def __str__(self) -> str:
        return f"/dev/{self.name} ({self.model}, {self.size / 1e9:.1f} GB)"


def disks(sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> list[Disk]:
    """Every disk of the system."""
    used = _used(proc)
    found = []
    for folder in sorted((sys / "block").glob("*")):
        if folder.name.startswith(("loop", "ram", "zram", "dm-", "md", "nbd", "sr")):
            continue
        size = int(_text(folder / "size") or 0) * SECTOR
        model = _text(folder / "device/model") or _text(folder / "device/name") or "no model"
        found.append(Disk(folder.name, size, model, _why_not(folder, size, used)))
    return [d for d in found if d.size]


def _why_not(folder: Path, size: int, used: dict[str, str]) -> str:
    parts = [folder, *(p.parent for p in folder.glob("*/partition"))]
    for part in parts:
        if place := used.get(_text(part / "dev")):
            return f"/dev/{part.name} is {place}"
        holders = [h.name for h in (part / "holders").glob("*")]
        if holders:
            return f"/dev/{part.name} is part of {holders[0]}"
    # A card slot says that it is not removable: the card is.
    is_card = _text(folder / "device/type") == "SD"
    if _text(folder / "removable") != "1" and not is_card:
        return "it is not removable"
    if _text(folder / "ro") == "1":
        return "it is write-protected"
    if size < card.SIZE:
        return f"it is too small: {card.SIZE >> 20} MB are needed"
    return ""


def _used(proc: Path) -> dict[str, str]:
    """Device number -> how it is in use."""
    used = {}
    for line in _text(proc / "self/mountinfo").splitlines():
        fields = line.split()
        used[fields[2]] = f"mounted at {fields[4]}"
    for line in _text(proc / "swaps").splitlines()[1:]:
        name = line.split()[0]
        try:
            number = os.stat(name).st_rdev
        except OSError:
            continue
        used[f"{os.major(number)}:{os.minor(number)}"] = "used as swap"
    return used


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def check_target(path: Path, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> str:
    """What it is, for the plan. Raises `UsageError` for a disk that is not to be written to."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_relative_to("/dev"):
            raise _refuse(f"there is no {path}", disks(sys, proc)) from None
        if not path.parent.is_dir():
            what = f"there is no folder {path.parent} [E0812]"
            raise UsageError(what, where=str(path), hint=f"mkdir -p {path.parent}") from None
        return "a new file"
    if stat.S_ISREG(mode):
        return "a file, which is replaced"
    if not stat.S_ISBLK(mode):
        hint = "--to /dev/sdX, or the name of a file"
        raise UsageError("neither a disk nor a file [E0812]", where=str(path), hint=hint)
    return check_disk(path.resolve().name, disks(sys, proc))


def check_disk(name: str, found: list[Disk]) -> str:
    """The same for a disk's name."""
    disk = next((d for d in found if d.name == name), None)
    if disk is None:
        raise _refuse(f"/dev/{name} is no whole disk", found)
    if "too small" in disk.why_not:
        raise UsageError(f"{disk} [E0813]: {disk.why_not}", hint="take a larger card")
    if disk.why_not:
        raise _refuse(f"{disk} is not written to: {disk.why_not}", found)
    return str(disk)


def _refuse(what: str, found: list[Disk]) -> UsageError:
    good = [str(d) for d in found if not d.why_not]
    others = ", ".join(good) if good else "none is connected"
    return UsageError(f"{what} [E0812]", hint=f"disks that would do: {others}")
