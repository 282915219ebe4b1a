"""The newcomer's web service on a PC: exec to the first answer, against QEMU's floor on the same
machine; its size, and the least memory that it answers from."""

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from bench.floor import build_floor
from bench.images import Bench, gateway, make
from bench.machine import ROOT
from bench.report import Row, beside, failed, row
from bench.sections.boot import floor_ms
from bench.vm import Vm
from edgeuk import device_config
from edgeuk.errors import EdgeukError
from edgeuk.run.broker import free_port
from edgeuk.run.emulator import find

BOARD = "x86-pc"
HELLO = ROOT / "examples/http-hello/gateway.toml"
OVER_FLOOR_MS, ELF, MEMORY_MIB = 20.0, 64 * 1024, 2
ANSWER_S = 20.0
STATIC = {
    "name": "hello",
    "net.address": "10.0.2.15",
    "net.prefix": "24",
    "net.gateway": "10.0.2.2",
}
NOTE = (
    "static address; beside it Unikraft with lwIP, measured elsewhere: 28 ms, or 128 with its wait"
)


def measure(bench: Bench) -> Iterator[Row]:
    """Three rows."""
    try:
        image = gateway(HELLO, BOARD)
        elf = make(bench, image).image
    except EdgeukError as e:
        note = failed(f"{BOARD} does not build", e)
        yield Row("http", "first answer over the floor", "ms", None, note=note)
        return
    yield Row("http", "ELF file", "B", elf.stat().st_size, goal=ELF)
    folder = bench.fresh("floor-pc")
    folder.mkdir()
    floor, blob = build_floor(BOARD, folder), bench.fresh("config")
    blob.write_bytes(device_config.encode(STATIC))
    place = f"loader,file={blob},addr={image.board.memory['config'].base:#x},force-raw=on"
    floors, over = [], []
    for _ in range(bench.rounds):
        floors.append(floor_ms(machine(floor, free_port())))
        answered = answer_ms(elf, place)
        if answered is not None:
            over.append(answered - floors[-1])
    base = row("http", "floor: QEMU's exec to first byte", "ms", floors)
    yield base
    what = "first answer over the floor"
    yield beside(row("http", what, "ms", over, goal=OVER_FLOOR_MS, note=NOTE), base, "floor")
    least = MEMORY_MIB if answer_ms(elf, place, "-m", f"{MEMORY_MIB}M") is not None else None
    yield Row("http", "memory that it answers from", "MiB", least, goal=MEMORY_MIB)


def machine(elf: Path, port: int) -> list[str]:
    """The known command line, under TCG, with the console where it can be read."""
    return [
        *(*find("qemu-system-x86_64").command, "-no-acpi", "-no-reboot"),
        *("-device", "virtio-net-pci,netdev=net0"),
        *("-netdev", f"user,id=net0,hostfwd=tcp:127.0.0.1:{port}-:8080", "-kernel", str(elf)),
        *("-display", "none", "-serial", "stdio", "-monitor", "none"),
    ]


def answer_ms(elf: Path, place: str, *extra: str) -> float | None:
    """From exec to the first byte of the answer to a client that was there from the start."""
    port = free_port()
    start = time.perf_counter()
    with Vm([*machine(elf, port), "-device", place, *extra]):
        while time.perf_counter() < start + ANSWER_S:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                client.settimeout(ANSWER_S)
                if client.recv(1):
                    return 1000 * (time.perf_counter() - start)
            time.sleep(0.0005)  # QEMU does not listen yet
    return None
