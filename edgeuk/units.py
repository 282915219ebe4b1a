"""What is compiled for an image: one `Unit` per source file, with its flags and include folders.

Paths have two forms. The real one is where a file is on this machine; the logical one
("firmware/mqtt/client.c", "lwip/src/core/tcp.c", "generated/config.h") is the same everywhere and
is the only one that gets into cache keys, objects and debug information.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeuk.generate import has_pipeline
from edgeuk.manifest import Component, Driver
from edgeuk.resolve import Image
from edgeuk.size import GENERATED, SCRIPT

SERVICE = "service"  # the part that a gateway's own sources are counted for
LTO = ("-flto",)  # saves a tenth of an image
COMMON = (
    *("-std=c11", "-g", "-ffunction-sections", "-fdata-sections"),
    *("-fno-stack-protector", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
)
# firmware/kernel/guard.c is what these call; what each costs is in ARCHITECTURE.md. Canaries stand
# in functions with an array of eight characters or more; some arch.toml ask for more. zig drops
# clang's -fstack-protector where there is no C library: hence its inner name.
CANARIES = (
    *("-Xclang", "-stack-protector", "-Xclang", "1"),
    *("-Xclang", "-mstack-protector-guard=global"),
)
TRAPS = (
    "-fsanitize=array-bounds,builtin,integer-divide-by-zero,return,shift,signed-integer-overflow,"
    "unreachable,vla-bound",
    "-fsanitize-trap=all",
)
FREESTANDING = (
    *("-Oz", "-ffreestanding", "-fno-sanitize=all", "-Qunused-arguments"),
    *CANARIES,
    *TRAPS,
)
NATIVE = ("-O1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")
WARNINGS = (
    *("-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion"),
    *("-Wimplicit-fallthrough", "-Wvla", "-Werror"),
)
# Which warnings the system's compiler has is not ours to know: the pinned one is the judge.
NATIVE_WARNINGS = ("-Wall", "-Wextra")
NO_WARNINGS = ("-w",)  # sources of others
# mbedTLS compares names of no bytes, which are at NULL.
NATIVE_OTHERS = ("-fno-sanitize=nonnull-attribute",)


@dataclass(frozen=True, slots=True)
class Tree:
    """The real folders behind the first component of logical paths."""

    roots: Mapping[str, Path]  # "firmware", "drivers", "generated", a third-party name

    def real(self, logical: str) -> Path:
        """Where a logical path is on this machine."""
        if logical.startswith("/"):
            return Path(logical)
        root, _, rest = logical.partition("/")
        return self.roots[root] / rest

    def logical(self, path: str) -> str:
        """The logical form of a real, absolute path; outside all folders, the path itself."""
        inside = [(n, f"{root}/") for n, root in self.roots.items() if path.startswith(f"{root}/")]
        name, prefix = max(inside, key=lambda item: len(item[1]), default=("", ""))
        return f"{name}/{path[len(prefix) :]}" if name else path


@dataclass(frozen=True, slots=True)
class Unit:
    """One file to compile."""

    part: str  # what its bytes are counted for: component/x, driver/x, third_party/x, generated
    source: str  # logical path
    flags: tuple[str, ...]
    includes: tuple[str, ...]  # logical folders, in order

    @property
    def object(self) -> str:
        """The object file, relative to the output folder; the linker's map names it."""
        return f"obj/{self.source}.o"


def is_native(image: Image) -> bool:
    """Whether the image is a process on this machine."""
    return image.cpu.target in ("", "native", "host")


def tree(image: Image, out: Path, others: Mapping[str, Path]) -> Tree:
    """The folders of a build; `others`: third-party sources and the compiler's own headers."""
    folders: dict[str, Path] = {}
    if image.gateway.service:  # first: in the compiler's maps of names, the last that fits counts
        folders["service"] = image.gateway.path.parent
    folders |= {"generated": out, **others}
    # "arch/armv7m" is two levels below the folder of all components.
    folders["firmware"] = image.arch.folder.parents[image.arch.name.count("/")]
    for driver in image.drivers:
        folders["drivers"] = driver.folder.parent
    return Tree({name: folder.resolve() for name, folder in folders.items()})


def components(image: Image) -> list[tuple[Component, tuple[str, ...]]]:
    """Architecture and components with the sources of each, sorted by name."""
    every: list[tuple[Component, tuple[str, ...]]] = [(image.arch, image.arch.sources)]
    every += [(p.component, p.sources) for p in image.components]
    return sorted(every, key=lambda item: item[0].name)


def units(image: Image) -> list[Unit]:
    """Everything to compile, in the order in which it is linked."""
    native = is_native(image)
    cpu = image.cpu
    # With the flags, so that no object of another processor is taken from the cache.
    target = () if native else ("-target", cpu.target, f"-mcpu={cpu.mcpu}")
    flags = (*target, *COMMON, *(NATIVE if native else FREESTANDING), *cpu.flags)
    ours = (*flags, *(NATIVE_WARNINGS if native else WARNINGS))
    every = components(image)
    # The C library's headers are everyone's, as a hosted compiler's would be.
    public = [f"firmware/{c.name}/{i}" for c, _ in every if "libc" in c.provides for i in c.include]
    base = ("generated", "firmware/include", "firmware", *public)
    found = []
    for component, sources in every:
        includes = (*_includes(component), *base)
        for source in sources:
            path = f"firmware/{component.name}/{source}"
            whole = () if native or source in component.plain else _lto(source)
            found.append(Unit(_part(component), path, (*ours, *whole), includes))
        for name, theirs in sorted(component.third_party.items()):
            part = f"third_party/{name}"
            quiet = (*flags, *NO_WARNINGS, *(NATIVE_OTHERS if native else _lto("")))
            found += [Unit(part, f"{name}/{source}", quiet, includes) for source in theirs]
    for driver in image.drivers:
        includes = (f"drivers/{driver.name}", *base)
        for source in driver.sources:
            path = f"drivers/{driver.name}/{source}"
            whole = () if native else _lto(source)
            found.append(Unit(_driver_part(driver), path, (*ours, *whole), includes))
    whole = () if native else _lto("")
    for source in image.gateway.service.sources if image.gateway.service else ():
        found.append(Unit(SERVICE, f"service/{source}", (*ours, *whole), base))
    includes = (*(f"drivers/{d.name}" for d in image.drivers), *base)
    for name in ("devices.c", "pipeline.c") if has_pipeline(image) else ("devices.c",):
        found.append(Unit(GENERATED, f"generated/{name}", (*ours, *whole), includes))
    return found


def _lto(source: str) -> tuple[str, ...]:
    """Further flags of a unit of link-time optimisation; none for assembly."""
    return () if source.endswith(".S") else LTO


def owners(image: Image, every: Iterable[Unit]) -> dict[str, str]:
    """Whose bytes are whose, for `size.measure`. The state of a board's device counts for its
    driver; sensors' state, which grows with the gateway file, stays with the generated code."""
    found = {name: u.part for u in every for name in (u.object, u.source)}
    for instance in image.instances:
        place = f"{GENERATED}/devices.c:{instance.name}_state"
        found[place] = _driver_part(instance.driver)
    return found | {SCRIPT: image.arch.name}


def budgets(image: Image) -> dict[str, Mapping[str, int]]:
    """Part -> budget on the image's architecture, for parts that state one; `<arch>_compatible`
    is that of TLS's compatible profile."""
    arch = image.arch.name.removeprefix("arch/")
    stated: dict[str, Mapping[str, int]] = {}
    names = (f"{arch}_compatible", arch) if image.gateway.tls.compatible else (arch,)
    for component, _ in components(image):
        for name in (n for n in names if n in component.budget):
            stated.setdefault(_part(component), component.budget[name])
    for driver in image.drivers:
        if arch in driver.budget:
            stated[_driver_part(driver)] = driver.budget[arch]
    return stated


def covered(image: Image) -> dict[str, tuple[str, ...]]:
    """Part -> third-party parts that its budget covers: those that the component compiles."""
    return {
        _part(c): tuple(f"third_party/{name}" for name in sorted(c.third_party))
        for c, _ in components(image)
        if c.third_party
    }


def _part(component: Component) -> str:
    return component.name if component.name.startswith("arch/") else f"component/{component.name}"


def _driver_part(driver: Driver) -> str:
    return f"driver/{driver.name}"


def _includes(component: Component) -> list[str]:
    """A component's own include folders; "lwip:src/include" is inside third-party sources."""
    found = []
    for include in component.include:
        name, colon, folder = include.partition(":")
        inside = f"{name}/{folder}" if colon else f"firmware/{component.name}/{include}"
        found.append(inside.removesuffix("/."))
    return found
