"""Modbus TCP on the host's side: checks sensors and merges their registers into few requests.

Limits are those of MODBUS Application Protocol V1.1b3: addresses 0 to 65535, at most 125 registers
(6.3, 6.4) or 2000 bits (6.1, 6.2) in one request.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from math import isfinite
from typing import Any

from edgeuk.plan import Plan, Poll, Problem, SensorSpec

SPACES = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}  # table -> function code
WIDTHS = {  # type -> registers; a bool is one bit
    "bool": 1,
    "u16": 1,
    "i16": 1,
    "u32": 2,
    "i32": 2,
    "u64": 4,
    "i64": 4,
    "float32": 2,
    "float64": 4,
}
ORDERS = {"ABCD": 0, "CDAB": 1, "BADC": 2, "DCBA": 3}  # bit 0: words swapped, bit 1: bytes swapped
MOST_BITS = 2000
MOST_REGISTERS = 125
DEFAULTS: dict[str, Any] = {
    "word_order": "ABCD",
    "scale": 1,
    "timeout": "1s",
    "retries": 1,
    "merge": True,
    "merge_gap": 8,
}
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "min": 60_000}
# The traditional numbers that start at 1 and carry the table in their first digit.
TRADITIONAL = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}


@dataclass(frozen=True, slots=True)
class Point:
    """One sensor, understood."""

    sensor: SensorSpec
    server: str
    unit: int
    function: int
    address: int
    type: str
    order: int
    scale: Fraction  # from the raw value to counts of 10^-decimals
    timeout_ms: int
    retries: int
    merge: bool
    gap: int

    @property
    def end(self) -> int:
        """The first address behind the value."""
        return self.address + WIDTHS[self.type]

    @property
    def group(self) -> tuple[Any, ...]:
        """What must be equal for two points to share a request."""
        return (
            self.server,
            self.unit,
            self.function,
            self.sensor.period_ms,
            self.timeout_ms,
            self.retries,
        )


def check(sensor: SensorSpec) -> list[Problem]:
    """All faults of a sensor's `at` and own keys. Looks at no other sensor; never raises."""
    problems: list[Problem] = []
    _parse(sensor, problems)
    return problems


def plan(sensors: Sequence[SensorSpec], first_channel: int = 0) -> Plan:
    """The requests that read all `sensors`, which must have passed `check`.

    Sensors of one server, unit, table, period, time-out and retry count share a request while the
    unused registers between two of them are at most `merge_gap` of both.
    """
    requests = _merge(_need(sensor) for sensor in sensors)
    servers = list(dict.fromkeys(points[0].server for points in requests))
    code = [_server_code(index, name) for index, name in enumerate(servers)]
    polls = []
    channel = first_channel
    for index, points in enumerate(requests):
        code.append(_request_code(index, servers.index(points[0].server), points, channel))
        names = tuple(point.sensor.name for point in points)
        period_ms = points[0].sensor.period_ms
        polls.append(Poll(f"modbus_tcp_{index}", "modbus_tcp_ops", names, period_ms))
        channel += len(points)
    return Plan(
        "\n".join(code), tuple(polls), ("modbus_tcp.h",), tuple(servers), tcp_streams=len(servers)
    )


def _need(sensor: SensorSpec) -> Point:
    problems: list[Problem] = []
    point = _parse(sensor, problems)
    assert point is not None, (sensor, problems)
    return point


def _merge(points: Iterable[Point]) -> list[list[Point]]:
    """Points in requests; requests in the order in which their first sensor was given."""
    groups: dict[tuple[Any, ...], list[tuple[int, Point]]] = {}
    for place, point in enumerate(points):
        groups.setdefault(point.group, []).append((place, point))
    requests: list[list[tuple[int, Point]]] = []
    for members in groups.values():
        requests += [[member] for member in members if not member[1].merge]
        end = 0
        current: list[tuple[int, Point]] = []
        shared = [member for member in members if member[1].merge]
        for place, point in sorted(shared, key=lambda m: (m[1].address, m[1].end, m[0])):
            if current and _joins(current, end, point):
                current.append((place, point))
                end = max(end, point.end)
            else:
                current = [(place, point)]
                requests.append(current)
                end = point.end
    requests.sort(key=lambda request: min(place for place, _ in request))
    return [[point for _, point in request] for request in requests]


def _joins(current: Sequence[tuple[int, Point]], end: int, point: Point) -> bool:
    first = current[0][1]
    most = MOST_BITS if point.function <= 2 else MOST_REGISTERS
    gap = min(current[-1][1].gap, point.gap)
    return point.address - end <= gap and max(end, point.end) - first.address <= most


def _server_code(index: int, name: str) -> str:
    return (
        f"static struct modbus_tcp_connection modbus_tcp_connection_{index};\n"
        f"static const struct modbus_tcp_server modbus_tcp_server_{index} = {{\n"
        f'    .name = "{name}",\n'
        f'    .key = "server.{name}",\n'
        f"    .connection = &modbus_tcp_connection_{index},\n"
        "};\n"
    )


def _request_code(index: int, server: int, points: Sequence[Point], channel: int) -> str:
    first = points[0]
    count = max(point.end for point in points) - first.address
    rows = "".join(_point_code(point, first.address) for point in points)
    return (
        f"static struct modbus_tcp_state modbus_tcp_state_{index};\n"
        f"static const struct modbus_tcp_point modbus_tcp_points_{index}[] = {{\n"
        f"{rows}"
        "};\n"
        f"static const struct modbus_tcp modbus_tcp_{index} = {{\n"
        f"    .server = &modbus_tcp_server_{server},\n"
        f"    .state = &modbus_tcp_state_{index},\n"
        f"    .points = modbus_tcp_points_{index},\n"
        f"    .timeout_ms = {first.timeout_ms},\n"
        f"    .channel = {channel},\n"
        f"    .point_count = {len(points)},\n"
        f"    .first = {first.address},\n"
        f"    .count = {count},\n"
        f"    .unit = {first.unit},\n"
        f"    .function = {first.function},\n"
        f"    .retries = {first.retries},\n"
        "};\n"
    )


def _point_code(point: Point, first: int) -> str:
    return (
        f"    {{.num = {point.scale.numerator}, .den = {point.scale.denominator}u, "
        f".offset = {point.address - first}, .type = MODBUS_TCP_{point.type.upper()}, "
        f".order = {point.order}}}, // {point.sensor.name}\n"
    )


def _parse(sensor: SensorSpec, problems: list[Problem]) -> Point | None:
    """The point, or None after adding to `problems`."""
    place = _at(sensor.at, problems)
    register = _register(sensor.props.get("register"), problems)
    table = register[0] if register else None
    type_name = _type(sensor.props.get("type"), table, problems)
    order = _order(_get(sensor, "word_order"), problems)
    scale = _scale(_get(sensor, "scale"), sensor.decimals, problems)
    timeout_ms = _timeout(_get(sensor, "timeout"), problems)
    retries = _integer("retries", _get(sensor, "retries"), 10, problems)
    gap = _integer("merge_gap", _get(sensor, "merge_gap"), MOST_REGISTERS - 1, problems)
    merge = _get(sensor, "merge")
    if not isinstance(merge, bool):
        problems.append(Problem("merge", f"`{merge}` is not true or false"))
    if register and type_name and register[1] + WIDTHS[type_name] > 0x10000:
        last = 0x10000 - WIDTHS[type_name]
        what = f"a {type_name} at address {register[1]} ends behind address 65535"
        problems.append(Problem("register", what, f"the last place for it is {table}:{last}"))
    if problems or not place or not register or not type_name or scale is None:
        return None
    return Point(
        sensor,
        place[0],
        place[1],
        SPACES[register[0]],
        register[1],
        type_name,
        order,
        scale,
        timeout_ms,
        retries,
        merge,
        gap,
    )


def _get(sensor: SensorSpec, key: str) -> Any:
    return sensor.props.get(key, DEFAULTS[key])


def _at(text: str, problems: list[Problem]) -> tuple[str, int] | None:
    match = re.fullmatch(r"([A-Za-z][A-Za-z0-9_-]*)(?:/([0-9]{1,3}))?", text)
    if not match or int(match[2] or 0) > 255:
        hint = 'a server of [servers] and a unit from 0 to 255: at = "main/1"'
        problems.append(Problem("at", f"`{text}` is not a Modbus server and unit", hint))
        return None
    # 255 speaks to the server itself (Messaging on TCP/IP, 4.4.2.1).
    return match[1], int(match[2] or 255)


def _register(value: Any, problems: list[Problem]) -> tuple[str, int] | None:
    example = 'a table and an address counted from 0: register = "input:0"'
    if value is None:
        problems.append(Problem("register", "`register` is missing", example))
        return None
    text = str(value)
    old = re.fullmatch(r"([0134])([0-9]{4,5})", text)
    if old and 1 <= int(old[2]) <= 0x10000:
        hint = f'write "{TRADITIONAL[old[1]]}:{int(old[2]) - 1}"; addresses count from 0'
        problems.append(Problem("register", f"`{text}` is a register number, not an address", hint))
        return None
    match = re.fullmatch(r"([A-Za-z_]+):(0[xX][0-9A-Fa-f]+|[0-9]+)", text)
    if not match:
        problems.append(Problem("register", f"`{text}` is not a register", example))
        return None
    if match[1] not in SPACES:
        near = get_close_matches(match[1].lower(), SPACES, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "one of: " + ", ".join(SPACES)
        problems.append(Problem("register", f"no register table `{match[1]}`", hint))
        return None
    address = int(match[2], 16 if match[2][:2] in ("0x", "0X") else 10)
    if address > 0xFFFF:
        problems.append(Problem("register", f"address {address} is above 65535"))
        return None
    return match[1], address


def _type(value: Any, table: str | None, problems: list[Problem]) -> str | None:
    bits = table in ("coil", "discrete")
    if value is None:
        return "bool" if bits else "u16"
    if not isinstance(value, str) or value not in WIDTHS:
        near = get_close_matches(str(value).lower(), WIDTHS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "one of: " + ", ".join(WIDTHS)
        problems.append(Problem("type", f"no type `{value}`", hint))
        return None
    if table and bits != (value == "bool"):
        what = f"a {table} holds one bit" if bits else f"a {table} register holds 16 bits"
        hint = 'type = "bool"' if bits else 'a bit is read with "coil:" or "discrete:"'
        problems.append(Problem("type", f"{what}, not a {value}", hint))
        return None
    return value


def _order(value: Any, problems: list[Problem]) -> int:
    if isinstance(value, str) and value in ORDERS:
        return ORDERS[value]
    hint = "ABCD big endian, CDAB words swapped, BADC bytes swapped, DCBA little endian"
    problems.append(Problem("word_order", f"no word order `{value}`", hint))
    return 0


def _scale(value: Any, decimals: int, problems: list[Problem]) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        problems.append(Problem("scale", f"`{value}` is not a number"))
        return None
    if value == 0:
        problems.append(Problem("scale", "a scale of 0 makes every reading 0"))
        return None
    # What the user wrote, 0.1, not the nearest binary fraction.
    factor: Fraction = Fraction(str(value)) * 10**decimals
    if abs(factor.numerator) > 0x7FFFFFFF or factor.denominator > 0xFFFFFFFF:
        what = f"`{value}` with {decimals} decimals needs more than 32 bits"
        problems.append(Problem("scale", what, "use fewer digits or fewer decimals"))
        return None
    return factor


def _timeout(value: Any, problems: list[Problem]) -> int:
    """Milliseconds; a number is milliseconds already."""
    match = re.fullmatch(r"([0-9]{1,6}) *(ms|s|m|min)", str(value))
    ms = value if type(value) is int else int(match[1]) * UNITS_MS[match[2]] if match else 0
    if not 10 <= ms <= 60_000:
        what = f"`{value}` is not a time from 10ms to 60s"
        problems.append(Problem("timeout", what, 'timeout = "500ms"'))
    return ms


def _integer(key: str, value: Any, most: int, problems: list[Problem]) -> int:
    if type(value) is int and 0 <= value <= most:
        return value
    problems.append(Problem(key, f"`{value}` is not a whole number from 0 to {most}"))
    return 0
