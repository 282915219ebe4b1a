"""`edgeuk explain`: every code that the sources use has a text, and no text is left over."""

import re
from pathlib import Path

import pytest

from edgeuk.codes import CODES, explain
from edgeuk.errors import UsageError

SOURCES = (Path(__file__).parents[2] / "edgeuk").rglob("*.py")


def test_every_code_that_is_used_is_explained_and_the_other_way_round():
    texts = {p: p.read_text() for p in SOURCES if p.name != "codes.py"}
    used = set(re.findall(r"\b[EW]0\d{3}\b", "\n".join(texts.values()))) - {"E0123", "W0123"}
    assert used == set(CODES)


def test_an_explanation_has_cause_example_and_fix():
    assert explain("e0206") == (
        "E0206: this is not a duration\n\n"
        "A duration is a number and a unit, in quotes: ms, s, m (or min), h, d.\n\n"
        'wrong:\n    every = "1 sec"\n\n'
        'right:\n    every = "1s"'
    )


def test_a_mistyped_code_gets_a_suggestion():
    with pytest.raises(UsageError, match="there is no code `E02066`\n\nhint: did you mean `E0206`"):
        explain("E02066")
