"""The card that `edgeuk flash` writes for a Raspberry Pi 4: its boot files, taken off it by mtools,
boot in QEMU, where config.txt says that they go."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from boot_rig import HEAD, LIMIT_S, collect, has_readings, readings

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.errors import ToolError
from edgeuk.flash import card
from edgeuk.run.emulator import find_emulator
from edgeuk.run.qemu import HOST_ADDRESS, Qemu

BOARD = "rpi4"
SLOT_A = card.START + card.SELECT
# Where QEMU loads and enters a flat image, as the Pi's firmware does: hw/arm/boot.c, "kernel8".
FLAT = 0x80000
GATEWAY = """
[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "200ms"
"""


@pytest.fixture
def board():
    found = find_board(load_catalog(), BOARD)
    try:
        find_emulator(found)
    except ToolError as e:
        pytest.skip(str(e))
    return found


@pytest.fixture
def firmware(board, tmp_path):
    """Files with the names of the maker's, which edgeuk may not hand on; QEMU needs none."""
    folder = tmp_path / "firmware"
    folder.mkdir()
    for name in board.flash.firmware:
        (folder / name).write_text(name)
    return folder


def off_the_card(image, offset, folder):
    """Every file of the FAT file system there, by mtools."""
    if shutil.which("mcopy") is None:
        pytest.skip("mcopy is not installed (apt-get install mtools)")
    folder.mkdir()
    command = ["mcopy", "-s", "-i", f"{image}@@{offset}", "::*", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}


def test_what_is_on_the_card_boots_and_publishes(
    board, firmware, broker, monitor, tmp_path, capsys
):
    gateway, image = tmp_path / "gateway.toml", tmp_path / "card.img"
    here = f"mqtt://{HOST_ADDRESS}:{broker.port}"
    gateway.write_text(HEAD.replace("mqtt://localhost:1883", here) + GATEWAY)
    argv = ["flash", "--board", BOARD, "--gateway", str(gateway), "--to", str(image)]
    assert run([*argv, "--firmware-dir", str(firmware), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"]

    files = off_the_card(image, SLOT_A, tmp_path / "slot-a")
    assert {name: path.stat().st_size for name, path in files.items()} == said["files"]
    lines = files["config.txt"].read_text().splitlines()
    assert f"kernel_address={FLAT:#x}" in lines
    kernel = next(line.removeprefix("kernel=") for line in lines if line.startswith("kernel="))
    (loaded,) = filter(None, (re.fullmatch(r"initramfs (\S+) (0x[0-9a-f]+)", x) for x in lines))
    region = replace(board.memory["config"], base=int(loaded[2], 16))
    machine = Qemu(
        replace(board, memory={**board.memory, "config": region}),
        files[kernel],
        files[loaded[1]].read_bytes(),
        netdev="user,id=net0",
    )
    with machine:
        machine.wait_line("edgeuk rpi4", LIMIT_S)
        messages = collect(monitor, has_readings("air", 3))
    assert {r.unit for r in readings(messages, "air")} == {"Cel"}


def test_the_firmware_finds_the_slots(board, firmware, tmp_path):
    """Partition 1 says which slot is booted, and B is an empty file system."""
    image = tmp_path / "card.img"
    card.write(image, card.make({}), lambda done, total: None)
    (select,) = off_the_card(image, card.START, tmp_path / "select").items()
    assert select[0].lower() == "autoboot.txt"
    assert (
        select[1].read_text()
        == "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
    )
