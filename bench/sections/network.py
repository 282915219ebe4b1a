"""Every board that QEMU runs with a network: exec to CONNACK with QEMU's own network; and, over a
cable whose other end is the bench, how long a sleeping image takes to answer a packet, and how many
it takes and gives a second. `rpi4` has no card there: PPP over its serial line, whose other end is
edgeuk's own. What a board in a model of ours takes is the time of a program in Python: left out.
"""

import time
from collections.abc import Iterator

from bench.frames import THEIRS, Cable
from bench.images import (
    GATEWAYS,
    Bench,
    cable_command,
    cards,
    command,
    make,
    modem_of,
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
    for board, image in cards(GATEWAYS / "second.toml"):
        try:
            elf = make(bench, image).image
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("network", f"{board} exec to CONNACK", "ms", None, note=note)
            continue
        times = []
        for _ in range(bench.rounds):
            tap = Tap(bench.broker, "bench/second/data")
            modem = modem_of(image)
            with Vm(command(bench, image, elf, modem=modem), tap, modem) as vm:
                vm.wait(MESSAGE, BOOT_S)
            tap.close()
            if (connected := vm.line_ms("mqtt: connected")) is not None:
                times.append(connected)
        what = f"{board} exec to CONNACK"
        yield row("network", what, "ms", times, goal=CONNACK_MS, note=NOTE)
        with Cable() as cable:
            modem = modem_of(image, cable.netdev)
            argv = cable_command(bench, image, elf, cable.netdev, THEIRS, modem)
            with Vm(argv, modem=modem):
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
