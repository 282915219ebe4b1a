"""A Modbus TCP server on this machine whose registers the tests set; needs pymodbus."""

import asyncio
import struct
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgeuk.errors import DeviceError
from edgeuk.run.broker import free_port

START_S = 10.0
REGISTERS = 65_536


class ModbusBench:
    """Answers every unit; `registers` are its input and holding registers, 0 where not set."""

    def __init__(self, port: int = 0) -> None:
        self.port = port or free_port()
        self.registers: dict[int, int] = {}
        self.broken = False  # answer with an exception: device failure
        self.requests = 0

    def set_float(self, address: int, value: float) -> None:
        """Float32, high word first."""
        self.registers[address], self.registers[address + 1] = struct.unpack(
            ">HH", struct.pack(">f", value)
        )

    def update(self, registers: Mapping[int, int]) -> None:
        """Several at once."""
        self.registers.update(registers)

    def __enter__(self) -> Self:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._started.wait(START_S):
            raise DeviceError(f"the Modbus server did not start on port {self.port}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        block = SimData(0, count=REGISTERS, values=0, datatype=DataType.REGISTERS)
        device = SimDevice(0, simdata=[block], action=self._action)  # unit 0: any
        server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await server.listen()
        self._started.set()
        await self._stop.wait()
        await server.shutdown()  # type: ignore[no-untyped-call]

    async def _action(
        self, _function: int, start: int, _at: int, _count: int, registers: list[int], _new: Any
    ) -> ExcCodes | None:
        self.requests += 1
        for at, value in list(self.registers.items()):
            registers[at - start] = value
        return ExcCodes.DEVICE_FAILURE if self.broken else None
