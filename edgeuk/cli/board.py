"""`edgeuk board`: virtual boards, which a debugger can flash and run without any hardware."""

from typing import Annotated

import typer

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import JsonOption, command_app
from edgeuk.cli.say import next_step, out, print_json, print_table, say
from edgeuk.errors import DeviceError, UsageError
from edgeuk.probe import client
from edgeuk.probe.parts import PARTS, find_part

app = command_app()

NameArgument = Annotated[str, typer.Argument(help="The virtual board.", metavar="NAME")]


@app.callback(epilog="Example:  edgeuk board start microbit")
def board() -> None:
    """Virtual boards: flash, run and debug an image without hardware."""


@app.command(epilog="Example:  edgeuk board start microbit")
def start(
    name: NameArgument,
    target: Annotated[
        str,
        typer.Option(help="The microcontroller, where NAME is no board's.", metavar="CHIP"),
    ] = "",
) -> None:
    """Start a virtual board; it has in its flash what was there last."""
    target = target or target_of(name)
    fresh = client.start(name, target)
    say(f"virtual board `{name}` {'runs' if fresh else 'was running already'}")
    next_step(f"edgeuk flash --board {name} --probe virtual, or pyocd cmd --probe virtual:{name}")


@app.command(epilog="Example:  edgeuk board stop microbit")
def stop(name: NameArgument) -> None:
    """Stop a virtual board; its flash is kept."""
    if not client.stop(name):
        raise DeviceError(
            f"virtual board `{name}` does not run [E0817]", hint="`edgeuk board list` shows them"
        )
    say(f"virtual board `{name}` is stopped, its flash kept")


@app.command("list", epilog="Example:  edgeuk board list --json")
def list_(json: JsonOption = False) -> None:
    """List virtual boards that run, and chips that there are."""
    found = client.boards()
    if json:
        rows = [{"name": s.name, "target": s.target, "state": s.state} for s in found]
        print_json({"boards": rows, "chips": list(PARTS)})
        return
    if found:
        rows_ = [(s.name, s.target, s.state, s.detail) for s in found]
        print_table(("board", "chip", "state", "why"), rows_)
    else:
        say("no virtual board runs")
    out.print()
    chips = [(n, p.summary, p.engines, p.machine or "nothing") for n, p in PARTS.items()]
    print_table(("chip", "what it is", "emulated by", "runs the image"), chips)
    next_step("edgeuk board start NAME")


def target_of(name: str) -> str:
    """The chip of a board of this name, or the name itself. Raises `UsageError`."""
    if find_part(name):
        return name
    catalog = load_catalog()
    if name in catalog.boards:
        flash = find_board(catalog, name).flash
        if flash and flash.target:
            return flash.target
        hint = f"--target CHIP: {', '.join(PARTS)}"
        raise UsageError(f"board `{name}` names no chip in [flash] [E0816]", hint=hint)
    hint = f"a board, or --target CHIP: {', '.join(PARTS)}"
    raise UsageError(f"no board `{name}` [E0816]", hint=hint)
