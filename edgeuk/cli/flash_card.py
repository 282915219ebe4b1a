"""The part of `edgeuk flash` that writes memory cards, and what both parts of it share."""

import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import typer

from edgeuk.board import Board, Flash
from edgeuk.cli.common import progress, shown
from edgeuk.cli.say import next_step, out, print_json
from edgeuk.device_config import region_image
from edgeuk.errors import UsageError
from edgeuk.flash import card, firmware
from edgeuk.flash.disks import check_target
from edgeuk.flash.plan import pieces_of


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for, apart from what is written."""

    dry_run: bool
    yes: bool
    unlock: bool
    json: bool


@dataclass(frozen=True, slots=True)
class Work:
    """What is written."""

    board: Board
    image: Path
    config: bytes  # the device configuration; none: what is on the board stays


def ask(question: str, options: Options) -> None:
    """Raises `UsageError` where nobody can be asked, Ctrl-C's exception for a no."""
    if options.yes:
        return
    if not sys.stdin.isatty() or options.json:
        raise UsageError("this overwrites what is there: not without --yes [E0815]")
    typer.confirm(question, abort=True, err=True)


def onto_card(
    work: Work, method: Flash, to: Path, firmware_dir: Path | None, options: Options
) -> None:
    """Make the card's content, show it, write it."""
    what, disk = check_target(to), card.identify(to)
    flat, address = card.flatten(pieces_of(work.image))
    files_of_maker = firmware.find(method.firmware, firmware_dir)
    region = work.board.memory.get("config")
    boot = card.Boot(
        *(flat, address, region_image(work.config, region.size) if region else work.config),
        region.base if region else 0,
        *(method.config, files_of_maker),
    )
    files = card.boot_files(boot)
    extents = card.make(files)
    size = sum(len(e.data) for e in extents)
    plan = {
        "board": work.board.name,
        "to": str(to),
        "bytes": size,
        "files": {name: len(data) for name, data in sorted(files.items())},
        "image_sha256": hashlib.sha256(flat).hexdigest(),
    }
    if not options.json:
        out.print(f"board   {work.board.name}", markup=False)
        out.print(f"to      {to}: {what}", markup=False)
        out.print(f"image   {shown(work.image.resolve())}, {len(flat):,} bytes", markup=False)
        for name, data in sorted(files.items()):
            out.print(f"file    {name}, {len(data):,} bytes", markup=False)
        out.print(f"write   {size:,} bytes; slots A and B of {card.SLOT >> 20} MB each")
    if options.dry_run:
        if options.json:
            print_json({**plan, "done": False})
        return
    if disk or (to.exists() and to.stat().st_size):
        ask(f"overwrite {what}? All that is on it will be lost.", options)
    started = time.monotonic()
    with progress(f"writing to {to}") as step:
        card.write(to, extents, lambda done, total: step(done >> 20, total >> 20, "MB"), disk)
    seconds = time.monotonic() - started
    if options.json:
        print_json({**plan, "done": True, "seconds": round(seconds, 3)})
        return
    out.print(f"done    in {seconds:.1f} s; read back and right")
    card_in = "put the card into the board" if disk else f"dd if={to} of=CARD bs=1M"
    next_step(f"{card_in}; its console is at 115200 baud")
