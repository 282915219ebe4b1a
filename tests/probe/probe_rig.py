"""What tests of virtual boards share: an image that fits every chip, and waiting for a board."""

import random
import time

from edgeuk.probe import client


def image(base, stack, size, seed=1):
    """Random bytes that begin like a vector table and do not lock a Kinetis."""
    data = bytearray(random.Random(seed).randbytes(size))
    entry = base + 0x801
    data[:0x40] = stack.to_bytes(4, "little") + entry.to_bytes(4, "little") * 15
    data[0x400:0x410] = b"\xff" * 12 + b"\xfe\xff\xff\xff"
    data[0x800:0x804] = bytes.fromhex("fee7fee7")  # b .
    return bytes(data)


def state(name):
    """Of a board that was started."""
    (found,) = [s for s in client.boards() if s.name == name]
    return found.state


def wait_for(what, limit_s=10.0):
    """Until `what()` is true; there is no event for what happens in another process."""
    end = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def wait_console(name, text, limit_s=10.0):
    """Until the board has printed it since its last reset."""
    with client.Connection(name) as connection:
        wait_for(lambda: text in connection.console()[1], limit_s)
