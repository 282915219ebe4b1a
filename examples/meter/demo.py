"""What scripts/demo runs: the simulated meter, and `edgeuk run` on it; both end together.

usage: python demo.py SECONDS
"""

import sys
import tempfile
from pathlib import Path

from edgeuk.cli.app import run
from edgeuk.run.broker import free_port
from edgeuk.run.process import Process

HERE = Path(__file__).parent
START_S = 30  # pymodbus is imported and listens; a loaded machine takes longer


def main(seconds: int) -> int:
    """The exit status of `edgeuk run`."""
    port = free_port()  # so that a Modbus server of yours is not in the way
    meter = [sys.executable, str(HERE / "meter.py"), "--port", str(port)]
    with tempfile.TemporaryDirectory(prefix="edgeuk-") as folder, Process(meter) as process:
        process.wait_line("listening", START_S)
        device = Path(folder) / "device.toml"
        device.write_text(f'[servers]\nmain = "localhost:{port}"\n')
        files = ["--gateway", str(HERE / "gateway.toml"), "--device", str(device)]
        return run(["run", "--board", "x86-microvm", *files, "--for", f"{seconds}s"])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
