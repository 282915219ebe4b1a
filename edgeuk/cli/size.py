"""`edgeuk size`: where the bytes are."""

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
)
from edgeuk.cli.say import next_step, out, print_json, print_table

app = command_app()


@app.command(epilog="Example:  edgeuk size --board lm3s6965evb")
def size(
    gateway: GatewayOption = Path(GATEWAY),
    board: BoardOption = "",
    folder: OutOption = None,
    json: JsonOption = False,
) -> None:
    """Show what takes flash and RAM, largest first: bytes, budget, change since the last build."""
    _, image = load_image(gateway, board)
    need_tools(image, qemu=False)
    sizes = build_image(image, folder).sizes
    if json:
        print_json({"board": image.board.name} | sizes.to_json())
        return
    first = all(p.previous_flash is None for p in sizes.parts)
    rows = [
        (
            p.part,
            f"{p.flash:,}",
            _budget(p.budget_flash),
            _change(p.flash, p.previous_flash, first),
            f"{p.ram:,}",
            _budget(p.budget_ram),
            _change(p.ram, p.previous_ram, first),
        )
        for p in sizes.parts
    ]
    before_flash = sum(p.previous_flash or 0 for p in sizes.parts)
    before_ram = sum(p.previous_ram or 0 for p in sizes.parts)
    flash = _change(sum(p.flash for p in sizes.parts), None if first else before_flash, first)
    ram = _change(sum(p.ram for p in sizes.parts), None if first else before_ram, first)
    rows.append(("total", f"{sizes.flash:,}", "", flash, f"{sizes.ram:,}", "", ram))
    print_table(("part", ">flash", ">budget", ">change", ">RAM", ">budget", ">change"), rows)
    out.print(f"and a stack of {sizes.stack:,} bytes")
    next_step("edgeuk why NAME, which says what brought a part in")


def _budget(limit: int | None) -> str:
    return "-" if limit is None else f"{limit:,}"


def _change(now: int, before: int | None, first: bool) -> str:
    """Against the previous build; "new" for a part that it did not have, "-" if there was none."""
    if before is None:
        return "-" if first else "new"
    return f"{now - before:+,}" if now != before else "0"
