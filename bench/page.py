"""The last results in docs/benchmarks.md: what stands between its two markers is written here."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.report import Row, cells, notes_of

BEGIN, END = "<!-- results: written by bench/run -->", "<!-- end of results -->"
HEAD = ("measured", "", "", "quartiles", "rounds", "goal", "met", "beside", "ratio", "")
ALIGN = ("---", "--:", "---", "---", "--:", "--:", "---", "---", "--:", "---")


def update(page: Path, picture: Path, about: Mapping[str, str], rows: Iterable[Row]) -> None:
    """Replace the results in `page`. Raises ValueError where it lacks the markers."""
    text = page.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    link = os.path.relpath(picture, page.parent)
    page.write_text(f"{before}{BEGIN}\n{results(about, list(rows), link)}\n{after}")


def results(about: Mapping[str, str], rows: list[Row], link: str) -> str:
    """Machine, picture and table as Markdown."""
    machine = (
        f"Measured {about['date']} on {about['cores']} cores of {about['processor']} (shared), "
        f"{about['system']}, kernel {about['kernel']}; QEMU {about['qemu']} (TCG), "
        f"mosquitto {about['mosquitto']}, zig {about['zig']}, edgeuk {about['edgeuk']}."
    )
    notes = notes_of(rows)
    parts = [machine, f"![The results as bars]({link})"]
    for section in dict.fromkeys(r.section for r in rows):
        inside = [r for r in rows if r.section == section]
        lines = [(section, *HEAD[1:]), ALIGN, *(cells(r, notes) for r in inside)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    parts.append("\n".join(f"- [{i}] {note}" for i, note in enumerate(notes, 1)))
    return "\n\n".join(part for part in parts if part)
