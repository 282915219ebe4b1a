"""Properties: what a driver's manifest lets a board or a sensor say, and the check of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgeuk.tables import Table, check_duration, word
from edgeuk.values import is_number, nearest

# What drivers can be: firmware/include/ek/<class>.h says what each provides.
CLASSES = (
    "uart", "eth", "i2c", "gpio", "entropy", "power", "rtc", "sensor", "actuator", "virtio", "soc",
    "intc", "watchdog", "device_key", "storage",
)  # fmt: skip
DURATION_MAX_MS = 2**32 - 1

# Property types: for integers the range, for the others None.
PROP_TYPES: Mapping[str, tuple[int, int] | None] = {
    "address": (0, 2**64 - 1),
    "u8": (0, 2**8 - 1),
    "u16": (0, 2**16 - 1),
    "u32": (0, 2**32 - 1),
    "i32": (-(2**31), 2**31 - 1),
    "bool": None,
    "string": None,
    "number": None,  # int, or Decimal if it has a fraction
    "duration": None,  # "500ms"; int milliseconds once checked
    "device": None,  # name of another device of the board
    "u32s": (0, 2**32 - 1),  # an array of them; in C, 0 ends it
    "pin": (0, 255),  # of the port in the device's prop `gpio`, if it has one; has one user
}


@dataclass(frozen=True, slots=True)
class Prop:
    """One property: what a board (or a sensor) must or may say."""

    type: str  # one of PROP_TYPES
    default: Any  # None: the property must be given
    min: Any  # int or Decimal; None: as the type allows
    max: Any
    choices: tuple[Any, ...]  # () for no restriction
    unit: str  # for people, "" for none
    cls: str = ""  # type `device`: the class that the device must be of
    clock: str = ""  # the property that this rate is made from, by a division by one of
    divide: tuple[int, int] = (0, 0)  # least to most; both 0 without `clock`
    step: int = 1  # of what it is a multiple


def check_props(
    table: Table, props: Mapping[str, Prop], owner: str, *, fill: bool = True
) -> dict[str, Any]:
    """The values of `props` in a board's or a sensor's table, each checked.

    With `fill`, absent ones have their default; else they are left out. Durations become int
    milliseconds. `owner` is named in faults: "driver `tmp105`".
    """
    values = {}
    for name, prop in props.items():
        value = table.take(name)
        if value is not None:
            checked = _check_value(table, name, value, prop)
            values[name] = prop.default if checked is None else checked
        elif prop.default is not None:
            if fill:
                values[name] = prop.default
        elif table.doc.complete:
            what = f"missing key `{name}`: {owner} needs it"
            table.fault("E0202", what, of_key=True, hint=f"{name} = {_example(prop)}")
    return values


def _check_value(table: Table, name: str, value: Any, prop: Prop) -> Any:
    """The value as the property's type has it, or None after a fault."""
    bounds = PROP_TYPES[prop.type]
    after = f" {prop.unit}" if prop.unit else ""
    if prop.type == "u32s":
        return _check_array(table, name, value, prop)
    if prop.type == "duration":
        low = 0 if prop.min is None else prop.min
        high = DURATION_MAX_MS if prop.max is None else prop.max
        return check_duration(table, name, value, low, high)
    if prop.type == "bool":
        right, wanted = isinstance(value, bool), "true or false"
    elif prop.type in ("string", "device"):
        right, wanted = isinstance(value, str), "a text"
    elif prop.type == "number":
        right, wanted = is_number(value), "a number"
    else:
        right, wanted = type(value) is int, "a whole number"
    if not right:
        table.fault("E0203", f"`{name}` must be {wanted}, not {word(value)}", name)
        return None
    if prop.choices and value not in prop.choices:
        texts = [str(c) for c in prop.choices]
        shown = f"`{value}`" if isinstance(value, str) else f"{value}"
        near = nearest(value, texts) if isinstance(value, str) else "one of: " + ", ".join(texts)
        table.fault("E0205", f"`{name}` cannot be {shown}", name, hint=near)
        return None
    low = prop.min if prop.min is not None else bounds[0] if bounds else None
    high = prop.max if prop.max is not None else bounds[1] if bounds else None
    if prop.type in ("string", "device") or (low is None and high is None):
        return value
    if (low is not None and value < low) or (high is not None and value > high):
        form = "{:#x}" if prop.type == "address" else "{}"
        if low is None or high is None:
            side, bound = ("at least", low) if high is None else ("at most", high)
            limit = f"{side} {form.format(bound)}"
        else:
            limit = f"{form.format(low)} to {form.format(high)}"
        shown = form.format(value)
        table.fault("E0204", f"`{name}` must be {limit}{after}, not {shown}", name)
        return None
    if prop.step > 1 and value % prop.step:
        what = f"`{name}` must be a multiple of {prop.step:,}{after}, not {value:,}"
        table.fault("E0204", what, name)
        return None
    return value


def _check_array(table: Table, name: str, value: Any, prop: Prop) -> tuple[int, ...] | None:
    if not isinstance(value, list) or any(type(number) is not int for number in value):
        table.fault("E0203", f"`{name}` must be an array of whole numbers", name)
        return None
    low, high = PROP_TYPES[prop.type] or (0, 0)
    for number in value:
        if not low <= number <= high:
            table.fault("E0204", f"`{name}` must hold {low} to {high:#x}, not {number:#x}", name)
            return None
    return tuple(value)


def _example(prop: Prop) -> str:
    if prop.choices:
        first = prop.choices[0]
        return f'"{first}"' if isinstance(first, str) else str(first)
    examples = {
        "address": "0x4000_0000",
        "bool": "true",
        "string": '"..."',
        "device": '"..."',
        "u32s": "[0x4000_0000]",
        "duration": '"1s"',
    }
    return examples.get(prop.type, str(prop.min if prop.min is not None else 1))


def read_props(table: Table) -> dict[str, Prop]:
    """[props] of a driver.toml."""
    props = {}
    for name, sub in table.entries():
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            what = f"`{name}` is not a property name"
            hint = "small letters, digits and _, a letter first: it is a field in C"
            table.fault("E0207", what, name, of_key=True, hint=hint)
        kind = sub.choice("type", tuple(PROP_TYPES))
        if not kind:
            rest = ("default", "min", "max", "choices", "unit", "clock", "divide", "step")
            sub.close(known=("type", *rest))
            continue
        low, high = _bound(sub, "min", kind), _bound(sub, "max", kind)
        choices = tuple(sub.typed("choices", list) or ())
        free = Prop(kind, None, low, high, choices, sub.text("unit", ""))
        default = sub.take("default")
        if default is not None:
            faults = len(sub.doc.faults)
            default = _check_value(sub, "default", default, free)
            if len(sub.doc.faults) > faults:
                default = None
        cls = sub.choice("class", CLASSES, "") if kind == "device" else ""
        clock, divide = _rate(sub, table.data)
        step = sub.integer("step", 1, low=1, high=2**32 - 1) if kind == "u32" else 1
        sub.close()
        props[name] = Prop(kind, default, low, high, choices, free.unit, cls, clock, divide, step)
    return props


def _rate(table: Table, props: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
    """`clock = "clock_hz", divide = [16, 65535]`: what a rate is made from."""
    clock = table.text("clock", "")
    divide = table.typed("divide", list)
    if not clock and divide is None:
        return "", (0, 0)
    if clock not in props:
        table.fault("E0602", f"no property `{clock}` to divide", "clock" if clock else "divide")
        return "", (0, 0)
    right = divide is not None and len(divide) == 2 and all(type(d) is int for d in divide)
    if not right or not divide or not 0 < divide[0] <= divide[1]:
        what = "`divide` must be the least and the greatest divisor"
        table.fault("E0602", what, *(("divide",) if divide else ()), hint="divide = [16, 65535]")
        return "", (0, 0)
    return clock, (divide[0], divide[1])


def _bound(table: Table, name: str, kind: str) -> Any:
    value = table.take(name)
    if value is None:
        return None
    if kind == "duration":
        return check_duration(table, name, value, 0, DURATION_MAX_MS)
    if kind in ("bool", "string", "device") or not is_number(value):
        table.fault("E0602", f"`{name}` makes no sense for type `{kind}`", name)
        return None
    return value
