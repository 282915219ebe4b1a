"""`edgeuk debug`: gdb on the running image, wherever it runs."""

import importlib
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeuk.build import BuildResult, source_folders
from edgeuk.cli.board import need_virtual, virtual_name
from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    DeviceOption,
    GatewayOption,
    OutOption,
    ask_secret,
    build_image,
    command_app,
    load_image,
    need_tools,
    output_folder,
    waiting,
)
from edgeuk.cli.say import say
from edgeuk.device_config import device_values
from edgeuk.errors import DeviceError, ToolError, UsageError
from edgeuk.probe.parts import find_part
from edgeuk.resolve import Image
from edgeuk.run import emulated
from edgeuk.run.debugger import commands, find_gdb, run_gdb
from edgeuk.run.machine import Machine
from edgeuk.run.session import check_broker, peers, session
from edgeuk.sealed import delivery
from edgeuk.symbols import Program

app = command_app()
ENTRY = "*ek_main"  # gdb, left to itself, would look for the end of its prologue


@app.command(epilog="Example:  edgeuk debug --board lm3s6965evb --break mqtt_publish")
def debug(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            help="For gdb, behind --, as in `-- -batch -ex bt`.",
            metavar="[-- GDB-ARGUMENTS]",
            show_default=False,
        ),
    ] = None,
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    probe: Annotated[
        str,
        typer.Option(
            help="On the board behind a debug probe; `virtual` or `virtual:NAME`: a virtual one.",
            metavar="ID",
        ),
    ] = "",
    stop_at: Annotated[
        str, typer.Option("--break", help="Run up to here first.", metavar="PLACE")
    ] = ENTRY,
    gdb: Annotated[
        str, typer.Option(help="The debugger, if it is another one.", metavar="PATH")
    ] = "",
    broker: Annotated[
        str, typer.Option(help="A broker that is there; else one is started.", metavar="URL")
    ] = "",
    device: DeviceOption = None,
    folder: OutOption = None,
) -> None:
    """Open gdb on the running image, with its symbols and sources. Ends with gdb's exit status."""
    if broker and probe:
        raise UsageError("--broker or --probe, not both", hint="a board knows its own broker")
    project, image = load_image(gateway, board, device)
    virtual = image.board.qemu or image.board.unicorn
    if not virtual and image.board.cpu != "host" and not probe:
        what = f"nothing here debugs an image of board `{image.board.name}`"
        raise UsageError(what, hint="--probe ID for the board itself, or --probe virtual")
    need_tools(image, qemu=not probe)
    if image.board.unicorn and not probe:
        emulated.check()
    program = find_gdb(gdb, "" if image.board.cpu == "host" else image.cpu.target)
    values = device_values(project.gateway, project.device)
    if broker:
        check_broker(broker, values)  # a wrong one is better known before the build
    result = build_image(image, folder)
    sources = source_folders(image, output_folder(image, folder))
    call = _Call(program, image, result, sources, stop_at, arguments or [])
    if probe:
        raise typer.Exit(_through_probe(call, probe))
    seal, finished = delivery(project.gateway, project.device, ask_secret)
    around = {"broker_url": broker, "seal": seal, "finished": finished}
    if not virtual:
        raise typer.Exit(_process(call, values, around))
    log = output_folder(image, folder) / "console.log"
    raise typer.Exit(_virtual(call, values, around, log))


class _Call:
    """What is debugged, and what gdb was called with."""

    def __init__(
        self,
        gdb: str,
        image: Image,
        result: BuildResult,
        sources: Mapping[str, Path],
        stop_at: str,
        arguments: list[str],
    ) -> None:
        self.gdb, self.image, self.result, self.sources = gdb, image, result, sources
        self.stop_at, self.arguments = stop_at, arguments

    def run(self, *own: str) -> int:
        """gdb until it ends; `own` are its first commands."""
        with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
            script = Path(folder) / "start.gdb"
            script.write_text("".join(f"{command}\n" for command in own))
            first = commands(self.result.debug, self.sources, script)
            return run_gdb([self.gdb, *first, *self.arguments])


def _virtual(call: _Call, values: Mapping[str, str], around: Any, log: Path) -> int:
    """The machine waits for gdb before its first instruction."""
    board = call.image.board
    with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder:
        path = Path(folder) / "gdb"  # a name that no other user can get at
        over = threading.Event()  # what QEMU says of its end is not the image's

        def show(line: str) -> None:
            if not over.is_set():
                say(f"  | {line}")

        where = (board, call.result.image, values)
        with session(*where, **around, gdb=path, log=log, on_line=show) as running:
            assert isinstance(running.machine, Machine)
            with waiting("starting the machine"):  # then it listens, or has said why not
                running.machine.qmp("set-action", reboot="reset")
            say(f"{board.name} in {running.machine.NAME}; broker: {running.broker}")
            try:
                return call.run(f"target remote {path}", f"tbreak {call.stop_at}", "continue")
            finally:
                over.set()


def _process(call: _Call, values: Mapping[str, str], around: Any) -> int:
    """gdb starts it, so that it has the terminal."""
    with (
        peers(call.image.board, values, **around) as meets,
        tempfile.TemporaryDirectory(prefix="edgeuk-") as folder,
    ):
        config = Path(folder) / "config.bin"
        config.write_bytes(meets.blob)
        say(f"a process on this machine; broker: {meets.broker}")
        return call.run(f"set args --config {config}", f"tbreak {call.stop_at}", "run")


def _through_probe(call: _Call, wanted: str) -> int:
    """The image is in the board's flash already; if not, that is said."""
    board = call.image.board
    if board.flash is None or not board.flash.target:
        what = f"board `{board.name}` has no chip in [flash] that a probe could debug [E0801]"
        raise UsageError(what, hint="leave out --probe: then it runs in QEMU")
    target = board.flash.target
    name = virtual_name(board.name, wanted)
    part = find_part(target)
    if name and part and not part.machine:
        hint = "leave out --probe: then it runs in edgeuk's model of the board"
        what = f"a virtual {target} can be flashed, but runs no image to debug"
        raise UsageError(what, hint=hint if board.unicorn else "--probe ID: the board itself")
    if name:
        need_virtual(name, board.name, target)
    cortex_m, server = _pyocd("cortex_m"), _pyocd("debug")
    probe = cortex_m.find_probe(f"virtual:{name}" if name else wanted)
    symbols = Program(call.result.debug)
    at, size = symbols.address_of("ek_build_id")
    found = server.read_running(probe, target, at, size).partition(b"\0")[0]
    if found != symbols.build_id.encode():
        has = f"build {found.decode()}" if found.isalnum() else "no image of edgeuk"
        raise DeviceError(
            f"the board's flash has {has}; this is build {symbols.build_id} [E0834]",
            hint=f"edgeuk flash --board {board.name} --probe {wanted}, then debug",
        )
    identity = f"virtual:{name}" if name else probe.identity
    with server.gdb_server(identity, target) as port:
        say(f"{board.name} at probe {identity}")
        if name:
            say(f"its console: edgeuk board console {name}")
        return call.run(
            f"target remote localhost:{port}",
            "monitor reset halt",
            f"thbreak {call.stop_at}",
            "continue",
        )


def _pyocd(module: str) -> Any:
    """A module that needs pyOCD. Raises `ToolError` where that is missing."""
    try:
        return importlib.import_module(f"edgeuk.flash.{module}")
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edgeuk"):
            raise
        hint = f'{sys.executable} -m pip install "edgeuk[flash]"'
        package = (e.name or "").partition(".")[0]
        raise ToolError(f"the Python package `{package}` is missing [E0803]", hint=hint) from None
