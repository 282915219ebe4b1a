"""The resolver: gateway and board in; the closed set of drivers and components and why out."""

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from edgeuk.board import ROLES, Board
from edgeuk.catalog import Catalog, check_board
from edgeuk.errors import ConfigError, ResolveError, UsageError
from edgeuk.filters import feature as filter_feature
from edgeuk.gateway import Actuator, At, Gateway, Sensor, check_on_board, lack, pin_lack
from edgeuk.manifest import Arch, Component, Cpu, Driver
from edgeuk.values import nearest

# Roles whose devices are in the image only where something asks for their class.
ON_DEMAND = ("device_key", "storage")
Chain = tuple[str, ...]  # sentences, from the gateway or board down to the thing itself


@dataclass(frozen=True, slots=True)
class Instance:
    """A device of the board that the image uses."""

    name: str  # of the device: "uart0"
    driver: Driver
    props: Mapping[str, Any]  # every property of the driver, defaults filled in
    irqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A component in the image, with the names of its features that are asked for."""

    component: Component
    features: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources to compile, relative to the component's folder."""
        extra = (s for name in self.features for s in self.component.features[name].sources)
        return tuple(dict.fromkeys((*self.component.sources, *extra)))


@dataclass(frozen=True, slots=True)
class Image:
    """What will be built."""

    board: Board
    gateway: Gateway
    arch: Arch
    cpu: Cpu
    instances: tuple[Instance, ...]  # devices in use; a bus before what sits on it
    sensor_drivers: tuple[Driver, ...]  # and of actuators; each once, sorted by name
    components: tuple[Part, ...]  # sorted by name; the architecture not among them
    reasons: Mapping[str, Chain]  # driver/x, device/x, component/x, arch/x, feature/x
    # Optional sensors and actuators that this board cannot have, with the reason; not in `gateway`.
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def drivers(self) -> tuple[Driver, ...]:
        """Every driver in the image, devices' and sensors', each once, sorted by name."""
        all_of_them = {d.name: d for d in self.sensor_drivers}
        all_of_them |= {i.driver.name: i.driver for i in self.instances}
        return tuple(all_of_them[name] for name in sorted(all_of_them))


@dataclass(frozen=True, slots=True)
class BoardFit:
    """Whether a board can run a gateway; `missing` is empty when it can."""

    board: Board
    missing: tuple[str, ...]
    left_out: tuple[str, ...] = ()  # names of what is optional and cannot be there

    @property
    def ok(self) -> bool:
        """Whether it can."""
        return not self.missing


def resolve(gateway: Gateway, board: Board, catalog: Catalog) -> Image:
    """Choose drivers and components for a board that `find_board` returned.

    Raises `ConfigError` if a sensor is where the board has nothing, `ResolveError` if something
    else is missing.
    """
    if gateway.source:
        doc = gateway.source.fork()
        check_on_board(doc, board, catalog)
        doc.check()
    left_out = _left_out(gateway, board, catalog)
    gateway = _without(gateway, left_out)
    search = _Search(gateway, board, catalog)
    search.run()
    if search.missing:
        fits = (f.board.name for f in boards_for(gateway, _boards(catalog), catalog) if f.ok)
        missing = "; ".join(dict.fromkeys(search.missing))
        able = ", ".join(f"`{name}`" for name in fits)
        hint = f"boards that can run it: {able}" if able else "no board that edgeuk has can run it"
        what = f"{gateway.path.name} cannot run on {board.name}: {missing}"
        raise ResolveError(what, where=str(gateway.path), hint=hint)
    return replace(search.image(), left_out=left_out)


def _left_out(gateway: Gateway, board: Board, catalog: Catalog) -> dict[str, str]:
    """The optional sensors and actuators that this board cannot have, each with the reason."""
    reasons = {}
    nothing = replace(gateway, sensors=(), actuators=(), service=None)
    things: list[Sensor | Actuator] = [*gateway.sensors, *gateway.actuators]
    for thing in things:
        if not thing.optional:
            continue
        driver = catalog.drivers[thing.driver]
        placed = thing.at if driver.at in ("i2c", "gpio") else None
        fault = lack(str(driver.at), placed.target, board, catalog) if placed else None
        why = fault[1] if fault else ""
        if placed and driver.at == "gpio" and not why:
            why = pin_lack(placed, board)
        if why:
            reasons[thing.name] = why
            continue
        if isinstance(thing, Sensor):
            alone = replace(nothing, sensors=(thing,))
        else:
            alone = replace(nothing, actuators=(thing,))
        search = _Search(alone, board, catalog)
        search.run()
        if search.missing:
            reasons[thing.name] = search.missing[0]
    return reasons


def _without(gateway: Gateway, names: Container[str]) -> Gateway:
    """The gateway without those sensors and actuators."""
    return replace(
        gateway,
        sensors=tuple(s for s in gateway.sensors if s.name not in names),
        actuators=tuple(a for a in gateway.actuators if a.name not in names),
    )


def why(image: Image, name: str, catalog: Catalog) -> Chain:
    """The chain of reasons that brought `name` in, or one sentence saying why it is not there.

    `name` may leave out its kind ("virtio_net"). Raises `UsageError` if there is no such thing.
    """
    known = [f"driver/{n}" for n in catalog.drivers] + [f"arch/{n}" for n in catalog.archs]
    known += [f"component/{n}" for n in catalog.components]
    known += [f"device/{n}" for n in image.board.devices]
    names = [n for n in (*image.reasons, *known) if name in (n, n.partition("/")[2])]
    if not names:
        raise UsageError(f"there is no `{name}`", hint=_meant(image, name, known))
    for full in names:
        if full in image.reasons:
            return image.reasons[full]
    return (f"{names[0]} is not in the image: {_why_not(image, names[0], catalog)}",)


KINDS = ("driver", "component", "device", "arch", "feature")  # what a name may begin with


def _meant(image: Image, name: str, known: Iterable[str]) -> str:
    """The hint for a thing that there is not: what was probably meant, else what there is."""
    kind, slash, plain = name.partition("/")
    things: list[Sensor | Actuator] = [*image.gateway.sensors, *image.gateway.actuators]
    of_gateway = {t.name: t.driver for t in things}
    if (driver := of_gateway.get(plain if kind in ("sensor", "actuator") else name)) is not None:
        return f"in {image.gateway.path.name} that is one of `driver/{driver}`"
    if slash and kind not in KINDS:
        return f"a name begins with {', '.join(f'{k}/' for k in KINDS)} or with none of them"
    names = {n.partition("/")[2]: n for n in (*known, *image.reasons) if n.startswith(f"{kind}/")}
    plains = names if slash else [n.partition("/")[2] for n in (*known, *image.reasons)]
    hint = nearest(plain if slash else name, plains)
    if hint.startswith("did you mean"):
        return hint.replace("`", f"`{kind}/", 1) if slash else hint
    if not slash:
        return "`edgeuk size` shows what is in the image, `edgeuk drivers` all drivers"
    there = ", ".join(f"`{full}`" for full in names.values() if full in image.reasons)
    every = "; `edgeuk drivers` lists all" * (kind == "driver")
    return f"in the image: {there or 'none'}{every}"


def boards_for(gateway: Gateway, boards: Iterable[Board], catalog: Catalog) -> tuple[BoardFit, ...]:
    """For each board whether it can run the gateway, and what it lacks."""
    fits = []
    for board in boards:
        left_out = tuple(_left_out(gateway, board, catalog))
        search = _Search(_without(gateway, left_out), board, catalog)
        search.run()
        missing = search.missing
        if gateway.source:
            doc = gateway.source.fork()
            check_on_board(doc, board, catalog)
            missing = [f.what for f in doc.faults] + missing
        fits.append(BoardFit(board, tuple(dict.fromkeys(missing)), left_out))
    return tuple(fits)


def _boards(catalog: Catalog) -> Iterator[Board]:
    """All boards whose files are right."""
    for path in catalog.boards.values():
        with suppress(ConfigError):
            yield check_board(path, catalog)


def _why_not(image: Image, name: str, catalog: Catalog) -> str:
    kind, _, plain = name.partition("/")
    board, gateway = image.board, image.gateway.path.name
    if kind == "arch":
        return f"board {board.name} has cpu {board.cpu}, which is of {image.arch.name}"
    if kind == "device":
        return f"no role of board {board.name} and no sensor of {gateway} needs it"
    if kind == "driver":
        if catalog.drivers[plain].cls == "sensor":
            return f"no sensor of {gateway} uses it"
        if catalog.drivers[plain].cls == "actuator":
            return f"no actuator of {gateway} uses it"
        devices = [d.name for d in board.devices.values() if d.driver == plain]
        if devices:
            return f"no role and no sensor needs device {devices[0]} of board {board.name}"
        return f"board {board.name} has no device that it drives"
    component = catalog.components[plain]
    for part in image.components:
        if shared := set(part.component.provides) & set(component.provides):
            return f"component/{part.component.name} already provides {', '.join(sorted(shared))}"
    offers = ", ".join(component.provides) or "what it provides"
    return f"nothing in the image needs {offers}"


class _Search:
    """One run of the resolver: what has been chosen so far, and why."""

    def __init__(self, gateway: Gateway, board: Board, catalog: Catalog) -> None:
        self.gateway, self.board, self.catalog = gateway, board, catalog
        self.arch = catalog.arch_of(board.cpu) or ""
        self.reasons: dict[str, Chain] = {}
        self.instances: dict[str, Instance] = {}
        self.components: dict[str, Component] = {}
        self.features: dict[str, list[str]] = {}
        self.provided: set[str] = set()
        self.missing: list[str] = []  # may say one thing twice

    def run(self) -> None:
        """Follow all needs of the gateway, the sensors and the board."""
        file = self.gateway.path.name
        if not self.arch:
            self.missing.append(f"no architecture has cpu {self.board.cpu}")
            return
        arch = self.catalog.archs[self.arch]
        chain = (f"board {self.board.name} has cpu {self.board.cpu}", f"{arch.name} is its kind")
        self.provided |= set(arch.provides)
        self.reasons[arch.name] = chain
        self._modem()
        gateway = self.gateway
        if not (gateway.sensors or gateway.actuators or gateway.service):
            self.missing.append("none of its sensors, which all are optional, can be there")
        if gateway.sensors or gateway.actuators or not gateway.service:
            if gateway.actuators or gateway.service or not self._is_serial():
                self.need("mqtt", (f"{file} asks for mqtt",))
                if gateway.mqtt.tls:
                    self.need("tls", (f"{file} has a broker at mqtts://: it asks for tls",))
            self.need("pipeline", (f"{file} has sensors: it asks for pipeline",))
            self._sensors(file)
            self.need("app", ("every gateway with sensors asks for app",))
            self._actuators(file)
        else:
            self.need("service", (f"{file} has a service and no sensors: it asks for service",))
        if gateway.seal_key:
            self._seal(file)
        if self.gateway.service:
            self._feature("listener", f"[service] of {file}")
        self._needs(arch.needs, chain)
        for role, name in self.board.roles.items():
            if role not in ON_DEMAND:
                self._device(name, (), f"board {self.board.name} has role {role}: device/{name}")

    def _seal(self, file: str) -> None:
        """Only configurations that the project's CA has sealed; also encrypted ones, where the
        board has a key of its own."""
        self.need("tls", (f"{file} has [identity] ca: it asks for tls",))
        self._feature("seal", f"[identity] ca of {file}")
        if "device_key" in self.board.roles:
            self.need("device_key", (f"{file} has [identity] ca: it asks for device_key",))
            self._feature("device-key", f"[identity] ca of {file}")
        if self.gateway.rotate:
            self.need("rotation", (f"{file} has [identity] rotate: it asks for rotation",))
            self._feature("rotation", f"[identity] rotate of {file}")

    def _is_serial(self) -> bool:
        """Whether readings leave as frames on the console, for want of a network."""
        return not self._available("mqtt", set()) and self._available("app", set())

    def _modem(self) -> None:
        """A serial line to the network, instead of an Ethernet device or where that is missing."""
        if "modem" not in self.board.roles:
            return
        if "uplink" not in self.board.roles:
            self.provided.add("eth")
        self.need("ppp", (f"board {self.board.name} has role modem",))

    def image(self) -> Image:
        """The result."""
        arch = self.catalog.archs[self.arch]
        drivers = {s.driver for s in self.gateway.sensors}
        drivers |= {a.driver for a in self.gateway.actuators}
        return Image(
            board=self.board,
            gateway=self.gateway,
            arch=arch,
            cpu=arch.cpus[self.board.cpu],
            instances=tuple(self.instances.values()),
            sensor_drivers=tuple(self.catalog.drivers[name] for name in sorted(drivers)),
            components=tuple(
                Part(self.components[name], tuple(self.features.get(name, ())))
                for name in sorted(self.components)
            ),
            reasons=self.reasons,
        )

    def need(self, what: str, chain: Chain, devices: Mapping[str, str] | None = None) -> None:
        """Find who provides a capability or device class; `devices`: those named by class."""
        if what in self.provided:
            return
        if name := (devices or {}).get(what):
            self._device(name, chain)
            return
        if role := self._role(what):
            name = self.board.roles[role]
            self._device(name, chain, f"board {self.board.name} has role {role}: device/{name}")
            return
        found = [c for c in self._providers(what) if self._satisfiable(c, {c.name})]
        if not found:
            self.missing.append(self._lack(what, chain))
            return
        self._component(found[0], what, chain)

    def _role(self, cls: str) -> str:
        """The role of the board whose device is of that class."""
        return next((r for r, c in ROLES.items() if c == cls and r in self.board.roles), "")

    def _providers(self, what: str) -> list[Component]:
        """Those for this architecture alone first, then those that use most of the board."""
        fit = [
            c
            for c in self.catalog.components.values()
            if what in c.provides and (not c.only or self.arch in c.only)
        ]
        return sorted(fit, key=lambda c: (not c.only, -len(c.needs), c.name))

    def _satisfiable(self, component: Component, seen: set[str]) -> bool:
        """Whether everything that a component needs can be had on this board."""
        return all(self._available(what, seen) for what in component.needs)

    def _available(self, what: str, seen: set[str]) -> bool:
        if what in self.provided or self._role(what):
            return True
        return any(
            c.name in seen or self._satisfiable(c, seen | {c.name}) for c in self._providers(what)
        )

    def _lack(self, what: str, chain: Chain) -> str:
        """What is missing, said as far down as possible: no eth device, not no mqtt."""
        for component in self._providers(what):
            for below in component.needs:
                if not self._available(below, {component.name}):
                    return self._lack(below, (f"component/{component.name} needs {below}",))
        role = next((r for r, c in ROLES.items() if c == what), "")
        asked = chain[-1].removesuffix(f" needs {what}")
        if role:
            return f"board {self.board.name} has no role `{role}` ({what}), which {asked} needs"
        return f"nothing provides `{what}`, which {asked} needs"

    def _component(self, component: Component, what: str, chain: Chain) -> None:
        key = f"component/{component.name}"
        chain = (*chain, f"{key} provides {what}")
        self.components[component.name] = component
        self.provided |= set(component.provides)
        self.reasons[key] = chain
        self._needs(component.needs, chain)

    def _needs(self, needs: Iterable[str], chain: Chain, **devices: str) -> None:
        for what in needs:
            joint = "and needs" if " provides " in chain[-1] else "needs"
            self.need(what, (*chain[:-1], f"{chain[-1]} {joint} {what}"), devices)

    def _device(self, name: str, chain: Chain, sentence: str = "") -> None:
        if name in self.instances or name not in self.board.devices:
            return
        device = self.board.devices[name]
        driver = self.catalog.drivers.get(device.driver)
        if not driver:
            self.missing.append(f"no driver `{device.driver}` for device `{name}`")
            return
        here = (*chain, sentence or f"device/{name} of board {self.board.name} does that")
        chain = (*here, f"driver/{driver.name} drives {name}")
        below = {}
        for prop_name, prop in driver.props.items():
            if prop.type == "device" and prop_name in device.props:
                below[prop.cls] = device.props[prop_name]
                bus = device.props[prop_name]
                self._device(bus, (*chain[:-1], f"{chain[-1]}, which is on {bus}"))
        self._needs(driver.needs, chain, **below)
        self.instances[name] = Instance(name, driver, device.props, device.irqs)
        self.reasons[f"device/{name}"] = here
        self.reasons.setdefault(f"driver/{driver.name}", chain)

    def _sensors(self, file: str) -> None:
        for sensor in self.gateway.sensors:
            driver = self.catalog.drivers[sensor.driver]
            self._only(driver)
            where = f" at {sensor.at.text}" if sensor.at else ""
            chain: Chain = (f"{file} has sensor {sensor.name}{where}",)
            chain = (*chain, f"driver/{driver.name} reads it")
            self.reasons.setdefault(f"driver/{driver.name}", chain)
            below = {"i2c": sensor.at.target} if sensor.at and driver.at == "i2c" else {}
            if below:
                self._device(below["i2c"], (*chain[:-1], f"{chain[-1]} over i2c"))
            self._port(driver, sensor.at, chain)
            needs = (need for need in driver.needs if need not in below)
            self._needs(needs, chain)
            for step in sensor.filters:
                self._feature(filter_feature(step.kind), f"sensor {sensor.name}")
        encoding = self.gateway.pipeline.encoding
        self._feature(encoding.replace("+", "-"), f"encoding {encoding}")

    def _actuators(self, file: str) -> None:
        for actuator in self.gateway.actuators:
            self.need("actuators", (f"{file} has actuators: it asks for actuators",))
            driver = self.catalog.drivers[actuator.driver]
            where = f" at {actuator.at.text}" if actuator.at else ""
            chain: Chain = (f"{file} has actuator {actuator.name}{where}",)
            chain = (*chain, f"driver/{driver.name} switches it")
            self.reasons.setdefault(f"driver/{driver.name}", chain)
            self._port(driver, actuator.at, chain)
            self._needs(driver.needs, chain)

    def _only(self, driver: Driver) -> None:
        """A driver of what is on the chip itself fits only that architecture."""
        arch = self.arch.removeprefix("arch/")
        if driver.cpus and arch not in driver.cpus:
            fit = ", ".join(driver.cpus)
            self.missing.append(f"driver `{driver.name}` works on {fit}, not on {arch}")

    def _port(self, driver: Driver, at: At | None, chain: Chain) -> None:
        """The port of what is at a pin."""
        if driver.at == "gpio" and at:
            self._device(at.target, (*chain[:-1], f"{chain[-1]} at a pin"))

    def _feature(self, name: str, who: str) -> None:
        """Link an optional part of whichever component in the image has it."""
        for component in self.components.values():
            key = f"feature/{name}"
            if name in component.features and key not in self.reasons:
                self.features.setdefault(component.name, []).append(name)
                chain = self.reasons[f"component/{component.name}"]
                self.reasons[key] = (*chain, f"{key} is asked for by {who}")
