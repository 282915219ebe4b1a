"""What all folders of tests have in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeuk.cache import locked

MAKE_S = 240.0  # that another worker may take to make it
# What a file here compiles or sets up, it does once per worker: each of them stays on one.
WHOLE_FILES = (
    "tests/c/",
    "tests/drivers/",
    "tests/boot/test_identity.py",
    "tests/tls/test_tls_glue.py",
)

Once = Callable[[str, Callable[[Path], Path]], Path]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With --dist loadscope: other tests go one by one to whichever worker is free. (xdist's marks
    for groups have no effect with some versions of pytest.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0] if nodeid.startswith(WHOLE_FILES) else nodeid

    return ByFile(config, log) if config.getvalue("dist") == "loadscope" else None


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
