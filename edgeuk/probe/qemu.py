"""Which QEMU runs virtual boards, and how it is called."""

from edgeuk.run import emulator

BINARY = "qemu-system-arm"


def command(machine: str) -> tuple[list[str], dict[str, str]]:
    """Command line up to the machine, and its environment. Raises `ToolError`."""
    found = emulator.find(BINARY)
    return [*found.command, "-machine", machine], found.environment
