"""The guest one would use instead: Debian's cloud kernel, busybox and an MQTT client in an initrd.

Packages are downloaded with apt-get once, into the cache. The guest has a static address, no
udev and no init system: nothing a tuned one would leave out. Needs Debian or Ubuntu on x86-64.
"""

import lzma
import re
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.images import Bench
from bench.machine import ROOT
from edgeuk.cache import cache_root
from edgeuk.run.emulator import find
from edgeuk.run.qemu import HOST_ADDRESS

KERNEL_PACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")  # Debian's, Ubuntu's
# In the order in which they are loaded: each needs only those before it.
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci"),
    *("failover", "net_failover", "virtio_net"),
)
INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for m in {" ".join(MODULES)}; do [ -f /modules/$m.ko ] && $b insmod /modules/$m.ko; done
$b ip addr add 10.0.2.15/24 dev eth0
$b ip link set eth0 up
if [ -n "$count" ]; then
    /bin/publish {HOST_ADDRESS} $port $count
else
    mosquitto_pub -h {HOST_ADDRESS} -p $port -t bench/linux -q 1 -m 230.0
fi
$b poweroff -f
"""
DIRECTORY, PROGRAM, CONSOLE = 0o40755, 0o100755, 0o20600  # file types and modes of cpio entries


@dataclass(frozen=True, slots=True)
class Guest:
    """Files of the guest; the packed initrd is what one would store, not what is booted."""

    kernel: Path
    initrd: Path
    packed_bytes: int

    def command(self, memory_mib: int, arguments: Mapping[str, str]) -> list[str]:
        """QEMU's arguments; `arguments` become the environment of the guest's init."""
        line = " ".join(f"{key}={value}" for key, value in arguments.items())
        boot = ("-initrd", str(self.initrd), "-append", f"console=ttyS0 quiet panic=-1 {line}")
        return [*machine(memory_mib, self.kernel), *boot]


def machine(memory_mib: int, kernel: Path) -> list[str]:
    """QEMU's arguments. The microvm machine does not do: Debian's kernel is built without
    virtio_mmio.device=, and with ACPI its virtio interrupts are not found under TCG."""
    return [
        *(*find("qemu-system-x86_64").command, "-machine", "pc", "-accel", "tcg"),
        *("-display", "none", "-monitor", "none", "-nodefaults", "-no-user-config"),
        *("-serial", "stdio", "-no-reboot", "-m", f"{memory_mib}M"),
        *("-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile="),
        *("-kernel", str(kernel)),
    ]


def guest(bench: Bench) -> Guest:
    """Download what is not in the cache and write the initrd. Raises OSError,
    CalledProcessError."""
    root = _packages()
    kernel = max((root / "boot").glob("vmlinuz-*"))
    release = kernel.name.removeprefix("vmlinuz-")
    modules = {p.stem: p for p in (root / "lib/modules" / release).rglob("*.ko")}
    missing = [m for m in MODULES if m not in modules and not _built_in(root, release, m)]
    if missing:
        raise OSError(f"kernel {release} has no {', '.join(missing)}")
    folder = bench.fresh("debian")
    folder.mkdir()
    files = {
        "bin/busybox": next(
            p for p in (root / "bin/busybox", root / "usr/bin/busybox") if p.exists()
        ),
        "bin/mosquitto_pub": Path(shutil.which("mosquitto_pub") or "mosquitto_pub"),
        "bin/publish": build_publisher(bench),
        **{f"modules/{m}.ko": modules[m] for m in MODULES if m in modules},
    }
    for library in {p for f in ("mosquitto_pub", "publish") for p in _libraries(files[f"bin/{f}"])}:
        files[str(library).lstrip("/")] = library
    archive = _cpio({name: path.read_bytes() for name, path in files.items()})
    initrd = folder / "initrd"
    initrd.write_bytes(archive)
    packed = len(lzma.compress(archive, check=lzma.CHECK_CRC32, preset=6))
    return Guest(kernel, initrd, kernel.stat().st_size + packed)


def build_publisher(bench: Bench) -> Path:
    """bench/peers/publish.c as a program of this machine."""
    out = bench.fresh("publish")
    source = ROOT / "bench/peers/publish.c"
    command = ["cc", "-O2", "-o", str(out), str(source), "-lmosquitto"]
    subprocess.run(command, check=True, timeout=120)
    return out


def _packages() -> Path:
    """The unpacked packages, from the cache if they are there."""
    folder = cache_root() / "bench/debian"
    if (folder / "done").is_file():
        return folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kernel = next((k for name in KERNEL_PACKAGES if (k := _kernel_of(name))), "")
    if not kernel:
        raise OSError(f"apt knows none of {', '.join(KERNEL_PACKAGES)}")
    parts = [kernel, "busybox-static"]
    if kernel.endswith("-generic"):  # Ubuntu keeps the modules in a package of their own
        parts.append(kernel.replace("linux-image-", "linux-modules-"))
    _run(["apt-get", "download", "-qq", *parts], folder)
    for package in sorted(folder.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, "root"], folder)
    (folder / "done").touch()
    return folder / "root"


def _kernel_of(package: str) -> str:
    """The package with the kernel that a meta-package depends on, "" where apt knows none."""
    command = ["apt-cache", "depends", package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"Depends: (linux-image-\d\S+)", done.stdout)
    return found[1] if found else ""


def _built_in(root: Path, release: str, module: str) -> bool:
    text = (root / "lib/modules" / release / "modules.builtin").read_text()
    return f"/{module}.ko" in text


def _libraries(program: Path) -> list[Path]:
    """The shared libraries of a program, its loader among them."""
    done = subprocess.run(
        ["ldd", str(program)], capture_output=True, text=True, timeout=20, check=True
    )
    return [Path(found) for found in re.findall(r"(/\S+) \(0x", done.stdout)]


def _run(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, timeout=600, stderr=subprocess.DEVNULL)


def _cpio(files: Mapping[str, bytes]) -> bytes:
    """An archive in the "new" format (kernel's Documentation/driver-api/early-userspace)."""
    folders = {str(p) for name in files for p in Path(name).parents} - {"."}
    entries = [(name, DIRECTORY, b"") for name in sorted({*folders, "dev"}, key=len)]
    entries += [(name, PROGRAM, data) for name, data in files.items()]
    entries += [("init", PROGRAM, INIT.encode()), ("dev/console", CONSOLE, b"")]
    return b"".join(_entry(i, *e) for i, e in enumerate(entries, 1)) + _entry(0, "TRAILER!!!", 0)


def _entry(inode: int, name: str, mode: int, data: bytes = b"") -> bytes:
    major, minor = (5, 1) if mode == CONSOLE else (0, 0)
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % n for n in numbers) + name.encode() + b"\0"
    return _padded(head) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % struct.calcsize("I"))
