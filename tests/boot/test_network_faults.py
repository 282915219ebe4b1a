"""A network that comes late, goes away, changes or loses frames, and a name that does not resolve:
the image keeps running, comes back by itself, counts it, and says so."""

import itertools
import time

import pytest
from boot_lan import DISCOVER, HOST, REQUEST, SERVERS, Lan
from boot_rig import (
    LIMIT_S,
    NETWORKED_EMULATED,
    ONE_OF_A_KIND,
    WAVE,
    collect,
    has_readings,
    readings,
    statistics,
    statistics_until,
)

from edgeuk.catalog import find_board, load_catalog

CATALOG = load_catalog()
QEMU = {name: find_board(CATALOG, name).qemu for name in NETWORKED_EMULATED}
ETHERNET = [name for name, qemu in QEMU.items() if qemu is not None and not qemu.modem_serial]


@pytest.fixture
def lan():
    with Lan() as running:
        yield running


def static(**more: str) -> dict[str, str]:
    """A device's configuration with a fixed address on the Lan."""
    fixed = {"net.address": "10.0.2.15", "net.prefix": "24", "net.gateway": HOST}
    return fixed | {"net.dns": SERVERS} | more


@pytest.mark.parametrize("board", ETHERNET)
def test_dhcp_may_come_late(gateways, boot, broker, monitor, lan, board):
    lan.address, lan.unanswered = "10.0.2.15", 1
    machine = boot(
        gateways(board, WAVE),
        {"mqtt.port": str(broker.port)},
        netdev=lan.netdev,
        extra=lan.extra,
    )
    machine.wait_line("10.0.2.15/24 gateway 10.0.2.2 (DHCP)", LIMIT_S)
    assert [kind for kind, _ in lan.requests[:2]] == [DISCOVER, DISCOVER]
    collect(monitor, has_readings("wave", 3))
    assert statistics(monitor)["address_changes"] == 1


def test_dhcp_that_does_not_come_is_said_and_asked_on(gateways, boot, lan):
    machine = boot(
        gateways("x86-microvm", WAVE), {"mqtt.host": ""}, netdev=lan.netdev, extra=lan.extra
    )
    machine.wait_line("no address from DHCP yet", LIMIT_S)
    lan.address = "10.0.2.15"
    machine.wait_line("10.0.2.15/24 gateway 10.0.2.2 (DHCP)", LIMIT_S)


@pytest.mark.parametrize("board", [b for b in ETHERNET if b in ONE_OF_A_KIND])
def test_a_lease_is_renewed_and_a_new_address_taken(gateways, boot, broker, monitor, lan, board):
    lan.address, lan.lease_s = "10.0.2.15", 4
    machine = boot(
        gateways(board, WAVE),
        {"mqtt.port": str(broker.port)},
        netdev=lan.netdev,
        extra=lan.extra,
    )
    renewals = (REQUEST, "10.0.2.15")
    collect(monitor, lambda _: lan.requests.count(renewals) >= 4)  # the first, and three more
    counters = statistics(monitor)
    assert counters["address_changes"] == 1
    assert counters["connects"] == 1  # renewing disturbs nobody
    lan.address = "10.0.2.77"  # the next renewal is refused
    machine.wait_line("10.0.2.77/24", LIMIT_S)
    counters = statistics_until(monitor, lambda found: found["connects"] == 2)
    assert counters["address_changes"] == 2
    collect(monitor, has_readings("wave", 5))


@pytest.mark.parametrize("board", ["x86-microvm", "virt-aarch64"])
def test_a_pulled_cable_is_noticed_and_survived(gateways, boot, broker, monitor, board):
    machine = boot(gateways(board, WAVE), {"mqtt.port": str(broker.port)})
    collect(monitor, has_readings("wave", 3))
    machine.qmp("set_link", name="net0", up=False)
    machine.wait_line("link down", LIMIT_S)
    machine.qmp("set_link", name="net0", up=True)
    machine.wait_line("link up", LIMIT_S)
    counters = statistics_until(monitor, lambda found: found["link_losses"] == 1)
    assert counters["dropped"] == counters["phy_faults"] == 0
    assert counters["no_link"] <= LIMIT_S
    collect(monitor, has_readings("wave", 10))


@pytest.mark.parametrize("board", NETWORKED_EMULATED)
def test_a_name_that_does_not_resolve_is_asked_again(gateways, boot, broker, monitor, lan, board):
    values = static(**{"mqtt.host": "broker.example", "mqtt.port": str(broker.port)})
    machine = boot(gateways(board, WAVE), values, netdev=lan.netdev, extra=lan.extra)
    machine.wait_line("broker.example", LIMIT_S)
    assert "not found" in machine.wait_line("next attempt in", LIMIT_S)
    assert set(lan.asked) == {"broker.example"}
    lan.names["broker.example"] = HOST
    collect(monitor, has_readings("wave", 3))
    assert statistics(monitor)["failures"] >= 1


@pytest.mark.parametrize("board", NETWORKED_EMULATED)
def test_lost_frames_cost_time_but_no_reading(gateways, boot, broker, monitor, lan, board):
    lan.loss = 0.05
    values = static(**{"mqtt.port": str(broker.port)})
    boot(gateways(board, WAVE), values, netdev=lan.netdev, extra=lan.extra)
    messages = collect(monitor, has_readings("wave", 60))
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(set(values))
    lan.loss = 0.0
    if statistics(monitor)["dropped"] == 0:
        assert max(b - a for a, b in itertools.pairwise(values)) < 3


# PPP has no time servers to tell.
TOLD = [
    (b, told) for told in (True, False) for b in NETWORKED_EMULATED if b in ETHERNET or not told
]


@pytest.mark.parametrize(
    ("board", "from_dhcp"), TOLD, ids=[f"{'dhcp' if told else 'named'}-{b}" for b, told in TOLD]
)
def test_readings_bear_the_time_of_the_time_server(
    gateways, boot, broker, monitor, lan, board, from_dhcp
):
    days_s = 30 * 86400.0  # no other clock says this
    lan.now = lambda: time.time() + days_s
    values = {"mqtt.port": str(broker.port)}
    if from_dhcp:
        lan.address = "10.0.2.15"
    else:
        values = static(**values, **{"net.ntp": "time.example"})
        lan.names["time.example"] = SERVERS
    machine = boot(gateways(board, WAVE), values, netdev=lan.netdev, extra=lan.extra)
    machine.wait_line("from sntp", LIMIT_S)
    messages = collect(
        monitor,
        lambda m: any(r.time > time.time() + days_s - 3600 for r in readings(m, "wave")[:-5]),
    )
    late = [
        m.received + days_s - r.time
        for m in messages
        for r in readings([m], "wave")
        if r.time > m.received + days_s - 3600
    ]
    assert -0.5 < min(late) < 5  # seconds from measuring to arrival
    times = [r.time for r in readings(messages[-5:], "wave")]
    assert times == sorted(times)


def test_a_static_address_needs_no_dhcp(gateways, boot, broker, monitor):
    machine = boot(
        gateways("x86-microvm", WAVE),
        {
            "mqtt.port": str(broker.port),
            "net.address": "192.168.76.9",
            "net.prefix": "24",
            "net.gateway": "192.168.76.1",
        },
    )
    collect(monitor, has_readings("wave", 3))
    assert "192.168.76.9/24 gateway 192.168.76.1 (static)" in "\n".join(machine.lines)
