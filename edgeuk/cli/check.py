"""`edgeuk check`: every fault of the files in one run, nothing built."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeuk.catalog import Catalog, check_board, load_catalog
from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    DeviceOption,
    GatewayOption,
    JsonOption,
    command_app,
    load_image,
    plural,
)
from edgeuk.cli.say import next_step, print_json, say, say_warnings
from edgeuk.errors import ConfigError, Fault
from edgeuk.gateway import load_device, load_gateway
from edgeuk.manifest import load_driver

app = command_app()
Checked = tuple[dict[str, Any], str]  # for --json, for a person
Files = Annotated[
    list[Path] | None,
    typer.Argument(help="Gateway, device, board or driver.toml files.", metavar="FILE"),
]


@app.command(epilog="Example:  edgeuk check --board lm3s6965evb --device device.toml")
def check(
    files: Files = None,
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Check the gateway, and whether the board can run it; or each FILE by itself. Exit status 2 if
    something is wrong."""
    if not files and board.endswith(".toml") and gateway == Path(GATEWAY) and not gateway.exists():
        files = [Path(board)]
    try:
        done, text = check_files(files) if files else check_project(gateway, board, device)
    except ConfigError as e:
        if not json:
            raise
        print_json({"ok": False, "faults": e.as_dicts()})
        raise typer.Exit(e.exit_code) from None
    if json:
        print_json(done)
    else:
        say(text)
        if files and len(files) == 1 and kind_of(files[0]) == "board":
            board = str(files[0])
        options = (f" --board {board}" if board else "") + (f" --device {device}" if device else "")
        next_step(f"edgeuk run{options}")


def check_project(gateway: Path, board: str, device: Path | None) -> Checked:
    """Gateway, board and device together."""
    project, image = load_image(gateway, board, device)
    count = len(image.gateway.sensors)
    what = f"{image.gateway.path}: no errors; {plural(count, 'sensor')} on {image.board.name}"
    what = f"{what}, with {', '.join(d.name for d in image.drivers)}"
    if device:
        what = f"{what}\n{device}: no errors"
    warnings = [f.as_dict() for f in project.warnings]
    done = {"ok": True, "board": image.board.name, "sensors": count, "faults": warnings}
    return done, what


def check_files(files: list[Path]) -> Checked:
    """Each file by itself. Raises `ConfigError` with the faults of all."""
    catalog = load_catalog()
    faults: list[Fault] = []
    fine = []
    for path in files:
        kind = kind_of(path)
        try:
            faults += check_file(path, kind, catalog)
            fine.append(f"{path}: no errors; read as a {kind} file")
        except ConfigError as e:
            faults += e.faults
    if any(f.is_error for f in faults):
        raise ConfigError(tuple(faults))
    say_warnings(faults)
    warnings = [f.as_dict() for f in faults]
    return {"ok": True, "files": [str(p) for p in files], "faults": warnings}, "\n".join(fine)


def check_file(path: Path, kind: str, catalog: Catalog) -> tuple[Fault, ...]:
    """The warnings of one file. Raises `ConfigError`."""
    if kind == "board":
        return check_board(path, catalog).warnings
    if kind == "gateway":
        return load_gateway(path, catalog).warnings
    if kind == "device":
        load_device(path)
    else:
        load_driver(path)
    return ()


def kind_of(path: Path) -> str:
    """What a file is meant to be, by its name, else by the tables that only one kind has."""
    if path.name == "driver.toml":
        return "driver"
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return "gateway"  # whose check says what is wrong
    if re.search(r"^\s*\[(devices|memory|roles|run)\b|^\s*cpu\s*=", text, re.MULTILINE):
        return "board"
    if re.search(r"^\s*\[\[?sensors?\b|^\s*schema\s*=|^\s*\[pipeline\b", text, re.MULTILINE):
        return "gateway"
    return "device" if text.strip() else "gateway"
