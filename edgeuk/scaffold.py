"""The files of a new driver, with its test: what `edgeuk new driver` writes.

A new sensor is a whole small one, a 16-bit register on an I2C bus, to be made into the real one.
A driver of another class has every function of its interface, each refusing with EK_ENOENT until
it is written: nothing pretends to work.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from edgeuk.errors import UsageError
from edgeuk.paths import Roots
from edgeuk.props import CLASSES

Files = Mapping[Path, str]
COLUMNS = 100  # of .clang-format

SENSOR_TOML = """\
class = "sensor"               # implements firmware/include/ek/sensor.h
summary = "What it measures, chip and kin"
datasheet = "Vendor and number"
sources = ["{name}.c"]
needs = ["i2c"]
at = "i2c"                     # `at = "i2c0:0x48"`: bus and address
addresses = [0x48, 0x4F]       # that the chip can have
budget = {{ text = 700, ram = 0 }} # bytes on armv7m at -Oz: what `edgeuk size` says, and 12 %

[channel]
unit = "Cel"                   # of SenML (RFC 8428, 12.1)
decimals = 3                   # readings are integers of 10^-3 degrees

[props]                        # what a [[sensor]] must or may say; each is a field of struct {name}
"""
SENSOR_H = """\
// {name}.h: instance data of the {name} driver, filled in by the generated pipeline.c.
#ifndef {guard}
#define {guard}
#include <stdint.h>
#include "ek/i2c.h"
#include "ek/sensor.h"

struct {name} {{
    const struct ek_i2c *bus;
    uint8_t addr;
    uint16_t channel;
}};
extern const struct ek_sensor_ops {name}_ops;

// The value in units of the channel, of the register's two bytes.
int32_t {name}_decode(uint8_t high, uint8_t low);
#endif
"""
SENSOR_C = """\
// {name}.c: what it is. Datasheet: vendor and number; names in parentheses are its sections.
// Left out: what of the chip this driver does not use.
#include "{name}.h"

enum {{ VALUE = 0 }}; // (section: register map)

int32_t {name}_decode(uint8_t high, uint8_t low) {{
    // 1/256 of a degree each (section); rounded half away from zero.
    int32_t milli_x256 = (int16_t)(high << 8 | low) * 1000;
    return (milli_x256 + (milli_x256 < 0 ? -128 : 128)) / 256;
}}

static int init(const void *dev) {{
    const struct {name} *sensor = dev;
    return sensor->bus->ops->init(sensor->bus->dev); // again where sensors share a bus
}}

static void poll(const void *dev) {{
    const struct {name} *sensor = dev;
    static const uint8_t reg[] = {{VALUE}};
    uint8_t raw[2] = {{0, 0}};
    const struct ek_i2c *bus = sensor->bus;
    // Two transfers: the models of some masters in QEMU have no repeated start.
    int status = bus->ops->transfer(bus->dev, sensor->addr, reg, sizeof reg, NULL, 0);
    if (status >= 0) {{
        status = bus->ops->transfer(bus->dev, sensor->addr, NULL, 0, raw, sizeof raw);
    }}
    ek_sensor_report(sensor->channel, {name}_decode(raw[0], raw[1]), 0, status);
}}

const struct ek_sensor_ops {name}_ops = {{.init = init, .poll = poll}};
"""
SENSOR_TEST = '''\
"""{name} driver against a model of the chip on an I2C bus, written from its datasheet (number)."""

import pytest

OK, EIO, ETIMEDOUT = 0, -2, -3
ADDR = 0x48

# The datasheet's table of codes and values, with the ends of the scale.
TABLE = [(0x1900, 25_000), (0x0080, 500), (0x0000, 0), (0xFF80, -500), (0xE700, -25_000)]


class Model:
    """The chip's registers."""

    def __init__(self, raw: int = 0, fails: int = 0) -> None:
        self.raw, self.fails = raw, fails

    def transfer(self, addr: int, out: bytes, in_len: int) -> bytes | int:
        if self.fails or addr != ADDR:
            return self.fails or EIO
        assert out in (b"", b"\\x00"), "only register 0 is read"
        return self.raw.to_bytes(2, "big")[:in_len]


@pytest.mark.parametrize(("raw", "value"), TABLE)
def test_a_reading_is_the_datasheets_value(load, raw, value):
    device = load("{name}", Model(raw), addr=ADDR, channel=7)
    assert device.init() == OK
    device.poll()
    assert device.reports == [(7, value, 0, OK)]


@pytest.mark.parametrize("status", [EIO, ETIMEDOUT])
def test_a_failing_bus_is_reported_and_the_next_poll_works(load, status):
    model = Model(0x1900)
    device = load("{name}", model, addr=ADDR, channel=7)
    assert device.init() == OK
    model.fails = status
    device.poll()
    model.fails = 0
    device.poll()
    assert [r[3] for r in device.reports] == [status, OK]
'''
DRIVER_TOML = """\
class = "{cls}"{pad} # implements firmware/include/ek/{cls}.h
summary = "Vendor and chip, how it is driven"
datasheet = "Vendor and number"
sources = ["{name}.c"]
needs = []
budget = {{ text = 400, ram = 0 }} # bytes on armv7m at -Oz: what `edgeuk size` says, and 12 %

[props]                        # what a board must or may say; each is a field of struct {name}
base = {{ type = "address" }}
"""
DRIVER_H = """\
// {name}.h: instance data of the {name} driver, filled in by the generated devices.c.
#ifndef {guard}
#define {guard}
#include <stdint.h>
#include "ek/{cls}.h"

struct {name} {{
    uintptr_t base;
}};
extern const struct ek_{cls}_ops {name}_ops;
#endif
"""
DRIVER_C = """\
// {name}.c: what it is. Datasheet: vendor and number; names in parentheses are its sections.
// Left out: what of the chip this driver does not use.
#include "{name}.h"

// Registers go through ek_read32() and ek_write32() of ek/mmio.h. Nothing is written yet: each
// function refuses.

{functions}
const struct ek_{cls}_ops {name}_ops = {{
{table}}};
"""
DRIVER_TEST = '''\
"""{name} driver against a model of its registers, written from the datasheet (number)."""

ENOENT = -5


class Model:
    """The device's registers, by offset from its base."""

    def read(self, offset: int) -> int:
        raise AssertionError(f"a read of unknown register {{offset:#x}}")

    def write(self, offset: int, value: int) -> None:
        raise AssertionError(f"a write of {{value:#x}} to unknown register {{offset:#x}}")


def test_a_driver_that_is_not_written_refuses(load):  # replace: what does the datasheet promise?
    assert load("{name}", Model()).{first}({arguments}) == ENOENT
'''


def checkout(roots: Roots) -> Path:
    """The repository's folder. Raises `UsageError` where this is an installed package."""
    root = roots.drivers.parent.parent
    if not (root / "tests/drivers").is_dir():
        raise UsageError(
            "drivers and boards are added in a checkout of edgeuk, not to an installed package",
            hint="git clone edgeuk, then run this command there; a single board file can be used "
            "from anywhere: --board FILE.toml",
        )
    return root


def driver_files(name: str, cls: str, roots: Roots) -> Files:
    """The files of a driver of that class. Raises `UsageError`."""
    root = checkout(roots)
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        hint = "small letters, digits and _, a letter first: it becomes a name in C"
        raise UsageError(f"`{name}` cannot be a driver's name", hint=hint)
    if cls not in CLASSES:
        raise UsageError(f"no class `{cls}`", hint="one of: " + ", ".join(CLASSES))
    folder = roots.drivers / name
    words = {"name": name, "cls": cls, "guard": f"EK_{name.upper()}_H"}
    if cls == "sensor":
        texts = (SENSOR_TOML, SENSOR_H, SENSOR_C, SENSOR_TEST)
    else:
        header = roots.firmware / f"include/ek/{cls}.h"
        ops = _operations(header.read_text(), cls)
        first = next((op for op in ops if op[0] == "int"), ops[0])
        words |= {
            "pad": " " * max(0, 21 - len(cls)),
            "functions": "\n".join(_function(*op) for op in ops),
            "table": "".join(f"    .{op} = {_c_name(op)},\n" for _, op, _ in ops),
            "first": first[1],
            "arguments": ", ".join("0" for _ in first[2].split(",")[1:]),
        }
        texts = (DRIVER_TOML, DRIVER_H, DRIVER_C, DRIVER_TEST)
    toml, h, c, test = (text.format(**words) for text in texts)
    return {
        folder / "driver.toml": toml,
        folder / f"{name}.h": h,
        folder / f"{name}.c": c,
        root / f"tests/drivers/test_{name}.py": test,
    }


def _operations(header: str, cls: str) -> list[tuple[str, str, str]]:
    """(result, name, arguments) of every function of `struct ek_<cls>_ops`."""
    body = header.partition(f"struct ek_{cls}_ops {{")[2].partition("\n};")[0]
    body = re.sub(r"//[^\n]*", "", body)
    found = re.findall(r"([a-z][\w ]*?(?: \*)?)\s*\(\*(\w+)\)\(([^)]*)\)", body)
    return [(r.strip(), n, re.sub(r"\s+", " ", a)) for r, n, a in found]


def _c_name(op: str) -> str:
    """A function's name; `exit` and its like are the compiler's."""
    return f"{op}_" if op in ("exit", "read", "write") else op


def _function(result: str, op: str, arguments: str) -> str:
    """One that refuses, with all its arguments unused."""
    names = [re.split(r"[ *]", a.strip().removesuffix("[6]"))[-1] for a in arguments.split(",")]
    unused = "".join(f"    (void){n};\n" for n in names)
    answer = {"void": "", "bool": "    return false;\n", "int": "    return EK_ENOENT;\n"}
    back = answer.get(result, "    return NULL;\n" if "*" in result else "    return 0;\n")
    space = "" if result.endswith("*") else " "
    head = _wrapped(f"static {result}{space}{_c_name(op)}(", arguments)
    if result == "void" and len(names) == 1:
        return f"{head} {{ (void){names[0]}; }}\n"
    return f"{head} {{\n{unused}{back}}}\n"


def _wrapped(head: str, arguments: str) -> str:
    """A function's head, its arguments below each other's beginning, as .clang-format has it."""
    lines = [head]
    for argument in arguments.replace(", ", ",\0").split("\0"):
        room = COLUMNS - len(lines[-1]) - (0 if argument.endswith(",") else len(") {"))
        if len(argument) + (lines[-1] != head) > room:
            lines.append(" " * len(head) + argument)
        else:
            lines[-1] += argument if lines[-1].endswith("(") else f" {argument}"
    return "\n".join(lines) + ")"
