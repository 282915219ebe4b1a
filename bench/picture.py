"""The results as one SVG: how much of each goal is used, and ours against each peer."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape

from bench.report import Row, number

WIDTH, ROW, BAR, LABEL, RIGHT = 980, 26, 14, 330, 260  # pixels
SCALE = WIDTH - LABEL - RIGHT  # of the widest bar
GOAL_AT = SCALE * 0.8  # where 100 % of a goal is; bars end at 125 %
MET, MISSED, OURS, PEER, TEXT, FAINT = (
    *("#2f7d5b", "#b8432f"),
    *("#2b5f9e", "#b9bec6", "#1d232b", "#6b7480"),
)
# What is compared with another system, not with QEMU's floor.
PEER_SECTIONS = ("linux", "publish")
PEER_PROGRAM = "libmosquitto"  # its rows are there in the bars of ours


def draw(about: Mapping[str, str], rows: Iterable[Row]) -> str:
    """The picture's text."""
    every = list(rows)
    goals = [r for r in every if r.goal is not None and r.value is not None]
    pairs = [r for r in every if r.section in PEER_SECTIONS and r.peer_value and r.value]
    pairs = [r for r in pairs if not r.what.startswith(PEER_PROGRAM)]
    body: list[str] = []
    y = 34
    body.append(_text(16, y, f"edgeuk: measured {about['date'][:10]}", TEXT, 18, bold=True))
    y += 20
    where = f"{about['processor']}, {about['cores']} cores, QEMU {about['qemu']} (TCG); medians"
    body.append(_text(16, y, where, FAINT, 12))
    if goals:
        y = _heading(body, y + 34, "Share of each goal that is used (line: the goal)")
        top = y
        for r in goals:
            body += _goal(r, y)
            y += ROW
        x = LABEL + GOAL_AT
        body.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{y - 6}" stroke="{TEXT}"/>')
    if pairs:
        y = _heading(
            body, y + 30, "Beside what one would use instead (blue: edgeuk; grey: the other)"
        )
        for r in pairs:
            body += _pair(r, y)
            y += 2 * ROW - 6
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 10}" width="{WIDTH}" '
        f'height="{y + 10}" font-family="Helvetica, Arial, sans-serif">\n'
        f'<rect width="{WIDTH}" height="{y + 10}" fill="#ffffff"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _heading(body: list[str], y: int, text: str) -> int:
    body.append(_text(16, y, text, TEXT, 14, bold=True))
    return y + 14


def _goal(r: Row, y: int) -> Iterator[str]:
    assert r.value is not None
    assert r.goal
    share = r.goal / r.value if r.more_is_better else r.value / r.goal
    width = max(1.0, min(share, 1.25) * GOAL_AT)
    yield _text(LABEL - 10, y + BAR - 2, r.what, TEXT, 12, anchor="end")
    yield _bar(LABEL, y, width, MET if r.met else MISSED)
    said = f"{number(r.value)} of {number(r.goal)} {r.unit}"
    yield _text(LABEL + SCALE + 12, y + BAR - 2, said, TEXT, 12)


def _pair(r: Row, y: int) -> Iterator[str]:
    """Two bars to one scale; what is tiny stays visible as a line."""
    assert r.value is not None
    assert r.peer_value is not None
    most = max(r.value, r.peer_value)
    yield _text(LABEL - 10, y + BAR + 2, r.what, TEXT, 12, anchor="end")
    for value, colour, below, name in (
        (r.value, OURS, 0, ""),
        (r.peer_value, PEER, BAR + 2, f"  {r.peer}"),
    ):
        yield _bar(LABEL, y + below, max(1.5, SCALE * value / most), colour)
        said = f"{number(value)} {r.unit}{name}"
        yield _text(LABEL + SCALE + 12, y + below + BAR - 2, said, TEXT, 11)


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    colour: str,
    size: int,
    *,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    weight = ' font-weight="bold"' * bold
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>'
        f"{escape(text)}</text>"
    )
