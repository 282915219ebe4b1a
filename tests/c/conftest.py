"""The other end of PPP for several files: `modem` is a line to net/ppp, `up` one with a link."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from ppp_peer import UP, Modem, build


@pytest.fixture(scope="session")
def ppp_program(once) -> Path:
    return once("ppp", build)


@pytest.fixture
def modem(ppp_program: Path) -> Iterator[Modem]:
    running = Modem(ppp_program)
    yield running
    running.close()


@pytest.fixture
def up(modem: Modem) -> Modem:
    assert UP in modem.up()
    return modem
