"""Run a C driver on the host, while a Python model plays the device.

`load(driver, model, **props)` compiles `edgeuk/drivers/<driver>` with the host's compiler and the
undefined-behaviour sanitizer and returns a `Device`: one instance of the driver, called as the
firmware would call it.

    def test_something(load):
        model = Model()                                 # any object, see below
        uart = load("pl011", model, clock_hz=4_000_000)  # other props: defaults of driver.toml
        assert uart.init() == OK
        assert uart.write(b"x", 1) == 1                 # `const uint8_t *`: bytes
        room = uart.room(8)                             # `uint8_t *` out: room(size)
        assert uart.read(room, 8) == 3 and room.raw[:3] == b"abc"

A prop of type "device" takes a pair, (driver, its props): load("virtio_net", model,
bus=("virtio_mmio", {"slots": 2})).

Methods of a `Device` are the ops of its class, without the `dev` argument; the table CLASSES holds
them. Address props default to BASE; the model sees offsets from BASE. What a model may have, each
only where the driver uses it (a missing one is an AttributeError in the test):

    read(offset) -> int, write(offset, value)      32-bit registers
    read16, write16, read8, write8                 the same for narrower ones
    port_in(port, bits), port_out(port, bits, v)   x86 I/O ports
    transfer(addr, out: bytes, in_len) -> bytes | int    the I2C bus; int: a negative status
    semihosting(operation, argument) -> int
    clock_us() -> int          default: `device.now_us`, 10 us more at every look
    dma(what, addr, len)       default: nothing; what: "barrier", "clean", "invalidate"
    critical(enter)            default: nothing; interrupts are held back from True to False

Found on the device: `logs` (lines), `reports` (channel, value, quality, status), `state_address`,
`advance(us)` (moves the clock and runs the timers that are due), `field(name)`.
Memory of the driver (`struct <driver>_state`) is below 4 GB and surrounded by guard bytes, checked
after every call. A failed `ek_assert`, a sanitizer report or an endless loop of register accesses
raises `DriverFault`, as does an op that is NULL; an exception raised in the model comes out of the
call.
"""

import ctypes as c
import functools
import itertools
import mmap
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DRIVERS = Path(os.environ.get("EDGEUK_TEST_DRIVERS", ROOT / "edgeuk/drivers"))
BASE = 0x1000_0000  # any address: models see offsets from it
ACCESSES_MAX = 5_000_000  # per call; the longest bounded wait is PL011's, 1,000,000 polls
COMPILE_S = 120.0
GUARD = 4096  # bytes before and after a driver's state
# Hints for mmap: below 4 GB, as 32-bit device addresses need.
LOW_MEMORY = itertools.cycle(range(0x1000_0000, 0x7000_0000, 0x10_0000))

# The ops of each class: name -> (arguments after `dev`, result).
CLASSES: dict[str, dict[str, tuple[str, str]]] = {
    "uart": {
        "init": ("", "int"),
        "write": ("const uint8_t *data, size_t len", "int"),
        "read": ("uint8_t *data, size_t len", "int"),
    },
    "eth": {
        "init": ("uint8_t *mac", "int"),
        "frame": ("", "uint8_t *"),
        "send": ("size_t len", "int"),
        "receive": ("uint8_t *frame, size_t size", "int"),
        "link": ("", "int"),
    },
    "i2c": {
        "init": ("", "int"),
        "transfer": (
            "uint8_t addr, const uint8_t *out, size_t out_len, uint8_t *in, size_t in_len",
            "int",
        ),
    },
    "entropy": {"init": ("", "int"), "read": ("uint8_t *data, size_t len", "int")},
    "storage": {
        "init": ("uint64_t *size, uint32_t *unit", "int"),
        "read": ("uint64_t at, uint8_t *data, size_t len", "int"),
        "write": ("uint64_t at, const uint8_t *data, size_t len", "int"),
    },
    "device_key": {"read": ("uint8_t *key", "int")},
    "power": {"exit": ("int code", "void"), "reset": ("", "void")},
    "sensor": {"init": ("", "int"), "poll": ("", "void")},
    "rtc": {
        "init": ("", "int"),
        "get": ("int64_t *unix_s", "int"),
        "set": ("int64_t unix_s", "int"),
    },
    "gpio": {
        "init": ("", "int"),
        "input": ("uint8_t pin, int pull", "int"),
        "output": ("uint8_t pin, int level", "int"),
        "get": ("uint8_t pin", "int"),
        "set": ("uint8_t pin, int level", "void"),
        "edges": ("", "uint32_t"),
    },
    "intc": {
        "init": ("", "int"),
        "enable": ("uint16_t irq", "void"),
        "clear": ("", "void"),
    },
    "soc": {
        "init": ("", "int"),
        "wake_in": ("uint32_t us", "void"),
        "at_reset": ("", "void"),
        "clock_us": ("", "uint64_t"),
    },
    "watchdog": {
        "expired": ("", "int"),
        "start": ("uint32_t timeout_ms", "int"),
        "feed": ("", "void"),
    },
    "virtio": {},  # a transport: called by the drivers above it
}
C_TYPES: dict[str, Any] = {
    "int": c.c_int,
    "int64_t": c.c_int64,
    "size_t": c.c_size_t,
    "uint8_t": c.c_uint8,
    "uint16_t": c.c_uint16,
    "uint32_t": c.c_uint32,
    "uint64_t": c.c_uint64,
    "void": None,
}
MODEL_READ = {32: "read", 16: "read16", 8: "read8"}
MODEL_WRITE = {32: "write", 16: "write16", 8: "write8"}
HOOKS: dict[str, Any] = {
    "read": c.CFUNCTYPE(c.c_uint64, c.c_size_t, c.c_uint),
    "write": c.CFUNCTYPE(None, c.c_size_t, c.c_uint, c.c_uint32),
    "port_in": c.CFUNCTYPE(c.c_uint64, c.c_uint16, c.c_uint),
    "port_out": c.CFUNCTYPE(None, c.c_uint16, c.c_uint, c.c_uint32),
    "clock": c.CFUNCTYPE(c.c_uint64),
    "dma": c.CFUNCTYPE(None, c.c_char_p, c.c_size_t, c.c_size_t),
    "critical": c.CFUNCTYPE(None, c.c_int),
    "log": c.CFUNCTYPE(None, c.c_char_p),
    "report": c.CFUNCTYPE(None, c.c_uint16, c.c_int64, c.c_uint8, c.c_int),
    "semihosting": c.CFUNCTYPE(c.c_long, c.c_uint32, c.c_size_t),
    "transfer": c.CFUNCTYPE(c.c_int, c.c_uint8, c.c_size_t, c.c_size_t, c.c_size_t, c.c_size_t),
    "timer": c.CFUNCTYPE(None, c.c_size_t, c.c_uint64),
}


class DriverFault(Exception):
    """The driver broke a rule of C or of its own: assertion, sanitizer, endless loop, guard."""


@functools.cache
def manifest(driver: str) -> dict[str, Any]:
    return tomllib.loads((DRIVERS / driver / "driver.toml").read_text())


def c_type(declaration: str) -> Any:
    """The ctypes type of one declared argument or result."""
    return c.c_void_p if "*" in declaration else C_TYPES[declaration.split()[0]]


def guarded(prefix: str, call: str, arguments: str, result: str) -> str:
    """A C function that runs `call` and comes back when the fake ends it."""
    value = "" if result == "void" else f"{result} volatile value = 0; "
    take = "" if result == "void" else "value = "
    give = "" if result == "void" else " return value;"
    return (
        f"{result} {prefix}({arguments}) {{ {value}"
        f"if (!setjmp(fake_end)) {{ {take}{call}; }}{give} }}\n"
    ).replace("uint8_t * volatile value = 0", "uint8_t *volatile value = NULL")


def fields_shim(driver: str) -> str:
    """C that tells the sizes of `driver`'s structs and sets and gets their fields."""
    info = manifest(driver)
    struct = f"struct {driver} *d"
    text = f'#include "{driver}.h"\nconst size_t size_{driver} = sizeof(struct {driver});\n'
    text += f"const void *const ops_{driver} = &{driver}_ops;\n"
    fields = set(info.get("props", {}))
    if info.get("at") == "i2c":
        text += '#include "ek/i2c.h"\nextern const struct ek_i2c fake_i2c;\n'
        text += f"void bus_{driver}({struct}) {{ d->bus = &fake_i2c; }}\n"
        fields |= {"addr"}
    if info["class"] == "sensor":
        fields |= {"channel"}
    if info.get("state"):
        text += f"const size_t state_size_{driver} = sizeof(struct {driver}_state);\n"
        text += f"void state_{driver}({struct}, void *state) {{ d->state = state; }}\n"
    for field in sorted(fields):
        kind = f"__typeof__(((struct {driver} *)0)->{field})"
        text += f"void set_{driver}_{field}({struct}, uintptr_t v) {{ d->{field} = ({kind})v; }}\n"
        text += f"uintptr_t get_{driver}_{field}({struct}) {{ return (uintptr_t)d->{field}; }}\n"
    return text


def shim(driver: str, below: str) -> str:
    """C that makes instances of `driver` (and of the driver `below` it) and calls its ops."""
    headers = ("<setjmp.h>", "<stdbool.h>", "<stddef.h>", '"ek/timer.h"')
    text = "".join(f"#include {h}\n" for h in headers) + "extern jmp_buf fake_end;\n"
    text += fields_shim(driver) + (fields_shim(below) if below else "")
    for name, (arguments, result) in CLASSES[manifest(driver)["class"]].items():
        names = [re.split(r"[ *]", a)[-1] for a in arguments.split(", ") if a]
        call = f"{driver}_ops.{name}({', '.join(['dev', *names])})"
        full = ", ".join(["const void *dev", *([arguments] if arguments else [])])
        text += guarded(f"op_{name}", call, full, result)
        text += f"bool has_{name}(void) {{ return {driver}_ops.{name} != 0; }}\n"
    text += guarded("test_run_timer", "timer->fn(timer->arg)", "struct ek_timer *timer", "void")
    return text + "const size_t test_timer_armed = offsetof(struct ek_timer, armed);\n"


def parts(driver: str) -> list[str]:
    """`driver` and the drivers that its manifest names as `driver/<name>`."""
    needed = [n.removeprefix("driver/") for n in manifest(driver)["needs"] if "driver/" in n]
    return [driver, *(p for n in needed for p in parts(n))]


def components(driver: str) -> list[Path]:
    """Sources of the firmware components (firmware/*/component.toml) that `driver` needs."""
    sources = []
    for path in sorted(ROOT.glob("firmware/*/component.toml")):
        component = tomllib.loads(path.read_text())
        if set(component.get("provides", [])) & set(manifest(driver)["needs"]):
            sources += [path.parent / s for s in component["sources"] if path.parent.name != "libc"]
    return sources


@pytest.fixture(scope="session")
def libraries(once: Callable[..., Path]) -> Callable[..., Path]:
    @functools.cache
    def build(driver: str, below: str = "") -> Path:
        return once(f"{driver}.{below}", lambda folder: compiled(folder, driver, below))

    def compiled(folder: Path, driver: str, below: str) -> Path:
        library = folder / f"{driver}.so"
        stub = library.with_suffix(".c")
        stub.write_text(shim(driver, below))
        includes = [ROOT / "tests/fake", ROOT / "firmware/include"]
        under = components(below) if below else []
        sources = [stub, ROOT / "tests/fake/fake.c", *dict.fromkeys(components(driver) + under)]
        for part in [*parts(driver), *([below] if below else [])]:
            includes.append(DRIVERS / part)
            sources += [DRIVERS / part / s for s in manifest(part)["sources"]]
        flags = [
            "-shared",
            "-fPIC",
            "-std=gnu11",
            "-O1",
            "-g",
            "-ffreestanding",
            "-Wall",
            "-Werror",
        ]
        command: list[str | Path] = [
            "cc",
            *flags,
            "-D__FILE_NAME__=__FILE__",
            "-fsanitize=undefined",
        ]
        command += ["-Wno-builtin-macro-redefined", *(f"-I{i}" for i in includes)]
        # The handlers are in fake.c, so the sanitizer's own library is not linked.
        objects = []
        for number, source in enumerate(sources):
            objects.append(library.with_suffix(f".{number}.o"))
            step: list[str | Path] = [*command, "-c", source, "-o", objects[-1]]
            subprocess.run(step, check=True, timeout=COMPILE_S)
        subprocess.run(["cc", "-shared", *objects, "-o", library], check=True, timeout=COMPILE_S)
        return library

    return build


class Device:
    """One instance of a driver. Made by the fixture `load`."""

    def __init__(self, library: Path, driver: str, model: Any, props: dict[str, Any]) -> None:
        self.lib = c.CDLL(str(library))
        self.driver, self.model = driver, model
        self.logs: list[str] = []
        self.reports: list[tuple[int, int, int, int]] = []
        self.now_us = 0
        self._accesses = 0
        self._raised: BaseException | None = None
        self._timers: dict[int, int] = {}
        self._hooks = {}
        self._keep: list[Any] = []  # memory that the driver points at
        self._mapped: list[tuple[int, int]] = []
        self._guards: list[tuple[int, int]] = []
        for name, kind in HOOKS.items():
            if name in ("dma", "critical") and not hasattr(model, name):
                continue  # barriers are many
            self._hooks[name] = kind(functools.partial(self._hooked, getattr(self, f"_{name}")))
            pointer = c.c_void_p.in_dll(self.lib, f"fake_{name}")
            pointer.value = c.cast(self._hooks[name], c.c_void_p).value
        self.address = self._make(driver, props)

    def _make(self, driver: str, props: dict[str, Any]) -> int:
        """Make one instance of `driver` and, before it, of the one that a prop names."""
        info = manifest(driver)
        size = c.c_size_t.in_dll(self.lib, f"size_{driver}").value
        self._keep.append(c.create_string_buffer(size))
        address = c.addressof(self._keep[-1])
        for name, prop in info.get("props", {}).items():
            value = props.pop(
                name, prop.get("default", BASE if prop["type"] == "address" else None)
            )
            if value is None:
                raise TypeError(f"{driver}: prop `{name}` has no default: say it in load()")
            if prop["type"] == "device":
                lower = self._make(value[0], dict(value[1]))
                ops = c.c_void_p.in_dll(self.lib, f"ops_{value[0]}").value
                self._keep.append((c.c_void_p * 2)(ops, lower))  # struct ek_<class>
                value = c.addressof(self._keep[-1])
            self._set(driver, address, name, value)
        for name, value in props.items():
            self._set(driver, address, name, value)
        if info.get("at") == "i2c":
            getattr(self.lib, f"bus_{driver}")(c.c_void_p(address))
        if info.get("state"):
            size = c.c_size_t.in_dll(self.lib, f"state_size_{driver}").value
            state = self._map(size)
            getattr(self.lib, f"state_{driver}")(c.c_void_p(address), c.c_void_p(state))
        return address

    def _map(self, state_size: int) -> int:
        libc = c.CDLL(None)
        libc.mmap.restype = c.c_size_t
        libc.mmap.argtypes = [c.c_size_t, c.c_size_t, c.c_int, c.c_int, c.c_int, c.c_long]
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        size = 2 * GUARD + -(-state_size // 4096) * 4096
        start: int = libc.mmap(
            next(LOW_MEMORY), size, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0
        )
        assert start < 1 << 32, "no memory below 4 GB"
        c.memset(start, 0xA5, size)
        self.state_address = start + GUARD
        c.memset(self.state_address, 0, state_size)
        self._mapped.append((start, size))
        self._guards.append((start, GUARD))
        end = self.state_address + state_size
        self._guards.append((end, start + size - end))
        return start + GUARD

    def close(self) -> None:
        for start, size in self._mapped:
            c.CDLL(None).munmap(c.c_void_p(start), c.c_size_t(size))

    def _set(
        self, driver: str, address: int, field: str, value: int | bool | str | list[int]
    ) -> None:
        if isinstance(value, list):  # of type u32s: 0 ends it
            self._keep.append((c.c_uint32 * (len(value) + 1))(*value))
            value = c.addressof(self._keep[-1])
        if isinstance(value, str):
            self._keep.append(c.create_string_buffer(value.encode()))
            value = c.addressof(self._keep[-1])
        setter = getattr(self.lib, f"set_{driver}_{field}")
        setter(c.c_void_p(address), c.c_size_t(int(value)))

    def field(self, field: str) -> int:
        function = getattr(self.lib, f"get_{self.driver}_{field}")
        function.restype = c.c_size_t
        return int(function(c.c_void_p(self.address)))

    @staticmethod
    def room(size: int) -> "c.Array[c.c_char]":
        """A buffer for an op to fill; all 0xEE, so that what was written is seen."""
        return c.create_string_buffer(b"\xee" * size, size)

    def __getattr__(self, op: str) -> Callable[..., Any]:
        ops = CLASSES[manifest(self.driver)["class"]]
        if op.startswith("_") or op not in ops:
            raise AttributeError(op)
        present = getattr(self.lib, f"has_{op}")
        present.restype = c.c_bool
        if not present():
            raise DriverFault(f"{self.driver}_ops.{op} is NULL")
        arguments, result = ops[op]
        function = getattr(self.lib, f"op_{op}")
        function.argtypes = [c.c_void_p, *(c_type(a) for a in arguments.split(", ") if a)]
        function.restype = c_type(result)
        return lambda *values: self._call(function, self.address, *values)

    def _call(self, function: Any, *values: Any) -> Any:
        self._accesses = 0
        reason = (c.c_char * 200).in_dll(self.lib, "fake_reason")
        reason.value = b""
        c.c_bool.in_dll(self.lib, "fake_raised").value = False
        result = function(*values)
        if self._raised is not None:
            raised, self._raised = self._raised, None
            raise raised
        if reason.value:
            raise DriverFault(reason.value.decode())
        self._check_guards()
        return result

    def _check_guards(self) -> None:
        for at, length in self._guards:
            if c.string_at(at, length) != b"\xa5" * length:
                raise DriverFault(f"{self.driver} wrote outside its state")

    def advance(self, us: int) -> None:
        """Move the clock and run the timers that become due, in order."""
        until = self.now_us + us
        armed = c.c_size_t.in_dll(self.lib, "test_timer_armed").value
        while due := [(at, t) for t, at in self._timers.items() if at <= until]:
            at, timer = min(due)
            del self._timers[timer]
            self.now_us = max(self.now_us, at)
            flag = c.c_bool.from_address(timer + armed)
            if flag.value:
                flag.value = False
                self._call(self.lib.test_run_timer, c.c_void_p(timer))
        self.now_us = until

    def _hooked(self, hook: Callable[..., Any], *values: Any) -> Any:
        try:
            self._accesses += 1
            if self._accesses > ACCESSES_MAX:
                raise DriverFault(f"{self.driver} does not come to an end")
            return hook(*values)
        except BaseException as e:  # raised again by _call(), outside the C code
            self._raised = e
            c.c_bool.in_dll(self.lib, "fake_raised").value = True
            return 0

    def _read(self, addr: int, bits: int) -> int:
        read = getattr(self.model, MODEL_READ[bits])
        return int(read(addr - BASE)) & ((1 << bits) - 1)

    def _write(self, addr: int, bits: int, value: int) -> None:
        getattr(self.model, MODEL_WRITE[bits])(addr - BASE, value)

    def _port_in(self, port: int, bits: int) -> int:
        return int(self.model.port_in(port, bits))

    def _port_out(self, port: int, bits: int, value: int) -> None:
        self.model.port_out(port, bits, value)

    def _clock(self) -> int:
        if hasattr(self.model, "clock_us"):
            return int(self.model.clock_us())
        self.now_us += 10
        return self.now_us

    def _dma(self, what: bytes, addr: int, length: int) -> None:
        self.model.dma(what.decode(), addr, length)

    def _critical(self, enter: int) -> None:
        self.model.critical(bool(enter))

    def _log(self, line: bytes) -> None:
        self.logs.append(line.decode())

    def _report(self, channel: int, value: int, quality: int, status: int) -> None:
        self.reports.append((channel, value, quality, status))

    def _semihosting(self, operation: int, argument: int) -> int:
        return int(self.model.semihosting(operation, argument))

    def _timer(self, timer: int, due_us: int) -> None:
        self._timers[timer] = due_us

    def _transfer(self, addr: int, out: int, out_len: int, into: int, in_len: int) -> int:
        answer = self.model.transfer(addr, c.string_at(out, out_len) if out_len else b"", in_len)
        if isinstance(answer, int):
            return answer
        assert len(answer) == in_len
        if in_len:
            c.memmove(into, answer, in_len)
        return 0


@pytest.fixture
def load(libraries: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., Device]]:
    """Make a `Device`; see the top of this file. Every one has its own copy of static data."""
    made: list[Device] = []

    def make(driver: str, model: Any, **props: Any) -> Device:
        library = tmp_path / f"{driver}.{len(made)}.so"
        below = [v[0] for v in props.values() if isinstance(v, tuple)]
        shutil.copy(libraries(driver, *below), library)
        made.append(Device(library, driver, model, props))
        return made[-1]

    yield make
    for device in made:
        device.close()
