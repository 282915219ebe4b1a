"""`edgeuk board`: virtual boards, which a debugger can flash and run without any hardware."""

import base64
import os
import pty
import select
import sys
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from json import loads
from typing import Annotated

import typer

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.board_console import Readable
from edgeuk.cli.common import JsonOption, command_app
from edgeuk.cli.say import next_step, out, print_json, print_table, say
from edgeuk.errors import DeviceError, UsageError
from edgeuk.probe import client
from edgeuk.probe.parts import PARTS, find_part

app = command_app()
POLL_S = 0.02  # the daemon has no events to wait for
SERIAL_CHUNK = 4096


class Power(StrEnum):
    """What a switch can be."""

    on = "on"
    off = "off"


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
    look = f"pyocd cmd --probe virtual:{name} -t {target}"
    of = [b for b in _with_chip() if find_part(target_of(b)) is find_part(target)]
    if name in of:
        next_step(f"edgeuk flash --board {name} --probe virtual, or {look}")
    elif of:
        next_step(f"edgeuk flash --board {of[0]} --probe virtual:{name}, or {look}")
    else:
        next_step(f"pyocd flash --probe virtual:{name} -t {target} FILE, or {look}")


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


@app.command(epilog="Example:  edgeuk board console microbit --follow")
def console(
    name: NameArgument,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, over resets too.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Its bytes as they are, as in a pipe.")
    ] = False,
) -> None:
    """Show what the image has printed since its last reset; on a terminal, frames of readings as
    lines of text."""
    readable = None if raw or not sys.stdout.isatty() else Readable()
    with client.Connection(name) as connection:
        since, data = connection.console()
        while True:
            shown = readable.feed(data).encode() if readable else data
            sys.stdout.buffer.write(shown)
            sys.stdout.buffer.flush()
            if not follow:
                return
            time.sleep(POLL_S)
            since, data = connection.console(since)


@app.command("type", epilog="Example:  edgeuk board type microbit 'hello\\n'")
def type_(
    name: NameArgument,
    text: Annotated[str, typer.Argument(help=r"What to send; \n, \r and \xNN as in C.")],
) -> None:
    """Send text to the image's serial port."""
    try:
        data = text.encode().decode("unicode_escape").encode("latin-1")
    except (UnicodeDecodeError, UnicodeEncodeError):
        raise UsageError(f"`{text}` cannot be sent", hint=r"a byte is \xNN") from None
    with client.Connection(name) as connection:
        connection.ask("type", data=base64.b64encode(data).decode())


@app.command(epilog="Example:  edgeuk board serial microbit, then edgeuk bridge --port PATH")
def serial(name: NameArgument) -> None:
    """Make the board's serial port a device of this machine, until Ctrl-C."""
    with client.Connection(name) as connection, pseudo_terminal() as (line, path):
        print(path, flush=True)
        say(f"the serial port of `{name}`; Ctrl-C ends")
        since, data = connection.console(connection.console()[0])
        while True:
            with suppress(BlockingIOError):  # nobody reads: as on a wire, it is lost
                os.write(line, data)
            if select.select([line], [], [], POLL_S)[0]:
                typed = base64.b64encode(os.read(line, SERIAL_CHUNK)).decode()
                connection.ask("type", data=typed)
            since, data = connection.console(since)


@contextmanager
def pseudo_terminal() -> Iterator[tuple[int, str]]:
    """One end, and the name of the other; raw, and there even while nobody has it open."""
    ours, theirs = pty.openpty()
    try:
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


@app.command(epilog="Example:  edgeuk board power microbit off")
def power(
    name: NameArgument,
    state: Annotated[Power, typer.Argument(help="Its new state.")],
) -> None:
    """Switch the power on or off; the flash is kept."""
    with client.Connection(name) as connection:
        connection.ask("power", on=state is Power.on)
    say(f"virtual board `{name}` is {state.value}")


@app.command(epilog="Example:  edgeuk board reset microbit")
def reset(name: NameArgument) -> None:
    """Press the reset button."""
    with client.Connection(name) as connection:
        connection.ask("reset")
    say(f"virtual board `{name}` starts anew")


@app.command(epilog="Example:  edgeuk board pin microbit 17 0")
def pin(
    name: NameArgument,
    number: Annotated[int, typer.Argument(help="The chip's number of it.")],
    level: Annotated[
        int | None, typer.Argument(help="Drive it from outside.", min=0, max=1, metavar="[0|1]")
    ] = None,
) -> None:
    """Show the level of a digital pin, or drive it from outside."""
    with client.Connection(name) as connection:
        if level is None:
            print(int(connection.ask("pin", pin=number)))
        else:
            connection.ask("pin", pin=number, level=level)


@app.command(
    "property",
    epilog="Example:  edgeuk board property b /machine/peripheral/t0 temperature 21500",
)
def property_(
    name: NameArgument,
    path: Annotated[str, typer.Argument(help="The device's path in QEMU's object model.")],
    what: Annotated[str, typer.Argument(help="Its property.", metavar="PROPERTY")],
    value: Annotated[
        str, typer.Argument(help="A number, true or false; none: show it.", show_default=False)
    ] = "",
) -> None:
    """Show or change what a device of the emulation senses."""
    with client.Connection(name) as connection:
        if not value:
            print_json(connection.ask("property", path=path, name=what))
            return
        try:
            number = loads(value)
        except ValueError:
            number = None
        if not isinstance(number, (bool, int)):
            raise UsageError(f"`{value}` is no value", hint="a whole number, true or false")
        connection.ask("property", path=path, name=what, value=number)


def target_of(name: str) -> str:
    """The chip of a board of this name, or the name itself. Raises `UsageError`."""
    if find_part(name):
        return name
    catalog = load_catalog()
    if name in catalog.boards:
        flash = find_board(catalog, name).flash
        if flash and flash.target:
            return flash.target
        what = f"board `{name}` has no chip that a virtual board could be [E0816]"
        can = ", ".join(_with_chip())
        raise UsageError(what, hint=f"{can} have one; `edgeuk run --board {name}` runs an image")
    hint = f"a board, or --target CHIP: {', '.join(PARTS)}"
    raise UsageError(f"no board `{name}` [E0816]", hint=hint)


def _with_chip() -> list[str]:
    """Boards that a virtual board can stand for."""
    catalog = load_catalog()
    flashed = {name: find_board(catalog, name).flash for name in sorted(catalog.boards)}
    return [name for name, flash in flashed.items() if flash and find_part(flash.target)]


def virtual_name(board: str, wanted: str) -> str:
    """The virtual board that `--probe virtual` or `virtual:NAME` means; "" for a real probe."""
    if wanted == "virtual":
        return board
    return wanted.removeprefix("virtual:") if wanted.startswith("virtual:") else ""


def need_virtual(name: str, board: str, target: str, *, dry_run: bool = False) -> bool:
    """Start virtual board `name` where it does not run, but not for a `dry_run`; `target` is the
    chip of `board`. Whether it runs now. Raises `DeviceError` for one that is switched off."""
    if not client.is_running(name):
        chip = target if name == board else target_of(name)
        client.check_part(chip)
        if dry_run:
            return False
        client.start(name, chip)
        say(f"started virtual board `{name}`; `edgeuk board stop {name}` ends it")
    elif any(s.name == name and s.state == "off" for s in client.boards()):
        what = f"virtual board `{name}` is switched off [E0810]"
        raise DeviceError(what, hint=f"edgeuk board power {name} on")
    return True
