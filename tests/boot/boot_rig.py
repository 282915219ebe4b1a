"""What the boot tests share: an image with what is known of it, waiting for messages, readings."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from elftools.elf.elffile import ELFFile

from edgeuk import board
from edgeuk.build import BuildResult
from edgeuk.catalog import Catalog, find_board, load_catalog
from edgeuk.paths import data_roots
from edgeuk.resolve import Image
from edgeuk.run.monitor import Message, Monitor
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qemu
from edgeuk.run.serial import is_serial
from edgeuk.senml import Reading
from edgeuk.units import is_native

TOPIC = "test/gateway"
HEAD = f"""\
schema = 1
name = "gateway"
[mqtt]
url = "mqtt://localhost:1883"
topic = "{TOPIC}"
"""
LIMIT_S = 60.0  # back-off and time-outs of the image add up; a loaded machine doubles them
_CATALOG = load_catalog()
EMULATED = [n for n in sorted(_CATALOG.boards) if find_board(_CATALOG, n).qemu is not None]
# All that run here; a new board is tested by being there.
BOARDS = sorted([*EMULATED, "host"])
# Those that reach a broker themselves; for the others, frames on the console are published.
NETWORKED = [name for name in BOARDS if not is_serial(find_board(_CATALOG, name))]
NETWORKED_EMULATED = [name for name in EMULATED if name in NETWORKED]
# For what is above all drivers: sockets, lwIP over Ethernet with 32 bits and with 64, and over PPP.
ONE_OF_A_KIND = ["host", "lm3s6965evb", "rpi4", "x86-microvm"]
WAVE = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "wave"
driver = "sim"
shape = "ramp"
low = 0
high = 1000
period = "100s"
every = "100ms"
"""  # 1000 units in 100 s, ten readings a second: a step of 1.0 each

# QEMU's thermometer, of the boards that have one there.
TEMPERATURE = """
[pipeline]
statistics = "1s"
[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "200ms"
"""

# For QEMU's `extra`: an instruction takes 256 ns of the machine's time, so that a loop hangs for
# eight seconds of it within less than one of ours. Asleep, both clocks go alike.
HURRIED = ("-icount", "shift=8")
# There, time jumps to the next timer when the machine sleeps. Not for one that talks to others.
SLEEPLESS = ("-icount", "shift=8,sleep=off")

# Bytes of the heap without which there is no connection, besides the buffers for records: with our
# own certificate, and one between the server's and the root; in the compatible profile the server's
# is of RSA, 2048 bits. By the processor's bits and profile; found by trying, as pieces that are
# free but too small count too.
HEAP = {(32, False): 3792, (32, True): 10_520, (64, False): 5112, (64, True): 12_176}

Boot = Callable[..., Process]
Enough = Callable[[list[Message]], bool]


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and what the resolver knows of it."""

    image: Image
    result: BuildResult


def without_semihosting(built: Built) -> Built:
    """The same in a machine without a debugger, whom an image could ask to end it."""
    qemu = built.image.board.qemu
    assert qemu is not None
    return _in(built, replace(qemu, args=tuple(a for a in qemu.args if a != "-semihosting")))


def with_option(built: Built, option: str) -> Built:
    """The same in a machine with another of QEMU's options for machines."""
    qemu = built.image.board.qemu
    assert qemu is not None
    return _in(built, replace(qemu, machine=f"{qemu.machine},{option}"))


def _in(built: Built, qemu: board.Qemu) -> Built:
    changed = replace(built.image.board, qemu=qemu)
    return replace(built, image=replace(built.image, board=changed))


def heap_needed(image: Image) -> int:
    """The measured minimum; the board files' own give more, for longer chains and keys."""
    sizes = image.board.sizes
    bits = 64 if is_native(image) or "64" in image.cpu.target else 32
    buffers = sizes["tls_record_bytes"] + sizes["tls_send_bytes"]
    return buffers + HEAP[bits, image.gateway.tls.compatible]


def tight(image: Image) -> Image:
    """With the heap that it needs and a tenth more, so that it shows who takes more."""
    limit = heap_needed(image) * 11 // 10
    sizes = {"tls_heap_bytes": limit, "tls_compatible_heap_bytes": limit}
    return replace(image, board=replace(image.board, sizes={**image.board.sizes, **sizes}))


def set_temperature(machine: Process, celsius: float) -> None:
    """What QEMU's tmp105 measures from now on."""
    assert isinstance(machine, Qemu)
    sensor = next(
        f"/machine/peripheral/{entry['name']}"
        for entry in machine.qmp("qom-list", path="/machine/peripheral")
        if "tmp105" in entry["type"]
    )
    machine.qmp("qom-set", path=sensor, property="temperature", value=int(celsius * 1000))


def unconnected(board: str) -> str:
    """What the console says when readings reach no broker."""
    return "no broker" if board in NETWORKED else "no network"


def collect(monitor: Monitor, enough: Enough, limit_s: float = LIMIT_S) -> list[Message]:
    """Messages until there are `enough`; fails the test when `limit_s` passes between two."""
    messages: list[Message] = []
    while not enough(messages):
        message = monitor.get(limit_s)
        assert message is not None, f"only {len(messages)} messages, then none for {limit_s} s"
        messages.append(message)
    return messages


def readings(messages: Sequence[Message], name: str) -> list[Reading]:
    """Every reading of one sensor, in order of arrival."""
    full = f"{TOPIC}/{name}"
    return [r for m in messages if m.kind == "data" for r in m.readings() if r.name == full]


def has_readings(name: str, count: int) -> Enough:
    """For `collect`: at least `count` readings of one sensor."""
    return lambda messages: len(readings(messages, name)) >= count


def counters(messages: Sequence[Message]) -> dict[str, float]:
    """The gateway's counters in the last statistics record of `messages`."""
    last = [m for m in messages if m.kind == "stats"][-1]
    return {r.name.rsplit("/", 1)[-1]: r.value for r in last.readings()}


def statistics(monitor: Monitor) -> dict[str, float]:
    """The gateway's counters from the next statistics record that is not an old, retained one."""
    return counters(
        collect(monitor, lambda messages: any(is_fresh_statistics(m) for m in messages))
    )


def is_fresh_statistics(message: Message) -> bool:
    return message.kind == "stats" and not message.retained


def statistics_until(
    monitor: Monitor, good: Callable[[dict[str, float]], bool], records: int = 60
) -> dict[str, float]:
    """The first statistics record that is `good`; fails the test after `records` that are not."""
    for _ in range(records):
        found = statistics(monitor)
        if good(found):
            return found
    raise AssertionError(f"after {records} records still {found}")


def catalog_with(folder: Path, name: str, manifest: str, header: str, source: str) -> Catalog:
    """All there is and one driver more, which only a test has: a build takes all its drivers from
    one folder, in `folder`."""
    roots = data_roots()
    drivers = folder / "drivers"
    shutil.copytree(roots.drivers, drivers)
    (drivers / name).mkdir()
    for file, text in (("driver.toml", manifest), (f"{name}.h", header), (f"{name}.c", source)):
        (drivers / name / file).write_text(text)
    return load_catalog(replace(roots, drivers=drivers))


def function_at(program: Path, address: int) -> str:
    """Name of the function there, in an image with its symbols; bit 0 of an address is Thumb."""
    with program.open("rb") as file:
        for symbol in ELFFile(file).get_section_by_name(".symtab").iter_symbols():
            start = symbol["st_value"] & ~1
            inside = start <= address & ~1 < start + symbol["st_size"]
            if inside and symbol["st_info"]["type"] == "STT_FUNC":
                return str(symbol.name)
    return ""


def cpu_s(machine: Process) -> float:
    """Processor time that it has used so far, user and system (proc(5), stat, fields 14 and 15)."""
    with open(f"/proc/{machine.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
