"""`edgeuk run`: build, boot and watch the readings arrive."""

import re
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from edgeuk.board import Board
from edgeuk.cache import clear_errors, write_atomic
from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    DeviceOption,
    GatewayOption,
    JsonOption,
    OutOption,
    ask_secret,
    build_image,
    command_app,
    load_image,
    need_tools,
    output_folder,
    plural,
    shown,
    waiting,
)
from edgeuk.cli.say import next_step, out, say
from edgeuk.cli.serve import serve
from edgeuk.cli.view import Json, Lines, Live, View
from edgeuk.decoder import named
from edgeuk.device_config import device_values
from edgeuk.errors import EXIT_INTERRUPTED, DeviceError, UsageError
from edgeuk.run import emulated
from edgeuk.run.monitor import Message
from edgeuk.run.session import Session, check_broker, session
from edgeuk.sealed import delivery

app = command_app()
POLL_S = 0.2  # how often the view looks for an end or a new second
SILENCE_S = 20.0  # after this without a reading, show what the console says
STORAGE_BYTES = 16384  # of a new one: docs/rotation.md
CONSOLE_KEPT = 1000  # lines that wait for the view
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


@app.command(
    epilog="Example:  edgeuk run --board virt-aarch64 --broker mqtt://localhost:1883 --for 30s"
)
def run(
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    broker: Annotated[
        str, typer.Option(help="A broker that is there; else one is started.", metavar="URL")
    ] = "",
    device: DeviceOption = None,
    duration: Annotated[
        str, typer.Option("--for", help="End after this time, as 30s or 2m.", metavar="TIME")
    ] = "",
    storage: Annotated[
        Path | None,
        typer.Option(help="What the device keeps, from one run to the next.", metavar="FILE"),
    ] = None,
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Build, boot and watch the readings arrive. Exit status 1 if none did by the end of --for."""
    limit_s = seconds(duration) if duration else float("inf")
    project, image = load_image(gateway, board, device)
    if not (image.board.qemu or image.board.unicorn or image.board.cpu == "host"):
        name = image.board.name
        what = f"nothing here runs an image of board `{name}`"
        raise UsageError(what, hint=f"edgeuk flash --board {name}, or another board: edgeuk boards")
    values = device_values(project.gateway, project.device)
    if broker:
        check_broker(broker, values)  # a wrong one is better known before the build
    seal, finished = delivery(project.gateway, project.device, ask_secret)
    if finished and broker:
        what = "a sealed configuration has its broker in it: --broker cannot be another one"
        raise UsageError(what, hint="where the CA's key is, --device NAME.toml can")
    if storage:
        _make_storage(image.board, storage)
    elif project.gateway.rotate and broker:
        say("without --storage FILE, the device cannot be given a new certificate (--rotate)")
    need_tools(image, qemu=True)
    if image.board.unicorn:
        emulated.check()
    result = build_image(image, folder)
    log = output_folder(image, folder) / "console.log"
    if not project.gateway.sensors:
        serve(image, result, values, log, limit_s, seal, finished, storage)
        return
    console: deque[str] = deque(maxlen=CONSOLE_KEPT)
    where = (image.board, result.image, values)
    with ExitStack() as stack:
        with waiting("starting the broker and the machine"):
            running = stack.enter_context(
                session(
                    *where,
                    broker_url=broker,
                    seal=seal,
                    finished=finished,
                    storage=storage,
                    log=log,
                    on_line=console.append,
                )
            )
        what = f"{values['name']} on {image.board.name}, {result.flash_bytes:,} bytes"
        view = _view(json, running, what)
        interrupted = _watch(view, running, console, limit_s, result.debug)
        tail = running.machine.tail()
    if view.count == 0 and not interrupted:
        say(f"error: no reading arrived; the console's last lines (all: {shown(log)}):\n{tail}")
        raise typer.Exit(1)
    say(f"{plural(view.count, 'reading')}; console: {shown(log)}")
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    next_step("edgeuk size, or edgeuk boards --for gateway.toml for other boards")


def _make_storage(board: Board, path: Path) -> None:
    """The file, if it is not there: nobody else may read what a device keeps. Raises `UsageError`
    for a board that keeps nothing."""
    if "storage" not in board.roles:
        what = f"board `{board.name}` has no role `storage`: it keeps nothing"
        raise UsageError(what, hint="leave out --storage; x86-microvm, host and others have one")
    if path.exists() and not path.is_file():
        raise UsageError(f"--storage `{path}` is no file")
    if not path.exists():
        with clear_errors(path.parent):
            write_atomic(path, bytes(STORAGE_BYTES), 0o600)
    if path.stat().st_size < STORAGE_BYTES:
        what = f"--storage `{path}` is smaller than {STORAGE_BYTES} bytes"
        raise UsageError(what, hint="name a file that is not there yet: it is made")


def _view(json: bool, running: Session, what: str) -> View:
    if json:
        return Json()
    heading = f"{what}\nbroker: {running.broker}; Ctrl-C ends"
    return Live(heading) if out.is_terminal else Lines(heading)


def _watch(view: View, running: Session, console: deque[str], limit_s: float, debug: Path) -> bool:
    """Show what comes until the limit; returns whether Ctrl-C ended it."""
    silent_until = time.monotonic() + SILENCE_S
    with view:
        try:
            for message in messages(running, limit_s, debug):
                while console:
                    view.console(console.popleft())
                view.show(message)
                if view.count == 0 and time.monotonic() > silent_until:
                    silent_until = float("inf")
                    view.silent(running.machine.tail(), SILENCE_S)
        except KeyboardInterrupt:
            return True
    return False


def seconds(text: str) -> float:
    """Of a duration as in gateway files. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", text)
    if not match:
        raise UsageError(f"`--for {text}` is no duration", hint="write 30s, 2m or 500ms")
    return float(match[1]) * UNITS[match[2] or "s"]


def messages(running: Session, limit_s: float, debug: Path) -> Iterator[Message | None]:
    """Messages until the limit; None about every POLL_S in between. Raises `DeviceError` when the
    machine ends by itself; `debug` has the names for a backtrace."""
    end = time.monotonic() + limit_s
    while (left := end - time.monotonic()) > 0:
        yield running.monitor.get(min(left, POLL_S))
        status = running.machine.poll()
        if status is not None:
            tail = named(running.machine.tail(24), debug)
            raise DeviceError(_ended(status, tail))


def _ended(status: int, tail: str) -> str:
    """Why a machine that should run for ever does not."""
    what = "the image panicked" if "panic: " in tail else "the machine ended by itself"
    how = f"was ended by signal {-status}" if status < 0 else f"status {status}"
    return f"{what} ({how}); the console's last lines:\n{tail}"
