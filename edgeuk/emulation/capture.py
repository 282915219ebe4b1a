"""A capture of a network's frames as libpcap's files have it (draft-ietf-opsawg-pcap): a header,
then each frame behind its time and length. It is whole after every frame."""

import struct
import time
from pathlib import Path

MAGIC, VERSION = 0xA1B2C3D4, (2, 4)  # times in microseconds
FRAME_MAX = 65_536
ETHERNET = 1  # without the check sequence


class Capture:
    """To a new file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._file.write(struct.pack("<IHHiIII", MAGIC, *VERSION, 0, 0, FRAME_MAX, ETHERNET))

    def add(self, frame: bytes) -> None:
        """Of now, in this machine's time of day."""
        second, rest = divmod(time.time_ns(), 1_000_000_000)
        kept = frame[:FRAME_MAX]
        header = struct.pack("<IIII", second & 0xFFFFFFFF, rest // 1000, len(kept), len(frame))
        self._file.write(header + kept)
