"""What a real board and the tests say to each other, recorded on this machine by tcpdump or
dumpcap.

Only the tests' own ports: what else this machine does is nobody's business. Recording is a right of
root, or of the group that `dpkg-reconfigure wireshark-common` gives it to; without it, reports say
that there is no capture, and why.
"""

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from edgeuk.run.process import die_with

# To their standard output, as tcpdump opens files as another user. `-Z root`: else it becomes that
# user, and no longer ends with us.
PROGRAMS = {
    "tcpdump": ("-n", "-U", "--immediate-mode", "-i", "any", "-w", "-"),
    "dumpcap": ("-q", "-P", "-i", "any", "-w", "-", "-f"),
}
READY = (b"listening on", b"File: ")  # "Capturing on" of dumpcap comes too early
START_S, STOP_S = 10.0, 5.0


def record(path: Path, address: str, ports: Iterable[int], stack: ExitStack) -> str:
    """Into a pcap file, until `stack` ends. Returns why not; "" if it does."""
    wanted = " or ".join(f"port {port}" for port in sorted(ports))
    why = "neither tcpdump nor dumpcap is installed here"
    for name, options in PROGRAMS.items():
        program = shutil.which(name)
        if program is None:
            continue
        as_root = ("-Z", "root") if name == "tcpdump" and os.geteuid() == 0 else ()
        command = [program, *as_root, *options, f"tcp and host {address} and ({wanted})"]
        why = _start(command, path, stack)
        if not why:
            return ""
        path.unlink(missing_ok=True)
    return why


def _start(command: list[str], path: Path, stack: ExitStack) -> str:
    with path.open("wb") as file:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.PIPE,
                preexec_fn=partial(die_with, os.getpid()),
            )
        except OSError as e:
            return f"{command[0]}: {e.strerror}"
    assert child.stderr
    said, end = b"", time.monotonic() + START_S
    while not any(word in said for word in READY):
        left = max(0.0, end - time.monotonic())
        ready = select.select([child.stderr], [], [], left)[0]
        part = os.read(child.stderr.fileno(), 4096) if ready else b""
        if not part:
            _stop(child)
            words = " ".join(said.decode(errors="replace").split())
            return f"{command[0]} does not start: {words or 'it says nothing'}"
        said += part
    stack.callback(_stop, child)
    return ""


def _stop(child: subprocess.Popen[bytes]) -> None:
    """It writes what it still has."""
    child.terminate()
    try:
        child.communicate(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
