"""One running board: `python -m edgeuk.emulation MACHINE IMAGE CONFIG ADDRESS NETWORK CONTROL`.

The console is stdout. NETWORK and CONTROL are descriptors that were handed down: a datagram socket
with a frame in each, or -1; and a stream with the commands of `control`. A reset of the chip ends
it with status 0, as a QEMU with -no-reboot; a processor that locked up with 1. `--gdb LISTENER`: a
socket at which gdb is waited for before the first instruction; `--capture FILE`: frames in and out.
"""

import argparse
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

from edgeuk.emulation.capture import FRAME_MAX, Capture
from edgeuk.emulation.control import Control
from edgeuk.emulation.debugger import Debugger
from edgeuk.emulation.kinetis import Board
from edgeuk.emulation.memory import PAGE

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

    def __init__(self, given: argparse.Namespace) -> None:
        self.console = Console()
        self._network = _socket(given.network)
        self._capture = Capture(given.capture) if given.capture else None
        self.board = MACHINES[given.machine](self.console.put, self._send)
        self.board.notice = self._notice
        control, listener = _socket(given.control), _socket(given.gdb)
        assert control
        self._control = Control(self.board, control)
        self._debugger = Debugger(self.board, listener, self._stand) if listener else None
        self.board.debugger = self if listener else None
        self._executing = threading.Event()

    def _inputs(self, standing: bool = False) -> list[socket.socket]:
        """Where something may come. A board that stands leaves the network alone."""
        network = [self._network] if self._network and not standing else []
        return [self._control.socket, *network, *(self._debugger.sockets if self._debugger else ())]

    def _notice(self, what: str) -> None:
        self.console.flush()
        print(f"emulation: {what}", flush=True)

    def _send(self, frame: bytes) -> None:
        if self._capture:
            self._capture.add(frame)
        if self._network:
            with suppress(OSError):  # nobody there, or a queue that is full: frames get lost
                self._network.send(frame)

    def run(self) -> int:
        """The exit status."""
        threading.Thread(target=self._look, daemon=True).start()
        self._executing.set()
        self.board.run(self._sleep, self._outside)
        self.console.flush()
        failed = bool(self.board.ended) and self.board.ended != Board.FROM_OUTSIDE
        if failed:
            self._notice(self.board.ended)
        if self._debugger:
            self._debugger.ended(int(failed))
        return int(failed)

    def _look(self) -> None:
        """Tells the processor where something came or is due, and again if that was not heard:
        just then it may have been between two runs."""
        board, seen, silent = self.board, 0, 0
        while True:
            self._executing.wait()
            _wait(self._inputs(), LOOK_S)
            silent = silent + 1 if board.core.accesses == seen else 0
            seen = board.core.accesses
            board.core.poke(silent > SILENT_LOOKS)
            time.sleep(LOOK_S)

    def _sleep(self) -> None:
        """Until something came or is due."""
        self._executing.clear()
        self.console.flush()
        _wait(self._inputs(), min(self.board.clock.wait_s(), SLEEP_MAX_S))
        self._outside()
        self._executing.set()

    def _stand(self) -> None:
        """Until something came for a board that a debugger has stopped."""
        self._executing.clear()
        self.console.flush()
        _wait(self._inputs(standing=True), None)
        self._commands()

    def stands(self) -> bool:
        """What `Board` asks a debugger."""
        single = self._debugger is not None and self._debugger.stands()
        if not single:  # nobody looks after a single instruction
            self._executing.set()
        return single

    def _outside(self) -> None:
        if self._network:
            with suppress(OSError):
                while True:
                    self._receive(self._network.recv(FRAME_MAX))
        if self._debugger:
            self._debugger.hear()
        self._commands()

    def _receive(self, frame: bytes) -> None:
        if self._capture:
            self._capture.add(frame)
        self.board.enet.receive(frame)

    def _commands(self) -> None:
        if not self._control.serve():  # who started it has gone
            self.board.end()


def _socket(descriptor: int) -> socket.socket | None:
    """One that was handed down; -1: none."""
    if descriptor < 0:
        return None
    found = socket.socket(fileno=descriptor)
    found.setblocking(False)
    return found


def _wait(sockets: list[socket.socket], limit_s: float | None) -> None:
    """Until something came there; one may be closed meanwhile, by another thread."""
    with suppress(OSError, ValueError):
        select.select(sockets, [], [], limit_s)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edgeuk.emulation")
    parser.add_argument("machine", choices=MACHINES)
    parser.add_argument("image", type=Path)
    parser.add_argument("config", type=Path)
    parser.add_argument("address", type=lambda text: int(text, 0))
    parser.add_argument("network", type=int)
    parser.add_argument("control", type=int)
    parser.add_argument("--gdb", type=int, default=-1)
    parser.add_argument("--capture", type=Path)
    given = parser.parse_args()
    runner = Runner(given)
    with given.image.open("rb") as file:
        for segment in ELFFile(file).iter_segments("PT_LOAD"):
            if segment["p_filesz"]:
                runner.board.load(segment["p_paddr"], segment.data())
    runner.board.load(given.address, given.config.read_bytes())
    return runner.run()


if __name__ == "__main__":
    sys.exit(main())
