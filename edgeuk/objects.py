"""The object cache: compiled files by the hash of all that went into them, shared by projects.

Two steps, as ccache's direct mode has them. Key 1 is compiler, flags, include folders and source;
under it stand the sets of headers that such a compilation has read. Key 2 adds the content of
those headers and names the object. So an unchanged file is found without running the compiler.
Of a generated header that is nothing but sizes (config.h), those count that the unit's files name:
gateways differ in a few of them, and most objects in none.
Objects are immutable and written by rename: a process that dies leaves at most a stray temporary
file. Left out: a new header that shadows one further down the include path is not noticed;
folders have names of their own in their #include lines, so that there is nothing to shadow.
"""

import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgeuk.cache import cache_root, write_atomic
from edgeuk.toolchain import Compiler
from edgeuk.units import Tree, Unit

VERSION = 3  # of this file's formats and of the command line below
HEADER_SETS_MAX = 16  # per key 1; the oldest goes
NAME = re.compile(rb"EK_\w+|##")
SIZE = re.compile(rb"#define (EK_\w+) +(\d+)")
NO_CODE = re.compile(rb"(//.*|#ifndef \w+_H|#define \w+_H|#endif)?")
# Whose ## may make a name of ours. Third-party sources do not know any.
OURS = ("firmware/", "drivers/", "generated/", "service/")


@dataclass(slots=True)
class Hashes:
    """Contents of files, each read once per build."""

    tree: Tree
    known: dict[str, str] = field(default_factory=dict)
    names: dict[str, frozenset[bytes]] = field(default_factory=dict)
    sizes: dict[str, dict[bytes, bytes]] = field(default_factory=dict)

    def of(self, logical: str) -> str:
        """SHA-256 of a file, in hex; "" where there is none."""
        if logical not in self.known:
            try:
                data = self.tree.real(logical).read_bytes()
                self.known[logical] = hashlib.sha256(data).hexdigest()
            except (FileNotFoundError, NotADirectoryError):
                data, self.known[logical] = b"", ""
            self.names[logical] = frozenset(NAME.findall(data))
            self.sizes[logical] = _sizes(data) if logical.startswith("generated/") else {}
        return self.known[logical]

    def of_headers(self, unit: Unit, headers: Sequence[str]) -> list[str]:
        """What counts of each of `headers` for a unit that reads them; "" where there is none."""
        found = [self.of(name) for name in headers]
        self.of(unit.source)
        files = [name for name in (unit.source, *headers) if not self.sizes[name]]
        if any(b"##" in self.names[name] for name in files if name.startswith(OURS)):
            return found
        named = set(NAME.findall(" ".join(unit.flags).encode()))
        named = named.union(*(self.names[name] for name in files))
        for at, name in enumerate(headers):
            if sizes := self.sizes[name]:
                found[at] = str([(n, sizes[n]) for n in sorted(named & sizes.keys())])
        return found


def _sizes(header: bytes) -> dict[bytes, bytes]:
    """The macros of a header that has nothing else, all of them numbers; else none."""
    sizes = {}
    for line in header.splitlines():
        if found := SIZE.fullmatch(line):
            sizes[found[1]] = found[2]
        elif not NO_CODE.fullmatch(line):
            return {}
    return sizes


def key1(unit: Unit, compiler: Compiler, hashes: Hashes) -> str:
    """The key of everything but the headers."""
    parts = [VERSION, compiler.identity, compiler.sanitizers, unit.flags, unit.includes]
    return _hash([*parts, unit.source, hashes.of(unit.source)])


def lookup(unit: Unit, compiler: Compiler, hashes: Hashes) -> Path | None:
    """The unit's object in the cache, or None."""
    first = key1(unit, compiler, hashes)
    for headers in _header_sets(first):
        path = _object(_key2(first, unit, headers, hashes))
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
    path = _object(_key2(first, unit, headers, hashes))
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


def _key2(first: str, unit: Unit, headers: list[str], hashes: Hashes) -> str:
    contents = hashes.of_headers(unit, headers)
    return _hash([first, headers, contents]) if all(contents) else ""


def _manifest(first: str) -> Path:
    return cache_root() / "headers" / first[:2] / f"{first[2:]}.json"


def _object(second: str) -> Path | None:
    return cache_root() / "objects" / second[:2] / f"{second[2:]}.o" if second else None


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
