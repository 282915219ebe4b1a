"""The filters a gateway can ask for: what each takes, and the C that each becomes.

The arithmetic itself is firmware/pipeline/filter_<kind>.c; units and rounding are said in
firmware/pipeline/filters.h. A filter of a gateway is a table such as `{ delta = 0.25, heartbeat =
"60s" }`: exactly one key is the kind, the others are further parameters of that kind. Here it is
`params`, that same table with numbers as `int` or `Decimal` and durations as `int` milliseconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

INT64_MAX = 2**63 - 1
WINDOW_MAX = 64

Type = Literal["value", "factor", "step", "count", "duration", "range", "points"]


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter. `type` says its shape in gateway.toml:

    value: number in the channel's unit, no finer than the channel's decimals; step: the same,
    above zero; factor: any number; count: integer; duration: "500ms", "10s", here int
    milliseconds; range: [low, high] of values; points: at least two [measured, true] pairs.
    """

    name: str
    type: Type
    summary: str
    required: bool = True
    min: int | None = None
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """One kind. The first of `params` bears the kind's own name."""

    kind: str
    summary: str
    params: tuple[Param, ...]
    example: str


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one parameter, for the gateway checker to show at that key."""

    key: str
    what: str
    hint: str = ""


MS_MAX = 2**32 - 1

FILTERS: Mapping[str, Filter] = {
    f.kind: f
    for f in (
        Filter(
            "offset",
            "adds a constant",
            (Param("offset", "value", "what to add"),),
            "{ offset = -0.5 }",
        ),
        Filter(
            "multiply",
            "multiplies by a constant",
            (Param("multiply", "factor", "the factor"),),
            "{ multiply = 0.1 }",
        ),
        Filter(
            "calibrate_linear",
            "maps measured to true values along the best line through the given points",
            (Param("calibrate_linear", "points", "[measured, true] pairs"),),
            "{ calibrate_linear = [[0.2, 0], [99.1, 100]] }",
        ),
        Filter(
            "clamp",
            "limits to a range and flags what it limited",
            (Param("clamp", "range", "[low, high]"),),
            "{ clamp = [0, 100] }",
        ),
        Filter(
            "median",
            "median of the last readings",
            (Param("median", "count", "how many readings", min=2, max=WINDOW_MAX),),
            "{ median = 5 }",
        ),
        Filter(
            "moving_average",
            "mean of the last readings",
            (
                Param(
                    "moving_average",
                    "count",
                    "how many readings",
                    min=2,
                    max=WINDOW_MAX,
                ),
            ),
            "{ moving_average = 8 }",
        ),
        Filter(
            "delta",
            "passes a reading only when it differs enough from the last one passed",
            (
                Param("delta", "step", "smallest difference that passes"),
                Param(
                    "heartbeat",
                    "duration",
                    "pass one anyway after this time",
                    required=False,
                    min=1,
                    max=MS_MAX,
                ),
            ),
            '{ delta = 0.25, heartbeat = "60s" }',
        ),
        Filter(
            "throttle",
            "passes at most one reading per period",
            (Param("throttle", "duration", "the period", min=1, max=MS_MAX),),
            '{ throttle = "10s" }',
        ),
        Filter(
            "round",
            "rounds to a multiple",
            (Param("round", "step", "the multiple"),),
            "{ round = 0.5 }",
        ),
    )
}


def check(kind: str, params: Mapping[str, Any], decimals: int) -> list[Fault]:
    """Every fault of the parameters of one filter, in the order of its description.

    `kind` is a key of FILTERS. After an empty answer the functions below cannot fail.
    """
    known = FILTERS[kind].params
    faults = [
        Fault(
            key,
            f"filter `{kind}` has no parameter `{key}`",
            f"it takes {_names(known)}",
        )
        for key in params
        if key not in {p.name for p in known}
    ]
    for param in known:
        if param.name in params:
            faults += _check_param(param, params[param.name], decimals)
        elif param.required:
            faults.append(Fault(param.name, f"filter `{kind}` needs `{param.name}`"))
    if not faults and kind == "calibrate_linear":
        faults += _check_line(params[kind], decimals)
    return faults


def ops(kind: str) -> str:
    """The C table of the kind's functions: the field `ops` of its struct filter."""
    return f"filter_{kind}_ops"


def feature(kind: str) -> str:
    """The feature of component pipeline that links the kind."""
    return f"filter-{kind}"


def params_type(kind: str) -> str:
    """The C type that `initialiser` is for."""
    return f"struct {kind}_params"


def initialiser(kind: str, params: Mapping[str, Any], decimals: int) -> str:
    """The C initialiser of the kind's params struct, such as `{.change = 25, .heartbeat_ms = 0}`.

    `params` must have passed `check`.
    """
    fields: dict[str, int]
    value = params[kind]
    match kind:
        case "offset":
            fields = {"add": _steps(value, decimals)}
        case "multiply":
            factor = Fraction(value)
            fields = {"num": factor.numerator, "den": factor.denominator}
        case "calibrate_linear":
            line = _line(value, decimals)
            assert line is not None, "params have not passed check()"
            fields = dict(zip(("num", "add", "den"), line, strict=True))
        case "clamp":
            fields = {
                "low": _steps(value[0], decimals),
                "high": _steps(value[1], decimals),
            }
        case "median" | "moving_average":
            fields = {"size": value}
        case "delta":
            fields = {
                "change": _steps(value, decimals),
                "heartbeat_ms": params.get("heartbeat", 0),
            }
        case "throttle":
            fields = {"period_ms": value}
        case _:
            fields = {"step": _steps(value, decimals)}
    return "{" + ", ".join(f".{name} = {_literal(v)}" for name, v in fields.items()) + "}"


def state(kind: str, params: Mapping[str, Any], name: str) -> str | None:
    """The C definition of the filter's state as variable `name`; None where the kind has none."""
    match kind:
        case "median" | "moving_average":
            # The last element's initialiser gives the array its length; all of it stays in .bss.
            last = params[kind] - 1
            return f"static struct window_state {name} = {{.values = {{[{last}] = 0}}}};"
        case "delta" | "throttle":
            return f"static struct {kind}_state {name};"
    return None


def state_bytes(kind: str, params: Mapping[str, Any]) -> int:
    """RAM that the state takes, on any of the CPUs."""
    match kind:
        case "median" | "moving_average":
            return 8 + 8 * int(params[kind])
        case "delta":
            return 24
        case "throttle":
            return 8
    return 0


def _names(known: tuple[Param, ...]) -> str:
    return " and ".join(f"`{p.name}`" for p in known)


def _is_number(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) and not isinstance(value, bool)


def _steps(value: int | Decimal, decimals: int) -> int:
    return int(Fraction(value) * 10**decimals)


def _check_param(param: Param, value: Any, decimals: int) -> list[Fault]:
    key = param.name
    match param.type:
        case "value" | "step":
            faults = _check_value(key, value, decimals)
            if not faults and param.type == "step" and Fraction(value) <= 0:
                return [Fault(key, f"`{key}` must be above 0")]
            return faults
        case "factor":
            return _check_factor(key, value)
        case "count" | "duration":
            return _check_integer(param, value)
        case "range":
            return _check_range(key, value, decimals)
        case "points":
            return _check_points(key, value)


def _check_value(key: str, value: Any, decimals: int) -> list[Fault]:
    if not _is_number(value):
        return [Fault(key, f"`{key}` must be a number")]
    # An exponent in the thousands would make a number of as many digits before it is refused.
    if isinstance(value, Decimal) and value and not -30 <= value.adjusted() <= 30:
        return [Fault(key, f"`{key}` is out of range", "the largest value is 2^63 steps")]
    steps = Fraction(value) * 10**decimals
    if steps.denominator != 1:
        return [
            Fault(
                key,
                f"`{key}` is finer than the channel, which has {decimals} decimals",
                "write fewer digits, or raise `decimals` of the sensor",
            )
        ]
    if abs(steps) > INT64_MAX:
        return [Fault(key, f"`{key}` is out of range", "the largest value is 2^63 steps")]
    return []


def _check_factor(key: str, value: Any) -> list[Fault]:
    if not _is_number(value):
        return [Fault(key, f"`{key}` must be a number")]
    if isinstance(value, Decimal) and value and not -30 <= value.adjusted() <= 30:
        return [Fault(key, f"`{key}` is out of range")]
    factor = Fraction(value)
    if abs(factor.numerator) > INT64_MAX or factor.denominator > INT64_MAX:
        return [Fault(key, f"`{key}` has too many digits", "18 digits are exact")]
    return []


def _check_integer(param: Param, value: Any) -> list[Fault]:
    key = param.name
    if not isinstance(value, int) or isinstance(value, bool):
        return [Fault(key, f"`{key}` must be a whole number")]
    low, high = param.min or 0, param.max or INT64_MAX
    if not low <= value <= high:
        unit = " ms" if param.type == "duration" else ""
        return [Fault(key, f"`{key}` must be {low} to {high}{unit}, not {value}")]
    return []


def _check_range(key: str, value: Any, decimals: int) -> list[Fault]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return [Fault(key, f"`{key}` must be [low, high]", "such as [0, 100]")]
    faults = [f for v in value for f in _check_value(key, v, decimals)]
    if not faults and value[0] > value[1]:
        return [Fault(key, f"`{key}` has its low end {value[0]} above its high end {value[1]}")]
    return faults[:1]


def _check_points(key: str, value: Any) -> list[Fault]:
    form = Fault(
        key,
        f"`{key}` must be two or more [measured, true] pairs",
        "such as [[0.2, 0], [99.1, 100]]",
    )
    if not isinstance(value, list | tuple) or len(value) < 2:
        return [form]
    for pair in value:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            return [form]
        for number in pair:
            if faults := _check_factor(key, number):
                return faults
    if len({Fraction(measured) for measured, _ in value}) < 2:
        return [Fault(key, f"`{key}` needs two different measured values")]
    return []


def _check_line(points: list[Any], decimals: int) -> list[Fault]:
    if _line(points, decimals) is None:
        return [
            Fault(
                "calibrate_linear",
                "the line through the points is too steep or too far",
            )
        ]
    return []


def _line(points: list[Any], decimals: int) -> tuple[int, int, int] | None:
    """(num, add, den) of the least-squares line in steps; None if too steep for 64 bits."""
    pairs = [(Fraction(x), Fraction(y)) for x, y in points]
    mean_x = Fraction(sum(x for x, _ in pairs), len(pairs))
    mean_y = Fraction(sum(y for _, y in pairs), len(pairs))
    spread = sum(((x - mean_x) * (x - mean_x) for x, _ in pairs), Fraction(0))
    product = sum(((x - mean_x) * (y - mean_y) for x, y in pairs), Fraction(0))
    slope = product / spread
    start = (mean_y - slope * mean_x) * 10**decimals
    exact = math.lcm(slope.denominator, start.denominator)
    for den in (exact, *(1 << bits for bits in range(62, -1, -1))):
        num, add = round(slope * den), round(start * den)
        if max(abs(num), abs(add), den) <= INT64_MAX:
            return num, add, den
    return None


def _literal(value: int) -> str:
    """A C constant: no type is wide enough for a plain -2^63, and long is 32 bits on some CPUs."""
    if abs(value) > INT64_MAX:
        return "INT64_MIN"
    return f"INT64_C({value})" if abs(value) > 2**31 - 1 else str(value)
