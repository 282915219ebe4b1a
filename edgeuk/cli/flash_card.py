"""The part of `edgeuk flash` that writes memory cards, and what both parts of it share."""

import hashlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import typer

from edgeuk.board import Board
from edgeuk.cli.common import progress, shown
from edgeuk.cli.say import next_step, out, print_json
from edgeuk.device_config import region_image
from edgeuk.errors import UsageError
from edgeuk.flash import card, firmware, pi, uboot
from edgeuk.flash.disks import check_target
from edgeuk.flash.plan import check_place, pieces_of
from edgeuk.flash_method import Flash


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for, apart from what is written."""

    dry_run: bool
    yes: bool
    unlock: bool
    json: bool
    no_firmware: bool = False  # the boot loader is there already


@dataclass(frozen=True, slots=True)
class Work:
    """What is written."""

    board: Board
    image: Path
    config: bytes  # the device configuration; none: a probe leaves what is there, a card has none


def ask(question: str, options: Options) -> None:
    """Raises `UsageError` where nobody can be asked, Ctrl-C's exception for a no."""
    if options.yes:
        return
    if not sys.stdin.isatty() or options.json:
        raise UsageError("this overwrites what is there: not without --yes [E0815]")
    typer.confirm(question, abort=True, err=True)


@dataclass(frozen=True, slots=True)
class _Content:
    """What a card becomes."""

    slot: Mapping[str, bytes]
    select: Mapping[str, bytes]
    loader: card.Loader | None

    def files(self) -> dict[str, int]:
        """Sizes by name."""
        both = {**self.select, **self.slot}
        return {name: len(data) for name, data in sorted(both.items())}


def onto_card(
    work: Work, method: Flash, to: Path, firmware_dir: Path | None, options: Options
) -> None:
    """Make the card's content, show it, write it."""
    what, disk = check_target(to), card.identify(to)
    pieces = pieces_of(work.image)
    flat, address = card.flatten(pieces)
    content = _content(work, method, flat, address, firmware_dir, options)
    check_place(pieces, work.board)
    extents = card.make(content.slot, content.select, content.loader)
    size = sum(len(e.data) for e in extents)
    plan = {
        "board": work.board.name,
        "to": str(to),
        "bytes": size,
        "files": content.files(),
        "image_sha256": hashlib.sha256(flat).hexdigest(),
    }
    if content.loader:
        plan["loader"] = {"name": content.loader.name, "bytes": len(content.loader.data)}
    if not options.json:
        out.print(f"board   {work.board.name}", markup=False)
        out.print(f"to      {to}: {what}", markup=False)
        out.print(f"image   {shown(work.image.resolve())}, {len(flat):,} bytes", markup=False)
        for name, length in content.files().items():
            out.print(f"file    {name}, {length:,} bytes", markup=False)
        if content.loader:
            out.print(f"loader  {_loader(content.loader, is_disk=disk is not None)}", markup=False)
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
    steps = [
        "put the card into the board"
        if disk
        else f"dd if={quote(str(to))} of=CARD bs=1M conv=fsync"
    ]
    if content.loader and content.loader.data:
        steps.append("set its switches to boot from the card")
    next_step("; ".join([*steps, "its console is at 115200 baud"]))


def _content(
    work: Work,
    method: Flash,
    flat: bytes,
    address: int,
    firmware_dir: Path | None,
    options: Options,
) -> _Content:
    """Raises `DeviceError` for firmware that is missing, `BuildError` for what does not fit."""
    config, region = work.config, work.board.memory.get("config")
    if config and region:
        config = region_image(config, region.size)
    boot = card.Boot(flat, address, config, region.base if region else 0, method.config)
    if method.method == "sd":
        if options.no_firmware:
            what = f"board `{work.board.name}` needs its firmware on the card, not --no-firmware"
            raise UsageError(f"{what} [E0802]")
        boot = replace(boot, firmware=firmware.find(method.firmware, firmware_dir))
        return _Content(pi.boot_files(boot), pi.SELECT, None)
    name, data = "", b""
    if not options.no_firmware:
        name, data = firmware.find_loader(method.loader, firmware_dir, method.loader_from)
    slot, select = uboot.boot_files(boot)
    return _Content(slot, select, card.Loader(name, data, method.loader_at, method.loader_end))


def _loader(loader: card.Loader, *, is_disk: bool) -> str:
    if loader.data:
        return f"{loader.name}, {len(loader.data):,} bytes at {loader.offset:#x}"
    return "what is there stays" if is_disk else "none: the board has its own"
