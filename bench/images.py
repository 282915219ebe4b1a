"""What the bench boots: gateways of the product, built as users do, and variants of them."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.floor import build_floor
from bench.machine import ROOT
from edgeuk import device_config
from edgeuk.board import Board, Region
from edgeuk.build import BuildResult, build
from edgeuk.catalog import find_board, load_catalog
from edgeuk.gateway import load_gateway
from edgeuk.manifest import load_component
from edgeuk.resolve import Image, resolve
from edgeuk.run.emulator import find_emulator
from edgeuk.run.ppp import Modem
from edgeuk.run.session import localised, uplink

METER = ROOT / "examples/meter/gateway.toml"
GATEWAYS = ROOT / "bench/gateways"
SERVER = "server.main"  # the Modbus server's key in the device configuration
MICROVM, VIRT, STELLARIS = "x86-microvm", "virt-aarch64", "lm3s6965evb"


@dataclass(slots=True)
class Bench:
    """What all sections share."""

    rounds: int
    folder: Path  # scratch, gone at the end
    broker: int  # port of a mosquitto on loopback
    modbus: int  # port of bench/modbus.py
    counter: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self, name: str) -> Path:
        """A folder that is not there yet."""
        return self.folder / f"{name}-{next(self.counter)}"


def networked() -> list[str]:
    """Every board that QEMU runs and that has a network card there."""
    catalog = load_catalog()
    boards = [find_board(catalog, name) for name in sorted(catalog.boards)]
    return [b.name for b in boards if b.qemu and "uplink" in b.roles and "modem" not in b.roles]


def uplinked() -> list[str]:
    """Those, and the ones that reach a broker over PPP, or in a model of ours."""
    catalog = load_catalog()
    boards = [find_board(catalog, name) for name in sorted(catalog.boards)]
    return [b.name for b in boards if (b.qemu or b.unicorn) and "uplink" in b.roles]


def gateway(path: Path, board: str) -> Image:
    """A gateway file resolved for a board. Raises `EdgeukError`."""
    catalog = load_catalog()
    return resolve(load_gateway(path, catalog), find_board(catalog, board), catalog)


def make(bench: Bench, image: Image) -> BuildResult:
    """Build with the user's cache. Raises `BuildError`."""
    return build(image, bench.fresh(f"{image.gateway.name}-{image.board.name}"))


def with_app(image: Image, folder: Path) -> Image:
    """`image` with another component in place of firmware/app."""
    # Components are named by their folder below firmware/.
    name = f"../{folder.relative_to(ROOT)}"
    app = load_component(folder / "component.toml", name)
    parts = tuple(
        replace(part, component=app) if part.component.name == "app" else part
        for part in image.components
    )
    return replace(image, components=parts)


def with_card(image: Image, card: str) -> Image:
    """`image` for a PC with another network card than virtio-net."""
    assert image.board.qemu
    args = tuple(arg.replace("virtio-net-pci", card) for arg in image.board.qemu.args)
    qemu = replace(image.board.qemu, args=args)
    return replace(image, board=replace(image.board, qemu=qemu))


def cards(path: Path) -> Iterator[tuple[str, Image]]:
    """A gateway file for each network device that QEMU has, with the name of its rows."""
    for name in uplinked():
        image = gateway(path, name)
        if not image.board.qemu:
            continue
        over = " over PPP" if image.board.qemu.modem_serial else ""
        yield f"{name}{over}", image
        if any("virtio-net-pci" in arg for arg in image.board.qemu.args):
            yield f"{name} with e1000e", with_card(image, "e1000e")


def with_memory(image: Image, kib: int) -> Image:
    """`image` for a microvm with `kib` KiB of memory in all."""
    board = image.board
    ram, config, end = board.memory["ram"], board.memory["config"], kib * 1024
    memory = {
        "ram": Region(ram.base, end - config.size - ram.base),
        "config": Region(end - config.size, config.size),
    }
    assert board.qemu
    args = list(board.qemu.args)
    args[args.index("-m") + 1] = f"{kib}K"
    qemu = replace(board.qemu, args=tuple(args))
    return replace(image, board=replace(board, memory=memory, qemu=qemu))


def settings(bench: Bench, image: Image, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """A device configuration for the bench's broker and Modbus server."""
    own = {
        "mqtt.host": "localhost",
        "mqtt.port": str(bench.broker),
        "mqtt.client_id": f"bench{next(bench.counter)}",
    }
    if SERVER in image.gateway.settings:
        own[SERVER] = f"localhost:{bench.modbus}"
    return device_config.device_values(image.gateway, extra=own | dict(extra or {}))


def command(
    bench: Bench,
    image: Image,
    elf: Path,
    extra: Mapping[str, str] | None = None,
    modem: Modem | None = None,
) -> list[str]:
    """QEMU's command line as `edgeuk run` has it; with `modem` for a board of that role."""
    values = settings(bench, image, extra)
    net = uplink(image.board, values)
    blob = device_config.encode(localised(values, net.host))
    return _argv(bench, image.board, elf, blob, net.netdev, modem)


def modem_of(image: Image, netdev: str = "user,id=net0") -> Modem | None:
    """The other end of the board's serial line, for one boot; None where it has a network card."""
    return Modem(netdev) if image.board.qemu and image.board.qemu.modem_serial else None


def cable_command(
    bench: Bench, image: Image, elf: Path, netdev: str, address: str, modem: Modem | None = None
) -> list[str]:
    """The same with another netdev, a static address and nobody to connect to."""
    own = {"net.address": address, "net.prefix": "24", "mqtt.host": ""}
    values = device_config.device_values(image.gateway, extra=own)
    values = {key: value for key, value in values.items() if value}
    return _argv(bench, image.board, elf, device_config.encode(values), netdev, modem)


def floor_command(bench: Bench, board: Board) -> list[str]:
    """The same command line with the image that ends at once."""
    folder = bench.fresh(f"floor-{board.name}")
    folder.mkdir()
    return _argv(bench, board, build_floor(board.name, folder), bytes(64), "user,id=net0")


def _argv(
    bench: Bench, board: Board, elf: Path, blob: bytes, netdev: str, modem: Modem | None = None
) -> list[str]:
    """QEMU's arguments as edgeuk/run/qemu.py has them, without QMP."""
    assert board.qemu
    config = bench.fresh("config")
    config.write_bytes(device_config.region_image(blob, board.memory["config"].size))
    place = f"loader,file={config},addr={board.memory['config'].base:#x},force-raw=on"
    found = find_emulator(board)
    return [
        *(f"{name}={value}" for name, value in found.environment.items()),
        *(*found.command, "-machine", board.qemu.machine),
        *("-accel", "tcg", "-display", "none", "-monitor", "none", "-nodefaults"),
        *(("-serial", "null") * board.qemu.console_serial),
        *("-serial", "stdio", "-no-reboot", "-netdev", netdev),
        *(modem.options(board.qemu.modem_serial) if modem else ()),
        *board.qemu.args,
        *("-kernel", str(elf), "-device", place),
    ]
