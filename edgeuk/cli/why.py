"""`edgeuk why NAME`: the chain of reasons behind a part of the image."""

from pathlib import Path

import typer

from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    GatewayOption,
    JsonOption,
    command_app,
    load_image,
)
from edgeuk.cli.say import next_step, out, print_json
from edgeuk.resolve import why as reasons_for

app = command_app()


@app.command(epilog="Example:  edgeuk why driver/virtio_net")
def why(
    name: str = typer.Argument(
        help="driver/NAME, component/NAME, device/NAME or arch/NAME.", metavar="NAME"
    ),
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    json: JsonOption = False,
) -> None:
    """Say why something is in the image, or why not."""
    project, image = load_image(gateway, board)
    chain = reasons_for(image, name, project.catalog)
    if json:
        print_json({"name": name, "in_image": name in image.reasons, "reasons": list(chain)})
        return
    for depth, reason in enumerate(chain):
        out.print(f"{'   ' * (depth - 1)}{'└─ ' * (depth > 0)}{reason}", markup=False)
    next_step("edgeuk size, which shows what it costs")
