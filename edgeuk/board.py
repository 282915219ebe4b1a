"""Board profiles: boards/<name>.toml in, one checked, immutable `Board` out.

Knows nothing of drivers, compilers or hardware; `resolve` joins boards with drivers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from edgeuk.document import Document, Key, read_document
from edgeuk.errors import Fault
from edgeuk.flash_method import Flash, read_flash
from edgeuk.tables import Table, word
from edgeuk.values import nearest

ROLES = {  # role -> class of the device that plays it
    "console": "uart",
    "uplink": "eth",
    "entropy": "entropy",
    "power": "power",
    "soc": "soc",
    "intc": "intc",
    "watchdog": "watchdog",
    "rtc": "rtc",
    "device_key": "device_key",  # a secret of its own, which decrypts its configuration
    "storage": "storage",  # what it keeps, such as a certificate that replaces another
    "modem": "uart",  # a serial line with a PPP peer behind it, where `uplink` finds no device
}
REGIONS = ("flash", "ram", "config")
# Best first. `model`: in an emulation of our own, whose peripherals were written from the manual.
VERIFIED = ("hil", "qemu", "process", "model", "build")
UNICORN_MACHINES = ("frdm-k64f",)  # of edgeuk.emulation
ADDRESS_MAX = 2**64 - 1
RECORD_MAX = 16_384  # of TLS (RFC 8446, 5.1)
IRQ_MAX = 1023

# Sizes a board may change: name -> (default, least, most). In config.h each is EK_<NAME>. A board
# file may leave out `_bytes`: `stack = 4096`.
SIZES = {
    "stack_bytes": (8192, 1024, 1 << 20),
    "message_bytes": (1024, 256, 65_536),  # one encoded message
    "mqtt_outbox_bytes": (2048, 512, 1 << 20),  # messages not acknowledged yet
    "mqtt_receive_bytes": (1024, 128, 65_535),  # the largest packet from the broker
    "net_pool_buffers": (8, 4, 1024),  # frames of 1536 bytes
    "net_heap_bytes": (4096, 1024, 1 << 20),
    "tcp_window_bytes": (2920, 1072, 65_535),
    # Only in images with TLS:
    "tls_record_bytes": (RECORD_MAX, 1024, RECORD_MAX),  # the largest record from the broker
    "tls_send_bytes": (2048, 1024, 16_384),  # the largest to it: our certificates are one
    "tls_ticket_bytes": (2048, 0, 4096),  # the longest ticket of a session that is kept; 0: none
    "tls_heap_bytes": (0, 0, 1 << 20),  # 0: as firmware/tls/heap.c has it
    "tls_compatible_heap_bytes": (0, 0, 1 << 20),  # the same, in the compatible profile
    "tls_stack_bytes": (3072, 0, 1 << 16),  # besides `stack_bytes`
    "cpu_clock_hz": (0, 0, 4_000_000_000),  # 0: the arch measures it
}


@dataclass(frozen=True, slots=True)
class Region:
    """A piece of the address space, in bytes."""

    base: int
    size: int


@dataclass(frozen=True, slots=True)
class Device:
    """One device: `props` holds every key besides `driver` and `irq`.

    `load_board` leaves `props` unchecked; `catalog.find_board` checks them and fills in defaults.
    """

    name: str
    driver: str
    irqs: tuple[int, ...]
    props: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Qemu:
    """How to run the board in QEMU: `binary -machine machine args...`."""

    binary: str  # qemu-system-x86_64
    machine: str  # value of -machine
    args: tuple[str, ...]
    version: int = 0  # major version that first has the machine; 0: any that is still in use
    huge_pages: bool = False  # it starts sooner with its heap in huge pages
    console_serial: int = 0  # which `-serial`, from 0, is the console
    modem_serial: int = 0  # which `-serial`, from 0, is the role `modem`'s; the console is 0: none


@dataclass(frozen=True, slots=True)
class Unicorn:
    """A board that QEMU lacks: edgeuk.emulation's model of it, on Unicorn."""

    machine: str


@dataclass(frozen=True, slots=True)
class Board:
    """A board as its file describes it; every role names a device that exists."""

    name: str
    path: Path
    summary: str
    cpu: str
    memory: Mapping[str, Region]  # flash, ram, config; what the board has
    roles: Mapping[str, str]  # role -> device name, e.g. "console" -> "uart0"
    devices: Mapping[str, Device]
    sizes: Mapping[str, int]  # every key of SIZES, with the defaults filled in
    qemu: Qemu | None
    verified: Mapping[str, str]  # function -> one of VERIFIED
    flash: Flash | None = None
    unicorn: Unicorn | None = None
    warnings: tuple[Fault, ...] = field(default=(), compare=False)


def load_board(path: Path) -> Board:
    """Read and check one board file by itself. Raises `ConfigError` with every fault in it."""
    doc, board = read_board(path)
    doc.check()
    return board


def read_board(path: Path) -> tuple[Document, Board]:
    """The same with the document, whose faults are collected but not raised yet."""
    doc = read_document(path)
    root = Table(doc)
    run = root.table("run")
    board = Board(
        name=path.stem,
        path=path,
        summary=root.text("summary"),
        cpu=root.text("cpu"),
        memory=_memory(root.table("memory", required=True)),
        roles={},
        devices=_devices(root.table("devices", required=True)),
        sizes=_sizes(root.table("sizes")),
        qemu=_qemu(run),
        verified=_verified(root.table("verified")),
        flash=read_flash(root.table("flash")) if "flash" in root else None,
        unicorn=_unicorn(run),
    )
    roles = _roles(root.table("roles", required=True), board.devices)
    run.close()
    root.close()
    return doc, replace(board, roles=roles)


def _memory(table: Table) -> dict[str, Region]:
    regions = {}
    for name in REGIONS:
        sub = table.table(name)
        if name not in table or name in table.bad:
            continue
        base = sub.integer("base", high=ADDRESS_MAX)
        size = sub.integer("size", low=1, high=ADDRESS_MAX)
        sub.close()
        if sub.bad:
            continue
        if base % 4 or size % 4:
            sub.fault("E0502", f"region `{name}` does not begin and end at a multiple of 4")
        elif base + size > ADDRESS_MAX:
            sub.fault("E0502", f"region `{name}` ends beyond the address space")
        else:
            regions[name] = Region(base, size)
    table.close()
    for (a, one), (b, two) in combinations(regions.items(), 2):
        if max(one.base, two.base) < min(one.base + one.size, two.base + two.size):
            last = one.base + one.size - 1
            what = f"region `{b}` overlaps region `{a}`"
            hint = f"`{a}` ends at 0x{last:x}"
            table.fault("E0501", what, b, hint=hint, also=(f"`{a}` is here", (*table.key, a)))
    return regions


def _devices(table: Table) -> dict[str, Device]:
    devices = {}
    irqs: dict[int, Key] = {}
    for name, sub in table.entries():
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            what = f"`{name}` is not a device name"
            hint = "small letters, digits and _, a letter first: it becomes a name in C"
            table.fault("E0207", what, name, of_key=True, hint=hint)
        driver = sub.text("driver", hint='driver = "NAME"; `edgeuk drivers` lists them')
        numbers = _irqs(sub)
        for irq in numbers:
            here = (*sub.key, "irq")
            if irq in irqs:
                what = f"interrupt {irq} has two devices"
                sub.fault("E0504", what, "irq", also=("first given here", irqs[irq]))
            irqs.setdefault(irq, here)
        props = {k: v for k, v in sub.data.items() if k not in ("driver", "irq")}
        devices[name] = Device(name, driver, numbers, props)
    return devices


def _irqs(table: Table) -> tuple[int, ...]:
    value = table.take("irq")
    if value is None:
        return ()
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if type(number) is not int:
            what = f"`irq` must be a whole number or an array of them, not {word(number)}"
            table.fault("E0203", what, "irq")
            return ()
        if not 0 <= number <= IRQ_MAX:
            table.fault("E0204", f"`irq` must be 0 to {IRQ_MAX}, not {number}", "irq")
            return ()
    return tuple(numbers)


def _roles(table: Table, devices: Mapping[str, Device]) -> dict[str, str]:
    roles = {}
    for role in table.data:
        if role not in ROLES:
            hint = nearest(role, ROLES)
            table.fault("E0306", f"unknown role `{role}`", role, of_key=True, hint=hint)
            continue
        device = table.text(role)
        if role in table.bad:
            continue
        if device not in devices:
            table.fault("E0304", f"no device `{device}`", role, hint=nearest(device, devices))
        else:
            roles[role] = device
    return roles


def _sizes(table: Table) -> dict[str, int]:
    sizes = {}
    for name, (default, low, high) in SIZES.items():
        short = name.removesuffix("_bytes")
        given = short if short in table else name
        sizes[name] = table.integer(given, default, low=low, high=high)
        table.known.add(short)
    packet, record = sizes["mqtt_receive_bytes"], sizes["tls_record_bytes"]
    # A broker is told the one, not the other, and sends a packet in one record if it can.
    if record < min(packet, RECORD_MAX):
        short = "tls_record" if "tls_record" in table else "tls_record_bytes"
        what = f"a packet of `mqtt_receive_bytes`, {packet}, fits no record of {record}"
        table.fault("E0508", what, short)
    table.close()
    return sizes


def _qemu(run: Table) -> Qemu | None:
    table = run.table("qemu")
    if "qemu" not in run or "qemu" in run.bad:
        return None
    qemu = Qemu(
        binary=table.text("binary"),
        machine=table.text("machine"),
        args=table.texts("args"),
        version=table.integer("version", 0, high=99),
        huge_pages=table.boolean("huge_pages", False),
        console_serial=table.integer("console_serial", 0, high=7),
        modem_serial=table.integer("modem_serial", 0, high=7),
    )
    table.close()
    return qemu


def _unicorn(run: Table) -> Unicorn | None:
    table = run.table("unicorn")
    if "unicorn" not in run or "unicorn" in run.bad:
        return None
    hint = f"edgeuk.emulation has {', '.join(UNICORN_MACHINES)}"
    unicorn = Unicorn(table.choice("machine", UNICORN_MACHINES, hint=hint) or "")
    table.close()
    if "qemu" in run:
        what = "a board runs in QEMU or in edgeuk's own model of it, not in both"
        run.fault("E0201", what, "unicorn", of_key=True, also=("QEMU is here", (*run.key, "qemu")))
    return unicorn


def _verified(table: Table) -> dict[str, str]:
    return {name: str(table.choice(name, VERIFIED, "build")) for name in table.data}
