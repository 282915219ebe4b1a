"""What the numbers were measured on: processor, versions, load."""

import os
import platform
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from edgeuk import __version__
from edgeuk.toolchain import ZIG_VERSION

ROOT = Path(__file__).resolve().parents[1]


def describe() -> dict[str, str]:
    """For the results file and the table's head."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": _system(),
        "kernel": platform.release(),
        "qemu": _version("qemu-system-x86_64", "--version"),
        "mosquitto": _version(_mosquitto(), "-h"),
        "zig": ZIG_VERSION,
        "python": platform.python_version(),
        "edgeuk": f"{__version__} at {revision()}",
        "load": " ".join(f"{x:.2f}" for x in os.getloadavg()),
    }


def revision() -> str:
    """The checkout's git revision, "+" when files differ from it, "unknown" without git."""
    head = _output("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD").strip()
    paths = ("boards", "edgeuk", "firmware", "examples", "third_party.toml")
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--", *paths).strip()
    return (head or "unknown") + ("+" if changed else "")


def short_name() -> str:
    """For file names: "intel-xeon-2-cores"."""
    words = re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*", " ", _processor())
    name = "-".join(re.findall(r"[a-z0-9.]+", words.lower())[:4])
    return f"{name}-{os.cpu_count()}-cores"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _mosquitto() -> str:
    return shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"


def _version(*command: str) -> str:
    """The first version number in what a program prints."""
    found = re.search(r"\d+\.\d+(\.\d+)?", _output(*command))
    return found[0] if found else "not installed"


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return done.stdout
