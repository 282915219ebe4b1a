"""`edgeuk boards`: what there is to run on, and how far each is proven."""

from pathlib import Path
from typing import Annotated

import typer

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.common import JsonOption, find_gateway
from edgeuk.cli.say import next_step, print_json, print_table
from edgeuk.gateway import load_gateway
from edgeuk.resolve import boards_for

app = typer.Typer()


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
    if gateway is not None:
        path = find_gateway(gateway)
        fits = boards_for(load_gateway(path, catalog), known, catalog)
        if json:
            print_json(
                [
                    {"board": f.board.name, "ok": not f.missing, "missing": list(f.missing)}
                    for f in fits
                ]
            )
            return
        rows = [(f.board.name, "no" if f.missing else "yes", "; ".join(f.missing)) for f in fits]
        print_table(("board", f"runs {path.name}", "what it lacks"), rows)
        able = next((f.board.name for f in fits if not f.missing), None)
        next_step(f"edgeuk run --board {able}" if able else "edgeuk drivers")
        return
    if json:
        print_json(
            [
                {"board": b.name, "cpu": b.cpu, "summary": b.summary, "verified": dict(b.verified)}
                for b in known
            ]
        )
        return
    rows = [
        (b.name, b.cpu, b.summary, ", ".join(f"{k}: {v}" for k, v in b.verified.items()))
        for b in known
    ]
    print_table(("board", "cpu", "what it is", "verified"), rows)
    next_step("edgeuk build --board NAME, or `edgeuk boards --for gateway.toml`")
