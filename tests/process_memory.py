"""What a process of this machine has in its memory."""

import re
from pathlib import Path

LARGEST_BYTES = 64 << 20  # of a mapping that is the program's own: a sanitizer's shadow is larger


def holds(pid: int, secret: bytes) -> int:
    """How often `secret` is in what that child of ours can write to: variables, stack, heap."""
    found = 0
    maps = Path(f"/proc/{pid}/maps").read_text()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end in re.findall(r"^(\w+)-(\w+) rw", maps, re.M):
            size = int(end, 16) - int(start, 16)
            if size <= LARGEST_BYTES:
                memory.seek(int(start, 16))
                found += memory.read(size).count(secret)
    return found
