"""QoS 1 messages of 100 bytes, 16 under way: images against libmosquitto, on one broker, in turns.

The images publish from inside an emulated machine through QEMU's user network; libmosquitto does
so as a process on this machine, and in a Linux guest that is emulated alike.
"""

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench import debian
from bench.images import (
    GATEWAYS,
    MICROVM,
    VIRT,
    Bench,
    command,
    gateway,
    make,
    with_app,
    with_memory,
)
from bench.machine import ROOT
from bench.report import Row, beside, failed, row
from bench.vm import EXIT, Vm
from edgeuk.errors import EdgeukError

RESULT = re.compile(r"bench: (\d+) messages in (\d+) us, latency p50 (\d+) us, p99 (\d+) us")
COUNT = 10000  # messages a round of an image or the Linux guest
BOARDS = {MICROVM: 4096, VIRT: 0}  # KiB for the table of times, 0: the board's own memory
PROCESS, LINUX = "libmosquitto, process", "libmosquitto, Linux guest"
PROCESS_COUNT = 20000
RUN_S = 60.0
LINUX_MIB = 128


@dataclass(slots=True)
class Load:
    """One publisher's rounds."""

    rate: list[float] = field(default_factory=list)  # messages a second
    p50: list[float] = field(default_factory=list)  # us from publish to PUBACK
    p99: list[float] = field(default_factory=list)

    def add(self, output: str) -> None:
        """What one run printed; nothing if it did not end well."""
        found = RESULT.search(output)
        if found:
            count, total_us, p50, p99 = map(int, found.groups())
            self.rate.append(count * 1e6 / total_us)
            self.p50.append(p50)
            self.p99.append(p99)


def measure(bench: Bench) -> Iterator[Row]:
    """Rate and latency of each publisher."""
    runs: dict[str, Callable[[], str]] = {}
    notes: dict[str, str] = {}
    for board in BOARDS:
        try:
            runs[board] = _image(bench, board)
        except EdgeukError as e:
            notes[board] = failed(f"{board} does not build", e)
    try:
        runs[PROCESS] = _process(bench)
        runs[LINUX] = _linux(bench)
    except (OSError, subprocess.SubprocessError) as e:
        notes[LINUX if PROCESS in runs else PROCESS] = failed("not measured", e)
    loads = {name: Load() for name in runs}
    for _ in range(bench.rounds):
        for name, once in runs.items():
            loads[name].add(once())
    for name, note in notes.items():
        yield Row("publish", f"{name} QoS 1 rate", "msg/s", None, note=note)
    yield from _rows(loads)


def _rows(loads: dict[str, Load]) -> Iterator[Row]:
    for unit, what, field_name in (
        ("msg/s", "QoS 1 rate", "rate"),
        ("us", "PUBACK p50", "p50"),
        ("us", "PUBACK p99", "p99"),
    ):
        rows = {
            name: row(
                "publish",
                f"{name} {what}",
                unit,
                getattr(load, field_name),
                more_is_better=unit == "msg/s",
            )
            for name, load in loads.items()
        }
        for name, one in rows.items():
            compared = name != PROCESS and PROCESS in rows
            yield beside(one, rows[PROCESS], PROCESS) if compared else one
            if name == MICROVM and LINUX in rows:  # both are x86-64 machines in QEMU
                yield beside(one, rows[LINUX], LINUX)


def _image(bench: Bench, board: str) -> Callable[[], str]:
    image = with_app(gateway(GATEWAYS / "publish.toml", board), ROOT / "bench/firmware")
    if BOARDS[board]:
        image = with_memory(image, BOARDS[board])
    elf = make(bench, image).image
    count = {"bench.count": str(COUNT)}
    return lambda: _console(command(bench, image, elf, count))


def _process(bench: Bench) -> Callable[[], str]:
    program = str(debian.build_publisher(bench))
    argv = [program, "127.0.0.1", str(bench.broker), str(PROCESS_COUNT)]
    return lambda: (
        subprocess.run(argv, capture_output=True, text=True, timeout=RUN_S, check=False).stdout
    )


def _linux(bench: Bench) -> Callable[[], str]:
    guest = debian.guest(bench)
    arguments = {"port": str(bench.broker), "count": str(COUNT)}
    return lambda: _console(guest.command(LINUX_MIB, arguments))


def _console(argv: list[str]) -> str:
    """All that a machine writes until it ends."""
    with Vm(argv) as vm:
        vm.wait(EXIT, RUN_S)
    return vm.console.decode(errors="replace")
