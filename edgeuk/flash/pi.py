"""What the firmware of a Raspberry Pi is told and given on a card: `autoboot.txt` on partition 1
says which slot is booted; slot A has the firmware's own files, `config.txt`, image, configuration.
"""

from edgeuk.flash import card

KERNEL, CONFIG = "kernel8.img", "edgeuk.cfg"
AUTOBOOT = "[all]\ntryboot_a_b=1\nboot_partition=2\n[tryboot]\nboot_partition=3\n"
SELECT = {"autoboot.txt": AUTOBOOT.encode()}


def boot_files(boot: card.Boot) -> dict[str, bytes]:
    """Slot A of the Pi. Raises `BuildError` for an image larger than its room."""
    image = card.padded(boot.image)
    lines = [*boot.lines, f"kernel={KERNEL}", f"kernel_address={boot.address:#x}"]
    lines += ["disable_commandline_tags=1", "disable_splash=1"]
    files = dict(boot.firmware)
    if boot.config:
        lines.append(f"initramfs {CONFIG} {boot.config_address:#x}")  # it loads any file
        files[CONFIG] = boot.config
    files["config.txt"] = "".join(f"{line}\n" for line in lines).encode()
    files[KERNEL] = image
    return files
