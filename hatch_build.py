"""Puts third-party sources into the wheel, so that its users build images without a network.

They come from the cache, or are fetched into it first (edgeuk/third_party.py).
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
        """Add edgeuk/_data/third_party. Raises `ThirdPartyError` when sources cannot be had."""
        for name, wanted in load(Path(self.root) / "third_party.toml").items():
            folder = fetch(wanted, lambda line: print(line, file=sys.stderr))
            build_data["force_include"][str(folder)] = f"edgeuk/_data/third_party/{name}"
