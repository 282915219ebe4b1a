"""What several unit tests share: a catalog of small drivers, components and boards, and a project
with an identity.

The catalog is in tests/unit/catalog, so that messages that list names do not change with the real
ones.
"""

from pathlib import Path

import pytest
from identity_rig import GATEWAY, TABLES

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


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A gateway of its own in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("EDGEUK_PASSPHRASE", "EDGEUK_PIN"):
        monkeypatch.delenv(name, raising=False)
    Path("gateway.toml").write_text(GATEWAY.format(tables=TABLES))
    return tmp_path
