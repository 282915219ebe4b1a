"""MQTT's client identifier of a provisioned device: who knows it could push the device off its
broker. It stays the same over resets: by it the broker ends the connection from before."""

import itertools
from pathlib import Path

from edgeuk.cli.app import run
from edgeuk.device_config import newest

DEVICES = Path("identity/devices")


def identifiers():
    return [newest((DEVICES / f"gw-{i}.bin").read_bytes()).values["mqtt.client_id"] for i in (1, 2)]


def test_a_devices_client_identifier_cannot_be_foreseen_and_stays(project):
    found = []
    for _ in range(3):
        assert run(["provision", "gw-1", "gw-2"]) == 0
        found += identifiers()
        assert run(["provision", "--renew", "gw-1"]) == 0
        assert identifiers() == found[-2:]
        for path in DEVICES.glob("gw-*"):
            path.unlink()
    assert [name[:5] for name in found] == ["gw-1-", "gw-2-"] * 3
    numbers = [int(name[5:], 16) for name in found]
    assert all(abs(a - b) >> 32 for a, b in itertools.combinations(numbers, 2))  # of 64 bits


def test_one_that_the_gateway_file_names_is_the_devices(project):
    path = Path("gateway.toml")
    path.write_text(path.read_text().replace("[mqtt]\n", '[mqtt]\nclient_id = "thing"\n'))
    assert run(["provision", "gw-1", "gw-2"]) == 0
    assert identifiers() == ["thing", "thing"]
