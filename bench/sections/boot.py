"""Boots against QEMU's floor: first byte, first reading at the broker, entry to CONNACK.

The floor is the smallest image on the very same command line, booted in turns with ours.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.images import (
    GATEWAYS,
    METER,
    MICROVM,
    STELLARIS,
    VIRT,
    Bench,
    command,
    floor_command,
    gateway,
    make,
)
from bench.report import Row, beside, failed, row
from bench.tap import Tap
from bench.vm import BYTE, MESSAGE, Vm
from edgeuk.errors import EdgeukError

CASES = {
    MICROVM: METER,
    VIRT: METER,
    STELLARIS: GATEWAYS / "room.toml",
}
GOALS_MS = {MICROVM: (1.0, 40.0, 10.0)}  # first byte, first reading, CONNACK
BYTES_PER_ROUND = 3  # boots to the first byte only: they are short, and their goal is the finest
BOOT_S, FLOOR_S = 20.0, 10.0
CONNECTED = re.compile(r"\[ *(\d+\.\d+)\] mqtt: connected")
CONVERSION = "of this, 300 ms are the tmp105's first conversion and 100 ms the batch"


@dataclass(slots=True)
class Times:
    """Of all rounds, in ms."""

    floor: list[float] = field(default_factory=list)
    byte_over: list[float] = field(default_factory=list)  # over the floor measured beside it
    reading_over: list[float] = field(default_factory=list)
    connack: list[float] = field(default_factory=list)  # the guest's own clock


def measure(bench: Bench) -> Iterator[Row]:
    """Rows of each board."""
    for board, path in CASES.items():
        try:
            times = rounds(bench, board, path)
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("boot", f"{board} first reading over the floor", "ms", None, note=note)
            continue
        byte, reading, connack = GOALS_MS.get(board, (None, None, None))
        note = CONVERSION if board == STELLARIS else ""
        floor = row("boot", f"{board} floor: QEMU's exec to first byte", "ms", times.floor)
        yield floor
        over = row("boot", f"{board} first byte over the floor", "ms", times.byte_over, goal=byte)
        yield beside(over, floor, "floor")
        what = f"{board} first reading over the floor"
        over = row("boot", what, "ms", times.reading_over, goal=reading, note=note)
        yield beside(over, floor, "floor")
        what = f"{board} entry to CONNACK, guest's clock"
        yield row("boot", what, "ms", times.connack, goal=connack)


def rounds(bench: Bench, board: str, path: Path) -> Times:
    """Boot floor and image in turns. Raises `EdgeukError`."""
    image = gateway(path, board)
    elf = make(bench, image).image
    floor = floor_command(bench, image.board)
    times = Times()
    topic = f"{image.gateway.settings['mqtt.topic']}/data"
    for _ in range(bench.rounds):
        for _ in range(BYTES_PER_ROUND):
            base = floor_ms(floor)
            times.floor.append(base)
            with Vm(command(bench, image, elf)) as vm:
                if vm.wait(BYTE, BOOT_S) and vm.byte_ms:
                    times.byte_over.append(vm.byte_ms - base)
        base = floor_ms(floor)
        times.floor.append(base)
        tap = Tap(bench.broker, topic)
        with Vm(command(bench, image, elf), tap) as vm:
            vm.wait(MESSAGE, BOOT_S)
        tap.close()
        if vm.message_ms is not None:
            times.reading_over.append(vm.message_ms - base)
        if connected := CONNECTED.search(vm.line("mqtt: connected")):
            times.connack.append(1000 * float(connected[1]))
    return times


def floor_ms(argv: list[str]) -> float:
    """One boot of the floor. Raises RuntimeError if nothing comes."""
    with Vm(argv) as vm:
        if not vm.wait(BYTE, FLOOR_S) or vm.byte_ms is None:
            raise RuntimeError(f"the floor image wrote nothing: {vm.console!r}")
    return vm.byte_ms
