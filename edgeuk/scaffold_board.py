"""The files of a new board, with its page, its wiring and its test: what `edgeuk new board` writes.

It is a copy of another one with nothing verified.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from edgeuk.board import Board
from edgeuk.errors import UsageError
from edgeuk.paths import Roots
from edgeuk.scaffold import Files, checkout

BOARD_TEST = '''\
"""The board `{name}`: its image is built, and what of it an emulator has, boots."""

from boot_rig import collect, has_readings, readings

TEMPERATURE = """
[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = 0
high = 10
period = "10s"
every = "200ms"
"""


def test_an_image_of_the_board_is_built(gateways):
    assert gateways("{name}", TEMPERATURE).result.image.stat().st_size > 0
{boots}'''
BOARD_BOOT_TEST = """

def test_readings_arrive_at_the_broker(gateways, boot, broker, monitor):
    boot(gateways("{name}", TEMPERATURE), {{"mqtt.port": str(broker.port)}})
    messages = collect(monitor, has_readings("wave", 5))
    assert len(readings(messages, "wave")) >= 5
"""


BOARD_PAGE = """\
# {name}
What it is, in two lines: processor, network, what is special.

| | |
|---|---|
| console | which connector; 115200 8N1 |
| device configuration | where the firmware looks for it, and who puts it there |

## Verified
{verified}"""
WIRING = """\
# What is connected to the board under test; docs/hil.md.
schema = 1
board = "{name}"
"""
# How a page says what [verified] says.
VERIFIED = {
    "hil": "on the board",
    "qemu": "in QEMU",
    "process": "as a process",
    "model": "in edgeuk's own model of the board, written from the manual; never on the board",
    "build": "built, and drivers against register models; never run",
}


def verified_table(verified: Mapping[str, str]) -> str:
    """The table of a board's page, between its marks."""
    rows = "".join(f"| {function} | {VERIFIED[how]} |\n" for function, how in verified.items())
    return f"<!-- verified -->\n| function | verified |\n|---|---|\n{rows}<!-- end -->\n"


def board_files(name: str, like: Board, roots: Roots) -> Files:
    """A board's file, that of `like` with nothing verified, its boot test, its page and what is
    connected to it. Raises `UsageError`."""
    root = checkout(roots)
    if not re.fullmatch("[a-z][a-z0-9-]*", name):
        hint = "small letters, digits and -, a letter first: it is the file's name"
        raise UsageError(f"`{name}` cannot be a board's name", hint=hint)
    text = like.path.read_text()
    text = re.sub(r"^summary = .*$", f'summary = "{name}: what it is"', text, count=1, flags=re.M)
    text = text.partition("\n[verified]")[0].rstrip()
    verified = dict.fromkeys(like.verified, "build")
    lines = "\n".join(f'{function} = "{how}"' for function, how in verified.items())
    head = f"# Begun as a copy of {like.name}: every address, pin and clock below is still its.\n"
    boots = BOARD_BOOT_TEST.format(name=name) if like.qemu and "uplink" in like.roles else ""
    return {
        roots.boards / f"{name}.toml": f"{head}{text}\n\n[verified]\n{lines}\n",
        root / f"tests/boot/test_{name.replace('-', '_')}.py": BOARD_TEST.format(
            name=name, boots=boots
        ),
        root / f"docs/boards/{name}.md": BOARD_PAGE.format(
            name=name, verified=verified_table(verified)
        ),
        root / f"hil/wiring/{name}.toml": _wiring(name, like, root),
    }


def _wiring(name: str, like: Board, root: Path) -> str:
    """What is connected to `like` is connected to the new board, until somebody says otherwise."""
    theirs = root / f"hil/wiring/{like.name}.toml"
    if not theirs.exists():
        return WIRING.format(name=name)
    return theirs.read_text().replace(f'board = "{like.name}"', f'board = "{name}"')
