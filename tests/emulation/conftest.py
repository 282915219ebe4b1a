import pytest
from core_rig import World, assembled


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """A world with this program."""
    folder = tmp_path_factory.mktemp("programs")
    return lambda text: World(assembled(text, folder))
