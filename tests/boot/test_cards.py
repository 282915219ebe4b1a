"""The cards that `edgeuk flash` writes: their boot files, taken off them by mtools, boot in QEMU,
where config.txt or U-Boot's script says that they go; a real U-Boot reads a card and loads both."""

import json
import random
import re
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from boot_rig import HEAD, LIMIT_S, collect, has_readings, readings

from edgeuk.catalog import find_board, load_catalog
from edgeuk.cli.app import run
from edgeuk.errors import ToolError
from edgeuk.flash import card, pi, uboot
from edgeuk.pack import elf
from edgeuk.run.emulator import find_emulator
from edgeuk.run.machine import Qmp
from edgeuk.run.process import Process
from edgeuk.run.qemu import HOST_ADDRESS, Qemu

SLOT_A = card.START + card.SELECT
# Where QEMU loads and enters a flat image, as the Pi's firmware does: hw/arm/boot.c, "kernel8".
FLAT = 0x80000
IVT = bytes.fromhex("d1002040")  # what a boot loader for an i.MX begins with
U_BOOT = Path("/usr/lib/u-boot/qemu_arm64/u-boot.bin")  # Debian's u-boot-qemu
GATEWAY = """
[[sensor]]
name = "air"
driver = "tmp105"
at = "i2c0:0x48"
every = "200ms"
"""


def emulated(name):
    """The board; skips the test where no emulator has it."""
    found = find_board(load_catalog(), name)
    try:
        find_emulator(found)
    except ToolError as e:
        pytest.skip(str(e))
    return found


def firmware(board, folder):
    """Files with the names of the makers', which edgeuk may not hand on; QEMU needs none."""
    folder.mkdir()
    for name in (*board.flash.firmware, *board.flash.loader[:1]):
        (folder / name).write_bytes(IVT + name.encode())
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


def flash(name, broker, folder, capsys):
    """A card for the board, and what the command said."""
    gateway, image, board = folder / "gateway.toml", folder / "card.img", emulated(name)
    here = f"mqtt://{HOST_ADDRESS}:{broker.port}"
    gateway.write_text(HEAD.replace("mqtt://localhost:1883", here) + GATEWAY)
    argv = ["flash", "--board", name, "--gateway", str(gateway), "--to", str(image)]
    assert run([*argv, "--firmware-dir", str(firmware(board, folder / "f")), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"]
    return board, image, said


def boots(board, kernel, config, address, monitor):
    """The image publishes, with the configuration that lies at this address."""
    region = replace(board.memory["config"], base=address)
    board = replace(board, memory={**board.memory, "config": region})
    with Qemu(board, kernel, config.read_bytes(), netdev="user,id=net0") as machine:
        machine.wait_line(f"edgeuk {board.name}", LIMIT_S)
        messages = collect(monitor, has_readings("air", 3))
    assert {r.unit for r in readings(messages, "air")} == {"Cel"}


def test_what_is_on_a_card_for_the_pi_boots_and_publishes(broker, monitor, tmp_path, capsys):
    board, image, said = flash("rpi4", broker, tmp_path, capsys)
    files = off_the_card(image, SLOT_A, tmp_path / "slot-a")
    sizes = {name: path.stat().st_size for name, path in files.items()}
    assert {**sizes, "autoboot.txt": len(pi.AUTOBOOT)} == said["files"]
    lines = files["config.txt"].read_text().splitlines()
    assert f"kernel_address={FLAT:#x}" in lines
    kernel = next(line.removeprefix("kernel=") for line in lines if line.startswith("kernel="))
    (loaded,) = filter(None, (re.fullmatch(r"initramfs (\S+) (0x[0-9a-f]+)", x) for x in lines))
    boots(board, files[kernel], files[loaded[1]], int(loaded[2], 16), monitor)


@pytest.mark.parametrize(
    ("name", "size", "machine"),
    [("imx6ul-evk", elf.CLASS_32, 40), ("imx8mp-evk", elf.CLASS_64, 183)],
)
def test_what_is_on_a_card_for_u_boot_boots_and_publishes(
    name, size, machine, broker, monitor, tmp_path, capsys
):
    """QEMU enters flat images of Linux only: an ELF around ours says where U-Boot puts it."""
    board, image, _ = flash(name, broker, tmp_path, capsys)
    select = off_the_card(image, card.START, tmp_path / "select")
    script = select["boot.scr"].read_text(errors="replace")
    loads = dict(re.findall(r"load \$\{devtype\} \$\{devnum\}:2 (0x\w+) ([\w.]+)", script))
    address = {file: int(where, 16) for where, file in loads.items()}
    assert script.endswith(f"go {address['edgeuk.img']:#x}; fi\n")
    files = off_the_card(image, SLOT_A, tmp_path / "slot-a")
    assert files.keys() == address.keys()

    data, at = files["edgeuk.img"].read_bytes(), address["edgeuk.img"]
    segment = elf.Segment(elf.PT_LOAD, 7, at, at, len(data), 4, data)
    kernel = tmp_path / "i.elf"
    kernel.write_bytes(elf.pack(elf.Elf(size, machine, 0, at, (segment,), ())))
    boots(board, kernel, files["edgeuk.cfg"], address["edgeuk.cfg"], monitor)


def test_u_boot_finds_the_script_and_loads_image_and_configuration(tmp_path):
    """Debian's, for QEMU's Arm machine: what looks for the script is the same as on the boards. It
    ends there: its `go` first waits for a PL011 that it never takes for empty."""
    if not U_BOOT.is_file():
        pytest.skip("U-Boot is not installed (apt-get install u-boot-qemu)")
    image = tmp_path / "card.img"
    content, config = random.Random(6).randbytes(50_000), b"configuration"
    slot, select = uboot.boot_files(card.Boot(content, 0x4100_0000, config, 0x4180_0000))
    loader = card.Loader("", b"", 0, 0)
    card.write(image, card.make(slot, select, loader), lambda done, total: None)
    found = find_emulator(emulated("virt-aarch64"))
    ours, theirs = socket.socketpair()
    argv = [
        *(*found.command, "-machine", "virt", "-cpu", "cortex-a53", "-m", "128M"),
        *("-accel", "tcg", "-display", "none", "-nodefaults", "-no-reboot", "-net", "none"),
        *("-serial", "stdio", "-chardev", f"socket,id=qmp,fd={theirs.fileno()}"),
        *("-mon", "chardev=qmp,mode=control"),
        *("-bios", str(U_BOOT), "-device", "virtio-blk-device,drive=disk0"),
        *("-drive", f"if=none,id=disk0,format=raw,file={image}"),
    ]
    with ours, theirs, Process(argv, pass_fds=[theirs.fileno()]) as machine:
        machine.wait_line("Found U-Boot script /boot.scr", LIMIT_S)
        machine.wait_line("## Starting application at 0x41000000", LIMIT_S)
        qmp, copy = Qmp(ours, "QEMU"), tmp_path / "memory"
        for at, expected in ((0x4100_0000, slot["edgeuk.img"]), (0x4180_0000, config)):
            qmp.command("pmemsave", {"val": at, "size": len(expected), "filename": str(copy)})
            assert copy.read_bytes() == expected
        qmp.close()


def test_the_firmware_of_the_pi_finds_the_slots(tmp_path):
    """Partition 1 says which slot is booted, and B is an empty file system."""
    image = tmp_path / "card.img"
    card.write(image, card.make({}, pi.SELECT), lambda done, total: None)
    (select,) = off_the_card(image, card.START, tmp_path / "select").items()
    assert select[0].lower() == "autoboot.txt"
    assert (
        select[1].read_text()
        == "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
    )
