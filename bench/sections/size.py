"""Sizes of images, and the least memory that one runs in."""

from collections.abc import Iterator

from bench.images import GATEWAYS, METER, MICROVM, STELLARIS, Bench, command, gateway, make
from bench.images import with_memory as in_memory
from bench.report import Row, failed
from bench.tap import Tap
from bench.vm import MESSAGE, Vm
from edgeuk.errors import EdgeukError
from edgeuk.resolve import Image

FLASH, RAM = 40 * 1024, 24 * 1024  # goals on the Cortex-M3
ELF, MEMORY_KIB = 64 * 1024, 1536  # goals of the microvm
MOST_KIB, LEAST_KIB, STEP_KIB = 2048, 1088, 64
READING_S = 10.0  # two hundred times what a boot takes


KIB = 1024
# Board -> gateway, most flash, most static RAM (None: no goal) in KiB.
OTHERS: dict[str, tuple[str, int, int | None]] = {
    "mps2-an385": ("room.toml", 44, 26),
    "frdm-k64f": ("room.toml", 44, 26),
    "imx6ul-evk": ("room.toml", 48, None),
    "imx8mp-evk": ("room.toml", 72, None),
    "rpi4": ("room.toml", 72, None),
    "virt-aarch64": ("second.toml", 72, None),
    "microbit": ("second.toml", 12, 6),
}


def measure(bench: Bench) -> Iterator[Row]:
    """Flash and RAM of every board, file and memory of the microvm."""
    yield from _cortex_m3(bench)
    for board, (file, flash, ram) in OTHERS.items():
        try:
            result = make(bench, gateway(GATEWAYS / file, board))
        except EdgeukError as e:
            note = failed(f"{board} does not build", e)
            yield Row("size", f"{board} flash", "B", None, goal=flash * KIB, note=note)
            continue
        yield Row("size", f"{board} flash", "B", result.flash_bytes, goal=flash * KIB)
        goal = ram * KIB if ram else None
        yield Row("size", f"{board} static RAM", "B", result.ram_bytes, goal=goal)
    yield from _microvm(bench)


def _cortex_m3(bench: Bench) -> Iterator[Row]:
    try:
        small = make(bench, gateway(GATEWAYS / "room.toml", STELLARIS))
    except EdgeukError as e:
        note = failed(f"{STELLARIS} does not build", e)
        yield Row("size", f"{STELLARIS} flash", "B", None, goal=FLASH, note=note)
        yield Row("size", f"{STELLARIS} static RAM", "B", None, goal=RAM, note=note)
    else:
        yield Row("size", f"{STELLARIS} flash", "B", small.flash_bytes, goal=FLASH)
        yield Row("size", f"{STELLARIS} static RAM", "B", small.ram_bytes, goal=RAM)
        yield Row("size", f"{STELLARIS} stack", "B", small.stack_bytes)


def _microvm(bench: Bench) -> Iterator[Row]:
    image = gateway(METER, MICROVM)
    try:
        result = make(bench, image)
    except EdgeukError as e:
        note = failed(f"{MICROVM} does not build", e)
        yield Row("size", f"{MICROVM} ELF file", "B", None, goal=ELF, note=note)
        return
    yield Row("size", f"{MICROVM} ELF file", "B", result.image.stat().st_size, goal=ELF)
    yield least_memory(bench, image)


def least_memory(bench: Bench, image: Image) -> Row:
    """The smallest machine from which a reading still comes, its board file cut to size."""
    least: int | None = None
    note = ""
    for kib in range(MOST_KIB, LEAST_KIB - 1, -STEP_KIB):
        smaller = in_memory(image, kib)
        try:
            elf = make(bench, smaller).image
        except EdgeukError as e:
            note = failed(f"with {kib} KiB the image is not linked", e)
            break
        tap = Tap(bench.broker, f"{image.gateway.settings['mqtt.topic']}/data")
        with Vm(command(bench, smaller, elf), tap) as vm:
            arrived = vm.wait(MESSAGE, READING_S)
        tap.close()
        if not arrived:
            note = f"with {kib} KiB no reading arrives"
            break
        least = kib
    what = f"{MICROVM} least memory that works"
    return Row("size", what, "KiB", least, goal=MEMORY_KIB, note=note)
