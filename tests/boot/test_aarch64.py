"""Armv8-A: entered at whatever exception level a boot loader leaves, with either interrupt
controller. QEMU's 64-bit machine `virt` has all levels; its board is changed here."""

import re
from dataclasses import replace

import pytest
from boot_rig import WAVE, collect, counters, has_readings, readings, with_option

from edgeuk.catalog import load_catalog
from edgeuk.paths import data_roots

LEVELS = {1: "secure=off", 2: "virtualization=on", 3: "secure=on"}
GICV3 = 'driver = "gicv3"\ndistributor = 0x0800_0000\nredistributor = 0x080A_0000\n'


@pytest.mark.parametrize("gic", [2, 3])
@pytest.mark.parametrize("level", LEVELS)
def test_an_image_runs_at_whatever_level_it_is_entered(
    gateways, boot, broker, monitor, tmp_path, level, gic
):
    text = (data_roots().boards / "virt-aarch64.toml").read_text()
    text = text.replace("gic-version=2", f"gic-version={gic}")
    if gic == 3:
        text = re.sub(r'driver = "gicv2"\n.*\n.*\n', GICV3, text)
    path = tmp_path / f"virt-gic{gic}.toml"
    path.write_text(text)
    catalog = load_catalog()
    catalog = replace(catalog, boards=dict(catalog.boards) | {path.stem: path})
    built = gateways(path.stem, WAVE, catalog)
    machine = boot(with_option(built, LEVELS[level]), {"mqtt.port": str(broker.port)}, extra=["-S"])
    registers = machine.qmp("human-monitor-command", **{"command-line": "info registers"})
    assert f"EL{level}h" in registers, registers
    machine.qmp("cont")
    messages = collect(
        monitor, lambda m: has_readings("wave", 12)(m) and any(x.kind == "stats" for x in m)
    )
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(values)
    assert counters(messages)["idle"] > 0.5  # the timer's interrupt ends its sleeps
