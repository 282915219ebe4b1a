"""Puts into the wheel: third-party sources, so that its users build images without a network; the
examples, without what was built in them.

The sources come from the cache, or are fetched into it first (edgeuk/third_party.py).
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from edgeuk.third_party import fetch, load


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Found by hatchling under this name."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add third_party and examples of edgeuk/_data. Raises `ThirdPartyError` when sources
        cannot be had."""
        for name, wanted in load(Path(self.root) / "third_party.toml").items():
            folder = fetch(wanted, lambda line: print(line, file=sys.stderr))
            build_data["force_include"][str(folder)] = f"edgeuk/_data/third_party/{name}"
        for path in sorted((Path(self.root) / "examples").rglob("*")):
            inside = path.relative_to(self.root)
            if path.is_file() and not {"build", "__pycache__"} & set(inside.parts):
                build_data["force_include"][str(path)] = f"edgeuk/_data/{inside.as_posix()}"
