"""What commands share: the project, the board, missing tools, progress."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from edgeuk import third_party, toolchain
from edgeuk.board import Board
from edgeuk.build import BuildResult, build
from edgeuk.catalog import Catalog, find_board, load_catalog
from edgeuk.cli.say import err
from edgeuk.errors import ToolError, UsageError
from edgeuk.gateway import Gateway, load_gateway
from edgeuk.resolve import Image, resolve
from edgeuk.run.qemu import PACKAGES

GATEWAY = "gateway.toml"
DEFAULT_BOARD = "x86-microvm"

BoardOption = Annotated[
    str, typer.Option("--board", "-b", help="The board; `edgeuk boards` lists them.", metavar="B")
]
GatewayOption = Annotated[
    Path, typer.Option("--gateway", "-g", help="The gateway file.", metavar="FILE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print data as JSON.")]


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


def load_project(path: Path, board_name: str) -> tuple[Catalog, Gateway, Board]:
    """Catalog, gateway and board: --board, else `board` of the gateway file, else the default."""
    catalog = load_catalog()
    gateway = load_gateway(find_gateway(path), catalog)
    return catalog, gateway, find_board(catalog, board_name or gateway.board or DEFAULT_BOARD)


def load_image(path: Path, board_name: str) -> tuple[Catalog, Image]:
    """As `load_project`, resolved."""
    catalog, gateway, board = load_project(path, board_name)
    return catalog, resolve(gateway, board, catalog)


def need_tools(image: Image, *, qemu: bool) -> None:
    """Before a long step: raises `ToolError` that names all that is missing, each with the command
    that installs it."""
    pinned = third_party.load()
    wanted = {name for part in image.components for name in part.component.third_party}
    lacks = toolchain.missing(tuple(pinned[name] for name in sorted(wanted)))
    if qemu and image.board.qemu and not shutil.which(image.board.qemu.binary):
        package = PACKAGES.get(image.board.qemu.binary, "qemu-system")
        lacks.append(
            toolchain.Missing(f"{image.board.qemu.binary} is missing", f"apt-get install {package}")
        )
    if lacks:
        raise ToolError(
            "; ".join(m.what for m in lacks), hint="\n      ".join(m.command for m in lacks)
        )


def output_folder(image: Image) -> Path:
    """Where the image of this gateway and board is built."""
    return image.gateway.path.resolve().parent / "build" / image.board.name


def build_image(image: Image) -> BuildResult:
    """Build with a progress bar on a terminal."""
    with progress(f"building for {image.board.name}") as step:
        return build(image, output_folder(image), progress=step)


class Step:
    """Called by long work with (done, total, what)."""

    def __init__(self, bar: Progress | None, title: str) -> None:
        self._bar, self._title = bar, title
        self._task = bar.add_task(title, total=None) if bar else None

    def __call__(self, done: int, total: int, what: str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, completed=done, total=total, description=f"{self._title}: {what}"
            )


@contextmanager
def progress(title: str) -> Iterator[Step]:
    """A bar on stderr that vanishes when done; nothing where stderr is no terminal."""
    if not err.is_terminal or os.environ.get("EDGEUK_QUIET"):
        yield Step(None, title)
        return
    columns = (
        TextColumn("{task.description}", table_column=None),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield Step(bar, title)
