"""The part of `edgeuk flash` that ends in a file: on a board's drive, or for another program."""

import hashlib
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from edgeuk.cache import write_atomic
from edgeuk.cli.common import shown
from edgeuk.cli.flash_card import Options, Work, ask
from edgeuk.cli.say import next_step, out, print_json
from edgeuk.errors import DeviceError, UsageError, VerificationError
from edgeuk.flash import card, hexfile, mps2
from edgeuk.flash.disks import check_target
from edgeuk.flash.plan import Piece, check_place
from edgeuk.flash_method import Flash


def onto_drive(
    work: Work, method: Flash, pieces: Sequence[Piece], to: Path, options: Options
) -> None:
    """To the drive of an MPS2, mounted at `to`."""
    lists = mps2.lists(to, method.application)
    check_place(pieces, work.board)
    room = sum(work.board.memory[name].size for name in ("flash", "config"))
    flat, address = card.flatten(pieces, room)
    files = [f"{mps2.FOLDER}/{mps2.IMAGE}", *(str(path.relative_to(to)) for path in lists)]
    plan = _plan(work, to, pieces, flat)
    _show(work, to, pieces, options)
    for name in files if not options.json else ():
        out.print(f"file    {name}", markup=False)
    if _is_dry(plan, options):
        return
    ask(f"have the board load this instead of what its {mps2.LIST} names?", options)
    mps2.write(to, method.application, flat, address)
    if options.json:
        print_json({**plan, "done": True})
        return
    out.print("done    read back and right")
    next_step("eject the drive, then reset the board; its console is at 115200 baud")


def into_file(
    work: Work, method: Flash, pieces: Sequence[Piece], to: Path | None, options: Options
) -> None:
    """Into a file for the program that writes it to the board."""
    name = work.board.name
    if to is None:
        program = method.command.split()[0]
        what = f"board `{name}` is flashed by {program}: --to FILE makes the file for it [E0802]"
        raise UsageError(what, hint=f"edgeuk flash --board {name} --to gateway.hex")
    kind = check_target(to)
    if to.is_block_device():
        what = f"board `{name}` does not boot from a card: --to names a file [E0802]"
        raise UsageError(what, hint=f"edgeuk flash --board {name} --to gateway.hex")
    check_place(pieces, work.board)
    data = hexfile.make(pieces)
    plan = _plan(work, to, pieces, data)
    command = _command(method.command, str(to))
    _show(work, to, pieces, options)
    if _is_dry(plan, options):
        return
    if to.exists() and to.stat().st_size:
        ask(f"overwrite {kind}?", options)
    try:
        write_atomic(to, data, 0o600)  # a key may be in it
        found = to.read_bytes()
    except OSError as e:
        text = (e.strerror or str(e)).lower()
        hint = "is the disk full? The file is as it was"
        raise DeviceError(f"writing failed: {text} [E0810]", where=str(to), hint=hint) from None
    if found != data:
        raise VerificationError("other bytes came back [E0809]", where=str(to), hint="try again")
    if options.json:
        print_json({**plan, "done": True, "command": command})
        return
    out.print("done    read back and right; nothing is on the board yet")
    next_step(command)


def _command(template: str, file: str) -> str:
    """For a shell. A name that it, or openocd's Tcl in a word of it, would take apart is in quotes
    and braces."""
    if not re.fullmatch(r"[\w./+,@%-]+", file, re.ASCII):
        words = (word.replace("{file}", f"{{{file}}}") for word in shlex.split(template))
        return shlex.join(words)
    return template.replace("{file}", file)


def _plan(work: Work, to: Path, pieces: Sequence[Piece], data: bytes) -> dict[str, object]:
    return {
        "board": work.board.name,
        "to": str(to),
        "bytes": len(data),
        "pieces": [{"address": p.address, "bytes": len(p.data), "what": p.what} for p in pieces],
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _show(work: Work, to: Path, pieces: Sequence[Piece], options: Options) -> None:
    if options.json:
        return
    out.print(f"board   {work.board.name}", markup=False)
    out.print(f"to      {to}", markup=False)
    out.print(f"image   {shown(work.image.resolve())}", markup=False)
    for piece in pieces:
        out.print(f"write   {len(piece.data):,} bytes for {piece.address:#x}: {piece.what}")


def _is_dry(plan: dict[str, object], options: Options) -> bool:
    if options.dry_run and options.json:
        print_json({**plan, "done": False})
    return options.dry_run
