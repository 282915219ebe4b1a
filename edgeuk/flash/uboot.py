"""What U-Boot is told and given on a card: a script on partition 1, image and device configuration
in slot A. Follows U-Boot 2023.01: include/image.h (legacy images), cmd/source.c, cmd/boot.c (`go`),
include/config_distro_bootcmd.h and the boards' environments, which look for `boot.scr` there.

`go`, not `bootelf`, which starts nothing unless `autostart` says so, nor `booti` or `bootz`, which
want Linux. `go` leaves the caches as they are, so they are written back before: our entry switches
them off at once, and is read from memory then.
"""

import struct
import zlib
from collections.abc import Mapping

from edgeuk.errors import BuildError
from edgeuk.flash import card

SCRIPT, CONFIG, KERNEL = "boot.scr", "edgeuk.cfg", "edgeuk.img"
SLOT_A = 2  # partition
MAGIC = 0x2705_1956  # IH_MAGIC
# IH_OS_LINUX, IH_ARCH_ARM (of a script, nobody asks for it), IH_TYPE_SCRIPT, IH_COMP_NONE
KIND = (5, 2, 6, 0)
NAME = b"edgeuk"
SCRIPT_MAX = card.SECTOR  # so that an update changes slots by writing one sector


def commands(address: int, config_address: int | None) -> str:
    """The script's text. Where it comes from, U-Boot says in `devtype` and `devnum`, or older ones
    in `mmcdev`. An image whose configuration cannot be loaded says so itself."""
    place = f"${{devtype}} ${{devnum}}:{SLOT_A}"
    lines = [
        'test -n "${devtype}" || setenv devtype mmc',
        'test -n "${devnum}" || setenv devnum ${mmcdev}',
    ]
    if config_address is not None:
        lines.append(f"load {place} {config_address:#x} {CONFIG}")
    lines.append(
        f"if load {place} {address:#x} {KERNEL}; "
        f"then dcache flush; icache flush; go {address:#x}; fi"
    )
    return "".join(f"{line}\n" for line in lines)


def script(text: str) -> bytes:
    """The text with U-Boot's header, as `mkimage -T script` makes it."""
    body = text.encode()
    content = struct.pack(">II", len(body), 0) + body  # sizes of the parts, and their end

    def header(checksum: int) -> bytes:
        numbers = (MAGIC, checksum, 0, len(content), 0, 0, zlib.crc32(content))
        return struct.pack(">7I4B32s", *numbers, *KIND, NAME)

    made = header(zlib.crc32(header(0))) + content
    assert len(made) <= SCRIPT_MAX
    return made


def boot_files(boot: card.Boot) -> tuple[dict[str, bytes], Mapping[str, bytes]]:
    """Slot A, and what is on partition 1. Raises `BuildError` for an image larger than its room."""
    image, files = card.padded(boot.image), {}
    if boot.config:
        start, end = boot.config_address, boot.config_address + len(boot.config)
        if boot.address < end and start < boot.address + len(image):
            what = f"the image's room reaches the device configuration at {start:#x} [E0808]"
            raise BuildError(what, hint="check [memory] of the board file")
        files[CONFIG] = boot.config
    files[KERNEL] = image
    text = commands(boot.address, boot.config_address if boot.config else None)
    return files, {SCRIPT: script(text)}
