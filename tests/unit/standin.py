"""A firmware of a few lines, with the repository's real headers, to build quickly in tests.

It has one component, one driver with state, a bus and a sensor on it, for a Cortex-M3.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeuk.board import Board, Region
from edgeuk.gateway import At, Filter, Gateway, Mqtt, Network, Pipeline, Sensor
from edgeuk.manifest import Arch, Component, Cpu, Driver, Prop
from edgeuk.resolve import Image, Instance, Part

ROOT = Path(__file__).parents[2]
LINK = """ENTRY(_start)
MEMORY {
    flash (rx)  : ORIGIN = $flash_base, LENGTH = $flash_size
    ram   (rwx) : ORIGIN = $ram_base, LENGTH = $ram_size
}
SECTIONS {
    .text : { *(.text .text.*) *(.rodata .rodata.*) } > flash
    .ARM.exidx : { *(.ARM.exidx .ARM.exidx.*) } > flash
    .stack (NOLOAD) : { . = . + $stack_size; } > ram
    .data : ALIGN(4) { *(.data .data.*) } > ram AT> flash
    .bss (NOLOAD) : ALIGN(4) { *(.bss .bss.* COMMON) } > ram
    /DISCARD/ : { *(.comment) *(.ARM.attributes) }
}
"""
START = """// start.c: entry of the stand-in.
#include "arch/arch.h"
#include "kernel/kernel.h"
#include "kernel/other.h"
#include "net/net.h"
#include "pipeline/pipeline.h"
_Noreturn void _start(void);
void _start(void) {
    static volatile uint32_t sum;
    static volatile uint32_t seven = 7;
    sum = other(ek_irq_count) + seven + (uint32_t)ek_board_name[0] + (uint32_t)ek_build_id[0];
    sum += (uint32_t)(uintptr_t)&ek_role_console + (uint32_t)(uintptr_t)&ek_role_uplink;
    sum += (uint32_t)(uintptr_t)pipeline_channels + (uint32_t)(uintptr_t)pipeline_polls;
    for (;;) {
    }
}
"""
FILES = {
    "firmware/arch/armv7m/start.c": START,
    "firmware/arch/armv7m/link.ld.in": LINK,
    "firmware/kernel/other.h": "#include <stdint.h>\nuint32_t other(uint32_t a);\n",
    "firmware/kernel/other.c": '#include "kernel/other.h"\n'
    "__attribute__((noinline, optnone)) uint32_t other(uint32_t a) { return a * 3; }\n",
    "firmware/pipeline/filter_median.c": '#include "pipeline/filters.h"\n'
    "const struct filter_ops filter_median_ops = {0};\n",
    "drivers/plain_uart/plain_uart.h": '#include "ek/uart.h"\n'
    "struct plain_uart_state { uint32_t lines; };\n"
    "struct plain_uart { uintptr_t base; uint32_t baud; struct plain_uart_state *state; };\n"
    "extern const struct ek_uart_ops plain_uart_ops;\n",
    "drivers/plain_uart/plain_uart.c": '#include "plain_uart.h"\n'
    "const struct ek_uart_ops plain_uart_ops = {0};\n",
    "drivers/plain_i2c/plain_i2c.h": '#include "ek/i2c.h"\n'
    "struct plain_i2c { uintptr_t base; };\nextern const struct ek_i2c_ops plain_i2c_ops;\n",
    "drivers/plain_i2c/plain_i2c.c": '#include "plain_i2c.h"\n'
    "const struct ek_i2c_ops plain_i2c_ops = {0};\n",
    "drivers/thermometer/thermometer.h": '#include "ek/i2c.h"\n#include "ek/sensor.h"\n'
    "struct thermometer { const struct ek_i2c *bus; uint8_t addr; uint16_t channel; };\n"
    "extern const struct ek_sensor_ops thermometer_ops;\n",
    "drivers/thermometer/thermometer.c": '#include "thermometer.h"\n'
    "const struct ek_sensor_ops thermometer_ops = {0};\n",
}
SIZES = {
    "stack_bytes": 4096,
    "tls_stack_bytes": 0,
    "message_bytes": 1024,
    "cpu_clock_hz": 12_000_000,
}


def write(folder: Path) -> Path:
    """The stand-in's files in `folder`; returns it."""
    for header in (ROOT / "firmware").rglob("*.h"):
        goal = folder / "firmware" / header.relative_to(ROOT / "firmware")
        goal.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(header, goal)
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def sensor(name: str, number: int = 0x48, filters: tuple[Filter, ...] = ()) -> Sensor:
    """A thermometer at i2c0."""
    at = At(f"i2c0:{number:#x}", "i2c0", number)
    return Sensor(name, "thermometer", at, 1000, "Cel", 3, {}, filters)


def gateway(**changes: Any) -> Gateway:
    """Two thermometers, one with a median."""
    whole = Gateway(
        settings={},
        path=Path("gateway.toml"),
        name="meter",
        board="standin",
        mqtt=Mqtt("localhost", 1883, "", "", "", "", 1, 5, 60, 3600),
        network=Network("", 0, "", "", "", ""),
        servers={},
        pipeline=Pipeline(64, "drop_oldest", "senml+cbor", 100, 60),
        sensors=(sensor("air", 0x48, (Filter("median", {"median": 5}),)), sensor("water", 0x49)),
    )
    return replace(whole, **changes)


def image(folder: Path, budget: Mapping[str, int] | None = None, **changes: Any) -> Image:
    """The stand-in's image, its files in `folder`; `changes` are the gateway's."""
    firmware = folder / "firmware"
    stated = {"armv7m": budget} if budget else {}
    cpu = Cpu("cortex-m3", "thumb-freestanding-eabi", "cortex_m3", (), ())
    arch = Arch(
        **_component("arch/armv7m", firmware, ("start.c",), {}),
        cpus={"cortex-m3": cpu},
        linker=("-m", "armelf"),
    )
    parts = [
        Part(Component(**_component("kernel", firmware, ("other.c",), stated)), ()),
        Part(Component(**_component("pipeline", firmware, ("filter_median.c",), {})), ()),
    ]
    uart = _driver(folder, "plain_uart", "uart", state=True)
    i2c = _driver(folder, "plain_i2c", "i2c")
    thermometer = _driver(folder, "thermometer", "sensor", at="i2c")
    board = Board(
        name="standin",
        path=Path("boards/standin.toml"),
        summary="a stand-in",
        cpu="cortex-m3",
        memory={"flash": Region(0, 0x40000), "ram": Region(0x2000_0000, 0x10000)},
        roles={"console": "uart0"},
        devices={},
        sizes=SIZES,
        qemu=None,
        verified={},
    )
    return Image(
        board=board,
        gateway=gateway(**changes),
        arch=arch,
        cpu=cpu,
        instances=(
            Instance("i2c0", i2c, {"base": 0x4002_0000}, (8,)),
            Instance("uart0", uart, {"base": 0x4000_C000, "baud": 115_200}, (5, 8)),
        ),
        sensor_drivers=(thermometer,),
        components=tuple(parts),
        reasons={},
    )


def _component(
    name: str, firmware: Path, sources: tuple[str, ...], budget: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "folder": firmware / name,
        "summary": "",
        "sources": sources,
        "provides": (),
        "needs": (),
        "include": (),
        "third_party": {},
        "budget": budget,
        "features": {},
        "only": (),
    }


def _driver(
    folder: Path, name: str, cls: str, *, state: bool = False, at: str | None = None
) -> Driver:
    props = {"base": _prop("address"), "baud": _prop("u32")} if at is None else {}
    return Driver(
        name=name,
        folder=folder / "drivers" / name,
        cls=cls,
        summary=f"a plain {cls}",
        datasheet="",
        sources=(f"{name}.c",),
        needs=(),
        budget={},
        props=props,
        state=state,
        at=at,
        cpus=(),
        unit="Cel",
        decimals=3,
        has_host=False,
        fixed=True,
    )


def _prop(kind: str) -> Prop:
    return Prop(type=kind, default=None, min=None, max=None, choices=(), unit="")
