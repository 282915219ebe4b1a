"""The pytest plugin: `pytest --board B --target T`, and the fixtures that tests of a board use.

    def test_readings_come_back(network, readings):
        network.pull()
        network.plug()
        readings.wait("air", 5)

`board` is switched on, with the gateway's image, a broker and a capture of its network; a test that
needs what the target lacks is skipped with that reason.
"""

import random
import re
import secrets
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgeuk.errors import EdgeukError
from edgeuk.hil.benches import BoardBench, NetworkBench, PinsBench, Plan, SensorsBench
from edgeuk.hil.console import Console
from edgeuk.hil.readings import BrokerBench, Readings
from edgeuk.hil.rig import Gear, make_plan
from edgeuk.hil.target import find_target
from edgeuk.hil.wiring import TARGETS

GEAR = pytest.StashKey[Gear]()
PLAN = pytest.StashKey[Plan]()
TAIL = 60  # lines of the console in a report


def pytest_addoption(parser: pytest.Parser) -> None:
    """See `edgeuk test --help`, which passes them on."""
    group = parser.getgroup("edgeuk", "edgeuk: tests of a gateway on its board")
    group.addoption("--board", metavar="B", default="", help="the board under test")
    group.addoption("--target", default="qemu", metavar="T", help=f"one of {', '.join(TARGETS)}")
    group.addoption("--gateway", metavar="FILE", default="", help="its gateway file")
    group.addoption("--wiring", metavar="FILE", default="", help="what is connected to the board")
    group.addoption("--hil-seed", metavar="N", type=int, default=None, help="repeat a run's values")
    group.addoption("--hil-artifacts", metavar="DIR", default="", help="logs and captures")


def pytest_configure(config: pytest.Config) -> None:
    """Say at once what makes no sense."""
    config.addinivalue_line("markers", "quick: a boot, ten readings, a broker's restart")
    if config.getoption("--hil-seed") is None:
        config.option.hil_seed = secrets.randbelow(1 << 32)
    if not config.getoption("--board"):
        return
    try:
        find_target(config.getoption("--target"))
    except EdgeukError as e:
        raise pytest.UsageError(str(e)) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    """What is tested, and how to repeat it."""
    if not (board := config.getoption("--board")):
        return None
    return f"edgeuk: {board}, {config.getoption('--target')}, --hil-seed {config.option.hil_seed}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure's report holds what the board said and how to repeat the test."""
    report = yield
    gear = item.stash.get(GEAR, None)
    if gear is not None and report.failed:
        facts = "\n".join(f"{key}: {value}" for key, value in gear.facts().items())
        sections = [("edgeuk", facts), ("console of the board", gear.console.tail(TAIL))]
        add = getattr(report.longrepr, "addsection", None)
        if add is not None:  # then it is in JUnit's XML as well
            for name, text in sections:
                add(name, text)
        else:
            report.sections += sections
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check everything and build, once it is known that a test needs it."""
    option = session.config.getoption
    needed = any("hil_plan" in getattr(item, "fixturenames", ()) for item in session.items)
    if not option("--board") or not needed or option("--collect-only"):
        return
    gateway = Path(option("--gateway")) if option("--gateway") else None
    wiring = Path(option("--wiring")) if option("--wiring") else None
    root = Path(option("--hil-artifacts") or session.config.rootpath / "build/hil")
    folder = root / Path(option("--board")).stem / option("--target")
    try:
        plan = make_plan(option("--board"), option("--target"), gateway, wiring, folder)
    except EdgeukError as e:
        raise pytest.UsageError(str(e)) from None
    session.config.stash[PLAN] = plan


@pytest.fixture(scope="session")
def hil_plan(pytestconfig: pytest.Config) -> Plan:
    """Board, gateway and wiring, checked, and the image, built."""
    if not pytestconfig.getoption("--board"):
        pytest.skip("--board B says which board is tested")
    return pytestconfig.stash[PLAN]


@pytest.fixture
def rng(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> random.Random:
    """Random values; --hil-seed repeats them, test by test."""
    return random.Random(f"{pytestconfig.option.hil_seed} {request.node.name}")


@pytest.fixture
def hil_gear(
    hil_plan: Plan, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[Gear]:
    """All that one test uses, switched off; ends with the test."""
    __tracebackhide__ = True
    folder = hil_plan.folder / re.sub(r"[^\w.-]+", "-", request.node.name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    gear = Gear(hil_plan, folder, pytestconfig.option.hil_seed)
    request.node.stash[GEAR] = gear
    with gear:
        yield gear
        for key, value in gear.facts().items():
            request.node.user_properties.append((key, str(value)))


@pytest.fixture
def broker(hil_gear: Gear) -> BrokerBench:
    """The broker: start, stop, restart."""
    return hil_gear.broker


@pytest.fixture
def console(hil_gear: Gear) -> Console:
    """The board's console: `wait("text")`, `lines`."""
    return hil_gear.console


@pytest.fixture
def board(hil_gear: Gear) -> BoardBench:
    """The board, switched on: on, off, cycle, reset, flash, hang."""
    __tracebackhide__ = True
    hil_gear.board.flash()
    hil_gear.board.on()
    return hil_gear.board


@pytest.fixture
def readings(hil_gear: Gear, board: BoardBench) -> Readings:
    """What the board publishes: wait, until, statistics."""
    return hil_gear.readings


@pytest.fixture
def sensors(hil_gear: Gear, board: BoardBench) -> SensorsBench:
    """The sensors' surroundings: `set("air", 21.5)`."""
    return hil_gear.sensors


@pytest.fixture
def network(hil_gear: Gear, board: BoardBench) -> NetworkBench:
    """The network cable: pull, plug. Skips where the board has no network."""
    hil_gear.network.need()
    return hil_gear.network


@pytest.fixture
def pins(hil_gear: Gear, board: BoardBench) -> PinsBench:
    """Digital pins: `drive("door", True)`, `is_high("relay")`."""
    return hil_gear.pins


@pytest.fixture
def command(hil_gear: Gear, board: BoardBench) -> Callable[[str, str], None]:
    """`command("relay", "on")`, as anybody would send it."""
    gear = hil_gear
    return lambda name, what: gear.broker.publish(f"{gear.readings.topic}/set/{name}", what)


@pytest.fixture
def modbus(hil_gear: Gear, board: BoardBench) -> dict[str, Any]:
    """A Modbus bench per [servers] of the gateway file, by name. Skips where there is none."""
    if not hil_gear.modbus:
        pytest.skip(hil_gear.no_modbus)
    return hil_gear.modbus
