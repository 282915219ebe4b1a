"""What the boot tests share: an image with what is known of it, waiting for messages, readings."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgeuk.build import BuildResult
from edgeuk.catalog import find_board, load_catalog
from edgeuk.resolve import Image
from edgeuk.run.monitor import Message, Monitor
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qemu
from edgeuk.run.serial import is_serial
from edgeuk.senml import Reading

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

Boot = Callable[..., Process]
Enough = Callable[[list[Message]], bool]


@dataclass(frozen=True, slots=True)
class Built:
    """An image, and what the resolver knows of it."""

    image: Image
    result: BuildResult


def without_semihosting(built: Built) -> Built:
    """The same in a machine without a debugger, whom an image could ask to end it."""
    board = built.image.board
    assert board.qemu is not None
    qemu = replace(board.qemu, args=tuple(a for a in board.qemu.args if a != "-semihosting"))
    return replace(built, image=replace(built.image, board=replace(board, qemu=qemu)))


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


def cpu_s(machine: Process) -> float:
    """Processor time that it has used so far, user and system (proc(5), stat, fields 14 and 15)."""
    with open(f"/proc/{machine.pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
