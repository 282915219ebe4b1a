"""The C that edgeuk writes for one image: config.h, devices.c, pipeline.c and link.ld.

All that is known before boot is computed here and stands in these files for a person to read.
Nothing of one device (its name, broker, topic, addresses, servers' addresses) goes in: that is the
device configuration, so that devices which differ only in it run byte-identical images.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from string import Template
from typing import Any

from edgeuk import filters
from edgeuk.gateway import Actuator, At, Sensor
from edgeuk.manifest import Driver
from edgeuk.plan import Plan, Poll, SensorSpec
from edgeuk.plans import driver_plan
from edgeuk.resolve import Image, Instance

# Role -> class, for the roles whose tables every image has; ops is NULL where the board lacks one.
ROLES = {"console": "uart", "uplink": "eth", "entropy": "entropy", "power": "power"}
BUILD_ID_UNKNOWN = "0" * 16


@dataclass(frozen=True, slots=True)
class Generated:
    """Texts of the generated files. `pipeline_c` is "" for a service without sensors, `link_ld`
    where the architecture has no template."""

    config_h: str
    devices_c: str
    pipeline_c: str
    link_ld: str
    tls_options_h: str = ""  # apart from config.h: all of mbedTLS is compiled again for a change

    def files(self) -> dict[str, str]:
        """Texts by file name."""
        every = {
            "config.h": self.config_h,
            "devices.c": self.devices_c,
            "pipeline.c": self.pipeline_c,
            "link.ld": self.link_ld,
            "tls_options.h": self.tls_options_h,
        }
        return {name: text for name, text in every.items() if text}


@dataclass(frozen=True, slots=True)
class Group:
    """The sensors of one driver, with what becomes of them."""

    driver: Driver
    sensors: tuple[Sensor, ...]  # in channel order
    plan: Plan


def has_pipeline(image: Image) -> bool:
    """Whether sensors' readings go anywhere: not in a gateway that is nothing but a service."""
    gateway = image.gateway
    return bool(gateway.sensors or gateway.actuators) or gateway.service is None


def generate(image: Image, build_id: str = BUILD_ID_UNKNOWN, built_s: int = 0) -> Generated:
    """Everything for `image`. `build_id`: 16 hex digits that name the build's input; `built_s`: the
    build time (build_time.py), which only images with TLS have in them."""
    groups = _groups(image)
    return Generated(
        config_h=_config_h(image, groups),
        devices_c=_devices_c(image, build_id, built_s),
        pipeline_c=_pipeline_c(image, groups) if has_pipeline(image) else "",
        link_ld=_link_ld(image),
        tls_options_h=_tls_options_h(image) if has_tls(image) else "",
    )


def c_string(text: str) -> str:
    """A C string literal. Octal escapes have three digits, so that no digit after one joins it."""
    out = []
    for byte in text.encode():
        char = chr(byte)
        if char in '"\\?':
            out.append("\\" + char)
        elif 0x20 <= byte < 0x7F:
            out.append(char)
        else:
            out.append(f"\\{byte:03o}")
    return '"' + "".join(out) + '"'


def c_address(value: int) -> str:
    """An address in hex; grouped digits are not C."""
    return f"0x{value:08x}" + ("u" if value < 1 << 32 else "ull")


def phases(periods_ms: Sequence[int]) -> list[int]:
    """When each poll first runs, in ms after start: polls of one period are spread evenly over
    it, the first at 0, so that they never come in a burst."""
    members: dict[int, list[int]] = {}
    for index, period in enumerate(periods_ms):
        members.setdefault(period, []).append(index)
    result = [0] * len(periods_ms)
    for period, indices in members.items():
        for place, index in enumerate(indices):
            result[index] = period * place // len(indices)
    return result


def _head(image: Image, what: str, sources: str) -> str:
    return (
        f"// {what}, written by edgeuk from {sources}.\n"
        f"// Board: {image.board.name} ({_comment(image.board.summary)}). Changes here are lost.\n"
    )


def _config_h(image: Image, groups: Sequence[Group]) -> str:
    board = f"boards/{image.board.name}.toml"
    streams = sum(g.plan.tcp_streams for g in groups)
    vectors = 1 + max((irq for i in image.instances for irq in i.irqs), default=0)
    sizes = dict(image.board.sizes)
    sizes["cpu_clock_hz"] = sizes.get("cpu_clock_hz", 0) or _soc_clock_hz(image)
    rows = [
        (f"EK_{name.upper()}", size) for name, size in sorted(sizes.items()) if name[:4] != "tls_"
    ]
    width = max(len(name) for name, _ in [*rows, ("EK_SENSOR_TCP_STREAMS", 0)])
    lines = [
        _head(image, "Sizes", f"{board} and gateway.toml"),
        "#ifndef CONFIG_H",
        "#define CONFIG_H",
        "",
        f"// {board}, [sizes]",
        *(f"#define {name:{width}} {size}" for name, size in rows),
        "",
        "// gateway.toml, [pipeline] queue",
        f"#define {'EK_QUEUE_READINGS':{width}} {image.gateway.pipeline.queue}",
        "// connections that sensors hold open",
        f"#define {'EK_SENSOR_TCP_STREAMS':{width}} {streams}",
        "// interrupt lines up to the highest in use",
        f"#define {'EK_IRQ_VECTORS':{width}} {vectors}",
        "// gateway.toml, profile",
        f"#define {'EK_DEVELOPMENT':{width}} {image.gateway.development:d}",
        "// whether MQTT subscribes to anything",
        f"#define {'EK_MQTT_LISTENS':{width}} {_listens(image):d}",
        *_service_sizes(image, width),
        *_actuator_sizes(image, width),
        *_modem_sizes(image, width),
        *_tls_sizes(image, width),
        *_seal_sizes(image, width),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _service_sizes(image: Image, width: int) -> list[str]:
    service = image.gateway.service
    if service is None:
        return []
    return [
        "// gateway.toml, [service] listeners, connections",
        f"#define {'EK_NET_LISTENERS':{width}} {service.listeners}",
        f"#define {'EK_SERVICE_STREAMS':{width}} {service.connections}",
    ]


def _modem_sizes(image: Image, width: int) -> list[str]:
    if "modem" not in image.board.roles:
        return []
    return ["// [roles] modem", f"#define {'EK_NET_PPP':{width}} 1"]


def has_tls(image: Image) -> bool:
    """Whether the connection to the broker is encrypted."""
    return any("tls" in p.component.provides for p in image.components)


def _tls_sizes(image: Image, width: int) -> list[str]:
    if not has_tls(image):
        return []
    lines = ["// gateway.toml, [mqtt] url: mqtts", f"#define {'EK_TLS':{width}} 1"]
    tls = image.gateway.tls
    lines.append(f"#define {'EK_TLS_VERIFY':{width}} {tls.verify:d}")
    lines.append(f"#define {'EK_TLS_MINIMUM_12':{width}} {tls.minimum_12:d}")
    key = "tls_compatible_heap_bytes" if tls.compatible else "tls_heap_bytes"
    if heap := image.board.sizes[key]:
        lines.append(f"#define {'EK_TLS_HEAP_BYTES':{width}} {heap}")
    return lines


def _seal_sizes(image: Image, width: int) -> list[str]:
    if not image.gateway.seal_key:
        return []
    lines = ["// gateway.toml, [identity] ca", f"#define {'EK_SEALED':{width}} 1"]
    if "device_key" in image.board.roles:
        lines += ["// [roles] device_key", f"#define {'EK_DEVICE_KEY':{width}} 1"]
    if image.gateway.rotate:
        lines += ["// [identity] rotate", f"#define {'EK_ROTATE':{width}} 1"]
    return lines


def _seal_key(image: Image) -> list[str]:
    """The project's public key, eight bytes in a row."""
    key = image.gateway.seal_key
    if not key:
        return []
    rows = [key[i : i + 8] for i in range(0, len(key), 8)]
    return [
        "// [identity] ca: its public key",
        '#include "kernel/seal.h"',
        "const uint8_t ek_seal_key[65] = {",
        *("    " + ", ".join(f"0x{byte:02x}" for byte in row) + "," for row in rows),
        "};",
    ]


def _tls_options_h(image: Image) -> str:
    """What mbedTLS is compiled with."""
    sizes, tls = image.board.sizes, image.gateway.tls
    return "\n".join(
        [
            _head(image, "TLS", f"boards/{image.board.name}.toml and gateway.toml"),
            "#ifndef TLS_OPTIONS_H",
            "#define TLS_OPTIONS_H",
            "",
            "// [sizes]",
            *(
                f"#define EK_{name.upper():24} {sizes[name]}"
                for name in ("tls_record_bytes", "tls_send_bytes", "tls_ticket_bytes")
            ),
            "// gateway.toml, [tls] profile",
            f"#define {'EK_TLS_COMPATIBLE':27} {tls.compatible:d}",
            "",
            "#endif",
            "",
        ]
    )


def _transport(image: Image, built_s: int) -> list[str]:
    """Which calls carry MQTT; for TLS, what the time of day cannot be before."""
    if not any("mqtt" in p.component.provides for p in image.components):
        return []
    if has_tls(image):
        return [
            "// [mqtt] url: mqtts",
            '#include "tls/tls.h"',
            _TRANSPORT.format("tls_"),
            f"// the build time: {datetime.fromtimestamp(built_s, UTC):%Y-%m-%d %H:%M:%S} UTC",
            f"const uint32_t tls_built_s = {built_s}u;",
        ]
    return ["// [mqtt] url: mqtt", '#include "ek/stream.h"', _TRANSPORT.format("ek_stream_")]


_TRANSPORT = (
    "const struct ek_stream_ops ek_transport = "
    "{{.open = {0}open, .write = {0}write, .room = {0}room, .close = {0}close}};"
)


def _listens(image: Image) -> bool:
    """On `host` always: there tests bring applications of their own, and bytes cost nothing."""
    gateway = image.gateway
    return bool(gateway.actuators) or gateway.rotate or image.arch.name == "arch/host"


def _actuator_sizes(image: Image, width: int) -> list[str]:
    count = len(image.gateway.actuators)
    return [
        "// gateway.toml, [[actuator]]",
        f"#define {'EK_ACTUATORS':{width}} {count}",
    ] * (count > 0)


def _soc_clock_hz(image: Image) -> int:
    """The processor's clock, where the device in the role `soc` sets it; else 0."""
    soc = image.board.roles.get("soc")
    return next((int(i.props.get("clock_hz", 0)) for i in image.instances if i.name == soc), 0)


def _devices_c(image: Image, build_id: str, built_s: int) -> str:
    classes = {i.driver.cls for i in image.instances} | {"eth"}
    headers = [f"ek/{cls}.h" for cls in sorted(classes)] + ["kernel/kernel.h", "net/net.h"]
    drivers = sorted({i.driver.name for i in image.instances})
    lines = [
        _head(image, "Devices", f"boards/{image.board.name}.toml"),
        *(f'#include "{h}"' for h in ["arch/arch.h", *headers]),
        *(f'#include "{d}.h"' for d in drivers),
        "",
        f"const char ek_board_name[] = {c_string(image.board.name)};",
        f"const char ek_build_id[] = {c_string(build_id)};",
        "",
    ]
    for instance in image.instances:
        lines += [*_instance(instance), ""]
    lines += ["// [roles]", *_roles(image), "", *_transport(image, built_s), *_seal_key(image), ""]
    irqs = sorted({(irq, i.name) for i in image.instances for irq in i.irqs})
    numbers = ", ".join(str(irq) for irq in sorted({irq for irq, _ in irqs})) or "0"
    said = ", ".join(dict.fromkeys(name for _, name in irqs))
    lines += [
        "// Interrupt lines that wake the processor" + (f": {said}" if said else ": none"),
        f"const uint16_t ek_irqs[] = {{{numbers}}};",
        f"const uint16_t ek_irq_count = {len({irq for irq, _ in irqs})};",
    ]
    return "\n".join(lines) + "\n"


def _instance(instance: Instance) -> list[str]:
    """A device's object, its state, and the `struct ek_<class>` by which others call it."""
    driver, name = instance.driver, instance.name
    fields = [(key, _value(driver, key, value)) for key, value in instance.props.items()]
    lines = [f"// [devices.{name}]: {driver.summary}"]
    if driver.state:
        lines.append(f"static struct {driver.name}_state {name}_state;")
        fields.append(("state", f"&{name}_state"))
    lines += _object(f"static const struct {driver.name} {name}", fields)
    lines.append(
        f"const struct ek_{driver.cls} ek_device_{name} = "
        f"{{.ops = &{driver.name}_ops, .dev = &{name}}};"
    )
    return lines


def _roles(image: Image) -> list[str]:
    drivers = {i.name: i.driver for i in image.instances}
    lines = []
    for role in [*ROLES, *sorted(set(image.board.roles) - set(ROLES))]:
        device = image.board.roles.get(role, "")
        if device in drivers:
            driver = drivers[device]
            value = f"{{.ops = &{driver.name}_ops, .dev = &{device}}}"
            lines.append(f"const struct ek_{driver.cls} ek_role_{role} = {value};")
        elif role in ROLES:
            lines.append(f"const struct ek_{ROLES[role]} ek_role_{role} = {{0}}; // none in use")
    return lines


def _object(declaration: str, fields: Iterable[tuple[str, str]]) -> list[str]:
    rows = [f"    .{name} = {value}," for name, value in fields]
    return [f"{declaration} = {{", *rows, "};"] if rows else [f"{declaration} = {{0}};"]


def _value(driver: Driver, key: str, value: Any) -> str:
    """A property as C. Its manifest has checked type and range already."""
    prop = driver.props[key]
    match prop.type:
        case "address":
            return c_address(value)
        case "bool":
            return "true" if value else "false"
        case "u32s":
            return "(const uint32_t[]){" + ", ".join([*(f"0x{v:x}" for v in value), "0"]) + "}"
        case "device":
            return f"&ek_device_{value}"
        case "string":
            return c_string(value)
        case "i32":
            return "INT32_MIN" if value == -(2**31) else str(value)
    return f"{value}u" if value > 0x7FFFFFFF else str(value)


def _groups(image: Image) -> list[Group]:
    """Sensors by driver, drivers in the order of their first sensor; channels count through."""
    drivers = {d.name: d for d in image.sensor_drivers}
    by_driver: dict[str, list[Sensor]] = {}
    for sensor in image.gateway.sensors:
        by_driver.setdefault(sensor.driver, []).append(sensor)
    groups = []
    channel = 0
    for name, sensors in by_driver.items():
        driver = drivers[name]
        if driver.has_host:
            plan = driver_plan(driver, [_spec(s) for s in sensors], channel)
            by_name = {s.name: s for s in sensors}
            sensors = [by_name[n] for poll in plan.polls for n in poll.channels]
        else:
            plan = _plain_plan(driver, sensors, channel)
        groups.append(Group(driver, tuple(sensors), plan))
        channel += len(sensors)
    return groups


def _spec(sensor: Sensor) -> SensorSpec:
    return SensorSpec(
        name=sensor.name,
        at=sensor.at.text if sensor.at else "",
        period_ms=sensor.every_ms,
        decimals=sensor.decimals,
        props=sensor.props,
    )


def _plain_plan(driver: Driver, sensors: Sequence[Sensor], first: int) -> Plan:
    """One object, one poll and one channel for each sensor."""
    code, polls = [], []
    for channel, sensor in enumerate(sensors, first):
        symbol = f"{driver.name}_{channel}"
        fields = _at_fields(driver, sensor.at)
        fields.append(("channel", str(channel)))
        fields += [_sensor_field(driver, key, sensor) for key in sensor.props]
        code.append(f"// [[sensor]] {_comment(sensor.name)}")
        if driver.state:
            code.append(f"static struct {driver.name}_state {symbol}_state;")
            fields.append(("state", f"&{symbol}_state"))
        code += _object(f"static const struct {driver.name} {symbol}", fields)
        polls.append(Poll(symbol, f"{driver.name}_ops", (sensor.name,), sensor.every_ms))
    externs = _externs(driver, [sensor.at for sensor in sensors])
    return Plan("\n".join([*externs, *code]), tuple(polls), (f"{driver.name}.h",))


def _at_fields(driver: Driver, at: At | None) -> list[tuple[str, str]]:
    """What a bus or a port adds to the object of what is on it."""
    if at is not None and driver.at == "i2c":
        return [("bus", f"&ek_device_{at.target}"), ("addr", f"{at.number:#x}")]
    if at is not None and driver.at == "gpio":
        return [("port", f"&ek_device_{at.target}"), ("pin", str(at.number))]
    return []


def _externs(driver: Driver, places: Iterable[At | None]) -> list[str]:
    if driver.at not in ("i2c", "gpio"):
        return []
    devices = sorted({at.target for at in places if at})
    return [f"extern const struct ek_{driver.at} ek_device_{d}; // devices.c" for d in devices]


def _sensor_field(driver: Driver, key: str, sensor: Sensor) -> tuple[str, str]:
    """Numbers become steps of the channel's last decimal, durations milliseconds."""
    value = sensor.props[key]
    match driver.props[key].type:
        case "number":
            return key, _int64(int(Decimal(value).scaleb(sensor.decimals)))
        case "duration":
            return key, str(value)
    return key, _value(driver, key, value)


def _int64(value: int) -> str:
    return f"INT64_C({value})" if abs(value) > 0x7FFFFFFF else str(value)


def _comment(text: str) -> str:
    """A name as part of a // comment: a backslash at its end would join the next line."""
    return text.replace("\\", "/")


def _pipeline_c(image: Image, groups: Sequence[Group]) -> str:
    sensors = [s for g in groups for s in g.sensors]
    actuators = image.gateway.actuators
    headers = sorted({h for g in groups for h in g.plan.includes})
    if actuators:
        headers += ["app/actuators/actuators.h"]
        headers += sorted({f"{a.driver}.h" for a in actuators} - set(headers))
    lines = [
        _head(image, "The pipeline", "gateway.toml"),
        *(f'#include "{h}"' for h in ("ek/i2c.h", "pipeline/filters.h", "pipeline/pipeline.h")),
        *(f'#include "{h}"' for h in headers),
        "",
    ]
    for group in groups:
        lines += [group.plan.c_code.rstrip("\n"), ""]
    for channel, sensor in enumerate(sensors):
        lines += _filters(channel, sensor)
    lines += [*_channels(sensors, actuators), "", *_polls(groups), ""]
    lines += [*_actuators(image, len(sensors)), *_settings(image)]
    return "\n".join(lines) + "\n"


def _filters(channel: int, sensor: Sensor) -> list[str]:
    """Parameters and state of a channel's filters, and the table that joins them."""
    if not sensor.filters:
        return []
    lines, rows = [f"// filters of {_comment(sensor.name)}"], []
    for place, f in enumerate(sensor.filters):
        name = f"{f.kind}_{channel}_{place}"
        value = filters.initialiser(f.kind, f.params, sensor.decimals)
        lines.append(f"static const {filters.params_type(f.kind)} {name} = {value};")
        state = filters.state(f.kind, f.params, f"{name}_state")
        if state is not None:
            lines.append(state)
        pointer = f"&{name}_state" if state is not None else "NULL"
        rows.append(f"    {{&{filters.ops(f.kind)}, &{name}, {pointer}}},")
    return [*lines, f"static const struct filter filters_{channel}[] = {{", *rows, "};", ""]


def _channels(sensors: Sequence[Sensor], actuators: Sequence[Actuator]) -> list[str]:
    rows = []
    for channel, s in enumerate(sensors):
        fields = [("name", c_string(s.name)), ("unit", c_string(s.unit))]
        if s.filters:
            fields += [("filters", f"filters_{channel}"), ("filter_count", str(len(s.filters)))]
        fields.append(("decimals", str(s.decimals)))
        rows.append("    {" + ", ".join(f".{k} = {v}" for k, v in fields) + "},")
    rows += [f'    {{.name = {c_string(a.name)}, .unit = "", .decimals = 0}},' for a in actuators]
    return [
        "const struct channel pipeline_channels[] = {",
        *(rows or ["    {0}, // none"]),
        "};",
        f"const uint16_t pipeline_channel_count = {len(sensors) + len(actuators)};",
    ]


def _actuators(image: Image, first_channel: int) -> list[str]:
    """An object and a row for each actuator; their states are channels behind the sensors'."""
    actuators = image.gateway.actuators
    if not actuators:
        return []
    drivers = {d.name: d for d in image.sensor_drivers}
    lines, rows = [], []
    for name in dict.fromkeys(a.driver for a in actuators):
        lines += _externs(drivers[name], [a.at for a in actuators if a.driver == name])
    for channel, a in enumerate(actuators, first_channel):
        driver, symbol = drivers[a.driver], f"{a.driver}_{channel}"
        fields = _at_fields(driver, a.at)
        fields += [(key, _value(driver, key, value)) for key, value in a.props.items()]
        lines.append(f"// [[actuator]] {_comment(a.name)}")
        if driver.state:
            lines.append(f"static struct {driver.name}_state {symbol}_state;")
            fields.append(("state", f"&{symbol}_state"))
        lines += _object(f"static const struct {driver.name} {symbol}", fields)
        rows.append(
            f"    {{&{driver.name}_ops, &{symbol}, .channel = {channel}, "
            f".hold_ms = {a.hold_ms}, .initial = {_c_bool(a.initial)}, "
            f".without_broker = ACTUATOR_{a.on_disconnect.upper()}, "
            f".obey_retained = {_c_bool(a.obey_retained)}}},"
        )
    return [*lines, "const struct actuator actuators[EK_ACTUATORS] = {", *rows, "};", ""]


def _c_bool(value: bool) -> str:
    return "true" if value else "false"


def _polls(groups: Sequence[Group]) -> list[str]:
    polls = [poll for g in groups for poll in g.plan.polls]
    # The first poll initialises a sensor. Pins are watched from then on, so theirs come at once.
    pins = {poll.symbol for g in groups if g.driver.at == "gpio" for poll in g.plan.polls}
    spread = iter(phases([p.period_ms for p in polls if p.symbol not in pins]))
    first, rows = 0, []
    for poll in polls:
        phase = 0 if poll.symbol in pins else next(spread)
        rows.append(
            f"    {{&{poll.ops}, &{poll.symbol}, .period_ms = {poll.period_ms}, "
            f".phase_ms = {phase}, .channel = {first}, .channel_count = {len(poll.channels)}}},"
        )
        first += len(poll.channels)
    return [
        "const struct poll pipeline_polls[] = {",
        *(rows or ["    {0}, // none"]),
        "};",
        f"const uint16_t pipeline_poll_count = {len(polls)};",
        f"struct poll_state pipeline_poll_states[{max(len(polls), 1)}];",
    ]


def _settings(image: Image) -> list[str]:
    p = image.gateway.pipeline
    fields = [
        ("overflow", f"OVERFLOW_{p.overflow.upper()}"),
        ("encoding", f"ENCODING_{p.encoding.upper().replace('+', '_')}"),
        ("qos", str(image.gateway.mqtt.qos)),
        ("batch_ms", str(p.batch_ms)),
        ("statistics_s", str(p.statistics_s)),
    ]
    return _object("const struct pipeline_settings pipeline_settings", fields)


def _stack_bytes(image: Image) -> int:
    sizes = image.board.sizes
    return sizes["stack_bytes"] + has_tls(image) * sizes["tls_stack_bytes"]


def _link_ld(image: Image) -> str:
    template = image.arch.folder / "link.ld.in"
    if not template.is_file():
        return ""
    values: dict[str, str] = {"stack_size": str(_stack_bytes(image))}
    for name in ("flash", "ram", "config"):
        region = image.board.memory.get(name)
        values[f"{name}_base"] = hex(region.base) if region else "0"
        values[f"{name}_size"] = hex(region.size) if region else "0"
    sources = f"{image.arch.name}/link.ld.in and boards/{image.board.name}.toml"
    return f"/* Written by edgeuk from {sources}. */\n" + Template(template.read_text()).substitute(
        values
    )
