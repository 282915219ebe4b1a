"""What starts a board before our image does, and is not ours: the Raspberry Pi's boot firmware,
found on this machine or fetched; a U-Boot that somebody has built.

    python -m edgeuk.flash.firmware fetch     # Debian: raspi-firmware, and the kernel's device tree

Debian has the firmware in the component non-free-firmware and the device trees only in the arm64
kernel's package; both are unpacked into the cache, nothing is installed. Raspberry Pi OS has all of
it in /boot/firmware.
"""

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgeuk import apt
from edgeuk.cache import cache_root
from edgeuk.errors import DeviceError, ToolError
from edgeuk.paths import python_command

FETCH = f"{python_command()} -m edgeuk.flash.firmware fetch"
PACKAGE, KERNEL = "raspi-firmware", "linux-image-arm64"
COMPONENTS = "main non-free-firmware"
RELEASES = ("bookworm", "trixie")  # Debian's that have the component and these packages
SOURCE = "github.com/raspberrypi/firmware"
KEPT = (  # of the packages; what a licence says goes with it
    "usr/lib/raspi-firmware/*4*",
    "usr/share/doc/raspi-firmware/copyright",
    "usr/lib/linux-image-*-arm64/broadcom/bcm2711-*.dtb",
)
IMX = b"\xd1\x00\x20"  # IVT: tag, length 32 (U-Boot, include/imximage.h; HAB of the i.MX)
FOLDERS = (
    "/usr/lib/raspi-firmware",  # Debian's raspi-firmware
    "/boot/firmware",  # Raspberry Pi OS, and Debian on a Pi
    "/usr/lib/linux-image-*-arm64/broadcom",  # device trees
)


def find(names: Sequence[str], folder: Path | None) -> dict[str, bytes]:
    """The firmware's files. Raises `DeviceError` that names those that are missing."""
    places = [*(f for g in FOLDERS for f in sorted(Path("/").glob(g.lstrip("/")))), cached()]
    folders = [folder] if folder else places
    found, missing = {}, []
    for name in names:
        paths = [p for f in folders for p in (f / name, f / Path(name).name) if p.is_file()]
        if paths:
            found[name] = paths[0].read_bytes()
        else:
            missing.append(name)
    if missing:
        raise DeviceError(
            f"files of the boot firmware are missing [E0811]: {', '.join(missing)}",
            where=str(folder) if folder else ", ".join(FOLDERS),
            hint=_hint(),
        )
    return found


def find_loader(names: Sequence[str], folder: Path | None, how: str) -> tuple[str, bytes]:
    """The first of the files that is there: its name and content. Raises `DeviceError`."""
    hint = f"{how}, then --firmware-dir with its folder; --no-firmware if the board has one already"
    what = f"the board's boot loader is missing [E0811]: {' or '.join(names)}"
    if folder is None:
        raise DeviceError(what, hint=hint)
    for name in names:
        try:
            data = (folder / name).read_bytes()
        except FileNotFoundError:
            continue
        except OSError as e:
            what = f"cannot be read: {(e.strerror or str(e)).lower()} [E0811]"
            raise DeviceError(what, where=str(folder / name), hint=hint) from None
        if not data.startswith(IMX):
            what = "this is no boot image of an i.MX processor [E0811]"
            raise DeviceError(what, where=str(folder / name), hint=hint)
        return name, data
    raise DeviceError(what, where=str(folder), hint=hint)


def _hint() -> str:
    """The command that installs it here."""
    other = f"--firmware-dir with the folder `boot` of {SOURCE}"
    if Path("/etc/rpi-issue").is_file():
        return f"apt-get install --reinstall {PACKAGE}, and mount /boot/firmware; or {other}"
    if apt.codename() in RELEASES:
        where = f"Debian's {PACKAGE} (component non-free-firmware) and {KERNEL}"
        return f"`{FETCH}` gets them from {where}; or {other}"
    return other


def cached() -> Path:
    """Where `fetch` puts them."""
    return cache_root() / PACKAGE


def fetch() -> str:
    """Make them present in the cache; says where. Raises `ToolError`."""
    release, goal = apt.codename(), cached()
    if release not in RELEASES:
        what = f"it is not known which package of `{release}` has the Pi's firmware"
        hint = f"--firmware-dir with the folder `boot` of {SOURCE}"
        raise ToolError(what, hint=hint)
    if goal.is_dir():
        return str(goal)
    goal.parent.mkdir(parents=True, exist_ok=True)
    with apt.isolated("debian", release, "deb", COMPONENTS, architecture="arm64") as get:
        get("download", PACKAGE, KERNEL)
        get("download", _depends(next(get.folder.glob(f"{KERNEL}_*.deb"))))
        scratch = Path(tempfile.mkdtemp(prefix=".firmware-", dir=goal.parent))
        try:
            for package in sorted(get.folder.glob("*.deb")):
                unpack(package, scratch)
            scratch.chmod(0o755)
            scratch.rename(goal)  # whole, or not at all
        except OSError:
            if not goal.is_dir():  # else another process was first
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return str(goal)


def _depends(package: Path) -> str:
    """What the package of the newest kernel's name stands for."""
    command = ["dpkg-deb", "-f", str(package), "Depends"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    match = re.search(r"linux-image-[\w.+-]+", said)
    if match is None:
        raise ToolError(f"{package.name} names no kernel: {said.strip() or 'it cannot be read'}")
    return match[0]


def unpack(package: Path, to: Path) -> None:
    """What is `KEPT` of a package, without its folders. Raises `ToolError`."""
    with tempfile.TemporaryFile() as log:
        command = ["dpkg-deb", "--fsys-tarfile", str(package)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert child.stdout
        why = ""
        try:
            with child, tarfile.open(fileobj=child.stdout, mode="r|") as archive:
                _keep(archive, to)
        except tarfile.TarError as e:
            why = str(e)
        if child.returncode or why:
            log.seek(0)
            said = log.read().decode(errors="replace").strip() or why
            raise ToolError(f"`dpkg-deb` failed: {said}", where=str(package))


def _keep(archive: tarfile.TarFile, to: Path) -> None:
    for member in archive:
        path = Path(member.name)
        if member.isfile() and any(path.match(pattern) for pattern in KEPT):
            content = archive.extractfile(member)
            assert content is not None
            (to / path.name).write_bytes(content.read())


if __name__ == "__main__":
    raise SystemExit(apt.fetch_command(fetch, FETCH, sys.argv[1:]))
