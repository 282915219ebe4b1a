"""`edgeuk test`: run the scenarios of hil/ on a board, or in QEMU."""

# ruff: noqa: PT028 (a command, no test)
import importlib.util
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import DEFAULT_BOARD, GATEWAY, BoardOption, command_app
from edgeuk.cli.say import next_step, say
from edgeuk.errors import EXIT_INTERRUPTED, ToolError, UsageError
from edgeuk.paths import data_roots

app = command_app()

# pytest's exit status -> ours and what to say.
INTERRUPTED, USAGE, NOTHING = 2, 4, 5
PLUGIN = "edgeuk.hil.plugin"


@app.command(epilog="Example:  edgeuk test --board lm3s6965evb --junit report.xml")
def test(
    tests: Annotated[
        list[Path] | None,
        typer.Argument(help="Test files or folders; else the scenarios.", metavar="[TESTS]"),
    ] = None,
    board: BoardOption = DEFAULT_BOARD,
    target: Annotated[
        str, typer.Option(help="qemu, virtual, probe or labgrid.", metavar="T")
    ] = "qemu",
    gateway: Annotated[
        Path | None,
        typer.Option(
            "--gateway",
            "-g",
            help="The gateway under test; else gateway.toml here, else one of ours.",
            metavar="FILE",
        ),
    ] = None,
    wiring: Annotated[
        Path | None, typer.Option(help="What is connected to the board.", metavar="FILE")
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            help="Write the results here, as JUnit XML; else beside the logs.", metavar="FILE"
        ),
    ] = None,
    only: Annotated[
        str, typer.Option("-k", help="Only tests whose name has this.", metavar="WORD")
    ] = "",
    quick: Annotated[
        bool, typer.Option("--quick", help="Only a boot, ten readings and a broker's restart.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(help="Repeat the random values of a run.", metavar="N")
    ] = None,
    artifacts: Annotated[
        Path, typer.Option(help="Logs and captures go here.", metavar="FOLDER")
    ] = Path("build/hil"),
) -> None:
    """Test a gateway on its board. Exit status 1 if a test fails or none ran."""
    if importlib.util.find_spec("pytest") is None:
        hint = f'{sys.executable} -m pip install "edgeuk[hil]"'
        raise ToolError("the Python package `pytest` is missing", hint=hint)
    if gateway is None and Path(GATEWAY).is_file():
        gateway = Path(GATEWAY)
    where = tests or scenarios(gateway)
    for path in where:
        if not path.exists():
            raise UsageError(f"no `{path}` here", hint="name test files, or leave them out")
    junit = junit or artifacts / "junit.xml"
    root = where[0] if where[0].is_dir() else where[0].parent
    named = {"--gateway": gateway, "--wiring": wiring, "--junitxml": junit, "--hil-seed": seed}
    command = [
        *(sys.executable, "-m", "pytest", "-c", "/dev/null", "--rootdir", str(root.resolve())),
        # By its name, whether or not its entry point is installed.
        *("-p", "no:edgeuk_hil", "-p", PLUGIN, "-p", "edgeuk.hil.live", "-p", "no:cacheprovider"),
        *("-p", "no:labgrid"),  # that plugin would take LG_ENV for its own, and change the log
        *("-q", "--no-header", "--tb=short", "--import-mode=importlib"),
        *("--board", board, "--target", target),
        *("--hil-artifacts", str(artifacts.absolute())),
        *(part for flag, v in named.items() if v is not None for part in (flag, str(v))),
        *(("-k", only) if only else ()),
        *(("-m", "quick") if quick else ()),
        *map(str, where),
    ]
    _end(_run(command), junit)
    _on_hardware(board, target)


def scenarios(gateway: Path | None) -> list[Path]:
    """Ours, and those in the folder `hil` beside the user's gateway file."""
    ours = data_roots().boards.parent / "hil"
    own = (gateway if gateway and gateway.is_dir() else (gateway or ours).parent) / "hil"
    found = [ours]
    if gateway and own.resolve() != ours.resolve() and list(own.rglob("test_*.py")):
        found.append(own)
    return found


def _run(command: list[str]) -> int:
    """pytest's exit status; Ctrl-C is pytest's, and it clears away what it started."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, preexec_fn=_take_ctrl_c)
    try:
        return child.wait()
    except BaseException:
        child.terminate()
        child.wait()
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _take_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(status: int, junit: Path) -> None:
    if status == NOTHING:
        say("error: no test ran")
    elif status in (0, 1):
        say(f"results: {junit}")
    codes = {INTERRUPTED: EXIT_INTERRUPTED, USAGE: UsageError.exit_code}
    if status:
        raise typer.Exit(codes.get(status, 1))


def _on_hardware(board: str, target: str) -> None:
    """What comes after a success in emulation."""
    flash = find_board(load_catalog(), board).flash
    if flash is None or target not in ("qemu", "virtual"):
        return
    if flash.method == "pyocd":
        next_step(f"edgeuk test --board {board} --target probe, with the board at its probe")
    else:
        to = {"mps2": "FOLDER", "file": "gateway.hex"}.get(flash.method, "/dev/sdX")
        next_step(f"edgeuk flash --board {board} --to {to}")
