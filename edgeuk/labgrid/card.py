"""A board's memory card in a lab: a multiplexer hands it to a machine, where `edgeuk flash` writes
and verifies it, and back to the board.

That machine is the exporter, which labgrid reaches by SSH, or this one. `edgeuk` there refuses
disks as it does for users; one that a desktop mounts by itself is refused as well.
"""

import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import attr
from labgrid.driver.common import Driver
from labgrid.factory import target_factory
from labgrid.resource.common import NetworkResource
from labgrid.util.managedfile import ManagedFile

from edgeuk.errors import DeviceError
from edgeuk.flash.cortex_m import Result
from edgeuk.labgrid.drivers import FlashProtocol
from edgeuk.sealed import ENDING

CARD_S = 20.0  # until a card that was switched over is there: labgrid's own driver has 10 s
LOOK_S = 10.0  # for its first byte
FLASH_S = 600.0  # a slow card
POLL_S = 0.1  # no event crosses to this machine
_IS_TEXT = attr.validators.instance_of(str)


@target_factory.reg_driver
@attr.s(eq=False)
class EdgeukCardDriver(Driver, FlashProtocol):
    """Writes the card; the board has no power meanwhile, which is not this driver's doing. Where
    the machine with the card has edgeuk in a place of its own, `tools` of the environment file says
    so: `edgeuk: /opt/edgeuk/bin/edgeuk`."""

    bindings = {  # noqa: RUF012 (labgrid's own way)
        "storage": {
            *("USBSDMuxDevice", "NetworkUSBSDMuxDevice", "USBMassStorage", "NetworkUSBMassStorage"),
            *("USBSDWireDevice", "NetworkUSBSDWireDevice"),
            *("USBSDWire3Device", "NetworkUSBSDWire3Device"),
        },
        "mux": {"USBSDMuxDriver", "USBSDWireDriver", "USBSDWire3Driver"},
    }
    powered = False
    board: str = attr.ib(validator=_IS_TEXT)
    firmware_dir: str = attr.ib(default="", validator=_IS_TEXT)  # on the machine with the card
    no_firmware: bool = attr.ib(default=False, validator=attr.validators.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._on_it = ""  # digest of what this process has written: cards wear, and are slow

    @property
    def board_name(self) -> str:
        return self.board

    @Driver.check_active
    def flash(self, image: Path, config: bytes = b"") -> Result:
        """The card is the board's again after it, whether it could be written or not."""
        data = image.read_bytes()
        digest = hashlib.sha256(hashlib.sha256(data).digest() + config).hexdigest()
        if digest == self._on_it:
            return Result(0, 0, len(data) + len(config), 0.0)
        self._on_it = ""
        began = time.monotonic()
        try:
            self.mux.set_mode("host")
            self._wait_for_card()
            written = self._write(image, config)
        finally:
            self.mux.set_mode("dut")
        self._on_it = digest
        return Result(0, written, 0, time.monotonic() - began)

    def _wait_for_card(self) -> None:
        """A slot without a card is a disk that cannot be read."""
        end = time.monotonic() + CARD_S
        while not self._run(["head", "-c", "1", str(self.storage.path)], LOOK_S).stdout:
            if time.monotonic() > end:
                what = f"there is no card in {self.storage.path}, {CARD_S:g} s after the switch"
                raise DeviceError(what, hint="is it in the multiplexer? May you read that disk?")
            time.sleep(POLL_S)

    def _write(self, image: Path, config: bytes) -> int:
        """Bytes, counted by `edgeuk flash`."""
        name, argv = self.board, self._edgeuk()
        argv += ["flash", "--board", name, "--to", str(self.storage.path), "--yes", "--json"]
        argv += ["--firmware-dir", self.firmware_dir] if self.firmware_dir else []
        argv += ["--no-firmware"] if self.no_firmware else []
        argv += ["--image", self._there(image)]
        with tempfile.TemporaryDirectory(prefix="ek-") as folder:
            blob = Path(folder) / f"device{ENDING}"
            if config:
                blob.touch(0o600)  # a key may be in it
                blob.write_bytes(config)
                argv += ["--device", self._there(blob)]
            try:
                done = self._run(argv)
            finally:
                if config and self._is_remote:
                    self._run(["rm", "-f", argv[-1]])
        if done.returncode:
            said = "\n".join(f"  | {line}" for line in done.stderr.splitlines())
            what = f"the card of board {name} was not written (status {done.returncode}):\n{said}"
            raise DeviceError(what, hint=f"what was called: {shlex.join(argv)}")
        try:
            told: dict[str, Any] = json.loads(done.stdout)
            return int(told["bytes"])
        except (ValueError, KeyError, TypeError):
            what = f"edgeuk on the machine with the card said: {done.stdout[:200].strip()}"
            raise DeviceError(what, hint=f"what was called: {shlex.join(argv)}") from None

    @property
    def _is_remote(self) -> bool:
        return isinstance(self.storage, NetworkResource)

    def _edgeuk(self) -> list[str]:
        tool = "edgeuk"
        if self.target.env:
            tool = self.target.env.config.get_tool(tool)
        return [tool] if self._is_remote or tool != "edgeuk" else [sys.executable, "-m", "edgeuk"]

    def _there(self, path: Path) -> str:
        """The file's name on the machine with the card, where it is now."""
        file = ManagedFile(path, self.storage)
        file.sync_to_resource()
        return str(file.get_remote_path())

    def _run(self, argv: list[str], limit_s: float = FLASH_S) -> subprocess.CompletedProcess[str]:
        command = self.storage.wrap_command(argv)
        try:
            return subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as e:
            raise DeviceError(
                f"{argv[0]} cannot be run on the machine with the card: {e}"
            ) from None
