"""How an image gets onto a board: the table [flash] of its file."""

from dataclasses import dataclass

from edgeuk.tables import Table

# A debug probe; a memory card, for the Pi's firmware or for U-Boot; the USB drive of an Arm MPS2; a
# file for another program.
FLASH_METHODS = ("pyocd", "sd", "u-boot", "mps2", "file")
CARD_MAX = 8 << 20  # before the first partition


@dataclass(frozen=True, slots=True)
class Flash:
    """How an image gets onto the board."""

    method: str  # one of FLASH_METHODS
    target: str = ""  # pyOCD's name of the microcontroller
    firmware: tuple[str, ...] = ()  # files of the maker that the card needs
    config: tuple[str, ...] = ()  # lines of the card's config.txt
    loader: tuple[str, ...] = ()  # names of U-Boot's file; the first that is there is taken
    loader_at: int = 0  # where on the card the processor's ROM looks for it
    loader_end: int = 0  # where on the card U-Boot has its environment
    loader_from: str = ""  # how to come by it
    application: str = ""  # folder of the MPS2's drive
    command: str = ""  # what writes {file} to the board


def read_flash(table: Table) -> Flash:
    """The table; what is wrong with it becomes faults of its document."""
    method = table.choice("method", FLASH_METHODS) or ""
    flash = Flash(method)
    if method == "pyocd":
        flash = Flash(method, target=table.text("target"))
    elif method == "sd":
        flash = Flash(method, firmware=table.texts("firmware"), config=table.texts("config"))
    elif method == "u-boot":
        flash = Flash(
            method,
            loader=table.texts("loader", required=True),
            loader_at=table.integer("loader_at", high=CARD_MAX),
            loader_end=table.integer("loader_end", high=CARD_MAX),
            loader_from=table.text("loader_from"),
        )
    elif method == "mps2":
        flash = Flash(method, application=table.text("application"))
    elif method == "file":
        flash = Flash(method, command=table.text("command"))
    table.close()
    return flash
