"""Where virtual boards keep what they are: sockets while they run, flash content for ever.

`$XDG_RUNTIME_DIR/edgeuk/boards/<name>/` (else a private folder in the system's one for temporary
files) has the socket, the daemon's record and logs; the cache has the flash.
"""

import json
import os
import re
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from edgeuk.cache import cache_root, write_atomic
from edgeuk.errors import DeviceError, UsageError

SOCKET, RECORD, LOG = "board.sock", "board.json", "daemon.log"
SOCKET_PATH_MAX = 107  # bytes: sun_path of unix(7)


@dataclass(frozen=True, slots=True)
class Record:
    """A board that was started."""

    name: str
    target: str
    pid: int
    started: str  # the daemon's start time of proc(5), so that another process is not taken for it


def runtime_root() -> Path:
    """The folder of the boards that run; ours alone."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base and Path(base).is_dir():
        return Path(base) / "edgeuk" / "boards"
    folder = Path(tempfile.gettempdir()) / f"edgeuk-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise DeviceError(
            "others can get at the folder for virtual boards",
            where=str(folder),
            hint="remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    return folder / "boards"


def board_folder(name: str) -> Path:
    """The folder of one board. Raises `UsageError` for a name that can be no file's."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}", name):
        raise UsageError(
            f"`{name}` is no name for a virtual board", hint="letters, digits, - and _"
        )
    folder = runtime_root() / name
    if len(bytes(folder / SOCKET)) > SOCKET_PATH_MAX:
        raise UsageError(
            f"the path of the board's socket is too long: {folder / SOCKET}",
            hint="set XDG_RUNTIME_DIR to a shorter one",
        )
    return folder


def flash_file(name: str) -> Path:
    """What is in the flash of a board that is off."""
    return cache_root() / "boards" / name / "flash.bin"


def flashed() -> list[str]:
    """Names of boards that have something in their flash, whether or not they run."""
    return sorted(p.parent.name for p in (cache_root() / "boards").glob("*/flash.bin"))


def write_record(record: Record) -> None:
    """Say that the board runs."""
    write_atomic(board_folder(record.name) / RECORD, json.dumps(asdict(record)).encode())


def read_record(name: str) -> Record | None:
    """What was written at its start; None if it was never started or has been stopped."""
    try:
        return Record(**json.loads((board_folder(name) / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def known() -> list[Record]:
    """Boards that were started and not stopped, alive or not."""
    try:
        names = sorted(p.parent.name for p in runtime_root().glob(f"*/{RECORD}"))
    except OSError:
        return []
    return [record for record in map(read_record, names) if record]


def start_time(pid: int) -> str:
    """Field 22 of /proc/<pid>/stat; "" if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]


def is_alive(record: Record) -> bool:
    """Whether the daemon is still that process."""
    return start_time(record.pid) == record.started != ""
