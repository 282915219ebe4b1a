"""Run the `host` build: the gateway as a Linux process with the sanitizers on."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from edgeuk.cache import write_atomic
from edgeuk.run.process import Process

HOST_ADDRESS = "127.0.0.1"


class Host(Process):
    """The running gateway; a context manager. `lines` is its console."""

    def __init__(
        self,
        image: Path,
        device_config: bytes,
        *,
        storage: Path | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="edgeuk-")
        config = Path(self._folder.name) / "config.bin"
        write_atomic(config, device_config, 0o600)  # a key may be in it
        argv = [str(image), "--config", str(config)]
        argv += ["--storage", str(storage)] if storage else []
        super().__init__(argv, log=log, on_line=on_line)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._folder.cleanup()
