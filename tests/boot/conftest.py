"""Real images, built by the SDK, run in QEMU or as a process against a real broker.

`gateways` builds (each text and board once, for all of xdist's workers); `boot` runs one with a
device configuration in which `localhost` is this machine, whatever the board. Whatever a test
starts, ends with it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from boot_rig import HEAD, TOPIC, Boot, Built

from edgeuk import device_config
from edgeuk.build import build
from edgeuk.cache import write_changed
from edgeuk.catalog import Catalog, find_board, load_catalog
from edgeuk.errors import ToolError
from edgeuk.gateway import load_gateway
from edgeuk.paths import data_roots
from edgeuk.resolve import resolve
from edgeuk.run import emulated
from edgeuk.run.broker import Broker
from edgeuk.run.emulator import find_emulator
from edgeuk.run.host import Host
from edgeuk.run.monitor import Monitor
from edgeuk.run.process import Process
from edgeuk.run.qemu import Qemu
from edgeuk.run.serial import Bridge, is_serial
from edgeuk.run.session import localised, uplink


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    return load_catalog()


def of_tests(catalog: Catalog) -> str:
    """The drivers in it that only a test has."""
    parts = [
        f"{path.name}\n{path.read_text()}"
        for name, driver in sorted(catalog.drivers.items())
        if not (data_roots().drivers / name).exists()
        for path in sorted(driver.folder.iterdir())
    ]
    return "".join(parts)


@pytest.fixture(scope="session")
def gateways(shared: Path, catalog: Catalog) -> Callable[..., Built]:
    known: dict[str, Built] = {}

    def get(board: str, text: str, catalog: Catalog = catalog) -> Built:
        """`board` built for HEAD and `text`."""
        key = hashlib.sha256(f"{board}\n{text}\n{of_tests(catalog)}".encode()).hexdigest()
        if key not in known:
            folder = shared / key[:16]
            path = folder / "gateway.toml"
            write_changed(path, (HEAD + text).encode())
            image = resolve(load_gateway(path, catalog), find_board(catalog, board), catalog)
            # Another worker may build there, and is waited for.
            known[key] = Built(image, build(image, folder / "build" / board))
        return known[key]

    return get


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    with ExitStack() as stack:
        count = 0

        def start(
            built: Built,
            values: Mapping[str, str] | None = None,
            *,
            blob: bytes = b"",
            netdev: str = "",
            extra: Sequence[str] = (),
        ) -> Process:
            """`values` override the gateway file's; a value of "" takes a key out. `blob`, where
            given, is the device configuration as it stands."""
            nonlocal count
            count += 1
            every = {**device_config.device_values(built.image.gateway), **(values or {})}
            every = {key: value for key, value in every.items() if value}
            board = built.image.board
            net = uplink(board, every)
            blob = blob or device_config.encode(localised(every, net.host))
            log = tmp_path / f"console{count}.log"
            machine: Process
            where = {"netdev": netdev or net.netdev, "extra": extra, "log": log}
            try:
                if board.unicorn:
                    emulated.check()
                    machine = emulated.Emulated(board, built.result.image, blob, **where)
                elif board.qemu:
                    find_emulator(board)
                    machine = Qemu(board, built.result.image, blob, **where)
                else:
                    machine = Host(built.result.image, blob, log=log)
            except ToolError as e:
                pytest.skip(str(e))
            if is_serial(board):
                name = every.get("mqtt.host", "")
                port, topic = int(every.get("mqtt.port", "1883")), every.get("mqtt.topic", "")
                bridge = Bridge("127.0.0.1" if name == "localhost" else name, port, topic)
                machine.text_of = stack.enter_context(bridge).feed
            return stack.enter_context(machine)

        yield start


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(kind="mosquitto", log=tmp_path / "broker.log") as running:
        yield running


@pytest.fixture
def monitor(broker: Broker) -> Iterator[Monitor]:
    with Monitor("127.0.0.1", broker.port, TOPIC) as running:
        yield running
