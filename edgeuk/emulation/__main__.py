"""One running board: `python -m edgeuk.emulation MACHINE IMAGE CONFIG ADDRESS NETWORK CONTROL`.

The console is stdout. NETWORK and CONTROL are descriptors that were handed down: a datagram socket
with a frame in each, or -1; and a stream with the commands of `control`. A reset of the chip ends
it with status 0, as a QEMU with -no-reboot; a processor that locked up with 1.
"""

import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from elftools.elf.elffile import ELFFile

from edgeuk.emulation.control import Control
from edgeuk.emulation.kinetis import Board
from edgeuk.emulation.memory import PAGE

FRAME_MAX = 65_536
LOOK_S = 0.002
SILENT_LOOKS = 5  # without an access to a register: it calculates, or hangs
SLEEP_MAX_S = 1.0
MACHINES: dict[str, Callable[..., Board]] = {"frdm-k64f": Board}


class Console:
    """Writes lines, and what is left of one when there is time."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def put(self, byte: int) -> None:
        self._waiting.append(byte)
        if byte == 10 or len(self._waiting) >= PAGE:
            self.flush()

    def flush(self) -> None:
        if self._waiting:
            os.write(1, self._waiting)
            self._waiting.clear()


class Runner:
    """The board on one thread, what looks after it while it executes on another."""

    def __init__(self, machine: str, network: int, control: int) -> None:
        self.console = Console()
        self._network = socket.socket(fileno=network) if network >= 0 else None
        self.board = MACHINES[machine](self.console.put, self._send)
        self._control = Control(self.board, socket.socket(fileno=control))
        self._inputs = [self._control.socket, *([self._network] if self._network else [])]
        for end in self._inputs:
            end.setblocking(False)
        self._executing = threading.Event()

    def _send(self, frame: bytes) -> None:
        if self._network:
            with suppress(OSError):  # nobody there, or a queue that is full: frames get lost
                self._network.send(frame)

    def run(self) -> int:
        """The exit status."""
        threading.Thread(target=self._look, daemon=True).start()
        self._executing.set()
        self.board.run(self._sleep, self._outside)
        self.console.flush()
        if self.board.ended and self.board.ended != Board.FROM_OUTSIDE:
            print(f"emulation: {self.board.ended}", flush=True)
            return 1
        return 0

    def _look(self) -> None:
        """Tells the processor where something came or is due, and again if that was not heard:
        just then it may have been between two runs."""
        board, seen, silent = self.board, 0, 0
        while True:
            self._executing.wait()
            select.select(self._inputs, [], [], LOOK_S)
            silent = silent + 1 if board.core.accesses == seen else 0
            seen = board.core.accesses
            board.core.poke(silent > SILENT_LOOKS)
            time.sleep(LOOK_S)

    def _sleep(self) -> None:
        """Until something came or is due."""
        self._executing.clear()
        self.console.flush()
        select.select(self._inputs, [], [], min(self.board.clock.wait_s(), SLEEP_MAX_S))
        self._outside()
        self._executing.set()

    def _outside(self) -> None:
        if self._network:
            with suppress(OSError):
                while True:
                    self.board.enet.receive(self._network.recv(FRAME_MAX))
        if not self._control.serve():  # who started it has gone
            self.board.end()


def main(machine: str, image: str, config: str, address: str, network: str, control: str) -> int:
    runner = Runner(machine, int(network), int(control))
    with Path(image).open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            if segment["p_filesz"]:
                runner.board.load(segment["p_paddr"], segment.data())
    runner.board.load(int(address, 0), Path(config).read_bytes())
    return runner.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
