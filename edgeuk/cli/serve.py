"""`edgeuk run` of a gateway that is nothing but a service: its console, until it is ended."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import typer

from edgeuk.build import BuildResult
from edgeuk.cli.say import out, say
from edgeuk.decoder import named
from edgeuk.errors import EXIT_INTERRUPTED, DeviceError
from edgeuk.resolve import Image
from edgeuk.run.session import alone
from edgeuk.sealed import Seal

POLL_S = 0.2


def serve(
    image: Image,
    result: BuildResult,
    values: Mapping[str, str],
    log: Path,
    limit_s: float,
    seal: Seal | None = None,
    finished: bytes = b"",
    storage: Path | None = None,
) -> None:
    """Boot it and show what its console says. Raises `DeviceError` when it ends by itself."""
    say(f"{values['name']} on {image.board.name}, {result.flash_bytes:,} bytes; Ctrl-C ends")
    if port := values.get("service.port"):
        say(f"service: http://localhost:{port}/")
    end = time.monotonic() + limit_s
    over = threading.Event()  # what QEMU says of its end is not the service's

    def show(line: str) -> None:
        if not over.is_set():
            out.print(line, markup=False, highlight=False)

    try:
        where = (image.board, result.image, values)
        with alone(
            *where, seal=seal, finished=finished, storage=storage, log=log, on_line=show
        ) as machine:
            while time.monotonic() < end:
                time.sleep(POLL_S)
                status = machine.poll()
                if status is not None:
                    what = f"the machine ended by itself (status {status})"
                    tail = named(machine.tail(24), result.debug)
                    raise DeviceError(f"{what}; the console's last lines:\n{tail}")
            over.set()
    except KeyboardInterrupt:
        say("stopped")
        raise typer.Exit(EXIT_INTERRUPTED) from None
