"""docs/boards/<name>.md: every board has its page, with the table of its file's [verified].

EDGEUK_STORE=1 writes the tables anew.
"""

import os
import re
from pathlib import Path

import pytest

from edgeuk.board import Board
from edgeuk.catalog import find_board, load_catalog

PAGES = Path(__file__).parents[2] / "docs/boards"
MEANING = {
    "hil": "on the board",
    "qemu": "in QEMU",
    "process": "as a process",
    "model": "in edgeuk's own model of the board, written from the manual; never on the board",
    "build": "built, and drivers against register models; never run",
}
TABLE = re.compile(r"(?<=<!-- verified -->\n).*?(?=<!-- end -->)", re.DOTALL)
BOARDS = sorted(load_catalog().boards)


def table(board: Board) -> str:
    rows = [f"| {function} | {MEANING[how]} |" for function, how in board.verified.items()]
    return "\n".join(["| function | verified |", "|---|---|", *rows, ""])


def check_page(page: Path, board: Board) -> None:
    text = page.read_text()
    found = TABLE.search(text)
    assert found, "no table between <!-- verified --> and <!-- end -->"
    assert found[0] == table(board), "EDGEUK_STORE=1 writes the table anew"
    assert text.startswith(f"# {board.name}\n")


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_a_page_that_says_what_was_verified_where(name):
    page, board = PAGES / f"{name}.md", find_board(load_catalog(), name)
    assert page.exists(), f"{page} is missing: what the board is, and a table (see another page)"
    if os.environ.get("EDGEUK_STORE"):
        page.write_text(TABLE.sub(lambda _: table(board), page.read_text()))
    check_page(page, board)


def test_no_page_is_of_a_board_that_is_not_there():
    assert {p.stem for p in PAGES.glob("*.md")} <= set(BOARDS)
