"""`edgeuk size`: where the bytes are."""

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
from edgeuk.cli.say import next_step, out, print_json, print_table

app = typer.Typer()


@app.command(epilog="Example:  edgeuk size --board lm3s6965evb")
def size(
    gateway: GatewayOption = Path(GATEWAY), board: BoardOption = "", json: JsonOption = False
) -> None:
    """Show what takes flash and RAM, largest first: bytes, budget, change since the last build."""
    _, image = load_image(gateway, board)
    need_tools(image, qemu=False)
    sizes = build_image(image).sizes
    if json:
        print_json({"board": image.board.name} | sizes.to_json())
        return
    rows = [
        (
            p.part,
            f"{p.flash:,}",
            _budget(p.budget_flash),
            _change(p.flash, p.previous_flash),
            f"{p.ram:,}",
            _budget(p.budget_ram),
            _change(p.ram, p.previous_ram),
        )
        for p in sizes.parts
    ]
    rows.append(("total", f"{sizes.flash:,}", "", "", f"{sizes.ram:,}", "", ""))
    print_table(("part", ">flash", ">budget", ">change", ">RAM", ">budget", ">change"), rows)
    out.print(f"and a stack of {sizes.stack:,} bytes")
    next_step("edgeuk why component/NAME or driver/NAME says what brought a part in")


def _budget(limit: int | None) -> str:
    return "-" if limit is None else f"{limit:,}"


def _change(now: int, before: int | None) -> str:
    """Against the previous build; "new" for a part that it did not have."""
    if before is None:
        return "new"
    return f"{now - before:+,}" if now != before else "0"
