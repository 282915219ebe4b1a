"""examples/meter as our image, and Debian's kernel with busybox and mosquitto_pub, in turns.

Ours asks DHCP for its address and a Modbus server for the value; the Linux guest has both built in.
"""

import subprocess
from collections.abc import Iterator

from bench import debian
from bench.debian import Guest
from bench.floor import build_floor
from bench.images import METER, MICROVM, Bench, command, floor_command, gateway, make
from bench.report import Row, beside, failed, row
from bench.sections.boot import floor_ms
from bench.sections.size import least_memory
from bench.tap import Tap
from bench.vm import MESSAGE, Vm
from edgeuk.errors import EdgeukError

ENOUGH_MIB = 128
STEP_MIB = 8
MESSAGE_S = 15.0
TOPIC = "bench/linux"
LINUX = "Linux"
NOTE = (
    "Linux: size with the initrd packed by xz, times and memory with it unpacked, "
    "whichever is better for it; machine `pc`, ours `microvm`"
)


def measure(bench: Bench) -> Iterator[Row]:
    """Ours with Linux's beside it."""
    try:
        guest = debian.guest(bench)
        image = gateway(METER, MICROVM)
        elf = make(bench, image).image
    except (OSError, subprocess.SubprocessError, EdgeukError) as e:
        yield Row("linux", "image size", "B", None, note=failed("not measured", e))
        return
    size = Row("linux", "image size", "B", elf.stat().st_size, note=NOTE)
    yield beside(size, Row("linux", "", "B", guest.packed_bytes), LINUX)
    ours = least_memory(bench, image)
    theirs = _least_mib(bench, guest)
    memory = Row("linux", "least memory", "KiB", ours.value)
    yield beside(memory, Row("linux", "", "KiB", 1024 * theirs if theirs else None), LINUX)
    floors = (floor_command(bench, image.board), _floor_of_pc(bench))
    yield from _times(bench, command(bench, image, elf), guest, floors)


def _floor_of_pc(bench: Bench) -> list[str]:
    """The smallest image on the Linux guest's machine; it writes its byte and then halts."""
    folder = bench.fresh("floor-pc")
    folder.mkdir()
    return debian.machine(ENOUGH_MIB, build_floor(MICROVM, folder))


def _times(
    bench: Bench, ours: list[str], guest: Guest, floors: tuple[list[str], list[str]]
) -> Iterator[Row]:
    """Exec to first message, alone and over the machine's floor, and QEMU's resident memory at
    that moment."""
    topic = "sites/north/meter/data"
    ours_ms, ours_kib, linux_ms, linux_kib = [], [], [], []
    ours_over, linux_over = [], []
    theirs = guest.command(ENOUGH_MIB, {"port": str(bench.broker)})
    for _ in range(bench.rounds):
        if first := _first(bench, ours, topic):
            ours_ms.append(first[0])
            ours_kib.append(first[1])
            ours_over.append(first[0] - floor_ms(floors[0]))
        if first := _first(bench, theirs, TOPIC):
            linux_ms.append(first[0])
            linux_kib.append(first[1])
            linux_over.append(first[0] - floor_ms(floors[1]))
    for what, unit, mine, other in (
        ("QEMU's exec to first message", "ms", ours_ms, linux_ms),
        ("first message over QEMU's floor", "ms", ours_over, linux_over),
        ("resident memory of QEMU then", "KiB", ours_kib, linux_kib),
    ):
        yield beside(row("linux", what, unit, mine), row("linux", "", unit, other), LINUX)


def _first(bench: Bench, argv: list[str], topic: str) -> tuple[float, float] | None:
    """Milliseconds to the first message on `topic`, and QEMU's KiB; None if none comes."""
    tap = Tap(bench.broker, topic)
    with Vm(argv, tap) as vm:
        arrived = vm.wait(MESSAGE, MESSAGE_S)
        kib = vm.resident_kib() if arrived else 0
    tap.close()
    return (vm.message_ms, kib) if arrived and vm.message_ms else None


def _least_mib(bench: Bench, guest: Guest) -> int | None:
    """The smallest memory, in steps, with which a message still comes."""
    least = None
    for mib in range(ENOUGH_MIB, 0, -STEP_MIB):
        if _first(bench, guest.command(mib, {"port": str(bench.broker)}), TOPIC) is None:
            break
        least = mib
    return least
