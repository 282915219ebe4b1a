"""What a booted gateway talks to: Modbus servers, good and bad, brokers that misbehave, SNTP.

All listen on 127.0.0.1 and a free port, run on a thread, and end with their `with` block.
"""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgeuk.run.broker import free_port

START_S = 10.0
REGISTERS = 200
NTP_EPOCH = 2_208_988_800  # seconds from 1900 to 1970 (RFC 868)


class ModbusServer:
    """pymodbus as the independent peer; `registers` are its input and holding registers."""

    def __init__(self, registers: Mapping[int, int], port: int = 0, unit: int = 1) -> None:
        self.port = port or free_port()
        self.registers = dict(registers)
        self.exception: ExcCodes | None = None  # answer with this instead
        self.delay_s = 0.0
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
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        for at, value in self.registers.items():
            registers[at - start] = value
        return self.exception


class TcpScript:
    """A TCP server that does what a function says with each connection, then closes it."""

    def __init__(self, handle: Callable[[socket.socket], None], port: int = 0) -> None:
        self.connections = 0
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
        self._thread.join(START_S)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(START_S)
            with connection:
                try:
                    self._handle(connection)
                except OSError:
                    pass  # the gateway left first


class Sntp:
    """An SNTP server (RFC 4330) that says what `now` says."""

    def __init__(self, now: Callable[[], float] = time.time, port: int = 0) -> None:
        self._now = now
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self.requests = 0

    def __enter__(self) -> Self:
        self._socket.settimeout(0.2)
        self._running = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running = False
        self._thread.join(START_S)
        self._socket.close()

    def _serve(self) -> None:
        while self._running:
            try:
                request, peer = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            self.requests += 1
            now = self._now() + NTP_EPOCH
            stamp = struct.pack(">II", int(now), int(now % 1 * 2**32))
            # Version 4, server, stratum 2; delay, dispersion and reference are left at 0.
            head = struct.pack(">BBbb", 0x24, 2, 6, -20) + bytes(20)
            self._socket.sendto(head + request[40:48] + stamp + stamp, peer)


class Dns:
    """A DNS server (RFC 1035) on 127.0.0.1:53: says SERVFAIL until `address` is set, then that."""

    PORT = 53  # fixed by the protocol: binding it takes root

    def __init__(self) -> None:
        self.address = ""
        self.requests = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", self.PORT))

    def __enter__(self) -> Self:
        self._socket.settimeout(0.2)
        self._running = True
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running = False
        self._thread.join(START_S)
        self._socket.close()

    def _serve(self) -> None:
        while self._running:
            try:
                request, peer = self._socket.recvfrom(512)
            except TimeoutError:
                continue
            self.requests += 1
            question = request[12 : request.index(b"\0", 12) + 5]
            if not self.address:
                reply = request[:2] + bytes.fromhex("8182 0001 0000 0000 0000") + question
            else:
                answer = bytes.fromhex("c00c 0001 0001 0000003c 0004")
                answer += socket.inet_aton(self.address)
                reply = request[:2] + bytes.fromhex("8180 0001 0001 0000 0000") + question + answer
            self._socket.sendto(reply, peer)


def float_registers(values: Mapping[int, float]) -> dict[int, int]:
    """Float32, high word first, at register addresses."""
    result = {}
    for address, value in values.items():
        result[address], result[address + 1] = struct.unpack(">HH", struct.pack(">f", value))
    return result
