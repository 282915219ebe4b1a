"""`edgeuk flash`: write an image to a board or a card, and make sure that it is there."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeuk.board import Board
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.board import need_virtual, virtual_name
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
    plural,
    progress,
    shown,
)
from edgeuk.cli.flash_card import Options, Work, ask, onto_card
from edgeuk.cli.flash_console import ProbePort, first_lines
from edgeuk.cli.flash_file import into_file, onto_drive
from edgeuk.cli.say import next_step, out, print_json, say
from edgeuk.device_config import MAGIC, copies, device_values, encode
from edgeuk.errors import ToolError, UsageError
from edgeuk.flash.disks import check_target
from edgeuk.flash.plan import CONFIGURATION, Piece, Plan, check_image, pieces_of
from edgeuk.probe import client
from edgeuk.probe.parts import find_part
from edgeuk.run.serial import is_serial
from edgeuk.sealed import ENDING, device_key, sealer

app = command_app()

VIRTUAL = "virtual"
KEPT = ("pyocd", "file")  # methods that leave the configuration's pages alone where they have none


@app.command(
    epilog="Example:  edgeuk flash --board microbit --probe virtual, or --board rpi4 --to /dev/sdX"
)
def flash(
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    device: DeviceOption = None,
    probe: Annotated[
        str,
        typer.Option(help="A debug probe, where there are several; or `virtual`.", metavar="ID"),
    ] = "",
    to: Annotated[
        Path | None,
        typer.Option(help="The card, a file, or the board's drive.", metavar="/dev/sdX"),
    ] = None,
    firmware_dir: Annotated[
        Path | None,
        typer.Option(help="Where the maker's boot files are.", metavar="FOLDER"),
    ] = None,
    no_firmware: Annotated[
        bool, typer.Option("--no-firmware", help="The board has its boot loader already.")
    ] = False,
    image: Annotated[
        Path | None,
        typer.Option(help="Write this ELF file instead of building.", metavar="FILE"),
    ] = None,
    folder: OutOption = None,
    unlock: Annotated[
        bool, typer.Option("--unlock", help="Erase the whole chip where it is locked.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be done.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Write the image to a board, read it back and start it."""
    options = Options(dry_run, yes, unlock, json, no_firmware)
    if to is not None and not to.is_dir():
        check_target(to)  # a wrong one is better known before the build
    work = _work(gateway, board, device, image, folder)
    name, method = work.board.name, work.board.flash
    assert method is not None
    if method.method == "pyocd":
        if to is not None or no_firmware:
            what = f"board `{name}` is flashed through a probe, not --to [E0802]"
            raise UsageError(what, hint=f"edgeuk flash --board {name} --probe virtual")
        _through_probe(work, method.target, probe, options)
        return
    if probe:
        raise UsageError(f"board `{name}` is not flashed through a probe [E0802]", hint=_to(work))
    if method.method == "file":
        into_file(work, method, [*pieces_of(work.image), *_config(work)], to, options)
    elif to is None:
        where = "loads what is on its USB drive" if method.method == "mps2" else "boots from a card"
        raise UsageError(f"board `{name}` {where}: --to says which [E0802]", hint=_to(work))
    elif method.method == "mps2":
        onto_drive(work, method, [*pieces_of(work.image), *_config(work)], to, options)
    else:
        onto_card(work, method, to, firmware_dir, options)


def _to(work: Work) -> str:
    """What `--to` would be."""
    command = f"edgeuk flash --board {work.board.name} --to"
    method = work.board.flash.method if work.board.flash else ""
    if method == "mps2":
        return f"{command} /media/you/V2M_MPS2, where its drive is mounted"
    return f"{command} gateway.hex" if method == "file" else f"{command} /dev/sdX, or --to FILE"


def _flashed(board: Board) -> Board:
    """The same. Raises `UsageError` if it is not flashed."""
    if board.flash:
        return board
    others = f"to be flashed are {', '.join(_flashable())}"
    if board.qemu or board.cpu == "host":
        what = f"board `{board.name}` has no [flash]: it is run, not flashed [E0801]"
        raise UsageError(what, hint=f"`edgeuk run --board {board.name}` starts it; {others}")
    what = f"board `{board.name}` has no [flash] [E0801]"
    raise UsageError(what, hint=f"add [flash] to its file; {others}")


def _work(
    gateway: Path, board: str, device: Path | None, image: Path | None, folder: Path | None
) -> Work:
    """Build, unless an image is given."""
    if image is not None:
        if not board:
            raise UsageError("--image needs --board B", hint="`edgeuk boards` lists them")
        catalog = load_catalog()
        known = _flashed(find_board(catalog, board))
        check_image(image, known, catalog.boards)
        return Work(known, image, _finished(device))
    project, resolved = load_image(gateway, board, device)
    _flashed(project.board)
    need_tools(resolved, qemu=False)
    method = project.board.flash
    if project.gateway.seal_key and not project.device and method and method.method in KEPT:
        # An identity is the device's, not the image's: it outlives it.
        say("the device configuration on the board stays; --device NAME.bin writes another")
        return Work(project.board, build_image(resolved, folder).image, b"")
    values = device_values(project.gateway, project.device)
    config = project.device.blob if project.device else b""
    if not config:
        seal = sealer(project.gateway, ask_secret)
        key = None
        if project.device and "device_key" in project.board.roles:
            key = device_key(project.device.path)
        config = encode(values, board=project.board.name, seal=seal, device_key=key)
    result = build_image(resolved, folder)
    return Work(project.board, result.image, config)


def _finished(path: Path | None) -> bytes:
    """The device configuration beside an image that was built elsewhere."""
    if path is None:
        return b""
    blob = path.read_bytes() if path.name.endswith(ENDING) and path.is_file() else b""
    if not blob.startswith(MAGIC):
        hint = f"`edgeuk provision` makes NAME{ENDING}"
        what = "with --image, --device names a finished device configuration"
        raise UsageError(what, where=str(path), hint=hint)
    return blob


def _through_probe(work: Work, target: str, wanted: str, options: Options) -> None:
    name = virtual_name(work.board.name, wanted)
    cortex_m = _cortex_m()
    runs = not name or need_virtual(name, work.board.name, target, dry_run=options.dry_run)
    if runs:
        probe = cortex_m.find_probe(f"{VIRTUAL}:{name}" if name else wanted)
    else:
        probe = cortex_m.Probe(name, "a virtual board, which would be started", None)
    pieces = [*pieces_of(work.image), *_config(work)]
    plan = cortex_m.make_plan(work.board.name, work.board.cpu, target, probe, pieces)
    _show(plan, work.image, options)
    if options.dry_run:
        if options.json:
            print_json({**plan.to_json(), "done": False})
        return
    if not name:
        ask(f"write to the {plan.board} at probe {plan.probe}?", options)
    with ProbePort("" if name else plan.probe) as port:

        def told(part: float) -> None:
            step(int(part * 100), 100, "")
            port.forget()  # the chip is stopped: what comes later is of the new image

        with progress(f"writing to {plan.board}") as step:
            result = cortex_m.flash(plan, probe, unlock=options.unlock, progress=told)
        lines = _console(name) if name else port.lines()
    if options.json:
        figures = {
            "sectors_erased": result.erased,
            "bytes_programmed": result.programmed,
            "bytes_identical": result.identical,
            "seconds": round(result.seconds, 3),
        }
        print_json({**plan.to_json(), "done": True, **figures, "console": lines})
        return
    _tell(work.board, plan, result, lines, name)
    if not name:
        _after(work, port.path)


def _flashable() -> list[str]:
    """Boards with a table [flash]."""
    catalog = load_catalog()
    return [name for name in sorted(catalog.boards) if find_board(catalog, name).flash]


def _cortex_m() -> Any:
    """The module that needs pyOCD. Raises `ToolError` where that is missing."""
    try:
        return importlib.import_module("edgeuk.flash.cortex_m")
    except ModuleNotFoundError as e:
        if (e.name or "").startswith("edgeuk"):
            raise
        hint = f'{sys.executable} -m pip install "edgeuk[flash]"'
        package = (e.name or "").partition(".")[0]
        raise ToolError(f"the Python package `{package}` is missing [E0803]", hint=hint) from None


def _config(work: Work) -> list[Piece]:
    """The device configuration, where the board has a page of flash for it."""
    region = work.board.memory.get("config")
    if not work.config or region is None or "flash" not in work.board.memory:
        return []
    if len(work.config) > region.size:
        what = f"the device configuration has {len(work.config)} bytes [E0701]"
        raise UsageError(what, hint=f"the board keeps {region.size} for it: use shorter values")
    pieces = copies(work.config, region.size)
    return [Piece(region.base + at, blob, CONFIGURATION) for at, blob in pieces.items()]


def _show(plan: Plan, image: Path, options: Options) -> None:
    """What will be done."""
    if options.json:
        return
    out.print(f"board   {plan.board} ({plan.target})", markup=False)
    out.print(f"probe   {plan.probe}, {plan.probe_is}", markup=False)
    out.print(f"image   {shown(image.resolve())}", markup=False)
    for piece in plan.pieces:
        out.print(f"write   {len(piece.data):,} bytes at {piece.address:#x}: {piece.what}")
    erase = sum(s.size for s in plan.sectors)
    out.print(f"erase   at most {plural(len(plan.sectors), 'sector')}, {erase:,} bytes")


def _tell(board: Board, plan: Plan, result: Any, lines: Sequence[str], name: str) -> None:
    same = f", {result.identical:,} were there already" if result.identical else ""
    out.print(f"erased  {plural(result.erased, 'sector')}")
    out.print(f"wrote   {result.programmed:,} bytes{same}; read back and right")
    out.print(f"done    in {result.seconds:.1f} s")
    for line in lines:
        out.print(f"  | {line}", markup=False)
    if not name:
        return
    part = find_part(plan.target)
    look = f"pyocd cmd --probe virtual:{name} -t {plan.target}"
    if lines:
        next_step(f"edgeuk debug --board {plan.board} --probe virtual:{name}")
    elif part and part.machine:
        say("its console is silent")
        next_step(look)
    else:
        say("this virtual board is flashed and read, but runs nothing")
        elsewhere = board.unicorn or board.qemu
        next_step(f"edgeuk run --board {board.name}, in an emulator" if elsewhere else look)


def _after(work: Work, port: Path | None) -> None:
    """What to do with a real board."""
    console = f"its console ({port})" if port else "its console"
    if is_serial(work.board):
        next_step(f"edgeuk bridge --port {port or '/dev/ttyACM0'} publishes its readings")
    else:
        next_step(f"watch {console}, and the readings at your broker")


def _asleep(name: str) -> bool:
    return any(s.name == name and s.state == "asleep" for s in client.boards())


def _console(name: str) -> list[str]:
    """The first lines that a virtual board prints after its reset."""
    if _asleep(name):
        return []
    with client.Connection(name) as connection:
        return first_lines(lambda: connection.console()[1])
