"""Where edgeuk's data is: in a checkout of the repository, or in the installed package; and the
Python that runs it."""

import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Roots:
    """Folders of data, all absolute."""

    boards: Path
    firmware: Path
    drivers: Path
    examples: Path
    third_party_toml: Path  # the pins
    third_party: Path | None  # sources shipped in a wheel: <name>/...; None in a checkout


def data_roots() -> Roots:
    """The checkout's folders if this is one, else those inside the package."""
    checkout = PACKAGE.parent
    data = PACKAGE / "_data"
    if data.is_dir():
        root, third_party = data, data / "third_party"
        shipped = third_party if third_party.is_dir() else None
    else:
        root, shipped = checkout, None
    return Roots(
        boards=root / "boards",
        firmware=root / "firmware",
        drivers=PACKAGE / "drivers",
        examples=root / "examples",
        third_party_toml=root / "third_party.toml",
        third_party=shipped,
    )


def python_command() -> str:
    """How a person calls this Python: by its name where the shell finds this very one under it (the
    virtual environment is active), else by its path."""
    name = Path(sys.executable).name
    found = shutil.which(name)
    # Not resolved: the link of a virtual environment is what makes it that environment's Python.
    same = found is not None and Path(found).parent == Path(sys.executable).parent
    return name if same else shlex.quote(sys.executable)
