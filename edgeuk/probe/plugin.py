"""The debug probe of virtual boards: pyOCD finds it by the entry point `pyocd.probe`.

`--probe virtual:NAME` names a board that was started. Only a messenger: ports, core and flash are
in the board's daemon. Nothing heavy is imported here, for pyOCD loads every plugin at every start.
"""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from pyocd.core import exceptions
from pyocd.core.memory_interface import MemoryInterface
from pyocd.core.plugin import Plugin
from pyocd.probe.debug_probe import DebugProbe

from edgeuk import __version__
from edgeuk.errors import DeviceError, EdgeukError
from edgeuk.probe import storage
from edgeuk.probe.client import Connection, Fault


class VirtualProbe(DebugProbe):  # type: ignore[misc]
    """A probe that is wired to a virtual board."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._connection: Connection | None = None
        self._protocol: Any = None
        self._in_reset = False

    @classmethod
    def get_all_connected_probes(
        cls, unique_id: str | None = None, is_explicit: bool = False
    ) -> list["VirtualProbe"]:
        return [cls(r.name) for r in storage.known() if storage.is_alive(r)]

    @classmethod
    def get_probe_with_id(cls, unique_id: str, is_explicit: bool = False) -> "VirtualProbe | None":
        try:
            record = storage.read_record(unique_id)
        except EdgeukError:
            return None
        return cls(unique_id) if record and storage.is_alive(record) else None

    @property
    def vendor_name(self) -> str:
        return "edgeuk"

    @property
    def product_name(self) -> str:
        record = storage.read_record(self._name)
        return f"virtual board {self._name} ({record.target if record else 'stopped'})"

    @property
    def supported_wire_protocols(self) -> list[Any]:
        return [DebugProbe.Protocol.DEFAULT, DebugProbe.Protocol.SWD]

    @property
    def unique_id(self) -> str:
        return self._name

    @property
    def wire_protocol(self) -> Any:
        return self._protocol

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def capabilities(self) -> set[Any]:
        # RP2040 asks for sequences, to select one of its two cores on the wire.
        can = DebugProbe.Capability
        return {can.BANKED_DP_REGISTERS, can.SWD_SEQUENCE, can.SWJ_SEQUENCE}

    def open(self) -> None:
        try:
            connection = Connection(self._name)
            if not connection.ask("open"):
                connection.close()
                text = f"another debugger uses virtual board `{self._name}`"
                raise exceptions.ProbeError(text)
        except DeviceError as e:
            raise exceptions.ProbeError(e.what) from e
        self._connection = connection

    def close(self) -> None:
        if self._connection is not None:
            try:
                self._connection.ask("close")
            except DeviceError as e:
                raise exceptions.ProbeError(e.what) from e
            finally:
                self._connection.close()
                self._connection = None

    def connect(self, protocol: Any = None) -> None:
        self._protocol = DebugProbe.Protocol.SWD

    def disconnect(self) -> None:
        self._protocol = None

    def swj_sequence(self, length: int, bits: int) -> None:
        pass

    def swd_sequence(self, sequences: Sequence[Sequence[int]]) -> tuple[int, list[bytes]]:
        return 0, [b"" for s in sequences if len(s) == 1]

    def set_clock(self, frequency: float) -> None:
        pass

    def flush(self) -> None:
        pass

    def reset(self) -> None:
        self.ask("reset_pin", asserted=False)

    def assert_reset(self, asserted: bool) -> None:
        self._in_reset = asserted
        self.ask("reset_pin", asserted=asserted)

    def is_reset_asserted(self) -> bool:
        return self._in_reset

    def read_dp(self, addr: int, now: bool = True) -> Any:
        return self._answer(self.ask("rdp", a=addr), now)

    def write_dp(self, addr: int, data: int) -> None:
        self.post("wdp", a=addr, v=data)

    def read_ap(self, addr: int, now: bool = True) -> Any:
        return self._answer(self.ask("rap", a=addr, n=1)[0], now)

    def write_ap(self, addr: int, data: int) -> None:
        self.post("wap", a=addr, v=[data])

    def read_ap_multiple(self, addr: int, count: int = 1, now: bool = True) -> Any:
        return self._answer(self.ask("rap", a=addr, n=count), now)

    def write_ap_multiple(self, addr: int, values: Sequence[int]) -> None:
        self.post("wap", a=addr, v=list(values))

    def get_memory_interface_for_ap(self, ap_address: Any) -> "VirtualMemory | None":
        return None if ap_address.apsel else VirtualMemory(self)

    def ask(self, op: str, **arguments: Any) -> Any:
        """A request to the board, errors as pyOCD's."""
        return self._guarded(lambda c: c.ask(op, **arguments))

    def post(self, op: str, **arguments: Any) -> None:
        """The same without an answer."""
        self._guarded(lambda c: c.post(op, **arguments))

    def _guarded(self, do: Callable[[Connection], Any]) -> Any:
        if self._connection is None:
            raise exceptions.ProbeError("the probe is not open")
        try:
            return do(self._connection)
        except Fault as e:
            raise exceptions.TransferFaultError(e.what) from e
        except DeviceError as e:
            raise exceptions.ProbeDisconnected(e.what) from e

    def _answer(self, value: Any, now: bool) -> Any:
        return value if now else lambda: value


class VirtualMemory(MemoryInterface):  # type: ignore[misc]
    """Memory in whole blocks, where the access port would take four bytes at a time."""

    def __init__(self, probe: VirtualProbe) -> None:
        self._probe = probe

    def write_memory(self, addr: int, data: int, transfer_size: int = 32, **attrs: Any) -> None:
        self._probe.post("w", a=addr, v=data, w=transfer_size)

    def read_memory(
        self, addr: int, transfer_size: int = 32, now: bool = True, **attrs: Any
    ) -> Any:
        value = self._probe.ask("r", a=addr, w=transfer_size)
        return value if now else lambda: value

    def write_memory_block32(self, addr: int, data: Sequence[int], **attrs: Any) -> None:
        self._write(addr, b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in data))

    def read_memory_block32(self, addr: int, size: int, **attrs: Any) -> list[int]:
        data = self._read(addr, 4 * size)
        return [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]

    def write_memory_block8(self, addr: int, data: Sequence[int], **attrs: Any) -> None:
        self._write(addr, bytes(data))

    def read_memory_block8(self, addr: int, size: int, **attrs: Any) -> list[int]:
        return list(self._read(addr, size))

    def _write(self, addr: int, data: bytes) -> None:
        self._probe.post("wb", a=addr, d=base64.b64encode(data).decode())

    def _read(self, addr: int, size: int) -> bytes:
        return base64.b64decode(self._probe.ask("rb", a=addr, n=size))


class VirtualProbePlugin(Plugin):  # type: ignore[misc]
    """What the entry point names."""

    def load(self) -> type[VirtualProbe]:
        return VirtualProbe

    @property
    def name(self) -> str:
        return "virtual"

    @property
    def description(self) -> str:
        return "probe of edgeuk's virtual boards"

    @property
    def version(self) -> str:
        return __version__
