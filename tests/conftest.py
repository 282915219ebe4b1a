"""What all folders of tests have in common."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgeuk.cache import locked

MAKE_S = 240.0  # that another worker may take to make it

Once = Callable[[str, Callable[[Path], Path]], Path]


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all of xdist's workers have in common."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if hasattr(request.config, "workerinput") else own) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def once(shared: Path) -> Once:
    """`once(name, make)`: what `make` made in a folder of that name, for all workers."""

    def get(name: str, make: Callable[[Path], Path]) -> Path:
        folder = shared / name
        with locked(folder, MAKE_S, print):
            made = folder / ".made"
            if not made.exists():
                made.write_text(str(make(folder)))
        return Path(made.read_text())

    return get
