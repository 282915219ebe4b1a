"""apt-get with a configuration of its own: gets packages from suites that the system does not use,
verifies their signatures, and touches nothing of the system's."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edgeuk.errors import EdgeukError, ToolError

RUN_S = 300  # limit of one apt-get run


class AptError(ToolError):
    """apt-get is not there, or failed."""


@dataclass(frozen=True, slots=True)
class Apt:
    """Call it with apt-get's arguments; what it downloads lies in `folder`."""

    command: tuple[str, ...]
    folder: Path

    def __call__(self, *arguments: str) -> None:
        run([*self.command, *arguments], self.folder)


@contextmanager
def isolated(
    distribution: str, suite: str, kind: str, components: str = "", *, architecture: str = ""
) -> Iterator[Apt]:
    """apt-get that knows only `suite`, its lists fetched; `kind`: "deb" or "deb-src". Everything
    is gone afterwards. `components`, `architecture`: other ones than usual. Raises `AptError`."""
    if shutil.which("apt-get") is None:
        raise AptError("no apt-get here")
    uri = apt_mirror(Path("/etc/apt"), distribution)
    if uri is None:
        raise AptError("no mirror stands in the system's configuration", where="/etc/apt")
    components = components or ("universe" if distribution == "ubuntu" else "main")
    with tempfile.TemporaryDirectory() as scratch:
        d = Path(scratch)
        for folder in ("lists/partial", "archives/partial", "files"):
            (d / folder).mkdir(parents=True)
        (d / "edgeuk.sources").write_text(
            f"Types: {kind}\nURIs: {uri}\nSuites: {suite}\nComponents: {components}\n"
            f"Signed-By: /usr/share/keyrings/{distribution}-archive-keyring.gpg\n"
        )
        options = [
            f"Dir::Etc::sourcelist={d}/edgeuk.sources",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={d}/lists",
            f"Dir::Cache={d}",
            "APT::Sandbox::User=root",
        ]
        if architecture:
            options += [f"APT::Architecture={architecture}", f"APT::Architectures={architecture}"]
        command = ["apt-get", "-q"] + [word for o in options for word in ("-o", o)]
        apt = Apt(tuple(command), d / "files")
        apt("update")
        yield apt


def apt_mirror(etc: Path, distribution: str) -> str | None:
    """The address of the system's main mirror, from `etc`/sources.list.d/*.sources, else from
    one-line entries; security mirrors are left out."""
    for path in sorted((etc / "sources.list.d").glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
            signed = fields.get("Signed-By", "")
            ours = distribution in signed or f"/{distribution}" in fields.get("URIs", "")
            if ours and "-security" not in fields.get("Suites", "").split(" ")[0]:
                for uri in fields.get("URIs", "").split():
                    return str(uri)
    for path in (etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list"))):
        if path.is_file():
            for line in path.read_text().splitlines():
                entry = re.match(r"deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)", line)
                if entry and f"/{distribution}" in entry[1] and "-security" not in entry[2]:
                    return entry[1]
    return None


def run(command: list[str], folder: Path) -> None:
    """Raises `AptError` with the last lines that it said."""
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=RUN_S, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired:
        raise AptError(f"`{command[0]}` did not end within {RUN_S} s") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise AptError(f"`{command[0]} {command[-1]}` failed: {' / '.join(last)}")


def os_release() -> list[str]:
    """This distribution's id, then those it is like."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return []
    fields = dict(re.findall(r'^(ID|ID_LIKE)="?([^"\n]*)"?$', text, re.MULTILINE))
    return [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]


def codename() -> str:
    """Of this distribution's release; "" where it has none."""
    try:
        text = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    match = re.search(r'^VERSION_CODENAME="?([a-z]+)', text, re.MULTILINE)
    return match[1] if match else ""


def fetch_command(fetch: Callable[[], str], usage: str, arguments: list[str]) -> int:
    """The command line of a module that is called with `fetch`. Returns the exit code."""
    if arguments != ["fetch"]:
        print(f"usage: {usage}", file=sys.stderr)
        return 2
    try:
        print(fetch())
    except EdgeukError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    return 0
