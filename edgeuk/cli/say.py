"""Where commands write: data to stdout, talk to stderr, readable without colour."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from edgeuk.errors import ConfigError, EdgeukError, Fault, report

TABLE_WIDTH = 200  # columns, where there is no terminal to ask

out = Console(highlight=False, soft_wrap=True)  # data
err = Console(stderr=True, highlight=False, soft_wrap=True)  # talk


def say(text: str) -> None:
    """Talk to the person: stderr, no markup."""
    err.print(text, markup=False)


def say_error(e: EdgeukError) -> None:
    """What is wrong on one line, what to do on the next; faults of files as they are."""
    if isinstance(e, ConfigError):
        code = next((f.code for f in e.faults if f.is_error), e.faults[0].code)
        say(f"{e}\n`edgeuk explain {code}` tells more")
        return
    say(f"error: {f'{e.where}: ' if e.where else ''}{e.what}")
    if e.hint:
        say(f"hint: {e.hint}")


def say_warnings(faults: Sequence[Fault]) -> None:
    """Warnings of files; nothing if there are none."""
    if faults:
        say(f"{report(tuple(faults))}\n")


def next_step(text: str) -> None:
    """The last line of a command that went well."""
    err.print(f"\nnext: {text}", markup=False, style="dim")


def print_json(data: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(data, indent=2) + "\n")


def print_json_line(data: Mapping[str, Any]) -> None:
    """One JSON object per line, at once: for pipes."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table on stdout; columns whose name starts with `>` are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        right = name.startswith(">")
        table.add_column(
            name.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right or name == columns[0],
        )
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    if out.is_terminal:
        Console(highlight=False, width=max(out.width, 80)).print(table)
        return
    console = Console(highlight=False, width=TABLE_WIDTH, color_system=None)
    with console.capture() as text:
        console.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in text.get().splitlines()))
