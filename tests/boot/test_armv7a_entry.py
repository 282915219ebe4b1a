"""Armv7-A is entered in whatever mode a boot loader leaves: Hyp, Supervisor in the secure state,
Supervisor in the other one.

QEMU's 32-bit machine `virt` has all three; the board is described here, as it is of no other use.
"""

from dataclasses import replace

import pytest
from boot_rig import WAVE, collect, counters, has_readings, readings, with_option

from edgeuk.catalog import load_catalog

BOARD = """\
summary = "QEMU's Arm machine `virt`, 32 bit"
cpu = "cortex-a7"
[memory]
ram    = { base = 0x4010_0000, size = 0xE0_0000 }
config = { base = 0x40F0_0000, size = 0x1000 }
[roles]
console = "uart0"
uplink = "net0"
power = "debugger"
intc = "gic"
soc = "nothing"
[devices.nothing]
driver = "imx_soc"             # with an empty table it does nothing
clock_hz = 62_500_000
setup = []
[devices.uart0]
driver = "pl011"
base = 0x0900_0000
clock_hz = 24_000_000
[devices.gic]
driver = "gicv2"
distributor = 0x0800_0000
cpu_interface = 0x0801_0000
[devices.virtio0]
driver = "virtio_mmio"
base = 0x0A00_0000
stride = 0x200
slots = 32
irq = [
    48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63,
    64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79,
]
[devices.net0]
driver = "virtio_net"
bus = "virtio0"
[devices.debugger]
driver = "semihosting"
[run.qemu]
binary = "qemu-system-arm"
machine = "virt,gic-version=2,highmem=off"
args = [
    "-cpu", "cortex-a7", "-m", "16M", "-semihosting",
    "-device", "virtio-net-device,netdev=net0",
]
"""
MODES = {"hyp": "virtualization=on", "secure": "secure=on", "svc": "secure=off"}
PSR_MODES = {"hyp": 0x1A, "secure": 0x13, "svc": 0x13}  # Arm DDI 0406C, B1.3.1


@pytest.mark.parametrize("mode", MODES)
def test_an_image_runs_in_whatever_mode_it_is_entered(
    gateways, boot, broker, monitor, tmp_path, mode
):
    path = tmp_path / "virt-armv7a.toml"
    path.write_text(BOARD)
    catalog = load_catalog()
    catalog = replace(catalog, boards=dict(catalog.boards) | {path.stem: path})
    built = with_option(gateways(path.stem, WAVE, catalog), MODES[mode])
    machine = boot(built, {"mqtt.port": str(broker.port)}, extra=["-S"])
    registers = machine.qmp("human-monitor-command", **{"command-line": "info registers"})
    psr = int(registers.split("PSR=")[1].split()[0], 16)
    assert psr & 0x1F == PSR_MODES[mode], registers
    machine.qmp("cont")
    messages = collect(
        monitor, lambda m: has_readings("wave", 12)(m) and any(x.kind == "stats" for x in m)
    )
    values = [r.value for r in readings(messages, "wave")]
    assert values == sorted(values)
    assert counters(messages)["idle"] > 0.5  # the timer's interrupt ends its sleeps
