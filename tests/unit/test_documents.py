"""The documents against the repository: links lead somewhere, boards and codes exist, lengths."""

import os
import re
from pathlib import Path

import pytest

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import COMMANDS
from edgeuk.codes import CODES

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("tests/*/*.md")])
LINES_MAX = {"README.md": 150, "ARCHITECTURE.md": 300, "CONTRIBUTING.md": 200}


def anchors(path: Path) -> set[str]:
    """The names that headings get, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


@pytest.mark.parametrize(("name", "lines"), LINES_MAX.items())
def test_documents_are_short_enough_to_be_read(name, lines):
    assert len((ROOT / name).read_text().splitlines()) < lines


def row(name: str) -> str:
    """What the README says of a board that nobody has written about yet."""
    board = find_board(load_catalog(), name)
    how = "in QEMU" if "qemu" in board.verified.values() else "built only"
    return f"| [`{name}`](docs/boards/{name}.md) | {board.summary} | {how} |\n"


def test_the_readme_has_a_row_for_every_board_and_none_for_others():
    """EDGEUK_STORE=1 adds what is missing."""
    catalog, readme = load_catalog(), ROOT / "README.md"
    before, rows, after = re.split(
        r"(?<=\n## Boards\n)((?:.*\n)*?(?:\|.*\n)+)", readme.read_text(), maxsplit=1
    )
    table = dict(re.findall(r"^\| \[?`([\w-]+)`.*\| (.+) \|$", rows, re.MULTILINE))
    missing = "".join(row(name) for name in sorted(set(catalog.boards) - set(table)))
    if missing and os.environ.get("EDGEUK_STORE"):
        readme.write_text(before + rows + missing + after)
        return
    assert not missing, f"EDGEUK_STORE=1 adds, to the README's table of boards:\n{missing}"
    assert set(table) <= set(catalog.boards)
    for name, how in table.items():
        ways = set(find_board(catalog, name).verified.values())
        assert ways, f"{name}: [verified] is empty"
        assert ("QEMU" in how) == ("qemu" in ways), name


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_and_codes_that_documents_name_exist(path):
    text = path.read_text()
    assert set(re.findall(r"\b[EW]0\d{3}\b", text)) <= {*CODES, "E0123"}
    called = re.findall(r"(?:`|^|&& )edgeuk ([a-z]+)\b", text, re.MULTILINE)
    assert set(called) <= set(COMMANDS)
