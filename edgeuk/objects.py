"""The object cache: compiled files by the hash of all that went into them, shared by projects.

Two steps, as ccache's direct mode has them. Key 1 is compiler, flags, include folders and source;
under it stand the sets of headers that such a compilation has read. Key 2 adds the content of
those headers and names the object. So an unchanged file is found without running the compiler.
Objects are immutable and written by rename: a process that dies leaves at most a stray temporary
file. Left out: a new header that shadows one further down the include path is not noticed;
folders have names of their own in their #include lines, so that there is nothing to shadow.
"""

import hashlib
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

from edgeuk.cache import cache_root, write_atomic
from edgeuk.toolchain import Compiler
from edgeuk.units import Tree, Unit

VERSION = 2  # of this file's formats and of the command line below
HEADER_SETS_MAX = 16  # per key 1; the oldest goes


@dataclass(slots=True)
class Hashes:
    """Contents of files, each read once per build."""

    tree: Tree
    known: dict[str, str] = field(default_factory=dict)

    def of(self, logical: str) -> str:
        """SHA-256 of a file, in hex; "" where there is none."""
        if logical not in self.known:
            try:
                data = self.tree.real(logical).read_bytes()
                self.known[logical] = hashlib.sha256(data).hexdigest()
            except (FileNotFoundError, NotADirectoryError):
                self.known[logical] = ""
        return self.known[logical]


def key1(unit: Unit, compiler: Compiler, hashes: Hashes) -> str:
    """The key of everything but the headers."""
    parts = [VERSION, compiler.identity, compiler.sanitizers, unit.flags, unit.includes]
    return _hash([*parts, unit.source, hashes.of(unit.source)])


def lookup(unit: Unit, compiler: Compiler, hashes: Hashes) -> Path | None:
    """The unit's object in the cache, or None."""
    first = key1(unit, compiler, hashes)
    for headers in _header_sets(first):
        path = _object(_key2(first, headers, hashes))
        if path is not None and path.is_file():
            return path
    return None


def store(
    unit: Unit, compiler: Compiler, hashes: Hashes, object_file: Path, started_ns: int
) -> Path | None:
    """Take a fresh object into the cache, with the headers that the compiler says it has read.
    None if one of them changed since `started_ns`, while it was compiled."""
    read = dependencies(object_file.with_suffix(".d").read_text())
    headers = sorted({hashes.tree.logical(path) for path in read} - {unit.source})
    for name in (unit.source, *headers):
        real = hashes.tree.real(name)
        if not real.is_file() or started_ns <= real.stat().st_mtime_ns <= time.time_ns():
            return None
    first = key1(unit, compiler, hashes)
    sets = [s for s in _header_sets(first) if s != headers]
    path = _object(_key2(first, headers, hashes))
    assert path is not None
    write_atomic(path, object_file.read_bytes())
    sets = [headers, *sets][:HEADER_SETS_MAX]
    write_atomic(_manifest(first), json.dumps(sets).encode())
    return path


def dependencies(text: str) -> list[str]:
    """The prerequisites of a Makefile rule, as -MD writes it. Spaces in names are escaped."""
    _, _, names = text.replace("\\\n", " ").partition(": ")
    mark = "\0"
    words = names.replace("\\ ", mark).split()
    return [word.replace(mark, " ").replace("$$", "$") for word in words]


def _header_sets(first: str) -> list[list[str]]:
    try:
        sets: list[list[str]] = json.loads(_manifest(first).read_text())
    except (FileNotFoundError, ValueError):
        return []
    return sets


def _key2(first: str, headers: list[str], hashes: Hashes) -> str:
    contents = [(name, hashes.of(name)) for name in headers]
    return "" if any(not sha for _, sha in contents) else _hash([first, contents])


def _manifest(first: str) -> Path:
    return cache_root() / "headers" / first[:2] / f"{first[2:]}.json"


def _object(second: str) -> Path | None:
    return cache_root() / "objects" / second[:2] / f"{second[2:]}.o" if second else None


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
