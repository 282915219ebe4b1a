"""gdb on a running image: which gdb, what it is told first, and the terminal for as long as it
runs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from edgeuk.errors import ToolError, UsageError
from edgeuk.run.process import STOP_S, die_with

PACKAGE = "apt-get install gdb-multiarch"
ANSWER_S = 20.0
# By the first letters of a compiler's target: gdb's own name of the processor, and further gdbs.
ARCHITECTURES = {
    "thumb": ("arm", ("arm-none-eabi-gdb",)),
    "arm": ("arm", ("arm-none-eabi-gdb",)),
    "aarch64": ("aarch64", ("aarch64-none-elf-gdb",)),
    "x86_64": ("i386:x86-64", ()),
}


def find_gdb(wanted: str, target: str) -> str:
    """The gdb that was asked for, or the first one that knows the processor of the compiler's
    `target` ("": this machine's). Raises `ToolError`, `UsageError`."""
    name, others = next((a for p, a in ARCHITECTURES.items() if target.startswith(p)), ("", ()))
    if wanted:
        path = shutil.which(wanted)
        if path is None:
            raise UsageError(f"--gdb {wanted}: no such program [E0833]", hint=PACKAGE)
        if not _knows(path, name):
            raise UsageError(f"--gdb {wanted} does not know `{name}` [E0833]", hint=PACKAGE)
        return path
    names = ("gdb-multiarch", *others, "gdb") if name else ("gdb", "gdb-multiarch")
    found = [path for path in map(shutil.which, names) if path]
    for path in found:
        if _knows(path, name):
            return path
    what = f"{found[0]} does not know `{name}`" if found else "gdb is not installed"
    raise ToolError(f"{what} [E0833]", hint=PACKAGE)


def _knows(path: str, architecture: str) -> bool:
    """Whether this gdb was built with the processor in it."""
    ask = [path, "-nx", "-batch", "-ex", f"set architecture {architecture}"]
    try:
        done = subprocess.run(
            ask if architecture else ask[:3],
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return "Undefined item" not in done.stderr and done.returncode in (0, 1)


def commands(program: Path, sources: Mapping[str, Path], script: Path) -> list[str]:
    """gdb's arguments: where the sources are, its first commands, the program."""
    settings = ["set confirm off", "set breakpoint pending off"]
    # As the compiler was told, to where they are.
    settings += [f"set substitute-path {name} {folder}" for name, folder in sources.items()]
    before = [word for setting in settings for word in ("-iex", setting)]
    # In a script, unlike on the command line, the first that fails is the last.
    return ["-q", *before, "-x", str(script), str(program)]


@contextmanager
def _left_to_the_child() -> Iterator[None]:
    """Ctrl-C is the debugger's; ours comes when it has ended."""

    def ignore(number: int, frame: FrameType | None) -> None:
        """Unlike SIG_IGN, a function is not inherited."""

    before = signal.signal(signal.SIGINT, ignore)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_gdb(argv: Sequence[str]) -> int:
    """Run it on our terminal and return its exit status. It ends with us, however that is."""
    with _left_to_the_child():
        # The same process group: it is the terminal's already.
        child = subprocess.Popen(
            argv, preexec_fn=partial(die_with, os.getpid(), signal.SIGTERM), env=_environment()
        )
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(STOP_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def _environment() -> dict[str, str]:
    """The leak check of a process needs to trace it, which the debugger does already."""
    options = [*filter(None, [os.environ.get("ASAN_OPTIONS")]), "detect_leaks=0"]
    return {**os.environ, "ASAN_OPTIONS": ":".join(options)}
