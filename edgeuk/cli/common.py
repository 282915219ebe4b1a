"""What commands share: the project, the board, missing tools, progress."""

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from edgeuk import third_party, toolchain
from edgeuk.board import Board
from edgeuk.build import BuildResult, build
from edgeuk.build_time import build_time
from edgeuk.catalog import Catalog, find_board, load_catalog
from edgeuk.cli.say import err, say, say_warnings
from edgeuk.errors import ConfigError, Fault, ToolError, UsageError
from edgeuk.gateway import DeviceFile, Gateway, load_device, load_gateway
from edgeuk.generate import has_tls
from edgeuk.resolve import Image, resolve
from edgeuk.run import emulator
from edgeuk.sealed import ENDING, load_blob

GATEWAY = "gateway.toml"
DEFAULT_BOARD = "x86-microvm"

BoardOption = Annotated[
    str,
    typer.Option(
        "--board", "-b", help="A board's name or file; `edgeuk boards` lists them.", metavar="B"
    ),
]
GatewayOption = Annotated[
    Path, typer.Option("--gateway", "-g", help="The gateway file.", metavar="FILE")
]
DeviceOption = Annotated[
    Path | None,
    typer.Option("--device", "-d", help="One device's own name, broker, keys.", metavar="FILE"),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Build here, not in build/<board>.", metavar="FOLDER"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


def command_app() -> typer.Typer:
    """A command's typer: plain help, nothing about shells in it."""
    return typer.Typer(add_completion=False, rich_markup_mode=None)


@dataclass(frozen=True, slots=True)
class Project:
    """All files of one call, checked."""

    catalog: Catalog
    gateway: Gateway
    board: Board
    device: DeviceFile | None = None

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """Of the board, the gateway and the device."""
        of_device = self.device.warnings if self.device else ()
        return self.board.warnings + self.gateway.warnings + of_device


SECRETS = {"passphrase": "EDGEUK_PASSPHRASE", "PIN": "EDGEUK_PIN"}


def ask_secret(what: str) -> str:
    """A passphrase or PIN of the CA's key: from the environment, else from the terminal, never from
    the command line, which others can see, and never left to programs that are started. A new
    passphrase is asked for twice."""
    variable = SECRETS[what.removeprefix("new ")]
    if variable in os.environ:
        return os.environ.pop(variable)
    if not sys.stdin.isatty():
        raise UsageError(
            f"the CA's key needs a {what}, and nobody is at the terminal [E0429]",
            hint=f"${variable} gives it to scripts",
        )
    given = getpass.getpass(f"{what} of the CA's key: ")
    if what.startswith("new ") and given != getpass.getpass("the same again: "):
        raise UsageError("the two passphrases differ [E0429]")
    return given


def find_gateway(path: Path) -> Path:
    """The gateway file. Raises `UsageError` with the way to get one."""
    if path.is_dir():
        path = path / GATEWAY
    if path.exists():
        return path
    raise UsageError(
        f"no `{path}` here",
        hint="`edgeuk new NAME` starts a gateway; --gateway FILE names one elsewhere",
    )


def load_project(path: Path, board_name: str, device_path: Path | None = None) -> Project:
    """Board (--board, else `board` of the gateway file, else the default), gateway and device.

    Raises `ConfigError` with the faults of all of them, `UsageError` for a file or a board that
    is not there.
    """
    catalog = load_catalog()
    path = find_gateway(path)
    faults: list[Fault] = []
    board = gateway = device = None
    if board_name:
        try:
            board = find_board(catalog, board_name)
            # A board that is a file is known under its path as well, to check the gateway on it.
            catalog = replace(catalog, boards={**catalog.boards, board_name: board.path})
        except ConfigError as e:
            faults += e.faults
    try:
        gateway = load_gateway(path, catalog, board_name if board else "")
    except ConfigError as e:
        faults += e.faults
    if device_path:
        try:
            if device_path.name.endswith(ENDING) and gateway:
                wanted = board.name if board else board_name or gateway.board or DEFAULT_BOARD
                device = load_blob(device_path, gateway, wanted)
            else:
                device = load_device(device_path, gateway)
        except ConfigError as e:
            faults += e.faults
    if gateway and not board_name:
        board = find_board(catalog, gateway.board or DEFAULT_BOARD)
    if gateway is None or board is None or any(f.is_error for f in faults):
        raise ConfigError(tuple(dict.fromkeys(faults)))
    return Project(catalog, gateway, board, device)


def load_image(
    path: Path, board_name: str, device_path: Path | None = None
) -> tuple[Project, Image]:
    """As `load_project`, resolved; says the files' warnings."""
    project = load_project(path, board_name, device_path)
    image = resolve(project.gateway, project.board, project.catalog)
    if has_tls(image):
        build_time()  # whether it is one: before anything is built
    say_warnings(project.warnings)
    for name, reason in image.left_out.items():
        say(f"without {name}: {reason}")
    return project, image


def need_tools(image: Image, *, qemu: bool) -> None:
    """Before a long step: raises `ToolError` that names all that is missing, each with the command
    that installs it."""
    pinned = third_party.load()
    wanted = {name for part in image.components for name in part.component.third_party}
    lacks = toolchain.missing(tuple(pinned[name] for name in sorted(wanted)))
    if qemu and image.board.qemu:
        try:
            emulator.find_emulator(image.board)
        except ToolError as e:
            lacks.append(toolchain.Missing(e.what, e.hint))
    _refuse(lacks)


def need_compiler() -> None:
    """The same where nothing but the compiler is needed."""
    _refuse(toolchain.missing())


def _refuse(lacks: list[toolchain.Missing]) -> None:
    if len(lacks) == 1:
        raise ToolError(lacks[0].what, hint=lacks[0].command)
    if lacks:
        lines = "".join(f"\n  {m.what}: {m.command}" for m in lacks)
        raise ToolError(
            f"{len(lacks)} things are missing, each with its cure:{lines}",
            hint="`edgeuk doctor` checks this machine as a whole",
        )


def output_folder(image: Image, out: Path | None = None) -> Path:
    """Where the image of this gateway and board is built."""
    return out or image.gateway.path.resolve().parent / "build" / image.board.name


def build_image(image: Image, out: Path | None = None) -> BuildResult:
    """Build with a progress bar on a terminal."""
    with progress(f"building for {image.board.name}") as step:
        return build(image, output_folder(image, out), say=say, progress=step)


def shown(path: Path) -> str:
    """The path as a person writes it: relative where it is below the current folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def plural(count: int, noun: str) -> str:
    """`1 reading`, `2 readings`."""
    return f"{count} {noun}{'s' * (count != 1)}"


class Step:
    """Called by long work with (done, total, what)."""

    def __init__(self, bar: Progress | None, title: str) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=None, what="") if bar else None

    def __call__(self, done: int, total: int, what: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, what=what)


@contextmanager
def progress(title: str) -> Iterator[Step]:
    """A bar on stderr that vanishes when done; nothing where stderr is no terminal."""
    if not err.is_terminal:
        yield Step(None, title)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield Step(bar, title)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """A spinner on stderr, where the end is not known; nothing where stderr is no terminal."""
    if not err.is_terminal:
        yield
        return
    with err.status(what):
        yield
