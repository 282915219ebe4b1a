"""What a booted gateway talks to: Modbus servers, good and bad, and brokers that misbehave.

All listen on 127.0.0.1 and a free port, run on a thread, and end with their `with` block.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgeuk.run.broker import free_port

START_S = 10.0
REGISTERS = 200


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections and that nobody else is given; free after."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])


class ModbusServer:
    """pymodbus as the independent peer; `registers` are its input and holding registers."""

    def __init__(self, registers: Mapping[int, int], port: int = 0, unit: int = 1) -> None:
        self.port = port or free_port()
        self.registers = dict(registers)
        self.exception: ExcCodes | None = None  # answer with this instead
        self.requests: list[tuple[int, int, int]] = []  # function, address, count
        self._unit = unit

    def __enter__(self) -> Self:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(START_S), "the Modbus server did not start"
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
        device = SimDevice(self._unit, simdata=[block], action=self._action)
        server = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await server.listen()
        self._started.set()
        await self._stop.wait()
        await server.shutdown()

    async def _action(
        self,
        function: int,
        start: int,
        address: int,
        count: int,
        registers: list[int],
        _written: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        self.requests.append((function, address, count))
        for at, value in self.registers.items():
            registers[at - start] = value
        return self.exception


class TcpScript:
    """A TCP server that does what a function says with each connection, then closes it."""

    def __init__(self, handle: Callable[[socket.socket], None], port: int = 0) -> None:
        self._connection = socket.socket()  # the present one, or the last
        self._handle = handle
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with suppress(OSError):  # it may be over already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(START_S)
        self._connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connection.close()
            self._connection = connection
            connection.settimeout(START_S)
            with connection, suppress(OSError):  # the gateway left first
                self._handle(connection)


def float_registers(values: Mapping[int, float]) -> dict[int, int]:
    """Float32, high word first, at register addresses."""
    result = {}
    for address, value in values.items():
        result[address], result[address + 1] = struct.unpack(">HH", struct.pack(">f", value))
    return result
