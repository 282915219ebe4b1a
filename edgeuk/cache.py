"""The cache shared by all projects of a user, and the ways to write a file whole or not at all.

`$EDGEUK_CACHE`, else `$XDG_CACHE_HOME/edgeuk`, else `~/.cache/edgeuk`. Everything in it is
immutable and can be deleted at any time.
"""

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeuk.errors import BuildError

BUILD_HINT = "`--out FOLDER` builds elsewhere; $EDGEUK_CACHE moves the cache"
OWNER_HINT = "whose is it? `ls -ld` says; provision as that user, or chown it"


def cache_root() -> Path:
    """The cache's folder; it need not exist yet."""
    named = os.environ.get("EDGEUK_CACHE")
    if named:
        return Path(named).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "edgeuk"


def write_atomic(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write beside `path`, then rename over it. Raises OSError with nothing left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.chmod(name, mode)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_changed(path: Path, data: bytes, mode: int = 0o644) -> bool:
    """`write_atomic`, but only where the content differs. Returns whether it wrote."""
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        pass
    write_atomic(path, data, mode)
    return True


@contextmanager
def clear_errors(folder: Path, hint: str = BUILD_HINT) -> Iterator[None]:
    """Turn what the file system refuses (full, read-only, not ours) into a `BuildError`; `hint`
    is for those who may not write there."""
    try:
        yield
    except OSError as e:
        where = str(e.filename2 or e.filename or folder)  # of a copy: where it goes
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuildError(
                "the disk is full", where=where, hint="free some space, then build again"
            ) from None
        if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise BuildError(
                f"cannot be written: {os.strerror(e.errno).lower()}",
                where=where,
                hint=hint,
            ) from None
        raise BuildError(f"{e.strerror or e}", where=where) from None


def read_owned(path: Path) -> bytes:
    """What is in a file of the user's. Raises `FileNotFoundError`, else `BuildError`."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        hint = OWNER_HINT if isinstance(e, PermissionError) else ""
        raise BuildError(f"cannot be read: {reason}", where=str(path), hint=hint) from None


@contextmanager
def locked(folder: Path, wait_s: float, say: Callable[[str], None]) -> Iterator[int]:
    """Hold `folder` alone; gives the lock's file descriptor. Says so when it has to wait; raises
    `BuildError` after `wait_s`.

    The lock is the system's: it ends with the process, however that ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        end = time.monotonic() + wait_s
        told = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    say("another build is running here, waiting")
                    told = True
            if time.monotonic() >= end:
                raise BuildError(
                    f"another build has been running here for {wait_s:.0f} s",
                    where=str(folder),
                    hint="wait for it to end, or build with `--out FOLDER` elsewhere",
                )
            time.sleep(0.05)  # flock has no time limit of its own
        yield file.fileno()
