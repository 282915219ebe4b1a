"""What a driver's `host.py` takes and gives: sensors in, C tables and polls out.

A driver whose sensors share work (Modbus registers read in one request) has a `host.py` with
`check(sensor) -> list[Problem]`, called while a gateway file is checked, and
`plan(sensors, first_channel) -> Plan`, called while `pipeline.c` is generated.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SensorSpec:
    """One `[[sensor]]` of a gateway file."""

    name: str  # unique in the file
    at: str  # as written: "main/1"
    period_ms: int
    decimals: int  # 0 to 9: a reading counts units of 10^-decimals
    props: Mapping[str, Any]  # the driver's own keys, values as TOML gives them, defaults left out


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a sensor, for the caller to report with file, line and column."""

    key: str  # the key at fault, or the one that is missing
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Poll:
    """One entry of `pipeline_polls`."""

    symbol: str  # C name of the const object that `dev` points to
    ops: str  # C name of its `struct ek_sensor_ops`
    channels: tuple[str, ...]  # sensor names in channel order; one channel each
    period_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All sensors of one driver. Channels are numbered from the `first_channel` that was given,
    through `polls` in order and through each poll's `channels` in order, without a gap."""

    c_code: str  # definitions, all static, to be placed before pipeline_polls
    polls: tuple[Poll, ...]
    includes: tuple[str, ...] = ()  # headers that c_code needs: "modbus_tcp.h"
    servers: tuple[str, ...] = ()  # names the device configuration must give: server.<name>
    tcp_streams: int = 0  # connections held open, for EK_SENSOR_TCP_STREAMS
