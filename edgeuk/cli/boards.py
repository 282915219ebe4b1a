"""`edgeuk boards`: what there is to run on, and how far each is proven."""

from pathlib import Path
from typing import Annotated

import typer

from edgeuk.board import Board
from edgeuk.catalog import Catalog, find_board, load_catalog
from edgeuk.cli.common import DEFAULT_BOARD, JsonOption, command_app, find_gateway
from edgeuk.cli.say import next_step, print_json, print_table, say_warnings
from edgeuk.gateway import load_gateway
from edgeuk.resolve import BoardFit, boards_for
from edgeuk.run.emulator import package

app = command_app()


@app.command(epilog="Example:  edgeuk boards --for gateway.toml")
def boards(
    gateway: Annotated[
        Path | None,
        typer.Option("--for", help="Only say which can run this gateway.", metavar="FILE"),
    ] = None,
    json: JsonOption = False,
) -> None:
    """List boards, or those that can run a gateway."""
    catalog = load_catalog()
    known = [find_board(catalog, name) for name in sorted(catalog.boards)]
    if gateway is None:
        list_all(known, json)
    else:
        list_fits(find_gateway(gateway), known, catalog, json)


def list_all(known: list[Board], json: bool) -> None:
    """Every board."""
    if json:
        print_json(
            [
                {
                    "board": b.name,
                    "cpu": b.cpu,
                    "summary": b.summary,
                    "verified": dict(b.verified),
                    "qemu": qemu(b),
                }
                for b in known
            ]
        )
        return
    print_table(
        ("board", "cpu", "what it is", "verified"),
        [(b.name, b.cpu, b.summary, verified(b)) for b in known],
    )
    next_step("edgeuk build --board NAME, or edgeuk boards --for gateway.toml")


def qemu(board: Board) -> dict[str, str | int] | None:
    """What to install to run it: Debian's package, and the least version, 0 for any."""
    if not board.qemu:
        return None
    return {"package": package(board.qemu.binary), "version": board.qemu.version}


def verified(board: Board) -> str:
    """`qemu: console, uplink`: how each function was proven."""
    ways: dict[str, list[str]] = {}
    for function, way in board.verified.items():
        ways.setdefault(way, []).append(function)
    return "; ".join(f"{way}: {', '.join(functions)}" for way, functions in ways.items()) or "-"


def _answer(fit: BoardFit) -> str:
    if not fit.ok:
        return "no"
    return f"yes, without {', '.join(fit.left_out)}" if fit.left_out else "yes"


def list_fits(path: Path, known: list[Board], catalog: Catalog, json: bool) -> None:
    """Which boards can run the gateway, and what the others lack."""
    gateway = load_gateway(path, catalog)
    fits = boards_for(gateway, known, catalog)
    if json:
        print_json(
            [
                {
                    "board": f.board.name,
                    "ok": f.ok,
                    "missing": list(f.missing),
                    "left_out": list(f.left_out),
                }
                for f in fits
            ]
        )
        return
    say_warnings(gateway.warnings)
    rows = [(f.board.name, _answer(f), "; ".join(f.missing) or "-") for f in fits]
    print_table(("board", f"runs {path.name}", "what it lacks"), rows)
    able = [f.board.name for f in fits if f.ok]
    best = gateway.board if gateway.board in able else DEFAULT_BOARD
    best = best if best in able else next(iter(able), "")
    next_step(f"edgeuk run --board {best}" if best else "edgeuk drivers")
