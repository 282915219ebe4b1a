"""One test's set-up: a broker, benches, and the board on its target."""

import importlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgeuk import device_config
from edgeuk.build import build
from edgeuk.catalog import find_board, load_catalog
from edgeuk.errors import UsageError
from edgeuk.gateway import Gateway, load_gateway
from edgeuk.hil.benches import BoardBench, NetworkBench, PinsBench, Plan, SensorsBench
from edgeuk.hil.console import Console
from edgeuk.hil.readings import BrokerBench, Readings
from edgeuk.hil.target import Job, find_target
from edgeuk.hil.wiring import find_wiring
from edgeuk.paths import data_roots
from edgeuk.resolve import resolve
from edgeuk.run.serial import is_serial
from edgeuk.run.session import uplink


def scenarios() -> Path:
    """The folder hil/ of the repository or of the package."""
    return data_roots().boards.parent / "hil"


def make_plan(
    board_name: str, target: str, gateway: Path | None, wiring: Path | None, folder: Path
) -> Plan:
    """Check everything, then build. Raises `EdgeukError`."""
    kind = find_target(target)
    catalog = load_catalog()
    board = find_board(catalog, board_name)
    path = gateway or scenarios() / "gateway.toml"
    if path.is_dir():
        path /= "gateway.toml"
    if not path.is_file():
        raise UsageError(f"no `{path}` here", hint="--gateway FILE names the gateway under test")
    folders = (path.parent / "hil/wiring", scenarios() / "wiring")
    wired = find_wiring(wiring, folders, board, catalog)
    kind.check(board, wired)
    loaded = load_gateway(path, catalog, board.name)
    seal = None
    if loaded.seal_key:  # the project's key need not be here, and signs nothing for a test
        loaded, seal = _sealed(loaded)
    image = resolve(loaded, board, catalog)
    if not image.gateway.sensors:
        what = f"{path} has no sensors on board {board.name}: there is nothing to hear of it"
        raise UsageError(what, hint="`edgeuk run` starts it")
    folder = folder.resolve()
    built = build(image, folder / "image")
    return Plan(board, image, built, target, wired, folder, seal)


def _sealed(gateway: Gateway) -> tuple[Gateway, Callable[[bytes], bytes]]:
    """The same with the key of a CA of this run's own, and what seals with that."""
    issue, sign, project = (
        importlib.import_module(f"edgeuk.identity.{name}") for name in ("issue", "sign", "project")
    )
    signer = sign.FileSigner(issue.new_key())
    authority = issue.self_signed(signer, "edgeuk test")
    seal: Callable[[bytes], bytes] = signer.sign_digest
    return replace(gateway, seal_key=project.public_point(authority)), seal


class Gear:
    """All of it; a context manager. The board is off at first."""

    def __init__(self, plan: Plan, folder: Path, seed: int) -> None:
        self.plan, self.folder, self.seed = plan, folder, seed
        self.console = Console(folder / "console.log")
        self.modbus: dict[str, Any] = {}
        self.no_modbus = "the gateway file has no [servers] that the bench can stand for"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            values = device_config.device_values(self.plan.image.gateway)
            self._serve(values, stack)
            tls = self._identify(values, stack)
            self.broker = BrokerBench(networked=lambda: self.board.need_broker(), tls=tls)
            values |= {"mqtt.host": "localhost", "mqtt.port": str(self.broker.port)}
            values["mqtt.topic"] = values.get("mqtt.topic") or values["name"]
            values.pop("mqtt.username", None)
            self.readings = Readings(
                self.broker,
                values["mqtt.topic"],
                lambda: self.console.tail(),
                lambda: self.console.ended(),
            )
            stack.callback(self.broker.close)
            self.broker.start()
            plan = self.plan
            job = Job(
                plan.board, plan.built, values, plan.wiring, self.folder, self.seed, plan.seal
            )
            self.target = find_target(plan.target)(job, self.console)
            stack.callback(self.target.close)
            self.board = BoardBench(self.target, plan, self.modbus)
            self.network = NetworkBench(self.target, self.board)
            self.sensors = SensorsBench(self.target, plan, self.board.sensors)
            self.pins = PinsBench(self.target, plan, self.board)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _identify(self, values: dict[str, str], stack: ExitStack) -> Any:
        """With mqtts, a CA of this test's own: an identity for the image, and what broker and
        monitor need."""
        board = self.plan.board
        if not self.plan.image.gateway.mqtt.tls or is_serial(board):
            return None
        tls = importlib.import_module("edgeuk.run.tls")  # which takes a while
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ek-")))
        wired = self.plan.wiring.targets.get(self.plan.target, {}).get("address", "localhost")
        hosts = ("localhost", "127.0.0.1", uplink(board, values).host, wired)
        identity = tls.make(folder, values["name"], tuple(dict.fromkeys(hosts)))
        plain = tls.without(values)
        values.clear()
        values.update({**plain, **identity.values})
        return identity

    def facts(self) -> dict[str, Any]:
        """For reports: what ran, where its traces are, how to repeat it."""
        packets = sorted(self.folder.glob("*.pcap"))
        more = self.target.facts() if hasattr(self, "target") else {}
        return {
            "board": f"{self.plan.board.name}, target {self.plan.target}",
            "image": str(self.plan.built.image),
            "image_sha256": self.plan.built.sha256,
            "console": str(self.console.log),
            "packets": ", ".join(map(str, packets)) or self._none_captured(),
            "seed": f"{self.seed} (--hil-seed repeats it)",
            **more,
        }

    def _none_captured(self) -> str:
        board, why = self.plan.board, ""
        if is_serial(board):
            why = f"board {board.name} has no network"
        elif board.cpu == "host":
            why = "a process has no cable of its own"
        elif hasattr(self, "target"):
            why = self.target.no_packets
        return f"none were captured: {why}" if why else "none were captured"

    def _serve(self, values: dict[str, str], stack: ExitStack) -> None:
        """A Modbus bench for every server, in emulation; else for those on `localhost` only."""
        emulated = find_target(self.plan.target).emulated
        names = [k for k, v in values.items() if k.startswith("server.") and (emulated or _here(v))]
        if is_serial(self.plan.board):
            self.no_modbus = f"board {self.plan.board.name} has no network"
            return
        if not names:
            return
        try:
            bench = importlib.import_module("edgeuk.hil.modbus").ModbusBench
        except ModuleNotFoundError as e:
            self.no_modbus = f'the Python package `{e.name}` is missing: pip install "edgeuk[demo]"'
            return
        for key in names:
            server = stack.enter_context(bench())
            self.modbus[key.removeprefix("server.")] = server
            values[key] = f"localhost:{server.port}"


def _here(address: str) -> bool:
    return address.partition(":")[0] in ("localhost", "127.0.0.1")
