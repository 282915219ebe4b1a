"""Running commands through Ninja: progress, readable compiler errors, and a clean end."""

import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeuk import toolchain
from edgeuk.errors import BuildError, ToolError

FILE = "build.ninja"
LIMIT_S = 900  # of a whole run
FULL = "No space left on device"


@dataclass(frozen=True, slots=True)
class Edge:
    """One command that makes `output`; paths relative to the output folder."""

    verb: str  # "compile", "link"
    subject: str  # for people: what is compiled or linked
    output: str
    inputs: tuple[str, ...]
    command: Sequence[str]


def run_ninja(
    edges: Sequence[Edge], out: Path, progress: Callable[[int, int, str], None], lock: int
) -> None:
    """Run all `edges` in `out`. Raises `BuildError` with what the failed commands said,
    `ToolError` if Ninja itself was killed.

    The lock's descriptor is handed down, so that the folder stays locked while a compiler still
    writes there, even if this process has been killed.
    """
    (out / FILE).write_text(_ninja_file(edges))
    (out / ".ninja_log").unlink(missing_ok=True)
    command = [str(toolchain.ninja()), "-f", FILE, "-k", "0"]
    with subprocess.Popen(
        command,
        cwd=out,
        env=toolchain.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        text=True,
        errors="replace",
    ) as process:
        try:
            failed = _follow(process, len(edges), progress)
            code = process.wait(LIMIT_S)
        except BaseException:
            process.terminate()  # Ninja ends its commands and removes what they left half done
            raise
    if code < 0:
        raise ToolError(f"ninja was ended by signal {-code}", hint="build again")
    if code != 0:
        _explain(failed)


def _ninja_file(edges: Sequence[Edge]) -> str:
    """Commands stand at each edge; the subject is what Ninja prints and `_follow` reads."""
    lines = ["rule run", "  command = $do", "  description = $what", ""]
    for edge in edges:
        inputs = "".join(f" {_path(name)}" for name in edge.inputs)
        lines += [
            f"build {_path(edge.output)}: run{inputs}",
            f"  do = {shlex.join(edge.command).replace('$', '$$')}",
            f"  what = {edge.verb} {edge.subject}".replace("$", "$$"),
        ]
    return "\n".join(lines) + "\n"


def _path(name: str) -> str:
    return name.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")


def _follow(
    process: "subprocess.Popen[str]", total: int, progress: Callable[[int, int, str], None]
) -> list[str]:
    """Report progress; returns the output of failed commands, without Ninja's own lines."""
    assert process.stdout is not None
    said: list[str] = []
    skip = False
    for line in process.stdout:
        if line.startswith("["):
            count, _, what = line.strip().removeprefix("[").partition("] ")
            progress(int(count.partition("/")[0]), total, what)
            skip = False
        elif line.startswith("FAILED: "):
            skip = True  # the next line is the command
        elif skip:
            skip = False
        elif not line.startswith("ninja: "):
            said.append(line.rstrip("\n"))
    return said


def _explain(said: list[str]) -> None:
    text = "\n".join(said)
    if FULL in text:
        raise BuildError("the disk is full", hint="free some space, then build again")
    undefined = [line for line in said if "undefined symbol" in line]
    does_not_fit = [line for line in said if "will not fit in region" in line]
    if does_not_fit:
        what = "the image does not fit the board's memory"
        raise BuildError(f"{what}:\n{text}", hint="`edgeuk size` shows what takes how much")
    if undefined:
        raise BuildError(f"the image does not link:\n{text}")
    raise BuildError(f"compiling failed:\n{text}")
