"""`edgeuk decode`: what the addresses of a panic mean."""

import importlib
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from edgeuk.cli.common import (
    GATEWAY,
    DeviceOption,
    GatewayOption,
    JsonOption,
    command_app,
    load_project,
)
from edgeuk.cli.common import shown as shown_path
from edgeuk.cli.say import out, print_json, say
from edgeuk.decoder import BANNER, Decoder, Line, shown
from edgeuk.device_config import device_values
from edgeuk.errors import DeviceError, UsageError, VerificationError
from edgeuk.run.monitor import Monitor
from edgeuk.run.session import check_broker
from edgeuk.symbols import Program, with_build_id

app = command_app()

DEBUG = "gateway.debug.elf"
STDIN = "-"
NOTHING = "no addresses in there"
BOOT_S = 5.0  # a retained message comes at once


@app.command(epilog="Example:  edgeuk decode console.log")
def decode(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            help="A console's log, - for standard input (the default), or addresses.",
            metavar="FILE|-|0x...",
            show_default=False,
        ),
    ] = None,
    board: Annotated[
        str, typer.Option("--board", "-b", help="The image in build/B.", metavar="B")
    ] = "",
    elf: Annotated[
        Path | None, typer.Option(help="The image with its symbols.", metavar="FILE")
    ] = None,
    broker: Annotated[
        str, typer.Option(help="Read a device's last boot message here.", metavar="URL")
    ] = "",
    topic: Annotated[
        str, typer.Option(help="That device's topic; else the gateway file's.", metavar="T")
    ] = "",
    gateway: GatewayOption = Path(GATEWAY),
    device: DeviceOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Decode even what another build has printed.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Turn a panic's addresses into functions and lines. Exit status 4 if the console is of another
    build."""
    if board and elf:
        raise UsageError("--board or --elf, not both", hint="--elf names the file itself")
    if broker and what:
        raise UsageError("--broker or a log, not both", hint="leave one out")
    if broker:
        lines = [_boot_message(broker, topic, gateway, device)]
    else:
        lines = list(_lines(what or [STDIN]))
    if not json and not any("0x" in line for line in lines):
        say(NOTHING)  # whatever image it is of
        return
    program = _program(lines, board, elf, gateway)
    decoder = Decoder(program, force=force)
    found = [line for line in map(decoder.feed, lines) if line]
    known = sum(bool(call.frames) for line in found for call in line.calls)
    if json:
        _print_json(program, found)
    else:
        for line in found:
            for text in shown(line):
                out.print(text, markup=False)
    _judge(program, decoder, found, known)


def _judge(program: Program, decoder: Decoder, found: Sequence[Line], known: int) -> None:
    """Say what was not decoded. Raises `VerificationError` where that is all, as of another
    build."""
    path = shown_path(program.path)
    names = ", ".join(f"{board} {build}" for build, board in decoder.foreign.items())
    if decoder.foreign and not known:
        raise VerificationError(
            f"the console is of build {names}, {path} of {program.build_id} [E0831]",
            hint="--elf names the gateway.debug.elf of that build; --force decodes all the same",
        )
    if decoder.foreign:
        say(f"warning: lines of build {names} are left as they are: {path} is another one")
    if not found:
        say(NOTHING)
    elif not known:
        say(f"none of the addresses is in {path}")
    elif not any(line.build_id for line in found):
        say(f"decoded with {path} (build {program.build_id}); nothing says that it is that build")


def _print_json(program: Program, found: Sequence[Line]) -> None:
    lines = [
        {
            "text": line.text,
            "build_id": line.build_id,
            "calls": [
                {
                    "address": call.address,
                    "frames": [
                        {
                            "function": frame.function,
                            "file": frame.file,
                            "line": frame.line,
                            "inlined": frame.inlined,
                        }
                        for frame in call.frames
                    ],
                }
                for call in line.calls
            ],
        }
        for line in found
    ]
    image = {"elf": str(program.path), "board": program.board, "build_id": program.build_id}
    print_json({**image, "lines": lines})


def _lines(what: Sequence[str]) -> Iterator[str]:
    for name in what:
        if name == STDIN:
            if sys.stdin.isatty():
                say("reading the console from the terminal; Ctrl-D ends")
            yield from _text(sys.stdin.buffer.read())
        elif re.fullmatch("0x[0-9a-f]+", name):
            yield name
        elif "0x" in name and not Path(name).exists():
            yield from name.splitlines()  # a line of a console, as an argument
        else:
            try:
                yield from _text(Path(name).read_bytes())
            except OSError as e:
                hint = "a console's log, - for standard input, or addresses as 0x1234"
                raise UsageError(f"cannot read {name}: {e.strerror}", hint=hint) from None


def _text(data: bytes) -> list[str]:
    """Lines; a log may have serial frames in it."""
    return [line.rstrip("\r") for line in data.decode(errors="replace").split("\n")]


def _boot_message(url: str, topic: str, gateway: Path, device: Path | None) -> str:
    """What a device's last boot said of the one before."""
    values: dict[str, str] = {}
    if not topic or url.startswith("mqtts://"):  # what we need is in the gateway's files
        project = load_project(gateway, "", device)
        values = device_values(project.gateway, project.device)
        topic = topic or values.get("mqtt.topic") or values["name"]
    host, port = check_broker(url, values)
    user, password = values.get("mqtt.username", ""), values.get("mqtt.password", "")
    tls = None
    if values.get("mqtt.tls"):  # loaded for those only
        tls = importlib.import_module("edgeuk.run.tls").context(values)
    end = time.monotonic() + BOOT_S
    with Monitor(host, port, topic, user, password, tls=tls) as monitor:
        while (left := end - time.monotonic()) > 0:
            message = monitor.get(left)
            if message and message.kind == "boot":
                return message.payload.decode(errors="replace")
    hint = "is this its topic, and has it been online there?"
    raise DeviceError(f"no boot message at {host}:{port}, topic {topic}/boot", hint=hint)


def _program(lines: Sequence[str], board: str, elf: Path | None, gateway: Path) -> Program:
    """The image that was named, else the one that the console says it is, else the only one."""
    if elf:
        return Program(elf)
    folder = (gateway if gateway.is_dir() else gateway.parent) / "build"
    if board:
        name = Path(board).stem if board.endswith(".toml") else board
        path = folder / name / DEBUG
        if path.exists():
            return Program(path)
        raise UsageError(
            f"there is no {shown_path(path)} [E0832]",
            hint=f"edgeuk build --board {name}, if nothing has changed since; or --elf FILE",
        )
    built = sorted(folder.glob(f"*/{DEBUG}"))
    banners = [m for m in map(BANNER.search, lines) if m]
    for name, build_id in reversed([m.groups() for m in banners]):
        if program := with_build_id(built, build_id):
            return program
        if folder / name / DEBUG in built:  # it says so itself that it is another build
            return Program(folder / name / DEBUG)
    if len(built) == 1:
        return Program(built[0])
    what = f"{len(built)} images are" if built else "no image is"
    raise UsageError(
        f"{what} in {shown_path(folder)}, and the console does not say which it is [E0832]",
        hint="--board B, or --elf gateway.debug.elf",
    )
