"""net/lwip with sanitizers, on an Ethernet played by the test: a link and a PHY that are not there,
go and come back, and what is counted of it.
"""

import pytest
from net_peer import COMPILER, ENOENT, ETIMEDOUT, LWIP, Machine

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    pytest.mark.skipif(LWIP is None, reason="lwIP's sources have not been fetched"),
]


@pytest.fixture
def up(machine: Machine) -> Machine:
    machine.tell("init")
    return machine


def test_time_without_a_link_is_counted_whether_it_was_lost_or_never_there(
    machine: Machine,
) -> None:
    machine.tell("link 0")
    assert "log net: link down" in machine.tell("init")
    machine.tell("advance 3000")
    assert machine.tell("links") == ["lost 0 phy 0 without 3 s"]
    machine.tell("link 1")
    machine.tell("advance 10000")
    assert machine.tell("links") == ["lost 0 phy 0 without 3 s"]
    machine.tell("link 0")
    assert machine.tell("advance 2500") == ["log net: link down"]
    assert machine.tell("links") == ["lost 1 phy 0 without 5 s"]


NO_PHY = "log net: PHY: none"


@pytest.mark.parametrize("before", [0, 1])
def test_a_phy_that_ceases_to_answer_is_counted_once_and_changes_nothing(
    up: Machine, before: int
) -> None:
    up.tell(f"link {before}")
    up.tell("advance 1000")
    up.tell(f"link {ENOENT}")
    said = [line for line in up.tell("advance 60000") if "DHCP" not in line]
    assert said == [NO_PHY]
    up.tell(f"link {before}")
    assert up.tell("advance 5000") == ["log net: PHY: ok"]
    lost, without = (0, 0) if before else (1, 65)
    assert up.tell("links") == [f"lost {lost} phy 1 without {without} s"]


def test_a_phy_that_does_not_answer_is_asked_every_five_seconds(up: Machine) -> None:
    """Each time may take half a second, of a PHY that stays in reset."""
    up.tell(f"link {ENOENT}")
    up.tell("advance 5000")
    [before] = up.tell("asked")
    up.tell("advance 60000")
    [after] = up.tell("asked")
    assert int(after) - int(before) == 12


def test_a_phy_that_comes_back_is_waited_for_and_the_stream_lives(up: Machine) -> None:
    up.connect()
    up.tell(f"link {ENOENT}")
    assert up.tell("advance 500") == [NO_PHY]
    up.tell("link 0")  # it answers, and negotiates
    assert up.tell("advance 5000") == ["log net: PHY: ok", "log net: link down"]
    up.tell("write abc")
    up.tell("link 1")
    assert up.tell("advance 500") == ["log net: link up"]
    up.tell("advance 3000")
    assert b"abc" in [s[4] for s in up.segments]
    up.tell(f"link {ETIMEDOUT}")
    assert up.tell("advance 500") == ["log net: PHY: other"]
    [line] = up.tell("links")
    assert line.startswith("lost 1 phy 2 ")


def test_without_a_phy_frames_may_pass_and_a_full_device_is_left_alone(machine: Machine) -> None:
    machine.tell(f"link {ENOENT}")
    assert machine.tell("init") == [NO_PHY, "log net: 10.0.2.15/24 gateway 10.0.2.2 (DHCP)"]
    machine.tell("break room")
    assert machine.tell("advance 9000") == []
    assert machine.tell("links") == ["lost 0 phy 1 without 0 s"]
