"""Flashing: a card's image written to a file, beside `dd` with the same bytes and the same flushes;
and 64 KB through a virtual probe, until the board's first words.

Both are of real gateways. What is read back is left out of the first, as dd reads nothing.
"""

import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.images import METER, Bench, gateway, make
from bench.machine import ROOT
from bench.report import Row, beside, failed, row
from edgeuk import device_config
from edgeuk.errors import DeviceError, EdgeukError
from edgeuk.flash import card, cortex_m, pi
from edgeuk.flash.fat import Extent
from edgeuk.flash.plan import Piece, pieces_of
from edgeuk.probe import client

CARD, PROBE = "rpi4", "microbit"
ANYWHERE = ROOT / "examples/anywhere/gateway.toml"
HALF, BOOTED_S = 50.0, 1.5  # per cent of dd's speed
FLASHED = 64 * 1024
# The maker's files as large as those of Debian 12; their bytes do not matter.
FIRMWARE = {"start4.elf": 2_249_280, "fixup4.dat": 5_399, "bcm2711-rpi-4-b.dtb": 27_386}
WORDS_S, POLL_S = 10.0, 0.005
NOTE = "files are written to the folder for temporary files; times are those of its disk's flushes"


def measure(bench: Bench) -> Iterator[Row]:
    """Four rows."""
    try:
        yield from _card(bench)
    except EdgeukError as e:
        what = "card image to a file, of dd's speed"
        yield Row("flash", what, "%", None, goal=HALF, more_is_better=True, note=failed(CARD, e))
    what = "64 KB through a virtual probe, until its first words"
    try:
        yield row("flash", what, "s", list(_booted(bench)), goal=BOOTED_S)
    except EdgeukError as e:
        yield Row("flash", what, "s", None, goal=BOOTED_S, note=failed(PROBE, e))


def _card(bench: Bench) -> Iterator[Row]:
    image = gateway(METER, CARD)
    flat, address = card.flatten(pieces_of(make(bench, image).image))
    content = random.Random(1)
    boot = card.Boot(
        image=flat,
        address=address,
        config=device_config.encode(device_config.device_values(image.gateway)),
        config_address=image.board.memory["config"].base,
        lines=image.board.flash.config if image.board.flash else (),
        firmware={name: content.randbytes(size) for name, size in FIRMWARE.items()},
    )
    extents = card.make(pi.boot_files(boot), pi.SELECT)
    size = sum(len(e.data) for e in extents)
    ours, peers = [], []
    for _ in range(bench.rounds):
        ours.append(_timed_ours(bench.fresh("card"), extents))
        peers.append(_timed_dd(bench, extents))
    speed = row("flash", "card image to a file", "MB/s", [size / s / 1e6 for s in ours])
    peer = row("flash", "dd, the same bytes and flushes", "MB/s", [size / s / 1e6 for s in peers])
    yield beside(speed, peer, "dd")
    yield peer
    ratios = [100 * b / a for a, b in zip(ours, peers, strict=True)]
    what = "card image to a file, of dd's speed"
    yield row("flash", what, "%", ratios, goal=HALF, more_is_better=True, note=NOTE)


def _timed_ours(path: Path, extents: Sequence[Extent]) -> float:
    started = time.perf_counter()
    card.write(path, extents, lambda done, total: None, verify=False)
    seconds = time.perf_counter() - started
    path.unlink()
    return seconds


def _timed_dd(bench: Bench, extents: Sequence[Extent]) -> float:
    """An empty first sector, everything else, the first sector: each is flushed."""
    source, path = bench.fresh("source"), bench.fresh("dd")
    first, *others = extents
    source.write_bytes(b"".join(e.data for e in others))
    head = bench.fresh("head")
    head.write_bytes(first.data)
    to = (f"of={path}", "conv=fsync,notrunc")
    seconds = 0.0
    for command in (
        ("dd", "if=/dev/zero", "bs=512", "count=1", *to),
        ("dd", f"if={source}", "bs=1M", "oseek=1", *to),
        ("dd", f"if={head}", "bs=512", *to),
    ):
        env = os.environ | {"LC_ALL": "C"}
        done = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True, env=env)
        # What it says itself: the start of the program is not in it, the flush is.
        said = re.search(r"copied, ([\d.e-]+) s", done.stderr)
        assert said is not None, done.stderr
        seconds += float(said[1])
    for file in (source, path, head):
        file.unlink()
    return seconds


def _booted(bench: Bench) -> Iterator[float]:
    """Seconds from a call of the flasher to the first words, onto an erased chip each time."""
    image = gateway(ANYWHERE, PROBE)
    elf = make(bench, image).image
    assert image.board.flash is not None
    chip = image.board.flash.target
    config = device_config.encode(device_config.device_values(image.gateway))
    base = [*pieces_of(elf), Piece(image.board.memory["config"].base, config, "configuration")]
    size = sum(len(p.data) for p in base)
    end = max(p.end for p in base[:-1])
    filler = Piece(end, random.Random(1).randbytes(FLASHED - size), "filler")
    with _boards() as home:
        for number in range(bench.rounds):
            name = f"bench{number}"
            client.start(name, chip)
            started = time.perf_counter()
            probe = cortex_m.find_probe(f"virtual:{name}")
            pieces = [*base[:-1], filler, base[-1]]
            plan = cortex_m.make_plan(image.board.name, image.board.cpu, chip, probe, pieces)
            done = cortex_m.flash(plan, probe, unlock=False, progress=lambda part: None)
            _first_words(name)
            yield time.perf_counter() - started
            assert done.programmed >= FLASHED, home
            client.stop(name)


@contextmanager
def _boards() -> Iterator[Path]:
    """Virtual boards of our own; none is left running."""
    before = {k: os.environ.get(k) for k in ("XDG_RUNTIME_DIR", "EDGEUK_CACHE")}
    home = Path(tempfile.mkdtemp(prefix="ek-"))  # sockets have short names
    os.environ.update(dict.fromkeys(before, str(home)))
    try:
        yield home
    finally:
        for status in client.boards():
            client.stop(status.name)
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
        shutil.rmtree(home)


def _first_words(name: str) -> None:
    end = time.monotonic() + WORDS_S
    with client.Connection(name) as connection:
        while b"edgeuk" not in connection.console()[1]:
            if time.monotonic() > end:
                raise DeviceError(f"nothing on the console within {WORDS_S:g} s")
            time.sleep(POLL_S)
