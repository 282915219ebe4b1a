"""`edgeuk check`: every fault of the files in one run, nothing built."""

from pathlib import Path

import typer

from edgeuk.cli.common import GATEWAY, BoardOption, GatewayOption, JsonOption, load_image
from edgeuk.cli.say import next_step, print_json, say
from edgeuk.errors import ConfigError

app = typer.Typer()


@app.command(epilog="Example:  edgeuk check --board lm3s6965evb")
def check(
    gateway: GatewayOption = Path(GATEWAY), board: BoardOption = "", json: JsonOption = False
) -> None:
    """Check the gateway file and whether the board can run it. Exit status 2 if not."""
    try:
        _, image = load_image(gateway, board)
    except ConfigError as e:
        if not json:
            raise
        print_json({"ok": False, "faults": e.as_dicts()})
        raise typer.Exit(e.exit_code) from None
    count = len(image.gateway.sensors)
    if json:
        print_json({"ok": True, "board": image.board.name, "sensors": count, "faults": []})
        return
    say(f"{image.gateway.path}: no faults, {count} sensor{'s' * (count != 1)}, ")
    say(f"runs on {image.board.name} with {', '.join(d.name for d in image.drivers)}")
    next_step(f"edgeuk run --board {image.board.name}")
