"""`edgeuk build`: from gateway file to image."""

from pathlib import Path

import typer

from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    GatewayOption,
    JsonOption,
    build_image,
    load_image,
    need_tools,
)
from edgeuk.cli.say import next_step, out, print_json

app = typer.Typer()


@app.command(epilog="Example:  edgeuk build --board lm3s6965evb --json")
def build(
    gateway: GatewayOption = Path(GATEWAY), board: BoardOption = "", json: JsonOption = False
) -> None:
    """Build the image of a gateway for a board."""
    _, image = load_image(gateway, board)
    need_tools(image, qemu=False)
    result = build_image(image)
    if json:
        print_json(
            {
                "board": result.board,
                "image": str(result.image),
                "sha256": result.sha256,
                "flash_bytes": result.flash_bytes,
                "ram_bytes": result.ram_bytes,
                "seconds": round(result.seconds, 3),
            }
        )
        return
    out.print(f"image   {result.image}", markup=False)
    out.print(f"sha256  {result.sha256}")
    out.print(f"flash   {result.flash_bytes:,} bytes")
    out.print(f"RAM     {result.ram_bytes:,} bytes")
    out.print(f"built   in {result.seconds:.1f} s{' (nothing to do)' * result.cached}")
    next_step(f"edgeuk run --board {result.board}, or `edgeuk size --board {result.board}`")
