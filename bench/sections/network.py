"""Every board with a network: exec to CONNACK with QEMU's own network; and, over a cable whose
other end is the bench, how long a sleeping image takes to answer a packet, and how many it takes
and gives a second.
"""

import time
from collections.abc import Iterator

from bench.frames import THEIRS, Cable
from bench.images import (
    GATEWAYS,
    Bench,
    cable_command,
    command,
    gateway,
    make,
    networked,
    with_card,
)
from bench.report import Row, failed, row
from bench.tap import Tap
from bench.vm import MESSAGE, Vm
from edgeuk.errors import EdgeukError

BOOT_S = 20.0
CONNACK_MS = 80.0  # goal where the card is not virtio: there QEMU's network wakes late by itself
PINGS, PAUSE_S = 100, 0.013  # out of step with the image's timers
FLOOD_S, WINDOW = 1.0, 4  # fewer than the smallest card has room for
NOTE = "until the console says so; with QEMU's start, which is most of it"


def measure(bench: Bench) -> Iterator[Row]:
    """Four rows per board."""
    for name, card in [*((name, "") for name in networked()), ("x86-pc", "e1000e")]:
        board = f"{name} with {card}" if card else name
        try:
            image = gateway(GATEWAYS / "second.toml", name)
            image = with_card(image, card) if card else image
            elf = make(bench, image).image
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("network", f"{board} exec to CONNACK", "ms", None, note=note)
            continue
        times = []
        for _ in range(bench.rounds):
            tap = Tap(bench.broker, "bench/second/data")
            with Vm(command(bench, image, elf), tap) as vm:
                vm.wait(MESSAGE, BOOT_S)
            tap.close()
            if (connected := vm.line_ms("mqtt: connected")) is not None:
                times.append(connected)
        what = f"{board} exec to CONNACK"
        yield row("network", what, "ms", times, goal=CONNACK_MS, note=NOTE)
        with Cable() as cable:
            argv = cable_command(bench, image, elf, cable.netdev, THEIRS)
            with Vm(argv) as vm:
                if not cable.find(BOOT_S):
                    note = "no answer over the cable"
                    yield Row("network", f"{board} answer to a packet", "us", None, note=note)
                    continue
                yield row("network", f"{board} answer to a packet, asleep", "us", latency(cable))
                rates = [flood(cable) for _ in range(min(bench.rounds, 5))]
                what = f"{board} packets a second, in and out each"
                yield row("network", what, "/s", rates, more_is_better=True)


def latency(cable: Cable) -> list[float]:
    """Microseconds from an echo request to its reply."""
    times = []
    for number in range(PINGS):
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        cable.ping(number)
        if cable.pong() == number:
            times.append(1e6 * (time.perf_counter() - start))
    return times


def flood(cable: Cable) -> float:
    """Replies a second with WINDOW requests under way."""
    for number in range(WINDOW):
        cable.ping(number)
    replies, start = 0, time.perf_counter()
    while time.perf_counter() < start + FLOOD_S:
        if cable.pong() is None:
            return 0.0
        replies += 1
        cable.ping(replies)
    for _ in range(WINDOW):
        cable.pong()
    return replies / (time.perf_counter() - start)
