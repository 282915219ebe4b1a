"""What several unit tests share: a catalog of small drivers, components and boards.

It is in tests/unit/catalog, so that messages that list names do not change with the real ones.
"""

from pathlib import Path

import pytest

from edgeuk.catalog import Catalog, load_catalog
from edgeuk.paths import Roots

HERE = Path(__file__).parent
DEMO = HERE / "catalog"


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    """The catalog of tests/unit/catalog."""
    return load_catalog(
        Roots(
            boards=DEMO / "boards",
            firmware=DEMO / "firmware",
            drivers=DEMO / "drivers",
            examples=DEMO,
            third_party_toml=DEMO / "third_party.toml",
            third_party=None,
        )
    )
