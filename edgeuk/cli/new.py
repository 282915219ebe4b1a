"""`edgeuk new NAME`: a folder with a gateway file that runs at once; `edgeuk new driver NAME` and
`edgeuk new board NAME`: the files to begin one with."""

import re
from pathlib import Path

import typer

from edgeuk import scaffold, scaffold_board
from edgeuk.cache import write_atomic
from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import GATEWAY, JsonOption, command_app
from edgeuk.cli.say import next_step, print_json, say
from edgeuk.errors import BuildError, UsageError
from edgeuk.paths import data_roots

app = command_app()

GATEWAY_TEXT = """\
# What this gateway does. `edgeuk check` checks it, `edgeuk run` boots it in QEMU.
schema = 1
name = "{name}"

[mqtt]
url = "mqtt://localhost:1883" # localhost: the machine that runs QEMU
topic = "sites/demo/{name}"

# A simulated sensor, so that there is something to see. Every record says that it is simulated.
[[sensor]]
name = "wave"
driver = "sim"
shape = "sine"
low = 18
high = 24
period = "20s"
unit = "Cel"
every = "1s"
filter = [{{ median = 3 }}, {{ round = 0.1 }}]

# A Modbus TCP meter; [servers] gives its address, a device file may override it.
# [servers]
# meter = "192.168.1.50:502"
#
# [[sensor]]
# name = "voltage"
# driver = "modbus_tcp"
# at = "meter/1" # server/unit
# register = "input:0"
# type = "float32"
# unit = "V"
# every = "1s"
"""
DEVICE_TEXT = """\
# What differs between devices with the same image: `edgeuk run --device device.toml`.
# Keep it out of version control when it holds a password.
name = "{name}-1"

# [mqtt]
# url = "mqtt://broker.example:1883"
# username = "{name}-1"
# password = "..."
"""
IGNORE_TEXT = "build/\ndevice.toml\n"


KINDS = ("driver", "board")


@app.command(
    epilog="Example:  edgeuk new greenhouse && cd greenhouse && edgeuk run; "
    "or edgeuk new driver mcp9808; or edgeuk new board my-board --like imx6ul-evk"
)
def new(
    name: str = typer.Argument(
        help="The gateway's name, and its folder's; or `driver` or `board`.", metavar="NAME"
    ),
    other: str = typer.Argument("", help="The driver's or board's name.", metavar="[NAME]"),
    cls: str = typer.Option("sensor", "--class", help="Of a driver: what it drives."),
    like: str = typer.Option("", "--like", help="Of a board: the board to begin with."),
    json: JsonOption = False,
) -> None:
    """Start a gateway: a folder with a gateway.toml that runs. Or, in a checkout of edgeuk, a
    driver or a board with its tests."""
    if name in KINDS and not other:
        raise UsageError(f"which {name}?", hint=f"edgeuk new {name} NAME")
    if other and name not in KINDS:
        raise UsageError(
            f"too many names: `{other}`", hint="edgeuk new NAME, or edgeuk new driver NAME"
        )
    if name == "driver":
        _begin(scaffold.driver_files(other, cls, data_roots()), json)
        next_step(f"edit them, then: scripts/test tests/drivers/test_{other}.py")
    elif name == "board":
        if not like:
            hint = "edgeuk new board NAME --like BOARD; `edgeuk boards` lists them"
            raise UsageError("which board is it like?", hint=hint)
        board = find_board(load_catalog(), like)
        _begin(scaffold_board.board_files(other, board, data_roots()), json)
        words = " or ".join(dict.fromkeys((other, other.replace("-", "_"))))
        tests = f"scripts/test -k '{words}'"
        next_step(f"edit them, then: edgeuk check boards/{other}.toml && {tests}")
    else:
        _gateway(name, json)


def _begin(files: scaffold.Files, json: bool) -> None:
    """Write all of them, or, where one is there already, none."""
    for path in files:
        if path.exists():
            raise UsageError(f"`{path}` is there already", hint="choose another name")
    try:
        for path, text in files.items():
            write_atomic(path, text.encode())
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        raise BuildError(f"cannot write `{e.filename or path}`: {reason}") from None
    if json:
        print_json({"files": [str(path) for path in files]})
    else:
        for path in files:
            say(f"{path}")


def _gateway(name: str, json: bool) -> None:
    folder = Path(name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,31}", folder.name):
        raise UsageError(
            f"`{folder.name}` cannot be a gateway's name",
            hint="letters, digits and `-`, at most 32, beginning with a letter or digit",
        )
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"`{folder}` exists and is not empty", hint="choose another name")
        folder.mkdir(parents=True, exist_ok=True)
        files = {
            GATEWAY: GATEWAY_TEXT.format(name=folder.name),
            "device.toml": DEVICE_TEXT.format(name=folder.name),
            ".gitignore": IGNORE_TEXT,
        }
        for file, text in files.items():
            (folder / file).write_text(text)
    except OSError as e:
        reason = (e.strerror or str(e)).lower()
        raise BuildError(f"cannot write `{e.filename or folder}`: {reason}") from None
    if json:
        print_json({"folder": str(folder), "files": list(files)})
        return
    say(f"{folder}/ has {', '.join(files)}")
    next_step(f"cd {folder} && edgeuk run")
