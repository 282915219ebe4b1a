"""For several files: `machine` is net/lwip on an Ethernet, `modem` a line to net/ppp, `up` one with
a link."""

from collections.abc import Iterator
from pathlib import Path

import net_peer
import pytest
from ppp_peer import UP, Modem, build


@pytest.fixture(scope="session")
def ppp_program(once) -> Path:
    return once("ppp", build)


@pytest.fixture(scope="session")
def lwip_program(once) -> Path:
    return once("lwip", net_peer.build)


@pytest.fixture
def machine(lwip_program: Path) -> Iterator[net_peer.Machine]:
    running = net_peer.Machine(lwip_program)
    yield running
    running.close()


@pytest.fixture
def modem(ppp_program: Path) -> Iterator[Modem]:
    running = Modem(ppp_program)
    yield running
    running.close()


@pytest.fixture
def up(modem: Modem) -> Modem:
    assert UP in modem.up()
    return modem
