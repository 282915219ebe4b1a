"""The Modbus TCP client as a Linux process (arch/host, net/host), with sanitizers, against
pymodbus's server, which answers, refuses, goes away and comes back, and against silent and
babbling servers. Each wait is for a line of the client, at most 20 s.
"""

import asyncio
import gc
import queue
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from edgeuk.device_config import encode
from edgeuk.drivers.modbus_tcp.host import plan
from edgeuk.plan import SensorSpec

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / "edgeuk/drivers/modbus_tcp"
FIRMWARE = ROOT / "firmware"
COMPILER = shutil.which("gcc") or shutil.which("cc")
FLAGS = ["-std=c11", "-O1", "-g", "-pthread", "-fsanitize=address,undefined"]
FLAGS += ["-fno-sanitize-recover=all"]
WAIT_S = 20

pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine"),
    # pymodbus 3.16 ends requests that it has not begun when it is shut down.
    pytest.mark.filterwarnings("ignore:coroutine 'ServerRequestHandler:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SENSORS = [
    SensorSpec("u16", "main/1", 1, 0, {"register": "holding:0"}),
    SensorSpec("f32", "main/1", 1, 2, {"register": "input:0", "type": "float32"}),
    SensorSpec(
        "swapped", "main/1", 1, 2, {"register": "input:2", "type": "float32", "word_order": "CDAB"}
    ),
    SensorSpec("i64", "main/1", 1, 0, {"register": "input:4", "type": "i64"}),
    SensorSpec("coil", "main/1", 1, 0, {"register": "coil:3"}),
    SensorSpec("discrete", "main/2", 1, 0, {"register": "discrete:1"}),
    SensorSpec("nowhere", "main/1", 1, 0, {"register": "input:500"}),
]


class Client:
    """The process and the lines that it writes."""

    def __init__(self, program: Path, config: Path) -> None:
        self._process = subprocess.Popen(
            [str(program), "--config", str(config)], stdout=subprocess.PIPE, text=True
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n").split("] ", 1)[-1])

    def wait(self, wanted: str) -> str:
        """The first line from now on that contains `wanted`."""
        seen = []
        try:
            while wanted not in (line := self._lines.get(timeout=WAIT_S)):
                seen.append(line)
        except queue.Empty:
            pytest.fail(f"no `{wanted}` in {WAIT_S} s, but: {seen[-20:]}")
        return line

    def close(self) -> None:
        self._process.terminate()
        assert self._process.wait(timeout=10) == 128 + 15  # SIGTERM, and no leak found
        self._reader.join(timeout=10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Server:
    """pymodbus in a thread."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(port,))
        self._thread.start()
        assert self._ready.wait(WAIT_S)

    def _run(self, port: int) -> None:
        async def serve() -> None:
            self._server = ModbusTcpServer(devices(), address=("127.0.0.1", port))
            await self._server.serve_forever(background=True)
            self._stop = asyncio.Event()
            self._ready.set()
            await self._stop.wait()
            await self._server.shutdown()  # type: ignore[no-untyped-call]

        self._loop.run_until_complete(serve())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(WAIT_S)
        gc.collect()  # its warnings belong to this test


def registers(raw: bytes) -> list[int]:
    return list(struct.unpack(f">{len(raw) // 2}H", raw))


def devices() -> list[SimDevice]:
    def bits(*values: bool) -> list[SimData]:
        return [SimData(0, values=list(values), datatype=DataType.BITS)]

    voltage = struct.pack(">f", 230.25)
    values = registers(voltage) + registers(voltage)[::-1] + registers(struct.pack(">q", -5 << 40))
    inputs = [SimData(0, values=values, datatype=DataType.REGISTERS)]
    holding = [SimData(0, values=[4711], datatype=DataType.REGISTERS)]
    coils = bits(*[i == 3 for i in range(16)])
    discrete = bits(*[i == 1 for i in range(16)])
    return [SimDevice(unit, (coils, discrete, holding, inputs)) for unit in (1, 2)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host")
    made = plan(SENSORS)
    polls = ", ".join(f"&{poll.symbol}" for poll in made.polls)
    code = made.c_code + f"static const struct modbus_tcp *const polls[] = {{{polls}}};\n"
    (folder / "tables.h").write_text(code)
    (folder / "config.h").write_text("")
    sources = [
        Path(__file__).with_name("modbus_tcp") / "host.c",
        ROOT / "tests/c/net/devices.c",
        *(DRIVER / name for name in ("modbus_tcp.c", "convert.c")),
        *(FIRMWARE / "net/host").glob("*.c"),
        *(FIRMWARE / "arch/host").glob("*.c"),
        *(FIRMWARE / "kernel").glob("*.c"),
    ]
    includes = [FIRMWARE / "include", FIRMWARE, FIRMWARE / "net/host", DRIVER, folder]
    [f"-I{path}" for path in includes]
    subprocess.run(
        [
            str(COMPILER),
            "-o",
            str(folder / "client"),
            *FLAGS,
            *(f"-I{path}" for path in includes),
            *map(str, sources),
        ],
        check=True,
        timeout=120,
    )
    return folder / "client"


@pytest.fixture
def port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def client(program: Path, port: int, tmp_path: Path) -> Iterator[Client]:
    blob = encode({"server.main": f"localhost:{port}"})  # a name: goes through the resolver
    (tmp_path / "config").write_bytes(blob)
    running = Client(program, tmp_path / "config")
    yield running
    running.close()


def channel(name: str) -> int:
    names = [channel for poll in plan(SENSORS).polls for channel in poll.channels]
    return names.index(name)


VALUES = {
    "u16": 4711,
    "f32": 23025,
    "swapped": 23025,
    "i64": -5 << 40,
    "coil": 1,
    "discrete": 1,
}


def test_values_arrive_exceptions_are_told_and_a_restart_is_survived(
    client: Client, port: int
) -> None:
    client.wait("modbus: main: no connection (refused)")
    for _ in range(2):
        server = Server(port)
        try:
            client.wait("modbus: main: answers again")
            for name, value in VALUES.items():
                client.wait(f"report {channel(name)} {value} 0")
            client.wait(f"report {channel('nowhere')} 0 -8")
        finally:
            server.close()
        client.wait("modbus: main: no connection")


@pytest.mark.parametrize(
    ("speech", "status"),
    [(b"", -3), (b"HTTP/1.1 400 Bad Request\r\n\r\n", -6), (b"\0\1\0\0", -3)],
    ids=["silent", "babbling", "half"],
)
def test_a_server_that_is_none_is_survived(
    client: Client, port: int, speech: bytes, status: int
) -> None:
    stop = threading.Event()
    peers = []

    def serve() -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            listener.settimeout(0.1)
            while not stop.is_set():
                try:
                    peers.append(listener.accept()[0])
                    peers[-1].sendall(speech)
                except TimeoutError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        client.wait(f"report {channel('u16')} 0 {status}")
    finally:
        stop.set()
        thread.join(WAIT_S)
        for peer in peers:
            peer.close()
    server = Server(port)
    try:
        client.wait(f"report {channel('u16')} 4711 0")
    finally:
        server.close()
