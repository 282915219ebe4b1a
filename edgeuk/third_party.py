"""C sources of others: where they are, and how they are fetched once into the cache.

`third_party.toml` pins them by a hash over the files used, so that the origin does not matter: an
archive named by the environment, the system's apt mirror (Debian's and Ubuntu's source packages,
with a configuration of its own that touches nothing of the system's) or the upstream release.
Nothing here runs during `edgeuk build` except `locate`, which never reaches the network.

    python -m edgeuk.third_party fetch
"""

import fnmatch
import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from edgeuk import apt
from edgeuk.cache import cache_root
from edgeuk.errors import EdgeukError, ToolError
from edgeuk.paths import data_roots, python_command

FETCH = f"{python_command()} -m edgeuk.third_party fetch"


class ThirdPartyError(ToolError):
    """Sources of others are missing, or are not the ones that were pinned."""


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """One entry of third_party.toml."""

    name: str
    version: str
    licence: str
    files: tuple[str, ...]  # patterns relative to the release's folder
    sha256: str  # of `content_hash`
    upstream: tuple[str, ...]  # archive addresses
    apt_source: str  # name of the source package, "" where there is none
    apt_suites: dict[str, str]  # distribution id of /etc/os-release -> suite that has this version

    @property
    def variable(self) -> str:
        """The environment variable that names a local archive or folder."""
        return f"EDGEUK_{self.name.upper()}"


def load(path: Path | None = None) -> dict[str, ThirdParty]:
    """Read third_party.toml (ours, or `path`)."""
    raw = tomllib.loads((path or data_roots().third_party_toml).read_text())
    found = {}
    for name, entry in raw.items():
        apt = dict(entry.get("apt", {}))
        found[name] = ThirdParty(
            name=name,
            version=entry["version"],
            licence=entry["licence"],
            files=tuple(entry["files"]),
            sha256=entry["sha256"],
            upstream=tuple(entry.get("upstream", ())),
            apt_source=apt.pop("source", ""),
            apt_suites=apt,
        )
    return found


def content_hash(files: dict[str, bytes]) -> str:
    """SHA-256 over the lines "<sha256 of the file>  <path>", sorted by path, in hex."""
    total = hashlib.sha256()
    for path in sorted(files):
        total.update(f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n".encode())
    return total.hexdigest()


def cached(wanted: ThirdParty) -> Path:
    """Where `wanted` is in the cache, or would be. Another pin is another folder."""
    folder = f"{wanted.name}-{wanted.version}-{wanted.sha256[:12]}"
    return cache_root() / "third_party" / folder


def locate(wanted: ThirdParty) -> Path | None:
    """The folder that holds `wanted`: inside an installed wheel, or in the cache; else None."""
    shipped = data_roots().third_party
    if shipped is not None and (shipped / wanted.name).is_dir():
        return shipped / wanted.name
    return cached(wanted) if cached(wanted).is_dir() else None


def require(wanted: ThirdParty) -> Path:
    """`locate`, or a `ThirdPartyError` with every way to get the sources."""
    folder = locate(wanted)
    if folder is None:
        raise ThirdPartyError(
            f"the sources of {wanted.name} {wanted.version} are not here",
            where=str(cached(wanted)),
            hint=_ways(wanted),
        )
    return folder


def read_folder(folder: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    """The files of `folder` that match `patterns`, by their path relative to it."""
    every = ((p.relative_to(folder).as_posix(), p) for p in folder.rglob("*") if p.is_file())
    return {name: _text(path.read_bytes()) for name, path in every if _used(name, patterns)}


def read_archive(archive: Path, patterns: tuple[str, ...]) -> dict[str, bytes]:
    """The same from a .zip or .tar.* whose one top folder is left out; nothing is unpacked."""
    found = {}
    try:
        for name, read in _members(archive):
            inside = name.partition("/")[2]
            if _used(inside, patterns):
                found[inside] = _text(read())
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as e:
        raise ThirdPartyError(f"cannot be read: {e}", where=str(archive)) from None
    return found


def fetch(wanted: ThirdParty, say: Callable[[str], None] = lambda line: None) -> Path:
    """Make `wanted` present; returns its folder. Tries every way, and names each one's failure."""
    here = locate(wanted)
    if here is not None:
        return here
    failures = []
    for way, get in _origins(wanted):
        say(f"{wanted.name} {wanted.version}: {way}")
        try:
            files = get()
            _check(wanted, files)
        except ThirdPartyError as e:
            failures.append(f"{way}: {e.where + ': ' if e.where else ''}{e.what}")
            continue
        return _store(wanted, files)
    raise ThirdPartyError(
        f"{wanted.name} {wanted.version} could not be fetched:\n  " + "\n  ".join(failures),
        hint=_ways(wanted),
    )


def _origins(wanted: ThirdParty) -> Iterator[tuple[str, Callable[[], dict[str, bytes]]]]:
    """Each way to get `wanted`, best first. A file named by the environment is the only way then:
    the user meant that one."""
    given = os.environ.get(wanted.variable)
    if given:
        yield f"${wanted.variable}={given}", lambda: _local(Path(given), wanted)
        return
    release = apt.os_release()
    distribution = next((d for d in release if d in wanted.apt_suites), "")
    upstream = [(url, partial(_download, url, wanted)) for url in wanted.upstream]
    if distribution != "debian":
        yield from upstream
    if distribution and wanted.apt_source:
        suite = wanted.apt_suites[distribution]
        way = f"apt source package {wanted.apt_source} of {distribution} {suite}"
        yield way, lambda: _apt(wanted, distribution, suite)
    if distribution == "debian":
        yield from upstream


def _check(wanted: ThirdParty, files: dict[str, bytes]) -> None:
    found = content_hash(files)
    if found != wanted.sha256:
        raise ThirdPartyError(
            f"{len(files)} files with hash {found}, but third_party.toml pins {wanted.sha256}"
        )


def _store(wanted: ThirdParty, files: dict[str, bytes]) -> Path:
    """Write beside the goal, then rename: the goal exists whole or not at all."""
    goal = cached(wanted)
    try:
        goal.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{wanted.name}-", dir=goal.parent))
        try:
            for name, data in files.items():
                path = scratch / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            scratch.chmod(0o755)
            scratch.rename(goal)
        except OSError:
            if not goal.is_dir():  # else another process was first, with the same content
                raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as e:
        raise ThirdPartyError(f"cannot be written: {e.strerror}", where=str(goal)) from None
    return goal


def _local(path: Path, wanted: ThirdParty) -> dict[str, bytes]:
    if path.is_dir():
        return read_folder(path, wanted.files)
    if path.is_file():
        return read_archive(path, wanted.files)
    raise ThirdPartyError("no such file or folder", where=str(path))


def _download(url: str, wanted: ThirdParty) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / url.rpartition("/")[2]
        try:
            with urllib.request.urlopen(url, timeout=20) as answer, archive.open("wb") as out:
                shutil.copyfileobj(answer, out)
        except (urllib.error.URLError, OSError) as e:
            raise ThirdPartyError(f"no download: {e}") from None
        return read_archive(archive, wanted.files)


def _apt(wanted: ThirdParty, distribution: str, suite: str) -> dict[str, bytes]:
    """The upstream archive inside the source package; apt verifies its signature."""
    try:
        with apt.isolated(distribution, suite, "deb-src") as get:
            get("source", "--download-only", wanted.apt_source)
            archives = sorted(get.folder.glob(f"{wanted.apt_source}_*.orig.tar.*"))
            archives = [a for a in archives if a.suffix != ".asc"]
            if not archives:
                raise ThirdPartyError("the source package holds no upstream archive")
            return read_archive(archives[0], wanted.files)
    except apt.AptError as e:
        raise ThirdPartyError(str(e)) from None


def _members(archive: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as pack:
            for item in pack.infolist():
                if not item.is_dir():
                    yield item.filename, partial(pack.read, item)
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                yield member.name, partial(_tar_read, tar, member)


def _tar_read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    return (tar.extractfile(member) or io.BytesIO()).read()


def _used(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether `name` matches a pattern; `*` does not cross a folder."""
    depth = name.count("/")
    return any(depth == p.count("/") and fnmatch.fnmatchcase(name, p) for p in patterns)


def _text(data: bytes) -> bytes:
    """Release archives for Windows have CR LF; the hash is over LF."""
    return data.replace(b"\r\n", b"\n")


def _ways(wanted: ThirdParty) -> str:
    ways = [f"`{FETCH}` fetches them once, from the system's apt mirror or from upstream"]
    ways += [f"without a network: {wanted.variable}=<archive or folder> {FETCH}"]
    ways += [f"upstream: {url}" for url in wanted.upstream]
    return "\n  ".join(ways)


def main(arguments: list[str]) -> int:
    """`fetch`: make all sources present. `where`: print their folders. Returns the exit code."""
    if arguments not in (["fetch"], ["where"]):
        print(f"usage: {FETCH} | where", file=sys.stderr)
        return 2
    try:
        for wanted in load().values():
            if arguments == ["fetch"]:
                folder = fetch(wanted, lambda line: print(line, file=sys.stderr))
            else:
                folder = require(wanted)
            print(f"{wanted.name} {wanted.version} {folder}")
    except EdgeukError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
