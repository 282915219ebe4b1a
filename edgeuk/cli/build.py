"""`edgeuk build`: from gateway file to image."""

from pathlib import Path

from edgeuk.cli.common import (
    GATEWAY,
    BoardOption,
    GatewayOption,
    JsonOption,
    OutOption,
    build_image,
    command_app,
    load_image,
    need_tools,
    shown,
)
from edgeuk.cli.say import next_step, out, print_json

app = command_app()


@app.command(epilog="Example:  edgeuk build --board lm3s6965evb --json")
def build(
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Build the image of a gateway for a board."""
    _, image = load_image(gateway, board)
    need_tools(image, qemu=False)
    result = build_image(image, folder)
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
    out.print(f"image   {shown(result.image)}", markup=False)
    out.print(f"sha256  {result.sha256}")
    out.print(f"flash   {result.flash_bytes:,} bytes")
    out.print(f"RAM     {result.ram_bytes:,} bytes, and a stack of {result.stack_bytes:,}")
    out.print(f"built   in {result.seconds:.1f} s{', nothing had changed' * result.cached}")
    name = f" --board {board}" if board else ""
    next_step(f"edgeuk run{name}, or edgeuk size{name}")
