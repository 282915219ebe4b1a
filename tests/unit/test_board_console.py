"""`edgeuk board console` on a terminal: frames among the text are lines that a person can read; in
a pipe, and with --raw, bytes are left as they are."""

import io
import random
import sys

import cbor2
import pytest

from edgeuk.cli import board
from edgeuk.cli.board_console import Readable
from edgeuk.serial_frames import BOOT, DATA, STATISTICS, STATUS, Frame, encode

SEED = 20_261_121
PACK = cbor2.dumps([
    {-2: "site/meter:", 0: "temperature", 1: "Cel", 2: 21.5, 6: -1},
    {0: "light", 2: 1},
])  # fmt: skip
MANY = cbor2.dumps([{-2: "m/", 0: f"n{i}", 2: i} for i in range(9)])
LINE = b"".join([
    b"edgeuk microbit 0123: entropy device\r\n",
    encode(Frame(BOOT, 0, b"power on")),
    encode(Frame(STATUS, 1, b"online site/meter")),
    b"[    1.5] half a ",
    encode(Frame(DATA, 2, PACK)),
    b"line\r\n",
    encode(Frame(STATISTICS, 3, MANY)),
    encode(Frame(DATA, 4, b"no pack")),
    encode(Frame(7, 5, b"later")),
    b"the \x07end \xe9\r\n",
])  # fmt: skip
READ = """\
edgeuk microbit 0123: entropy device
[frame 0, boot] power on
[frame 1, status] online site/meter
[    1.5] half a \n\
[frame 2, data] temperature 21.5 Cel, light 1
line
[frame 3, stats] n0 0, n1 1, n2 2, n3 3, n4 4, n5 5 and 3 more
[frame 4, data] 7 bytes
[frame 5, type 7] 5 bytes
the \N{REPLACEMENT CHARACTER}end \N{REPLACEMENT CHARACTER}
"""


def test_frames_are_lines_of_text():
    assert Readable().feed(LINE) == READ


def test_in_whatever_pieces_they_come():
    chance = random.Random(SEED)
    for _ in range(50):
        readable, shown, at = Readable(), "", 0
        while at < len(LINE):
            size = chance.randrange(1, 30)
            shown += readable.feed(LINE[at : at + size])
            at += size
        assert shown.replace("\r", "") == READ


class Line(io.TextIOWrapper):
    """stdout, on a terminal or not."""

    def __init__(self, terminal):
        super().__init__(io.BytesIO())
        self.terminal = terminal

    def isatty(self):
        return self.terminal


class Daemon:
    """A virtual board that has printed LINE."""

    def __init__(self, name):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def console(self, since=None):
        return len(LINE), LINE


@pytest.mark.parametrize(
    ("terminal", "raw", "shown"),
    [(True, False, READ.encode()), (True, True, LINE), (False, False, LINE), (False, True, LINE)],
)
def test_only_a_terminal_gets_them_so(terminal, raw, shown, monkeypatch):
    monkeypatch.setattr(board.client, "Connection", Daemon)
    monkeypatch.setattr(sys, "stdout", Line(terminal))
    board.console("microbit", raw=raw)
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == shown
