"""A simulated Eastron SDM630 energy meter: a Modbus TCP server on loopback whose values move.

Input registers, float32, high word first: 0 voltage (V), 6 current (A), 12 power (W), 70 frequency
(Hz), 72 imported energy (kWh). Run `python meter.py --port 5020`; it says when it listens.
"""

import argparse
import asyncio
import math
import struct
import time
from contextlib import suppress

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

START = time.monotonic()


def values(elapsed_s: float) -> dict[int, float]:
    """Register address -> value at a time."""
    voltage = 230 + 2 * math.sin(elapsed_s / 7)
    current = 6 + 4 * math.sin(elapsed_s / 11)
    return {
        0: voltage,
        6: current,
        12: voltage * current,
        70: 50 + 0.03 * math.sin(elapsed_s / 5),
        72: 1234.5 + 1.4 * elapsed_s / 3600,
    }


async def refresh(
    _function: int,
    start: int,
    _address: int,
    _count: int,
    registers: list[int],
    _written: list[int] | list[bool] | None,
) -> ExcCodes | None:
    """pymodbus calls this before it answers: bring the registers up to date."""
    for address, value in values(time.monotonic() - START).items():
        high, low = struct.unpack(">HH", struct.pack(">f", value))
        registers[address - start : address - start + 2] = [high, low]
    return None


async def serve(port: int) -> None:
    """Listen on 127.0.0.1 until the process is ended."""
    block = SimData(0, count=100, values=0, datatype=DataType.REGISTERS)
    server = ModbusTcpServer(
        SimDevice(1, simdata=[block], action=refresh), address=("127.0.0.1", port)
    )
    await server.listen()
    print(f"meter: listening on 127.0.0.1:{port}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=5020)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args().port))
